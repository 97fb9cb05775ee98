"""A Llama of TinyLlama's size (Zhang et al., 2024), frozen, with trainable low-rank adapters (LoRA)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.networks.sequences import LastToken, join_heads, split_heads
from sfl_env.errors import ProfileError

_EPS = 1e-5
_ROTARY_BASE = 10_000.0
_INITIAL_DEVIATION = 0.02


class LoRALinear(nn.Module):
    """A linear layer plus a trainable product of two narrow ones (Hu et al., "LoRA", 2022).

    At first the second is zero, so that the layer computes what it does without the adapter.

    Parameters
    ----------
    features_in, features_out : int
        Width of the input and of the output.
    rank : int
        Width between the two narrow layers.
    alpha : float
        The product is multiplied by ``alpha / rank``.
    """

    def __init__(self, features_in: int, features_out: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = nn.Linear(features_in, features_out, bias=False)
        self.lora_a = nn.Linear(features_in, rank, bias=False)
        self.lora_b = nn.Linear(rank, features_out, bias=False)
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., features_out) from (..., features_in)."""
        adapted: Tensor = self.base(x) + self.scale * self.lora_b(self.lora_a(x))
        return adapted


class Attention(nn.Module):
    """Causal attention in which several queries share a key and a value; rotary positions; LoRA on q and v."""

    def __init__(self, width: int, heads: int, key_value_heads: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.heads, self.key_value_heads = heads, key_value_heads
        narrow = width // heads * key_value_heads
        self.query = LoRALinear(width, width, rank, alpha)
        self.key = nn.Linear(width, narrow, bias=False)
        self.value = LoRALinear(width, narrow, rank, alpha)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of the input's shape, (batch, length, width)."""
        query = split_heads(self.query(x), self.heads)
        key = split_heads(self.key(x), self.key_value_heads)
        turns = rotations(query)
        query, key = rotated(query, *turns), rotated(key, *turns)
        value = split_heads(self.value(x), self.key_value_heads)
        shared_by = self.heads // self.key_value_heads
        mixed = functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(shared_by, dim=1),
            value.repeat_interleave(shared_by, dim=1),
            is_causal=True,
        )
        out: Tensor = self.out(join_heads(mixed))
        return out


def rotations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return by what angle each pair of numbers of a head is turned (Su et al., "RoFormer", 2021).

    The angle of a pair grows with the position. It follows from the length alone and is computed anew each time,
    so that no table has to be kept or sent.

    Parameters
    ----------
    x : Tensor
        Queries or keys, (..., length, size).

    Returns
    -------
    cosine, sine : Tensor
        Of the angles, (length, size / 2).

    Examples
    --------
    >>> [part[:, 0].tolist() for part in rotations(torch.zeros(2, 4))]
    [[1.0, 0.5403...], [0.0, 0.8414...]]
    """
    length, size = x.shape[-2:]
    place = torch.arange(length, dtype=torch.float32, device=x.device)
    pair = torch.arange(0, size, 2, dtype=torch.float32, device=x.device)
    angle_rad = place[:, None] * _ROTARY_BASE ** (-pair / size)
    return angle_rad.cos().to(x), angle_rad.sin().to(x)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs of queries or keys; as in TinyLlama's weights, numbers i and i + size / 2 are one.

    Parameters
    ----------
    x : Tensor
        (..., length, size).
    cosine, sine : Tensor
        Of the angles, from :func:`rotations`.

    Returns
    -------
    Tensor
        Of the shape of ``x``.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> rotated(x, *rotations(x)).tolist()
    [[1.0, 0.0], [0.5403..., 0.8414...]]
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class SwiGLU(nn.Module):
    """A perceptron whose inner layer is gated (Shazeer, "GLU Variants Improve Transformer", 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of the input's shape, (batch, length, width)."""
        narrow: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return narrow


class LlamaLayer(nn.Module):
    """Attention and a gated perceptron, each normalised first and beside a shortcut."""

    def __init__(self, attention: Attention, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=_EPS)
        self.attention = attention
        self.mlp_norm = nn.RMSNorm(width, eps=_EPS)
        self.mlp = SwiGLU(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of the input's shape, (batch, length, width)."""
        x = x + self.attention(self.attention_norm(x))
        changed: Tensor = self.mlp(self.mlp_norm(x))
        return x + changed


def llama_lora(
    *,
    num_classes: int,
    vocabulary: int = 32_000,
    width: int = 2048,
    depth: int = 22,
    heads: int = 32,
    key_value_heads: int = 4,
    hidden: int = 5632,
    rank: int = 8,
    alpha: float = 16.0,
) -> nn.Sequential:
    """Return a frozen Llama with LoRA on queries and values and a trainable classifier on the last token.

    By default it has the dimensions of TinyLlama-1.1B: 1,100,048,384 parameters with its language head, which
    has 32,000 * 2,048 of them and isn't here. The frozen rest are 1,034,512,384; what trains are
    1,126,400 of the adapters and ``width * num_classes`` of the classifier.

    Parameters
    ----------
    num_classes : int
        Classes of the sequences.
    vocabulary : int
        Different tokens.
    width, hidden : int
        Width of a token, and of the perceptron's inner layer.
    depth, heads, key_value_heads : int
        Layers, and in each the attention heads of queries, and those of keys and values.
    rank : int
        Rank of the adapters, at least 1.
    alpha : float
        The adapters' output is multiplied by ``alpha / rank``.

    Raises
    ------
    ProfileError
        If the rank is below 1.
    """
    if rank < 1:
        raise ProfileError(f"rank is {rank}; an adapter has a rank of at least 1.")
    chain = nn.Sequential()
    chain.add_module("embedding", nn.Embedding(vocabulary, width))
    for index in range(1, depth + 1):
        attention = Attention(width, heads, key_value_heads, rank, alpha)
        chain.add_module(f"layer{index}", LlamaLayer(attention, width, hidden))
    classifier = nn.Linear(width, num_classes, bias=False)
    chain.add_module("head", nn.Sequential(nn.RMSNorm(width, eps=_EPS), LastToken(), classifier))
    _initialise(chain)
    _freeze_all_but(chain, classifier)
    return chain


def _initialise(chain: nn.Sequential) -> None:
    """Draw fresh weights; a pretrained network's are for the user to load."""
    for part in chain.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=_INITIAL_DEVIATION)
    for part in chain.modules():
        if isinstance(part, LoRALinear):
            nn.init.kaiming_uniform_(part.lora_a.weight, a=math.sqrt(5))
            nn.init.zeros_(part.lora_b.weight)


def _freeze_all_but(chain: nn.Sequential, classifier: nn.Linear) -> None:
    """Let the adapters and the classifier train, and nothing else."""
    chain.requires_grad_(False)
    classifier.requires_grad_(True)
    for part in chain.modules():
        if isinstance(part, LoRALinear):
            part.lora_a.requires_grad_(True)
            part.lora_b.requires_grad_(True)
