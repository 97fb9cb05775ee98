"""GPT-2 small (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019) as a classifier."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.networks.sequences import LastToken, join_heads, split_heads
from sfl_env.errors import ProfileError

_INITIAL_DEVIATION = 0.02


class TokenEmbedding(nn.Module):
    """Token numbers become vectors, each with a learned position."""

    def __init__(self, vocabulary: int, positions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(positions, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return vectors, (batch, length, width), for token numbers, (batch, length)."""
        length, longest = tokens.shape[1], self.position.num_embeddings
        if length > longest:
            raise ProfileError(
                f"The sequences have {length} tokens, but GPT-2 was built with {longest} positions. Shorten them, "
                f"or build it with positions={length}."
            )
        placed = self.token(tokens) + self.position(torch.arange(length, device=tokens.device))
        dropped: Tensor = self.dropout(placed)
        return dropped


class DecoderLayer(nn.Module):
    """Causal self-attention and a two-layer perceptron, each normalised first and beside a shortcut."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"))
        self.mlp_out = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of the input's shape, (batch, length, width)."""
        parts = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)
        probability = self.dropout.p if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=probability, is_causal=True)
        x = x + self.dropout(self.attention_out(join_heads(mixed)))
        changed: Tensor = self.dropout(self.mlp_out(self.mlp(x)))
        return x + changed


def gpt2(
    *,
    num_classes: int,
    vocabulary: int = 50_257,
    positions: int = 1024,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    dropout: float = 0.1,
) -> nn.Sequential:
    """Return GPT-2, by default the small one, with a classifier on the last token.

    Its language head would be tied to the token embedding, which lies on the device: one weight on both sides of
    every cut. So it ends in a linear layer without bias, as ``GPT2ForSequenceClassification`` of the library
    ``transformers`` does. That makes 124,439,808 parameters and ``width * num_classes`` of the classifier.

    Parameters
    ----------
    num_classes : int
        Classes of the sequences.
    vocabulary, positions : int
        Different tokens, and the length of the longest sequence.
    width, depth, heads : int
        Width of a token, decoder layers, and attention heads in each.
    dropout : float
        Probability of a zero, behind the embedding, in the attention and on each residual branch.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     network = gpt2(num_classes=2)
    >>> f"{sum(parameter.numel() for parameter in network.parameters()) - 2 * 768:,}"
    '124,439,808'
    """
    chain = nn.Sequential()
    chain.add_module("embedding", TokenEmbedding(vocabulary, positions, width, dropout))
    for index in range(1, depth + 1):
        chain.add_module(f"layer{index}", DecoderLayer(width, heads, dropout))
    head = nn.Sequential(nn.LayerNorm(width), LastToken(), nn.Linear(width, num_classes, bias=False))
    chain.add_module("head", head)
    _initialise(chain, depth)
    return chain


def _initialise(chain: nn.Sequential, depth: int) -> None:
    """Draw the weights as the authors do: what adds to the residual stream starts smaller in a deep network."""
    for part in chain.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=_INITIAL_DEVIATION)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    for part in chain:
        if isinstance(part, DecoderLayer):
            for layer in (part.attention_out, part.mlp_out):
                nn.init.normal_(layer.weight, std=_INITIAL_DEVIATION / math.sqrt(2 * depth))
