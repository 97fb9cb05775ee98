"""Measuring a network's profile; ``python -m sfl_env.dnn.measure`` writes the catalogue's tables anew."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from sfl_env.arrays import Array
from sfl_env.dnn.catalogue import TABLES
from sfl_env.dnn.flops import counted_flops, plain_attention
from sfl_env.dnn.meta import BATCHES, META, foreign_code, sample_input, to_meta
from sfl_env.dnn.networks import NETWORKS, build, network
from sfl_env.dnn.profile import DNNProfile
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError


def profile(module: nn.Module, input_shape: tuple[int, ...], name: str | None = None) -> DNNProfile:
    """Measure what each legal cut of a network costs, in training, without computing anything.

    Parameters
    ----------
    module : nn.Module
        The network, one tensor in and one tensor out. It is left as it is.
    input_shape : tuple of int
        Shape of one sample, without the batch.
    name : str, optional
        What to call it; by default the name of its class.

    Returns
    -------
    DNNProfile
        One entry for each block of :func:`~sfl_env.dnn.split.as_chain`.

    Raises
    ------
    ProfileError
        If the network has no legal cut, does not take such an input, or its cost is not proportional to
        the batch.

    Notes
    -----
    FLOPs are those of :class:`torch.utils.flop_counter.FlopCounterMode`. The server's backward pass includes
    the gradient of the smashed data, the device's none of the raw input. Activation elements are what
    autograd saves on the device side: tensors of one storage count once, parameters and buffers not at all, a
    mask or an index as one element, and attention as the plain matrix products that it consists of.

    Examples
    --------
    >>> small = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> costs = profile(small, (4,), name="small")
    >>> costs.cut_names, costs.smashed_elements.tolist(), costs.device_parameters.tolist()
    (('0', '1'), [3.0, 0.0], [15.0, 23.0])
    >>> costs.device_forward_flops.tolist(), costs.server_backward_flops.tolist()
    ([24.0, 36.0], [24.0, 0.0])
    """
    chain = as_chain(module, input_shape)
    cut_names = tuple(chain._modules)  # named_children() leaves out repeated modules
    with foreign_code(f"{type(module).__name__} cannot be measured"):
        small, large = (_measure(chain, input_shape, batch) for batch in BATCHES)
    forward = _per_sample("forward FLOPs", small.forward_flops, large.forward_flops, cut_names)
    backward = _per_sample("backward FLOPs", small.backward_flops, large.backward_flops, cut_names)
    inner_backward = _per_sample(
        "backward FLOPs", small.inner_backward_flops, large.inner_backward_flops, cut_names
    )
    output = _per_sample("output elements", small.output_elements, large.output_elements, cut_names)
    parameters, buffers = _state_counts(chain)
    return DNNProfile(
        name=name or type(module).__name__,
        input_shape=tuple(input_shape),
        cut_names=cut_names,
        device_forward_flops=np.cumsum(forward),
        device_backward_flops=np.cumsum(backward),
        server_forward_flops=_after(forward),
        server_backward_flops=_after(inner_backward),
        smashed_elements=np.append(output[:-1], 0.0),
        device_parameters=parameters,
        device_buffers=buffers,
        # Statistics of a batch are saved too; the difference leaves out what does not grow with it.
        device_activation_elements=large.saved_elements - small.saved_elements,
    )


class _Costs(NamedTuple):
    """Costs of a whole batch, for each block."""

    forward_flops: Array  # (C,)
    backward_flops: Array  # (C,) when the network's raw input asks for no gradient
    inner_backward_flops: Array  # (C,) when the block's input asks for its gradient
    output_elements: Array  # (C,)
    saved_elements: Array  # (C,) of this block and all before it


def _measure(chain: nn.Sequential, input_shape: tuple[int, ...], batch: int) -> _Costs:
    costs = _Costs(*np.zeros((len(_Costs._fields), len(chain))))
    chain = to_meta(chain)
    saved = _SavedElements(chain)
    x = sample_input(input_shape, batch)
    for index, block in enumerate(chain):
        forward, inner_backward = _flops(block, x, input_gradient=True)
        costs.forward_flops[index] = forward
        costs.inner_backward_flops[index] = inner_backward
        # Behind the first trained block the input asks for its gradient on the device too.
        costs.backward_flops[index] = (
            inner_backward if x.requires_grad else _flops(block, x, input_gradient=False)[1]
        )
        x = saved.run(block, x)
        costs.output_elements[index] = x.numel()
        costs.saved_elements[index] = saved.elements
    return costs


def _flops(block: nn.Module, x: Tensor, *, input_gradient: bool) -> tuple[int, int]:
    """Return a block's forward and backward FLOPs."""
    # Cloned, since a block may start with a step in place, which autograd allows on no input of its own.
    x = x.detach().requires_grad_(input_gradient).clone()
    with counted_flops() as forward:
        y = block(x)
    with counted_flops() as backward:
        if y.requires_grad:
            y.backward(torch.empty_like(y))
    return forward.get_total_flops(), backward.get_total_flops()


class _SavedElements:
    """Counts the elements that autograd saves while a block runs, each storage once."""

    def __init__(self, chain: nn.Module) -> None:
        self.elements = 0
        state = (*chain.parameters(), *chain.buffers())
        # Storages are kept, not only their addresses, so that no address is given out a second time.
        self._storages = {_address(tensor): tensor.untyped_storage() for tensor in state}

    def run(self, block: nn.Module, x: Tensor) -> Tensor:
        """Return the block's output."""
        with plain_attention(), saved_tensors_hooks(self._count, lambda tensor: tensor):
            y: Tensor = block(x)
        return y

    def _count(self, tensor: Tensor) -> Tensor:
        if _address(tensor) not in self._storages:
            self._storages[_address(tensor)] = tensor.untyped_storage()
            self.elements += tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor


def _address(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _per_sample(what: str, small: Array, large: Array, cut_names: tuple[str, ...]) -> Array:
    """Return the cost of one sample, after checking that a batch costs its number of samples."""
    one = large - small
    differs = (small != BATCHES[0] * one) | (large != BATCHES[1] * one)
    if differs.any():
        index = int(np.argmax(differs))
        raise ProfileError(
            f"The {what} of block {cut_names[index]!r} are not proportional to the batch "
            f"({small[index]:g} for {BATCHES[0]} samples, {large[index]:g} for {BATCHES[1]}), so there is no "
            "cost per sample. Keep the batch as the first dimension and treat each sample on its own."
        )
    return one


def _after(costs: Array) -> Array:
    """Return for each cut the sum over the blocks that come after it."""
    return np.append(np.cumsum(costs[:0:-1])[::-1], 0.0)


def _state_counts(chain: nn.Sequential) -> tuple[Array, Array]:
    """Return the scalars in parameters and in buffers up to each cut, shared ones counted once."""
    seen: set[int] = set()
    counts = np.zeros((2, len(chain)))
    for index, block in enumerate(chain):
        for row, tensors in enumerate((block.parameters(), block.buffers())):
            new = [tensor for tensor in tensors if id(tensor) not in seen]
            seen.update(id(tensor) for tensor in new)
            counts[row, index] = sum(tensor.numel() for tensor in new)
    parameters, buffers = counts.cumsum(axis=1)
    return parameters, buffers


def catalogue_profile(name: str, input_shape: tuple[int, ...] | None = None) -> DNNProfile:
    """Measure a network of the catalogue, with the normalisation that it has in the literature.

    Parameters
    ----------
    name : str
        One of :data:`~sfl_env.dnn.networks.NETWORKS`.
    input_shape : tuple of int, optional
        Shape of one sample; by default the one that the network is made for.

    Examples
    --------
    >>> catalogue_profile("lenet5").num_cuts
    5
    """
    entry = network(name)
    with META:
        module = build(name, norm=entry.literature_norm)
    return profile(module, entry.input_shape if input_shape is None else input_shape, name)


def main() -> None:
    """Write every table of the catalogue anew."""
    for name in NETWORKS:
        catalogue_profile(name).to_json(TABLES / f"{name}.json")


if __name__ == "__main__":
    main()
