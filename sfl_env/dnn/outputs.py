"""What a network's modules return: the tensors in it, and the one that tells the classes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from sfl_env.errors import ProfileError


def logits_of(output: Any, what: str) -> Tensor:
    """Return what a network says of the classes: its output, or the ``logits`` of its output.

    Networks of other libraries return an object with ``logits`` and more beside them (a loss, caches, auxiliary
    heads); what is beside them is neither sent nor trained on. Those without a head have a ``last_hidden_state``.

    Parameters
    ----------
    output : object
        What the network returned.
    what : str
        The network, for messages.

    Raises
    ------
    ProfileError
        If there is no such tensor.

    Examples
    --------
    >>> import torch
    >>> logits_of({"logits": torch.zeros(2, 3)}, "Net").shape
    torch.Size([2, 3])
    """
    found = output
    for name in () if isinstance(output, Tensor) else ("logits", "last_hidden_state"):
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(found, Tensor):
            break
    if not isinstance(found, Tensor):
        raise ProfileError(
            f"{what} has to return one tensor, or an object with the tensor 'logits'; it returns a "
            f"{type(output).__name__}. Wrap it in a module whose forward returns the logits."
        )
    return found


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in tuples, lists, dictionaries and the like, of registered output classes too."""
    if isinstance(values, Tensor):
        yield values
    else:
        for leaf in pytree.tree_leaves(values):
            if isinstance(leaf, Tensor):
                yield leaf


def with_tensor(values: Any, old: Tensor, new: Tensor) -> Any:
    """Return the values with a tensor in the place of another one."""
    if values is old:
        return new
    exchange: Callable[[Any], Any] = lambda leaf: new if leaf is old else leaf  # noqa: E731
    return pytree.tree_map(exchange, values)
