"""What tells the literature's schemes apart, and where they are one: against loops by hand, and by identities."""

import copy
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.errors import ScenarioError, TrainingError
from sfl_env.learning.batches import _draw_turns
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor
from sfl_env.learning.plan import LocalTraining, RoundPlan
from sfl_env.scenario import Scenario, Server
from tests.sfl_env.learning.executors.cases import assert_close, local_training, random_case, split_of, start

SEEDS = range(4)
EXECUTORS = (FusedExecutor, MessagePassingExecutor)

pytestmark = pytest.mark.usefixtures("one_thread")


def after(executor: Any, network: nn.Module, data: TensorData, plan: RoundPlan, local: LocalTraining) -> Any:
    return executor(split_of(network), data, local).run(start(network), plan).weights


class ByHand:
    """A network cut in two in plain PyTorch, for each device; the server's blocks may be other devices', too."""

    def __init__(self, network: Any, plan: RoundPlan, common_from: list[int]) -> None:
        self.plan = plan
        initial = start(network)
        self.one = self._blocks(network)
        self.chains = []
        for from_ in common_from:
            own = self._blocks(network)
            self.chains.append([*own[:from_], *self.one[from_:]])
        assert all(torch.equal(initial[name], tensor) for name, tensor in start(network).items())

    def _blocks(self, network: Any) -> list[nn.Module]:
        return list(copy.deepcopy(network))

    def backward(self, k: int, iteration: int, data: TensorData) -> None:
        """Device side, smashed data, server side, its gradient, device side."""
        cut = int(self.plan.cut[k])
        rows = self.plan.batches[k][iteration]
        device, server = nn.Sequential(*self.chains[k][: cut + 1]), nn.Sequential(*self.chains[k][cut + 1 :])
        sent = device(data.train_features[rows])
        arrived = sent.detach().requires_grad_()
        functional.cross_entropy(server(arrived), data.train_labels[rows]).backward()
        sent.backward(arrived.grad)

    def average(self) -> dict[str, Tensor]:
        """The sample-weighted mean of each block, in which one that is common counts for all who left it there."""
        share = self.plan.samples / self.plan.samples.sum()
        states = [nn.Sequential(*chain).state_dict() for chain in self.chains]
        return {
            name: sum((s * state[name] for s, state in zip(share, states, strict=True)), torch.zeros(()))
            for name in states[0]
            if states[0][name].is_floating_point()
        }


def parameters(blocks: list[nn.Module]) -> list[Tensor]:
    return [parameter for block in blocks for parameter in block.parameters()]


def splitfed_v2(network: Any, data: TensorData, plan: RoundPlan, local: LocalTraining) -> dict[str, Tensor]:
    """One server model, one step for each mini-batch, in the order of the turns."""
    hand = ByHand(network, plan, [int(cut) + 1 for cut in plan.cut])
    devices = [parameters(chain[: int(cut) + 1]) for chain, cut in zip(hand.chains, plan.cut, strict=True)]
    steps = [local.make_optimizer(own) for own in devices]
    step_server = local.make_optimizer(parameters(hand.one))
    for iteration in range(plan.iterations):
        for k in sorted(range(len(devices)), key=lambda k: int(plan.turn[iteration, k])):
            for parameter in [*devices[k], *parameters(hand.one)]:
                parameter.grad = None
            hand.backward(k, iteration, data)
            steps[k].step()
            step_server.step()
    return hand.average()


def adaptsfl(network: Any, data: TensorData, plan: RoundPlan, local: LocalTraining) -> dict[str, Tensor]:
    """Blocks beyond the deepest cut are common and step along the mean gradient; the others are each device's."""
    deepest = int(plan.cut.max()) + 1
    hand = ByHand(network, plan, [deepest] * len(plan.devices))
    own = [parameters(chain[:deepest]) for chain in hand.chains]
    common = parameters(hand.one[deepest:])
    steps = [local.make_optimizer(each) for each in own]
    step_common = local.make_optimizer(common) if common else None
    for iteration in range(plan.iterations):
        sums = [torch.zeros_like(parameter) for parameter in common]
        for k, mine in enumerate(own):
            for parameter in [*mine, *common]:
                parameter.grad = None
            hand.backward(k, iteration, data)
            steps[k].step()
            for total, parameter in zip(sums, common, strict=True):
                assert parameter.grad is not None
                total += plan.samples[k] / plan.samples.sum() * parameter.grad
        for total, parameter in zip(sums, common, strict=True):
            parameter.grad = total
        if step_common is not None:
            step_common.step()
    return hand.average()


@pytest.mark.parametrize("server", ["splitfed-v2", "adaptsfl"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_round_is_that_of_a_loop_by_hand_over_networks_cut_in_two(seed: int, executor: Any, server: Any) -> None:
    network, data, plan = random_case(seed)
    plan = plan._replace(cut=plan.cut.clamp_max(len(network) - 2))
    local = local_training(seed, server)
    wanted = (splitfed_v2 if server == "splitfed-v2" else adaptsfl)(network, data, plan, local)
    assert_close(after(executor, network, data, plan, local), wanted, 1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_running_statistics_of_splitfed_v2s_server_are_one_set_that_each_batch_updates(executor: Any) -> None:
    network, data, plan = random_case(1, batch_norm=True)
    plan = plan._replace(cut=torch.tensor([0, 1, 0, 0]))
    local = LocalTraining(server="splitfed-v2", learning_rate=0.05)
    wanted = splitfed_v2(network, data, plan, local)
    got = after(executor, network, data, plan, local)
    assert any(name.endswith("running_var") for name in wanted)
    assert_close({name: got[name] for name in wanted}, wanted, 1e-12)


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("cut", [0, 1])
def test_one_device_alone_is_plain_descent_with_every_scheme(server: Any, cut: int) -> None:
    network, data, plan = random_case(2, num_devices=1)
    plan = plan._replace(cut=torch.tensor([cut]))
    local = local_training(0, server)
    got = [after(executor, network, data, plan, local) for executor in EXECUTORS]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for rows in plan.batches[0]:
        optimizer.zero_grad()
        functional.cross_entropy(network(data.train_features[rows]), data.train_labels[rows]).backward()
        optimizer.step()
    for each in got:
        assert_close(each, start(network), 1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
@settings(max_examples=8, deadline=None)
@given(cut=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_adaptsfl_is_parallel_sl_as_if_all_had_the_deepest_cut(executor: Any, cut: list[int]) -> None:
    network, data, plan = random_case(0)
    cuts = torch.tensor(cut).clamp_max(len(network) - 1)
    left, right = (LocalTraining(server=server) for server in ("adaptsfl", "parallel-sl"))
    got = after(executor, network, data, plan._replace(cut=cuts), left)
    deepest = plan._replace(cut=cuts.max().expand(4))
    assert_close(got, after(executor, network, data, deepest, right), 1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_with_equal_cuts_adaptsfl_is_parallel_sl_to_the_last_bit(executor: Any) -> None:
    network, data, plan = random_case(3)
    plan = plan._replace(cut=torch.ones_like(plan.cut))
    left, right = (
        after(executor, network, data, plan, local_training(3, server)) for server in ("adaptsfl", "parallel-sl")
    )
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_adaptsfl_is_federated_averaging_once_a_device_has_the_whole_network(seed: int, executor: Any) -> None:
    """No block is left to the server by all, so none is common."""
    network, data, plan = random_case(seed)
    plan = plan._replace(cut=torch.cat([plan.cut[:-1], torch.tensor([len(network) - 1])]))
    alone, whole = (
        after(executor, network, data, plan, local_training(seed, server))
        for server in ("adaptsfl", "splitfed-v1")
    )
    assert_close(alone, whole, 1e-12)


@pytest.mark.parametrize("server", ["splitfed-v2", "parallel-sl"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_server_that_one_device_uses_is_that_devices_own(executor: Any, server: Any) -> None:
    network, data, plan = random_case(1)
    last = len(network) - 1
    plan = plan._replace(cut=torch.tensor([last, 0, last, last]))
    alone, own = (
        after(executor, network, data, plan, local_training(1, each)) for each in (server, "splitfed-v1")
    )
    assert_close(alone, own, 1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("seed", SEEDS)
def test_with_one_iteration_all_but_splitfed_v2_take_the_step_of_fedsgd(seed: int, executor: Any) -> None:
    """The mean of steps is the step along the mean gradient, as long as a step is linear in its gradient."""
    network, data, plan = random_case(seed, iterations=1)
    wanted, *others = (
        after(executor, network, data, plan, LocalTraining(server=server))
        for server in ("splitfed-v1", "parallel-sl", "adaptsfl")
    )
    for got in others:
        assert_close(got, wanted, 1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_order_of_turns_matters_on_the_server_alone(executor: Any) -> None:
    network, data, plan = random_case(2)
    local = LocalTraining(server="splitfed-v2")
    turned = plan.turn.flip(1)
    for cut, matters in ((0, True), (len(network) - 1, False)):
        here = plan._replace(cut=torch.full_like(plan.cut, cut))
        one, other = (after(executor, network, data, each, local) for each in (here, here._replace(turn=turned)))
        assert all(torch.equal(one[name], other[name]) for name in one) is not matters


@pytest.mark.parametrize("executor", EXECUTORS)
def test_small_steps_in_turn_go_k_times_as_far_as_one_along_the_mean(executor: Any) -> None:
    """To first order a step for each of K mini-batches is K steps along their mean gradient."""
    network, data, plan = random_case(0, iterations=1)
    plan = plan._replace(cut=torch.zeros_like(plan.cut), samples=torch.ones_like(plan.samples))
    before = start(network)
    moved = []
    for server in ("splitfed-v2", "parallel-sl"):
        local = LocalTraining(server=server, learning_rate=1e-7, momentum=0.0)
        got = after(executor, network, data, plan, local)
        moved.append({name: got[name] - before[name] for name in before if not name.startswith("0.")})
    in_turn, mean = moved
    for name, step in in_turn.items():
        assert float((step - 4.0 * mean[name]).abs().max()) <= 1e-4 * float(step.abs().max())


def test_who_takes_no_part_leaves_the_order_of_the_others() -> None:
    _, _, plan = random_case(3, num_devices=5, iterations=6)
    part = plan.only([4, 0, 2])
    for iteration in range(6):
        there = [k for k in plan.order(iteration) if k in (4, 0, 2)]
        assert [part.devices[position] for position in part.order(iteration)] == there


def test_a_loss_that_is_not_a_number_names_the_first_device_in_the_order_of_turns() -> None:
    network, data, plan = random_case(0)
    data.train_features[plan.batches[2][0]] = float("nan")
    culprits = [k for k in plan.order(0) if torch.isnan(data.train_features[plan.batches[k][0]]).any()]
    for executor in EXECUTORS:
        with pytest.raises(TrainingError, match=rf"device {culprits[0]} .* iteration 1 of"):
            after(executor, network, data, plan, LocalTraining(server="splitfed-v2"))


def test_all_devices_at_once_are_refused_where_the_server_takes_them_in_turn() -> None:
    network, data, _ = random_case(0)
    local = LocalTraining(server="splitfed-v2")
    with pytest.raises(TrainingError, match=r"method 'vmap' .* server='splitfed-v2' takes 'loop'"):
        FusedExecutor(split_of(network), data, local, "vmap")
    name, method, why = FusedExecutor(split_of(network), data, local).execution
    assert (name, method) == ("fused", "loop")
    assert "in turn" in why[0]


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("splitfed-v3", "splitfed-v"), ("adaptfl", "adaptsfl"), ("parallel", "parallel-sl")]
)
@pytest.mark.parametrize(("make", "error"), [(LocalTraining, TrainingError), (Scenario, ScenarioError)])
def test_a_scheme_that_is_not_known_is_answered_with_the_nearest_one(
    wrong: Any, nearest: str, make: Any, error: Any
) -> None:
    known = ", ".join(get_args(Server))
    told = rf"^server is '{wrong}'; it has to be one of {known} \(did you mean '{nearest}"
    with pytest.raises(error, match=told):
        make(server=wrong)


def test_turns_are_a_fresh_random_order_in_each_iteration() -> None:
    turns = _draw_turns(7, 200, 4)
    assert torch.equal(turns, _draw_turns(7, 200, 4))
    assert not torch.equal(turns, _draw_turns(8, 200, 4))
    firsts = np.bincount(turns.argmin(dim=1).numpy(), minlength=4)
    # 200 draws, each of four with 1/4: 50 expected, deviation 6.1.
    assert (abs(firsts - 50) < 30).all()
