"""What frozen weights and detached activations cost: bits, memory and gradients."""

from typing import Any, get_args

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.measure import profile, profile_of
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from sfl_env.learning.executors.message_passing import MessagePassingExecutor, NumberFormats
from sfl_env.learning.scenario import ScenarioLearner
from sfl_env.rounds.workload import Workload, workload
from sfl_env.scenario import Scenario, Server
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import K, User, assert_trains_like_the_plain_loop, outcome

pytestmark = pytest.mark.usefixtures("one_thread")


class Backbone(nn.Module):
    """Two frozen layers with a frozen normalisation and a table, a head that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 8))
        self.body.requires_grad_(False)
        self.head, self.last = nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("table", torch.linspace(0.0, 1.0, 8))
        self.table: Tensor

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.head(torch.tanh(self.body(x) + self.table))))


def backbone() -> Backbone:
    return Backbone()


FROZEN = 56 + 16 + 72
HEAD, LAST, TABLE = 72, 27, 8


def work_of(travels: bool, slots: int = 1) -> Workload:
    return workload(
        profile(Backbone(), (6,)),
        activation_bits=32,
        parameter_bits=16,
        label_bits=8,
        optimizer_slots=slots,
        frozen_weights_travel=travels,
    )


@pytest.mark.parametrize(
    ("travels", "numbers"),
    [
        (False, [0, 0, HEAD, HEAD + LAST]),
        (True, [56 + 16, FROZEN + TABLE, FROZEN + TABLE + HEAD, FROZEN + TABLE + HEAD + LAST]),
    ],
)
def test_frozen_weights_are_sent_or_not_in_the_charge_and_on_the_air(travels: bool, numbers: list[int]) -> None:
    work = work_of(travels)
    assert work.model_bits.tolist() == [16.0 * each for each in numbers]
    user = User(Backbone)
    split = user.split()
    formats = NumberFormats(32, 16, 8, travels)
    for cut in range(split.num_cuts):
        plan = user.plan([cut] * K)
        traffic = outcome(
            MessagePassingExecutor(split, user.data(), user.local(), formats), split.network, plan, rounds=1
        ).traffic
        assert traffic is not None
        samples = np.array([batch.numel() for batch in plan.batches])
        assert traffic.uplink_bits.tolist() == list(samples * work.smashed_bits[cut] + work.model_bits[cut])
        assert traffic.downlink_bits.tolist() == list(samples * work.gradient_bits[cut] + work.model_bits[cut])


@pytest.mark.parametrize("slots", [0, 1, 2])
def test_frozen_weights_take_memory_once_and_the_others_with_gradient_and_optimiser(slots: int) -> None:
    for travels in (False, True):  # whatever is sent
        numbers = work_of(travels, slots).static_bytes / 4.0
        assert numbers[-1] == FROZEN + TABLE + (2 + slots) * (HEAD + LAST)


def test_a_frozen_device_side_gets_no_gradient_and_does_no_backward_work() -> None:
    costs = profile(Backbone(), (6,))
    frozen = costs.device_frozen_parameters == costs.device_parameters
    assert frozen.tolist() == [True, True, False, False]
    assert not costs.smashed_gradient_elements[frozen].any()
    assert not costs.device_backward_flops[frozen].any()
    assert costs.smashed_gradient_elements[2] == 8
    assert costs.device_backward_flops[2:].tolist() == [2 * 64, 2 * 64 + 2 * 2 * 24]


# Detached at the cut.


class Detaches(Body):
    def between(self, h: Tensor) -> Any:
        return h.detach()


class DetachesInABlock(nn.Module):
    """Local learning: each block would have a loss of its own; the last one's gradient stays there."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.rest = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            h = self.first(x)
        return self.rest(h)


@pytest.mark.parametrize("make", [Detaches, DetachesInABlock])
def test_what_is_detached_at_the_cut_sends_no_gradient_back(make: Any) -> None:
    user = User(make)
    split = user.split()
    assert_trains_like_the_plain_loop(user, split)
    costs = profile_of(split, (6,), "net")
    assert costs.smashed_gradient_elements[0] == 0.0
    assert costs.device_backward_flops[0] == 0.0
    assert costs.smashed_gradient_elements[1:-1].all()
    # Behind the detached place only: the middle layer's weight, and both gradients of the last one.
    assert costs.device_backward_flops[-1] == 2 * 64 + 2 * 2 * 24


# Environments.


def learner(travels: bool, executor: str = "message-passing") -> ScenarioLearner:
    scenario = Scenario(mode="accuracy", num_devices=K, batch_size=4, frozen_weights_travel=travels)
    data = User(Backbone).data().to(torch.device("cpu"), torch.float32)
    return ScenarioLearner(scenario, network=backbone, data=data, torch_device="cpu", executor=executor)


@pytest.mark.parametrize("travels", [False, True])
def test_a_scenario_says_whether_frozen_weights_travel(travels: bool) -> None:
    one = learner(travels)
    one.reset(0)
    result = one.training.run_round(np.full(K, 3))
    assert result.uplink_bits is not None
    numbers = HEAD + LAST + (FROZEN + TABLE) * travels
    assert result.uplink_bits.tolist() == [32 * numbers] * K


@pytest.mark.parametrize("travels", [False, True])
def test_an_environment_trains_a_head_on_a_frozen_backbone(travels: bool) -> None:
    env = gym.make(
        "SFL-v0",
        mode="accuracy",
        num_devices=K,
        batch_size=4,
        action_mode="cut",
        network=backbone,
        data=User(Backbone).data().to(torch.device("cpu"), torch.float32),
        frozen_weights_travel=travels,
        torch_device="cpu",
    )
    env.reset(seed=0)
    inner: Any = env.unwrapped
    training = inner.episodes.learner.training
    before = training.weights()
    *_, info = env.step(np.zeros(K, dtype=np.int64))
    download, upload = info["phase_latency_s"][:, 0], info["phase_latency_s"][:, 6]
    # The first cut's device side is frozen: nothing of it is sent unless the scenario says so.
    assert bool((download > 0.0).all()) == bool((upload > 0.0).all()) == travels
    assert not info["phase_latency_s"][:, 4:6].any()
    after = training.weights()
    assert all(torch.equal(after[name], t) for name, t in before.items() if name.startswith(("body", "table")))
    assert not torch.equal(after["head.weight"], before["head.weight"])


class KeepsItsStatistics(nn.Module):
    """A frozen backbone whose normalisation evaluates while the rest trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.body.requires_grad_(False)
        self.head, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

    def train(self, mode: bool = True) -> "KeepsItsStatistics":
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.head(self.body(x))))


class EvaluatesInForward(KeepsItsStatistics):
    def train(self, mode: bool = True) -> "EvaluatesInForward":
        nn.Module.train(self, mode)
        return self

    def forward(self, x: Tensor) -> Any:
        self.body.eval()
        return super().forward(x)


class NormalisesByThem(KeepsItsStatistics):
    """The same by a function: statistics are used on both sides, and belong to neither."""

    def forward(self, x: Tensor) -> Any:
        norm: Any = self.body[1]
        x = torch.tanh(self.head(self.body(x)))
        return self.last(functional.batch_norm(x, norm.running_mean, norm.running_var))


@pytest.mark.parametrize("make", [KeepsItsStatistics, EvaluatesInForward, NormalisesByThem])
def test_statistics_that_evaluation_only_reads_are_constant(make: Any) -> None:
    costs = profile(make(), (6,))
    assert costs.device_buffers.tolist() == costs.device_constant_buffers.tolist()
    assert costs.device_buffers[-1] == 2 * 8 + 1
    assert (
        workload(costs, activation_bits=32, parameter_bits=32, label_bits=0, optimizer_slots=0).model_bits[0] == 0
    )
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


class WithoutGradient(nn.Module):
    """A backbone that runs without gradients, though nobody froze its weights; and a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused = nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(5, 5)
        self.head, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            h = self.body(x)
        return self.last(torch.tanh(self.head(h)))


class Detached(WithoutGradient):
    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.head(self.body(x).detach())))


@pytest.mark.parametrize("make", [WithoutGradient, Detached])
def test_weights_that_get_no_gradient_are_frozen_whatever_they_ask_for(make: Any) -> None:
    costs = profile(make(), (6,))
    trained = costs.device_parameters - costs.device_frozen_parameters
    assert trained.tolist() == [0, HEAD, HEAD + LAST]
    assert costs.device_frozen_parameters[-1] == 56 + 30
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


@pytest.mark.parametrize("make", [WithoutGradient, Detached])
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("server", get_args(Server))
def test_weights_that_get_no_gradient_stay_as_they_are_to_the_last_bit(
    make: Any, executor: Any, server: Any
) -> None:
    partition = scheme("quantity-skew", K, concentration=1.0, min_samples=6)
    local = LocalTraining(iterations=2, batch_size=4, server=server)
    training = SplitFederatedTraining(make, User(make).data(), partition, local, executor=executor, device="cpu")
    training.reset(0)
    before = training.weights()
    for _ in range(10):
        training.run_round([0, 1, 0])
    after = training.weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias", "last.weight", "last.bias"}
