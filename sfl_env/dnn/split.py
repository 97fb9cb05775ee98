"""A network as a chain of blocks between its legal cuts."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple

from torch import Tensor, nn

from sfl_env.dnn.flops import counted_flops
from sfl_env.dnn.graph import graph_blocks
from sfl_env.dnn.meta import BATCHES, foreign_code, sample_input, to_meta
from sfl_env.dnn.profile import checked_shape
from sfl_env.errors import ProfileError


def as_chain(module: nn.Module, input_shape: tuple[int, ...]) -> nn.Sequential:
    """Split a network into blocks, so that every legal cut lies between two of them.

    An ``nn.Sequential`` is cut between its children, whatever these are made of (if it has a single child, that
    child is split in its place). Any other module is traced with ``torch.fx`` and cut wherever exactly one
    floating-point tensor crosses, so that a residual block is never cut inside. Of these places the ones stay
    that

    - have no parameter on both sides (tied weights belong to one side),
    - leave parameters on the device (else the raw input would be sent), and
    - send least among those that no counted FLOPs lie between, the last one if several send as little: an
      activation, normalisation or pooling stays with its convolution.

    Parameters
    ----------
    module : nn.Module
        The network, one tensor in and one tensor out. It is left as it is.
    input_shape : tuple of int
        Shape of one sample, without the batch. Sizes that the network reads off its input are fixed to it.

    Returns
    -------
    nn.Sequential
        At least two blocks, which hold the network's own parameters (no copies) and compute what it computes,
        bit for bit. A cut's name is that of the block before it.

    Raises
    ------
    ProfileError
        If the network has no legal cut, cannot be traced or does not take such an input.

    Notes
    -----
    A block may begin with a step in place, which autograd refuses on a leaf: who feeds a block a detached
    tensor that requires a gradient has to hand it on as a clone or another non-leaf.

    Examples
    --------
    >>> layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [name for name, _ in as_chain(layers, (2, 3)).named_children()]
    ['2', '3']
    """
    if not isinstance(module, nn.Module):
        raise ProfileError(f"The network is a {type(module).__name__}; it has to be a torch.nn.Module.")
    what = type(module).__name__
    blocks = _blocks(module, checked_shape(input_shape))
    if len(blocks) < 2:
        raise ProfileError(
            f"{what} has no legal cut: no place inside it is crossed by exactly one tensor. Pass an "
            "nn.Sequential of its blocks, or let its blocks hand on one tensor each."
        )
    untied = _without_tied_places(blocks)
    if len(untied) == 1:
        raise ProfileError(
            f"{what} has no legal cut: parameters are shared (tied) across each place where it could be cut. "
            "Give the layers parameters of their own, or tie them within one block."
        )
    merged = _with_costly_steps(what, untied, input_shape)
    if len(merged) == 1:
        raise ProfileError(
            f"{what} has no legal cut: no place has parameters before it and matrix products or convolutions "
            "on either side. A network to split needs at least two such layers."
        )
    return nn.Sequential(OrderedDict((block.name, block.module) for block in merged))


class _Block(NamedTuple):
    name: str
    module: nn.Module


def _blocks(module: nn.Module, input_shape: tuple[int, ...]) -> list[_Block]:
    """Return the blocks between all places to consider, under names of their own."""
    while (children := _children(module)) is not None and len(children) == 1:
        module = children[0].module
    named = graph_blocks(module, input_shape) if children is None else children
    taken = set(dir(nn.Sequential()))  # a child cannot be called like a method, as steps such as ``to`` are
    blocks = []
    for name, block in named:
        numbered = (f"{name}_{number}" for number in count(2))
        free = next(candidate for candidate in chain((name,), numbered) if candidate not in taken)
        taken.add(free)
        blocks.append(_Block(free, block))
    return blocks


def _children(module: nn.Module) -> list[_Block] | None:
    """Return the children of an ``nn.Sequential`` that are run in turn; None for any other module."""
    if not (isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward):
        return None
    # named_children() would leave out a module that is there for the second time.
    return [_Block(name, child) for name, child in zip(module._modules, module, strict=True)]


def _joined(blocks: Sequence[_Block]) -> _Block:
    """Return one block that runs the given ones in turn, named after the last."""
    if len(blocks) == 1:
        return blocks[0]
    return _Block(blocks[-1].name, nn.Sequential(OrderedDict(blocks)))


def _joined_at(blocks: Sequence[_Block], ends: Sequence[int]) -> list[_Block]:
    """Join blocks so that the i-th joined one ends with block number ends[i]."""
    starts = [0, *(end + 1 for end in ends)]
    return [_joined(blocks[start : end + 1]) for start, end in zip(starts, ends, strict=False)]


def _without_tied_places(blocks: Sequence[_Block]) -> list[_Block]:
    """Join what lies between the first and the last use of a parameter or a running statistic."""
    last_use: dict[int, int] = {}
    for index, block in enumerate(blocks):
        last_use.update((key, index) for key in _trained_state(block.module))
    reach, ends = 0, []
    for index, block in enumerate(blocks):
        reach = max([reach, index, *(last_use[key] for key in _trained_state(block.module))])
        if reach == index:
            ends.append(index)
    return _joined_at(blocks, ends)


def _trained_state(module: nn.Module) -> set[int]:
    """Return the identities of what training changes; constants that blocks share tie nothing."""
    statistics = (
        buffer
        for part in module.modules()
        if isinstance(part, nn.modules.batchnorm._NormBase)
        for buffer in part.buffers(recurse=False)
    )
    return {id(tensor) for tensor in (*module.parameters(), *statistics)}


def _with_costly_steps(what: str, blocks: Sequence[_Block], input_shape: tuple[int, ...]) -> list[_Block]:
    """Join blocks so that each has FLOPs and the first has parameters, cutting where least is sent."""
    hollow = to_meta(nn.ModuleList(block.module for block in blocks))
    x = sample_input(input_shape, BATCHES[0])
    costly_before = 0
    cut_after: dict[int, tuple[int, int]] = {}  # costly blocks before the cut: elements sent, block's number
    has_parameters = False
    for index, (block, layer) in enumerate(zip(blocks, hollow, strict=True)):
        x, flops = _run(what, block.name, layer, x)
        costly_before += flops > 0
        has_parameters = has_parameters or any(True for _ in layer.parameters())
        sent, _ = cut_after.get(costly_before, (x.numel(), 0))
        if costly_before and has_parameters and x.is_floating_point() and x.numel() <= sent:
            cut_after[costly_before] = (x.numel(), index)
    # Behind the last costly block nothing is left to compute on the server: the cut is the network's end.
    cut_after[costly_before] = (0, len(blocks) - 1)
    return _joined_at(blocks, [index for _, index in cut_after.values()])


def _run(what: str, name: str, block: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """Return the output and the forward FLOPs of a block on the meta device."""
    refused = f"Block {name!r} of {what} does not take {tuple(x.shape)}, which it gets for a batch of {BATCHES[0]}"
    with foreign_code(refused, " Check the input shape."), counted_flops() as counter:
        y = block(x)
    if not isinstance(y, Tensor):
        raise ProfileError(
            f"Block {name!r} of {what} returns a {type(y).__name__}; each block has to hand on one tensor."
        )
    return y, counter.get_total_flops()
