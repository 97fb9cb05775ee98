"""The pieces that networks of token sequences share."""

from torch import Tensor, nn


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return (batch, heads, length, width / heads) from (batch, length, width).

    Examples
    --------
    >>> import torch
    >>> split_heads(torch.zeros(2, 5, 12), heads=3).shape
    torch.Size([2, 3, 5, 4])
    """
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Return (batch, length, heads * size) from (batch, heads, length, size)."""
    return x.transpose(1, 2).flatten(2)


class LastToken(nn.Module):
    """The last token, which with causal attention is the one that has seen all others.

    There is no padding mask: sequences have to be as long as their batch is.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width) from (batch, length, width)."""
        return x[:, -1]
