"""Layers of the field: recurrent ones, embeddings, attention, and those that mix the samples of a batch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sfl_env.dnn.measure import profile
from sfl_env.errors import ProfileError
from tests.sfl_env.users_networks.plain_loop import (
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


# K08: layers that mix the samples of a batch, where the devices' batches differ.


class OwnCentring(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return (x - x.mean(dim=0)) / (1.0 + x.std(dim=0))


class BatchSoftmax(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x * x.softmax(dim=0)


class GhostNorm(nn.Module):
    """Normalises two halves of the batch apart."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, momentum=0.3)

    def forward(self, x: Tensor) -> Any:
        return torch.cat([self.norm(half) for half in x.tensor_split(2)])


class Gram(nn.Module):
    """Each sample looks at all others: the work grows with the square of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        return self.last((h @ h.t()).softmax(dim=1) @ h)


def images(norm: Any) -> Any:
    return lambda: nn.Sequential(nn.Conv2d(2, 4, 3), norm(), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))


def features(norm: Any) -> Any:
    return lambda: nn.Sequential(nn.Linear(6, 8), norm(), nn.Tanh(), nn.Linear(8, 8), norm(), nn.Linear(8, 3))


MIXING = {
    "BatchNorm1d": User(features(lambda: nn.BatchNorm1d(8))),
    "BatchNorm1d without affine": User(features(lambda: nn.BatchNorm1d(8, affine=False))),
    "BatchNorm2d": User(images(lambda: nn.BatchNorm2d(4)), (2, 6, 6)),
    "InstanceNorm2d with statistics": User(
        images(lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), (2, 6, 6)
    ),
    "own centring": User(features(OwnCentring)),
    "softmax over the batch": User(features(BatchSoftmax)),
    "halves of the batch": User(features(GhostNorm), batches=(4, 6, 5)),
    "SyncBatchNorm's like": User(images(lambda: nn.BatchNorm2d(4, momentum=None)), (2, 6, 6)),
}


@pytest.mark.parametrize("name", MIXING)
def test_layers_that_mix_samples_see_the_devices_own_batches(name: str) -> None:
    assert_is_the_users_own(MIXING[name])


def test_work_that_grows_with_the_square_of_the_batch_is_refused() -> None:
    with pytest.raises(ProfileError, match="no sum of a part for each sample and one for the batch"):
        profile(Gram(), (6,))


# K12: buffers that forward assigns anew.


class MovingMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("seen", torch.tensor(0))
        self.mean: Tensor
        self.seen: Tensor

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.mean = self.mean.lerp(x.detach().mean(0), 0.2)
            self.seen = self.seen + 1
        return x - self.mean


class Codebook(nn.Module):
    """Moves the nearest of its vectors towards what it sees, in its buffer's data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(4, 8))
        self.codes: Tensor

    def forward(self, x: Tensor) -> Any:
        nearest = (x.detach().unsqueeze(1) - self.codes).square().sum(-1).argmin(1)
        found = self.codes[nearest]
        if self.training:
            self.codes.data[nearest] = 0.9 * found + 0.1 * x.detach()
        return x + (found - x).detach()


class Slow(nn.Module):
    """A slow copy of its weight, updated in place under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = nn.Linear(8, 8), nn.Linear(8, 8).requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.fast.parameters(), strict=True):
                slow.mul_(0.9).add_(fast, alpha=0.1)
        return torch.tanh(self.fast(x)) + self.slow(x).detach()


@pytest.mark.parametrize("block", [MovingMean, Codebook, Slow])
def test_what_forward_writes_is_followed_and_averaged(block: Any) -> None:
    user = User(lambda: nn.Sequential(nn.Linear(6, 8), block(), nn.Tanh(), nn.Linear(8, 3)))
    assert_is_the_users_own(user)
    network = user.network()
    written = {"MovingMean": "1.mean", "Codebook": "1.codes", "Slow": "1.slow.weight"}[block.__name__]
    after = trained(fused(user), network, user.plan([0] * K))
    assert not torch.equal(after[written], dict(network.state_dict())[written])
