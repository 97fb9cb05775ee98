"""What a probe on a few samples cannot see of a network: code that acts beside its layers, and seldom perhaps."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.module import _has_any_global_hook


def why_not_grouped(network: nn.Module) -> str:
    """Return why grouping a network's layers could leave something out; nothing if it cannot.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> why_not_grouped(layer)
    ''
    >>> _ = layer.register_forward_hook(lambda module, inputs, output: output.clamp(-6.0, 6.0))
    >>> why_not_grouped(layer)
    'there are hooks on the network'
    """
    if _has_any_global_hook() or any(hooks for module in network.modules() for hooks in _hooks(module)):
        return "there are hooks on the network"
    if any("forward" in vars(module) for module in network.modules()):
        return "a module has a forward of its own"
    return ""


def why_not_at_once(network: nn.Module) -> str:
    """Return why one pass for all replicas could leave something out; nothing if it cannot.

    Examples
    --------
    >>> why_not_at_once(nn.Embedding(3, 2, max_norm=1.0))
    'an embedding scales its weights down as it reads them'
    """
    if any(
        parameter._backward_hooks or parameter._post_accumulate_grad_hooks for parameter in network.parameters()
    ):
        return "there are hooks on parameters"
    if any(module._backward_hooks or module._backward_pre_hooks for module in network.modules()):
        return "there are hooks on gradients"
    if any(getattr(module, "max_norm", None) is not None for module in network.modules()):
        return "an embedding scales its weights down as it reads them"
    return ""


def acts_otherwise(module: nn.Module) -> bool:
    """Whether a layer does more than its class says: it has hooks, or a forward of its own.

    Examples
    --------
    >>> acts_otherwise(nn.ReLU())
    False
    """
    return _has_any_global_hook() or any(_hooks(module)) or "forward" in vars(module)


def _hooks(module: nn.Module) -> Iterator[object]:
    yield module._forward_hooks
    yield module._forward_pre_hooks
    yield module._backward_hooks
    yield module._backward_pre_hooks
