"""Legal cuts: one tensor crosses, parameters stay on one side, and handing it over changes nothing."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.measure import profile
from sfl_env.dnn.networks import build
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError


class Residual(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Any:
        y = x
        for layer in self.layers:
            y = functional.relu(layer(y))
        return x + y


class Network(nn.Module):
    """Residual blocks and plain layers in any order, as a user would write them."""

    def __init__(self, depths: list[int], width: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.body = nn.ModuleList(Residual(width, depth) if depth else nn.Linear(width, width) for depth in depths)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor, scale: float | None = None) -> Any:
        x = self.first(x)
        if scale is not None:
            x = x * scale
        for layer in self.body:
            x = layer(x)
        return self.last(self.drop(x))


def cut_names(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(cut.name for cut in as_chain(module, input_shape).cuts)


def assert_computes_the_same(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Assert that a copy handed over at each cut, and nothing else of before it, is all that comes after needs."""
    split = as_chain(module, input_shape)
    assert split.network is module
    x = torch.rand(4, *input_shape)
    for training in (True, False):
        module.train(training)
        torch.manual_seed(1)
        expected = module(x.clone())
        for cut in range(split.num_cuts):
            received: list[Tensor] = []

            def hand_over(smashed: Tensor, received: list[Tensor] = received) -> Tensor:
                received.append(smashed.detach().clone().requires_grad_())
                return received[-1].clone()  # what comes may begin in place, which autograd allows on no leaf

            torch.manual_seed(1)
            with split.handing_over(cut, hand_over):
                output = split(x.clone())
            assert torch.equal(output, expected)
            assert [each.numel() for each in received] == [
                elements for elements in [len(x) * split.costs.smashed_elements[cut]] if elements
            ]
            if received:
                before = [p for name, p in module.named_parameters() if split.block[name] <= cut]
                reached = torch.autograd.grad(output.sum(), [*received, *before], allow_unused=True)
                assert reached[0] is not None
                assert all(gradient is None for gradient in reached[1:])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=4))
def test_residual_block_is_never_cut_inside(depths: list[int]) -> None:
    module = Network(depths)
    costs = profile(module, (4,))
    assert costs.num_cuts == 1 + len(depths) + 1
    grown = [20, *(25 * max(depth, 1) for depth in depths), 15]
    assert costs.device_forward_flops.tolist() == [2 * sum(grown[: i + 1]) for i in range(len(grown))]
    assert set(costs.smashed_elements[:-1]) == {5.0}
    assert_computes_the_same(module, (4,))


class Wrapped(nn.Module):
    """Hides a chain's blocks, so that the cuts have to be found inside."""

    def __init__(self, chain: nn.Sequential) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: Tensor) -> Any:
        return self.chain(x)


@pytest.mark.parametrize("name", ["resnet18", "transformer", "digits-cnn"])
def test_the_cuts_of_a_chain_are_found_where_it_is_wrapped(name: str) -> None:
    shape = (1, 8, 8) if name == "digits-cnn" else (3, 32, 32)
    with torch.device("meta"):
        wrapped, whole = profile(Wrapped(build(name)), shape), profile(build(name), shape)
    found = dict(zip(wrapped.device_forward_flops, wrapped.smashed_elements, strict=True))
    sent = whole.smashed_elements
    assert [found[flops] for flops in whole.device_forward_flops[:-2]] == sent[:-2].tolist()
    # The pooling at the head's start is a step of its own here, so the cut before the head can send less.
    assert found[whole.device_forward_flops[-2]] <= sent[-2]
    assert wrapped.device_parameters[-1] == whole.device_parameters[-1]


def test_a_wrapped_chain_computes_the_same() -> None:
    torch.manual_seed(0)
    assert_computes_the_same(Wrapped(build("digits-cnn", norm="batch")), (1, 8, 8))


def test_cheap_layers_stay_with_the_costly_one_before() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Upsample(scale_factor=2),
        nn.Flatten(),
        nn.Linear(512, 10),
        nn.Softmax(dim=1),
    )
    # After the second convolution the cut lies before the upsampling, which would send four times as much.
    assert cut_names(layers, (1, 8, 8)) == ("3", "4", "8")


def test_input_is_never_sent() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 6), nn.Linear(6, 2))
    assert cut_names(layers, (3, 4)) == ("2", "3")


def test_children_of_a_sequential_are_not_cut_inside() -> None:
    inner = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    assert cut_names(nn.Sequential(inner, nn.Linear(6, 2)), (4,)) == ("0", "1")
    assert cut_names(nn.Sequential(nn.Sequential(inner)), (4,)) == ("0.0.0", "0.0.1")
    assert len(cut_names(nn.Sequential(Network([0])), (4,))) == 3


def test_repeated_module_without_parameters_runs_each_time() -> None:
    relu = nn.ReLU()
    layers = nn.Sequential(nn.Linear(4, 5), relu, nn.Linear(5, 5), relu, nn.Linear(5, 2))
    assert cut_names(layers, (4,)) == ("1", "3", "4")
    assert_computes_the_same(layers, (4,))


def test_tied_layers_are_on_one_side() -> None:
    tied = nn.Linear(5, 5)
    layers = nn.Sequential(nn.Linear(4, 5), tied, nn.ReLU(), nn.Linear(5, 5), tied, nn.Linear(5, 2))
    assert cut_names(layers, (4,)) == ("0", "4", "5")
    assert profile(layers, (4,)).device_parameters.tolist() == [25, 25 + 30 + 30, 85 + 12]
    assert_computes_the_same(layers, (4,))


def test_tied_weight_read_by_a_function_is_on_one_side() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Any:
            x = self.second(torch.relu(self.first(x)))
            return self.last(functional.linear(x, self.first.weight.t()))

    assert len(cut_names(Tied(), (4,))) == 2
    assert_computes_the_same(Tied(), (4,))


def test_size_read_at_the_top_crosses_no_cut() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.second, self.last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Any:
            batch, _, height, _ = x.shape
            x = self.second(torch.relu(self.conv(x)))
            return self.last(x.reshape(batch, -1)) / height

    assert len(cut_names(Sized(), (1, 8, 8))) == 3
    assert_computes_the_same(Sized(), (1, 8, 8))


def test_constant_used_everywhere_crosses_no_cut() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0]))

        def forward(self, x: Tensor) -> Any:
            mask = 2 * self.mask  # type: ignore[operator]  # torch types a module's buffers as tensor or module
            return self.last(self.second(self.first(x) * mask) * mask)

    costs = profile(Masked(), (4,))
    assert costs.num_cuts == 3
    assert costs.device_buffers.tolist() == [4, 4, 4]
    assert_computes_the_same(Masked(), (4,))


def test_step_in_place_is_not_lost() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Any:
            x = self.first(x)
            x.add_(1.0)
            x.t().mul_(0.5)
            return self.last(x)

    assert len(cut_names(InPlace(), (4,))) == 2
    assert_computes_the_same(InPlace(), (4,))


def test_cuts_have_names_of_their_own() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.append, self.layer, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
            self.squash = nn.Sigmoid()

        def forward(self, x: Tensor) -> Any:
            x = self.squash(self.append(x)).neg()
            return self.last(self.squash(self.layer(x)).neg())

    names = cut_names(Named(), (4,))
    assert names == ("neg", "neg_2", "last")
    assert_computes_the_same(Named(), (4,))


def test_tuple_between_layers_is_taken_apart() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.hidden, self.last = nn.LSTM(3, 6, batch_first=True), nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Any:
            sequence, _ = self.lstm(x)
            return self.last(torch.relu(self.hidden(sequence[:, -1])))

    assert profile(Recurrent(), (7, 3)).smashed_elements.tolist() == [6, 5, 0]
    assert_computes_the_same(Recurrent(), (7, 3))


class Dense(nn.Module):
    """Two tensors cross everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return x + self.second(self.first(x))


class Branching(Dense):
    def forward(self, x: Tensor) -> Any:
        return self.first(x) if x.sum() > 0 else self.second(x)


class Moody(Dense):
    def forward(self, x: Tensor) -> Any:
        return self.second(functional.dropout(self.first(x), training=self.training))


@pytest.mark.parametrize("kind", [Branching, Moody])
def test_what_decides_or_asks_whether_it_trains_is_no_matter(kind: type[Dense]) -> None:
    class Longer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = kind(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Any:
            return self.last(torch.relu(self.body(x)))

    assert len(cut_names(Longer(), (4,))) == 2 + (kind is Moody)
    assert_computes_the_same(Longer(), (4,))


class Pair(Dense):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)


class Uncopied(Dense):
    def __deepcopy__(self, memo: object) -> "Uncopied":
        raise RuntimeError("one of a kind.")


TIED = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(4, 3), "Linear has no legal cut: it has 1 layer"),
        (Dense(), "Dense has no legal cut: .* At its best place, after 'first', 2 cross: first.linear, the input"),
        (nn.Sequential(TIED, nn.Linear(4, 4), TIED), r"no legal cut: parameters are shared \(tied\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), "no legal cut: .* needs at least two"),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "no legal cut: .* needs at least two"),
        (nn.Sequential(nn.ReLU(), nn.Sigmoid()), "no legal cut: .* needs at least two"),
        (nn.Sequential(), "no legal cut"),
        (Pair(), "Pair has to return one tensor"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)),
            r"Sequential does not take a torch.float32 input of .*\(RuntimeError: mat1",
        ),
        (nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 3)), r"Sequential does not take .* \(TypeError: linear"),
        (nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3)), "run the network on one batch first"),
        (nn.Sequential(Uncopied(), nn.Linear(4, 3)), "cannot be copied .RuntimeError: one of a kind"),
        (Network([], width=5).first.weight, "is a Parameter; it has to be a torch.nn.Module"),
    ],
)
def test_network_that_cannot_be_split_is_told_why(module: nn.Module, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        as_chain(module, (4,))


def test_wrong_input_shape_is_named() -> None:
    with pytest.raises(
        ProfileError, match=r"does not take a .* input of shape \(batch, 5\), tried .* \(RuntimeError"
    ):
        profile(Network([1]), (5,))
    shapes: list[Any] = [(), (0, 3), (2.5,), "3,32,32", 4]
    for shape in shapes:
        with pytest.raises(ProfileError, match="input_shape is"):
            profile(Network([1]), shape)
