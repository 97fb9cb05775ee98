"""Gradients that ``torch.func`` takes within ``forward``, which refuses to run beside hooks on what is saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad, graph

from sfl_env.dnn.outputs import tensors_in
from sfl_env.dnn.telling import hooks_on_what_is_saved
from sfl_env.errors import ProfileError


@contextmanager
def lifted_for_transforms() -> Iterator[list[str]]:
    """Lift the innermost hooks on what is saved while ``torch.func`` takes gradients; yield a list of the times.

    What is saved then is not told: :func:`saved_in_graph` finds it afterwards.
    """
    own, usual = hooks_on_what_is_saved(), graph.disable_saved_tensors_hooks
    lifted: list[str] = []

    @contextmanager
    def disable(error_message: str) -> Iterator[None]:
        if forward_ad._current_level >= 0:  # beside what watches, torch's own state would not outlive it unharmed
            raise ProfileError(
                "forward takes a gradient within a forward derivative (torch.func.hessian, or grad within jvp or "
                "jacfwd), which cannot be watched. Take both backward: jacrev(jacrev(f)) is the hessian, too."
            )
        if hooks_on_what_is_saved() != own:  # another thread, or hooks of the user's own
            with usual(error_message):
                yield
            return
        lifted.append(error_message)
        torch._C._autograd._pop_saved_tensors_default_hooks()
        try:
            with usual(error_message):
                yield
        finally:
            torch._C._autograd._push_saved_tensors_default_hooks(*own)

    graph.disable_saved_tensors_hooks = disable
    try:
        yield lifted
    finally:
        graph.disable_saved_tensors_hooks = usual


def saved_in_graph(output: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """Yield the tensors that a result's graph keeps for the backward pass, each with the node that does.

    Examples
    --------
    >>> x = torch.ones(3, requires_grad=True)
    >>> [(node.name(), kept.shape) for node, kept in saved_in_graph(x.tanh())]
    [('TanhBackward0', torch.Size([3]))]
    """
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names = (name for name in dir(node) if name.startswith("_saved_") or name == "saved_tensors")
        for name in names:
            yield from ((node, tensor) for tensor in tensors_in(getattr(node, name)))
        waiting += [following for following, _ in node.next_functions]
