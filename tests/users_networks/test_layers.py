"""Layers of the field: recurrent ones, embeddings and attention."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sfl_env.dnn.measure import profile
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    fused,
    message_passing,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# K07: recurrent layers.


class Recurrent(nn.Module):
    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.into = nn.Linear(4, 6)
        self.over_time = kind(6, 5, batch_first=True, **options)
        self.out = nn.Linear(10 if options.get("bidirectional") else 5, 3)

    def forward(self, x: Tensor) -> Any:
        steps, _ = self.over_time(torch.tanh(self.into(x)))
        return self.out(steps[:, -1])


class Cells(nn.Module):
    """A cell in a Python loop, its state carried along."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.into, self.cell, self.out = nn.Linear(4, 6), kind(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        state: Any = None
        for step in torch.tanh(self.into(x)).unbind(1):
            state = self.cell(step, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


class LastState(nn.Module):
    """Starts from states of zeros that it makes, and reads the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.lstm, self.out = nn.Linear(4, 6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        zeros = torch.zeros(1, len(x), 5, dtype=x.dtype)
        _, (last, _) = self.lstm(self.into(x), (zeros, zeros.clone()))
        return self.out(last.squeeze(0))


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.gru, self.out = nn.Linear(4, 6), nn.GRU(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.into(x))
        lengths = torch.full((len(x),), 4)
        steps, _ = pad_packed_sequence(self.gru(pack_padded_sequence(h, lengths, batch_first=True))[0], True)
        return self.out(steps.mean(1))


RECURRENT: dict[str, Any] = {
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "RNN": lambda: Recurrent(nn.RNN),
    "two layers both ways": lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True),
    "LSTM cell": lambda: Cells(nn.LSTMCell),
    "GRU cell": lambda: Cells(nn.GRUCell),
    "last state": LastState,
    "packed sequence": Packed,
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_train(name: str) -> None:
    assert_is_the_users_own(User(RECURRENT[name], (5, 4)), by_hand=False)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_cost_their_gates_at_each_time_step(kind: Any, gates: int) -> None:
    costs = profile(Recurrent(kind), (5, 4))
    assert costs.device_forward_flops[-1] == 5 * 2 * 4 * 6 + 5 * 2 * gates * 5 * (6 + 5) + 2 * 5 * 3


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_costs_of_recurrent_layers_do_not_depend_on_the_precision(kind: Any) -> None:
    """Nor on which of torch's kernels takes it: that for single precision on CPUs keeps its steps to itself."""
    single, double = profile(Recurrent(kind), (5, 4)), profile(Recurrent(kind).double(), (5, 4))
    assert single.device_activation_elements.tolist() == double.device_activation_elements.tolist()
    assert single == double


# Embeddings.


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.inner, self.out = nn.EmbeddingBag(11, 6, mode="mean"), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(torch.tanh(self.inner(self.words(x.long()))))


class Words(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.words, self.inner, self.out = nn.Embedding(11, 6, **options), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(torch.tanh(self.inner(self.words(x.long()))).mean(1))


class TwoTables(nn.Module):
    """Tokens and their positions, with a row of frozen vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(torch.randn(11, 6), freeze=True)
        self.places, self.inner, self.out = nn.Embedding(7, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = self.words(x.long()) + self.places(torch.arange(x.shape[1], device=x.device))
        return self.out(torch.tanh(self.inner(h)).amax(1))


EMBEDDINGS: dict[str, Any] = {
    "padding row": lambda: Words(padding_idx=0),
    "renormalised rows": lambda: Words(max_norm=1.0),
    "sparse gradients": lambda: Words(sparse=True),
    "gradients by frequency": lambda: Words(scale_grad_by_freq=True),
    "bag": Bag,
    "tokens and positions": TwoTables,
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings_train(name: str) -> None:
    assert_is_the_users_own(User(EMBEDDINGS[name], (7,), tokens=11))


def test_the_padding_row_stays_zero() -> None:
    user = User(EMBEDDINGS["padding row"], (7,), tokens=11)
    for executor in (message_passing(user), fused(user), fused(user, "loop")):
        after = trained(executor, user.network(), user.plan([0] * K))["words.weight"]
        assert not after[0].any()
        assert after[1:].any(dim=1).all()


# Attention.


class Attends(nn.Module):
    def __init__(self, masked: bool = False) -> None:
        super().__init__()
        self.into, self.attention = nn.Linear(4, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out, self.masked = nn.LayerNorm(8), nn.Linear(8, 3), masked

    def forward(self, x: Tensor) -> Any:
        h = self.into(x)
        mask = torch.full((5, 5), float("-inf"), dtype=h.dtype).triu(1) if self.masked else None
        h = self.norm(h + self.attention(h, h, h, attn_mask=mask, need_weights=False)[0])
        return self.out(h.mean(1))


class ByProduct(nn.Module):
    """torch's attention function, causal, with several queries a key."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.qkv, self.out = nn.Linear(4, 8), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.into(x))
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(h).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out((h + mixed.transpose(1, 2).flatten(2))[:, -1])


class Summary(nn.Module):
    """A trained token in front of the sequence, whose place tells the class."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.token = nn.Linear(4, 8), nn.Parameter(torch.zeros(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.cat([self.token.expand(len(x), -1, -1), self.into(x)], dim=1)
        return self.out(self.layers(h)[:, 0])


class Decodes(nn.Module):
    """Queries of its own that look at the sequence: its memory crosses every layer's boundary."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.query = nn.Linear(4, 8), nn.Parameter(torch.randn(2, 8))
        self.layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.layer(self.query.expand(len(x), -1, -1), self.into(x)).flatten(1))


ATTENTION: dict[str, Any] = {
    "multi-head": Attends,
    "multi-head with a mask": lambda: Attends(masked=True),
    "causal function": ByProduct,
    "encoder with a token": Summary,
    "decoder": Decodes,
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_trains(name: str) -> None:
    # torch's fused kernels count otherwise than the plain products; those are compared in the profile's tests.
    assert_is_the_users_own(User(ATTENTION[name], (5, 4)), by_hand=False)


def test_attention_costs_its_two_products_beside_the_projections() -> None:
    costs = profile(ByProduct(), (5, 4))
    products = 2 * (2 * 2 * 5 * 5 * 4)
    assert costs.device_forward_flops[-1] == 5 * 2 * (4 * 8 + 8 * 24) + products + 2 * 8 * 3
