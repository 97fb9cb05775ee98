"""ViT-B/16 (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021): 86,567,656 parameters for 1000 classes."""

import torch
from torch import Tensor, nn

from sfl_env.dnn.networks.transformer import EncoderLayer

_EPS = 1e-6
"""What layer normalisation adds to the variance in the authors' code and in torchvision."""


class ClassTokenEmbedding(nn.Module):
    """Square patches become tokens behind one learned class token, each with a learned position."""

    def __init__(self, image_size: int, patch_size: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + (image_size // patch_size) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, (batch, 1 + patches, width)."""
        patches = self.project(x).flatten(2).transpose(1, 2)
        return torch.cat((self.class_token.expand(len(x), -1, -1), patches), dim=1) + self.position


class ClassToken(nn.Module):
    """The first token, which stands for the whole picture."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width) from (batch, 1 + patches, width)."""
        return x[:, 0]


def vit(
    *,
    num_classes: int,
    image_size: int = 224,
    patch_size: int = 16,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    hidden: int = 3072,
) -> nn.Sequential:
    """Return a vision transformer with a class token, by default ViT-B/16: embedding, encoder layers, head.

    It has no dropout, as in torchvision; the head is the one linear layer that the paper fine-tunes.

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
    chain.add_module("embedding", ClassTokenEmbedding(image_size, patch_size, width))
    for index in range(1, depth + 1):
        chain.add_module(f"layer{index}", EncoderLayer(width, heads, hidden, eps=_EPS))
    head = nn.Sequential(nn.LayerNorm(width, eps=_EPS), ClassToken(), nn.Linear(width, num_classes))
    chain.add_module("head", head)
    return chain
