"""Measuring a network's profile; ``python -m sfl_env.dnn.measure`` writes the catalogue's tables anew."""

import numpy as np
import torch
from torch import nn

from sfl_env.arrays import Array
from sfl_env.dnn.catalogue import TABLES
from sfl_env.dnn.networks import NETWORKS, build, network
from sfl_env.dnn.profile import DNNProfile
from sfl_env.dnn.runs import state_of
from sfl_env.dnn.split import SplitNetwork, as_chain


def profile(
    module: nn.Module,
    input_shape: tuple[int, ...],
    name: str | None = None,
    *,
    input_dtype: torch.dtype | None = None,
) -> DNNProfile:
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
    split = as_chain(module, input_shape, input_dtype)
    return profile_of(split, tuple(input_shape), name or type(module).__name__)


def profile_of(split: SplitNetwork, input_shape: tuple[int, ...], name: str) -> DNNProfile:
    """Return the profile of a network whose cuts are found."""
    forward, backward = split.costs.forward_flops, split.costs.backward_flops
    parameters, buffers, frozen, constant = _state_counts(split)
    return DNNProfile(
        name=name,
        input_shape=input_shape,
        cut_names=tuple(cut.name for cut in split.cuts),
        device_forward_flops=forward.per_sample,
        device_backward_flops=backward.per_sample,
        server_forward_flops=_after(forward.per_sample),
        server_backward_flops=_after(backward.per_sample),
        smashed_elements=split.costs.smashed_elements + split.costs.accompanying_elements,
        device_parameters=parameters,
        device_buffers=buffers,
        device_activation_elements=split.costs.saved_elements,
        device_forward_flops_per_batch=forward.per_batch,
        device_backward_flops_per_batch=backward.per_batch,
        server_forward_flops_per_batch=_after(forward.per_batch),
        server_backward_flops_per_batch=_after(backward.per_batch),
        smashed_gradient_elements=np.where(split.costs.wants_gradient, split.costs.smashed_elements, 0.0),
        device_frozen_parameters=frozen,
        device_constant_buffers=constant,
    )


def _after(costs: Array) -> Array:
    """Return for each cut what the device side leaves to the server."""
    rest: Array = costs[-1] - costs
    return rest


def _state_counts(split: SplitNetwork) -> Array:
    """Return the scalars in parameters, buffers, frozen parameters and constant buffers up to each cut, (4, C)."""
    counts = np.zeros((4, split.num_cuts))
    for name, tensor in state_of(split.network).items():
        row = 0 if isinstance(tensor, nn.Parameter) else 1
        numbers = tensor.numel() * (1 + tensor.is_complex())
        counts[row, split.block[name]] += numbers
        if name not in split.trained and name not in split.changed:
            counts[row + 2, split.block[name]] += numbers
    return counts.cumsum(axis=1)


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
    with torch.device("meta"):
        module = build(name, norm=entry.literature_norm)
    return profile(module, entry.input_shape if input_shape is None else input_shape, name)


def main() -> None:
    """Write every table of the catalogue anew."""
    for name in NETWORKS:
        catalogue_profile(name).to_json(TABLES / f"{name}.json")


if __name__ == "__main__":
    main()
