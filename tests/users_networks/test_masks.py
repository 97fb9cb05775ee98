"""Masks and positions that a network makes of its tokens go along with the smashed data; the tokens do not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile, profile_of
from sfl_env.rounds.workload import workload
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_trains_like_the_plain_loop,
    message_passing,
    outcome,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*nested tensors.*:UserWarning"),
]

TOKENS, WIDTH = 7, 8


class Reads(nn.Module):
    """A transformer over padded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, WIDTH, padding_idx=0)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Any:
        h = self.layers(self.words(x.long()), src_key_padding_mask=(x == 0))
        return self.out(h.mean(1))


class PoolsByMask(nn.Module):
    """Layers that don't need the mask; the mean at the end does, and how many it has, as numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Any:
        there = (x != 0).to(torch.get_default_dtype()).to(self.out.weight.dtype).unsqueeze(-1)
        h = torch.tanh(self.b(torch.tanh(self.a(self.words(x.long())))))
        return self.out((h * there).sum(1) / there.sum(1).clamp(min=1.0))


class LastToken(nn.Module):
    """Reads the class off the last token that is no padding, as decoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Any:
        last = x.shape[1] - 1 - (x != 0).int().flip(1).argmax(1)
        h = torch.tanh(self.b(torch.tanh(self.a(self.words(x.long())))))
        return self.out(h[torch.arange(len(x)), last])


MASKED = {"padding mask": Reads, "mean over a mask": PoolsByMask, "position of the last": LastToken}


def user(make: Any) -> User:
    return User(make, (TOKENS,), tokens=11)


@pytest.mark.parametrize("name", MASKED)
def test_networks_with_masks_train_like_the_plain_loop_at_cuts_between_their_layers(name: str) -> None:
    one = user(MASKED[name])
    split = one.split()
    assert split.num_cuts >= 3, [cut.name for cut in split.cuts]
    assert_trains_like_the_plain_loop(one, split)


@pytest.mark.parametrize("name", ["padding mask", "mean over a mask"])
def test_a_mask_is_sent_along_and_no_gradient_of_it_comes_back(name: str) -> None:
    one = user(MASKED[name])
    split = one.split()
    costs = profile_of(split, (TOKENS,), "net")
    inner = [cut for cut in range(split.num_cuts - 1) if costs.smashed_elements[cut] > TOKENS * WIDTH]
    assert inner
    for cut in inner:
        assert costs.smashed_elements[cut] == TOKENS * WIDTH + TOKENS
        assert costs.smashed_gradient_elements[cut] == TOKENS * WIDTH


def test_one_position_a_sample_is_one_number() -> None:
    costs = profile(LastToken(), (TOKENS,))
    assert (costs.smashed_elements - costs.smashed_gradient_elements)[0] == 1.0


@pytest.mark.parametrize("name", MASKED)
def test_the_bits_of_masks_are_on_the_air(name: str) -> None:
    one = user(MASKED[name])
    split = one.split()
    costs = profile_of(split, (TOKENS,), "net")
    work = workload(costs, activation_bits=32, parameter_bits=32, label_bits=32, optimizer_slots=1)
    assert costs.smashed_elements[0] > costs.smashed_gradient_elements[0]
    traffic = outcome(message_passing(one), split.network, one.plan([0] * K)).traffic
    assert traffic is not None
    samples = [2 * size for size in one.batches]
    assert traffic.uplink_bits.tolist() == [n * work.smashed_bits[0] + work.model_bits[0] for n in samples]
    assert traffic.downlink_bits.tolist() == [n * work.gradient_bits[0] + work.model_bits[0] for n in samples]


class ReadsAgain(nn.Module):
    """A second embedding late in the network: the server would need the tokens themselves."""

    def __init__(self, as_numbers: Any) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.again, self.out = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, 3)
        self.as_numbers = as_numbers

    def forward(self, x: Tensor) -> Any:
        ids = self.as_numbers(x)
        h = torch.tanh(self.b(torch.tanh(self.a(self.words(ids)))))
        return self.out((h + self.again(ids)).mean(1))


TOKENS_THEMSELVES = {
    "as they are": lambda x: x,
    "as whole numbers": lambda x: x.long(),
    "a copy": lambda x: x.clone(),
    "in another type": lambda x: x.to(torch.int32),
    "moved by one": lambda x: torch.roll(x.long(), 1, 1),
    "all but the first": lambda x: x.long()[:, 1:],
}


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
@pytest.mark.parametrize("name", TOKENS_THEMSELVES)
def test_tokens_that_the_server_reads_are_raw_input_and_refused(name: str, dtype: torch.dtype) -> None:
    if name in ("as they are", "a copy") and dtype.is_floating_point:
        pytest.skip("embeddings take no real numbers")
    costs = profile(ReadsAgain(TOKENS_THEMSELVES[name]), (TOKENS,), input_dtype=dtype)
    # Only behind the second embedding can it be cut, where one vector a sample is left.
    assert costs.smashed_elements.tolist() == [WIDTH, 0.0]


class GatesByPicture(nn.Module):
    """The server gates by the input itself, or by a mask of it."""

    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.gate = gate

    def forward(self, x: Tensor) -> Any:
        gate = self.gate(x)
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))) * gate)


@pytest.mark.parametrize(
    "gate", [lambda x: x, lambda x: x.clone(), lambda x: x * 1.0, lambda x: (x > 0) * x, lambda x: x.relu()]
)
def test_real_numbers_of_the_input_are_no_mask(gate: Any) -> None:
    costs = profile(GatesByPicture(gate), (6,))
    assert all(costs.smashed_elements[:-1] <= 6.0), "the input itself goes along"
    # Nothing but the last layer lies behind the gate.
    assert costs.num_cuts == 2
    masked = profile(GatesByPicture(lambda x: (x > 0).to(x.dtype)), (6,))
    assert masked.smashed_elements.tolist() == [12.0, 6.0, 0.0]


class PoolsByViews(nn.Module):
    """Reads several views of one mask behind its layers."""

    def __init__(self, views: Any) -> None:
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, 3)
        self.views = views

    def forward(self, x: Tensor) -> Any:
        weights = self.views(x != 0)
        h = torch.tanh(self.b(torch.tanh(self.a(self.words(x.long())))))
        for weight in weights:
            h = h * weight
        return self.out(h.mean(1))


def column(mask: Tensor) -> Tensor:
    return mask[:, :, None]


def shifted(mask: Tensor) -> tuple[Tensor, Tensor]:
    return column(mask[:, :TOKENS]), column(mask[:, 1 : TOKENS + 1])


VIEWS: dict[str, tuple[Any, int]] = {
    "a mask and a view of it": (lambda mask: (column(mask), column(mask).view(-1, TOKENS, 1)), TOKENS),
    "a part and the whole": (lambda mask: (column(mask), column(mask[:, :1])), TOKENS),
    "two halves": (lambda mask: (column(mask[:, :1]), column(mask[:, 1:2])), 2),
    "parts that overlap": (lambda mask: shifted(torch.cat([mask, mask], 1)), TOKENS + 1),
    "an expanded one": (lambda mask: (column(mask).expand(-1, -1, WIDTH),), TOKENS),
    "an expanded one and what it expands": (
        lambda mask: (column(mask).expand(-1, -1, WIDTH), column(mask)),
        TOKENS,
    ),
    "a copy": (lambda mask: (column(mask), column(mask.clone())), 2 * TOKENS),
}


@pytest.mark.parametrize("name", VIEWS)
def test_what_several_views_of_a_mask_show_is_sent_once(name: str) -> None:
    views, sent = VIEWS[name]
    costs = profile(PoolsByViews(views), (TOKENS,))
    inner = costs.smashed_elements[:-2]
    assert inner.tolist() == [TOKENS * WIDTH + sent] * len(inner), costs.cut_names


def test_the_executor_sends_the_numbers_that_views_of_a_mask_are_charged_with() -> None:
    views, _ = VIEWS["an expanded one and what it expands"]
    one = user(lambda: PoolsByViews(views))
    assert_trains_like_the_plain_loop(one, one.split())
