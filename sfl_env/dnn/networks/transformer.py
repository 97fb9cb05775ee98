"""A small vision transformer encoder (after Dosovitskiy et al., 2021) for 32x32 pictures."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Square patches become tokens, each with a learned position."""

    def __init__(self, image_size: int, patch_size: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.position = nn.Parameter(0.02 * torch.randn(1, (image_size // patch_size) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, (batch, patches, width)."""
        patches: Tensor = self.project(x)
        return patches.flatten(2).transpose(1, 2) + self.position


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised first and beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width, eps=eps), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the input's shape, (batch, patches, width)."""
        split = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        changed: Tensor = self.mlp(x)
        return x + changed


class TokenMean(nn.Module):
    """Mean over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width) from (batch, patches, width)."""
        return x.mean(dim=1)


def transformer(
    *,
    num_classes: int,
    image_size: int = 32,
    patch_size: int = 4,
    width: int = 128,
    depth: int = 6,
    heads: int = 4,
    hidden: int = 256,
) -> nn.Sequential:
    """Return a small vision transformer: patch embedding, encoder layers, head.

    Parameters
    ----------
    num_classes : int
        Classes.
    image_size, patch_size : int
        Pixels along an edge of the picture and of a patch.
    width, hidden : int
        Width of a token, and of the perceptron's inner layer.
    depth, heads : int
        Encoder layers, and attention heads in each.
    """
    chain = nn.Sequential()
    chain.add_module("embedding", PatchEmbedding(image_size, patch_size, width))
    for index in range(1, depth + 1):
        chain.add_module(f"layer{index}", EncoderLayer(width, heads, hidden))
    chain.add_module("head", nn.Sequential(nn.LayerNorm(width), TokenMean(), nn.Linear(width, num_classes)))
    return chain
