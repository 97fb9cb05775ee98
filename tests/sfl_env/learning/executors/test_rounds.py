"""The identities of split federated training, with networks and cuts drawn at random."""

from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sfl_env.dnn.measure import profile_of
from sfl_env.errors import TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.choice import Method
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor, NumberFormats
from sfl_env.learning.executors.pooling import pool_before_activation
from sfl_env.learning.plan import LocalTraining, RoundPlan
from sfl_env.rounds.workload import workload
from sfl_env.scenario import Server
from tests.sfl_env.learning.executors.cases import assert_close, local_training, random_case, split_of, start

METHODS = get_args(Method)
AT_ONCE = [server for server in get_args(Server) if server != "splitfed-v2"]
SEEDS = range(4)

pytestmark = pytest.mark.usefixtures("one_thread")


def methods_of(server: str) -> tuple[str, ...]:
    return ("loop",) if server == "splitfed-v2" else METHODS


def federated_average(network: Any, data: TensorData, plan: RoundPlan, local: LocalTraining) -> Any:
    """FedAvg as its paper has it: whole copies, one device after another, no split."""
    total = {name: torch.zeros_like(tensor) for name, tensor in network.named_parameters()}
    initial = start(network)
    for samples, batches in zip(plan.samples / plan.samples.sum(), plan.batches, strict=True):
        network.load_state_dict(initial)
        optimizer = local.make_optimizer(list(network.parameters()))
        for batch in batches:
            optimizer.zero_grad()
            functional.cross_entropy(network(data.train_features[batch]), data.train_labels[batch]).backward()
            optimizer.step()
        for name, parameter in network.named_parameters():
            total[name] += samples * parameter.detach()
    network.load_state_dict(initial)
    return total


@pytest.mark.parametrize("seed", SEEDS)
def test_splitfed_v1_is_federated_averaging_whatever_the_cuts(seed: int) -> None:
    network, data, plan = random_case(seed)
    local = local_training(seed, "splitfed-v1")
    expected = federated_average(network, data, plan, local)
    for executor in (FusedExecutor, MessagePassingExecutor):
        assert_close(executor(split_of(network), data, local).run(start(network), plan).weights, expected)


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("seed", SEEDS)
def test_every_cut_at_the_end_is_federated_averaging(seed: int, server: Any) -> None:
    network, data, plan = random_case(seed)
    plan = plan._replace(cut=torch.full_like(plan.cut, len(network) - 1))
    local = local_training(seed, server)
    expected = federated_average(network, data, plan, local)
    for executor in (FusedExecutor, MessagePassingExecutor):
        assert_close(executor(split_of(network), data, local).run(start(network), plan).weights, expected)


@pytest.mark.parametrize("server", ["parallel-sl", "adaptsfl"])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_iteration_on_one_server_model_is_a_step_on_the_large_batch(seed: int, server: Any) -> None:
    network, data, plan = random_case(seed, iterations=1, equal_batches=True)
    plan = plan._replace(cut=plan.cut.clamp_max(len(network) - 2), samples=torch.ones_like(plan.samples))
    local = local_training(seed, server)
    split = FusedExecutor(split_of(network), data, local).run(start(network), plan).weights
    initial = start(network)
    large = torch.cat([batch[0] for batch in plan.batches])
    optimizer = local.make_optimizer(list(network.parameters()))
    functional.cross_entropy(network(data.train_features[large]), data.train_labels[large]).backward()
    optimizer.step()
    stepped = start(network)
    network.load_state_dict(initial)
    on_server = [name for name in stepped if int(name.split(".")[0]) > int(plan.cut.max())]
    assert on_server
    assert_close({n: split[n] for n in on_server}, {n: stepped[n] for n in on_server})


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("seed", SEEDS)
def test_both_executors_and_all_methods_agree(seed: int, server: Any) -> None:
    network, data, plan = random_case(seed)
    local = local_training(seed, server)
    split = MessagePassingExecutor(split_of(network), data, local).run(start(network), plan)
    for method in methods_of(server):
        fused = FusedExecutor(split_of(network), data, local, cast(Any, method)).run(start(network), plan)
        assert_close(fused.weights, split.weights)
        assert torch.allclose(fused.device_loss, split.device_loss, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("server", get_args(Server))
def test_executors_agree_on_a_network_with_branches(server: Any) -> None:
    network, data, plan = random_case(3, residual=True)
    local = local_training(0, server)
    split = MessagePassingExecutor(split_of(network), data, local).run(start(network), plan)
    for method in methods_of(server)[-2:]:
        assert_close(
            FusedExecutor(split_of(network), data, local, cast(Any, method)).run(start(network), plan).weights,
            split.weights,
        )
    with pytest.raises(TrainingError, match=r"cannot be grouped|takes 'loop'"):
        FusedExecutor(split_of(network), data, local, "grouped")


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("equal_batches", [True, False])
def test_running_statistics_are_averaged_and_batches_counted(server: Any, equal_batches: bool) -> None:
    network, data, plan = random_case(1, batch_norm=True, equal_batches=equal_batches)
    local = LocalTraining(server=server, learning_rate=0.05)
    split = MessagePassingExecutor(split_of(network), data, local).run(start(network), plan)
    for method in methods_of(server) if equal_batches else (None,):
        fused = FusedExecutor(split_of(network), data, local, cast(Any, method)).run(start(network), plan)
        assert_close(fused.weights, split.weights)
    counters = [name for name in split.weights if name.endswith("num_batches_tracked")]
    assert counters
    for name in counters:
        left = int((plan.cut < int(name.split(".")[0])).sum())
        # SplitFed V2's server sees all mini-batches of those who left the block to it.
        batches = plan.iterations * (max(left, 1) if server == "splitfed-v2" else 1)
        assert int(split.weights[name]) == int(start(network)[name]) + batches


@pytest.mark.parametrize("server", AT_ONCE)
def test_replicas_trained_a_few_at_a_time_train_alike(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, data, plan = random_case(2, num_devices=5)
    local = LocalTraining(server=server)
    at_once = FusedExecutor(split_of(network), data, local, "grouped").run(start(network), plan)
    monkeypatch.setattr("sfl_env.learning.executors.choice.ACTIVATION_BYTES", 40_000)
    executor = FusedExecutor(split_of(network), data, local, "grouped")
    assert 1 <= executor.choose((5,) * 5).at_once < 5
    assert_close(executor.run(start(network), plan).weights, at_once.weights)


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("seed", SEEDS)
def test_bits_counted_are_bits_charged(seed: int, server: Any) -> None:
    network, data, plan = random_case(seed, batch_norm=bool(seed % 2))
    formats = NumberFormats(activation_bits=16, parameter_bits=32, label_bits=8)
    split = split_of(network)
    costs = workload(profile_of(split, data.input_shape, "random"), **formats._asdict(), optimizer_slots=1)
    executor = MessagePassingExecutor(split, data, LocalTraining(server=server), formats)
    traffic = executor.run(start(network), plan).traffic
    cut = plan.cut.numpy()
    samples = np.array([batch.numel() for batch in plan.batches])
    assert traffic is not None
    assert traffic.uplink_bits.tolist() == list(samples * costs.smashed_bits[cut] + costs.model_bits[cut])
    assert traffic.downlink_bits.tolist() == list(samples * costs.gradient_bits[cut] + costs.model_bits[cut])


def test_small_plain_chains_are_grouped_small_others_mapped_and_large_ones_looped() -> None:
    network, data, _ = random_case(0)
    assert FusedExecutor(split_of(network), data, LocalTraining()).choose((4,) * 4).method == "grouped"
    network, data, _ = random_case(0, residual=True)
    executor = FusedExecutor(split_of(network), data, LocalTraining())
    assert executor.choose((4,) * 4).method == "vmap"
    large = FusedExecutor(split_of(network), data, LocalTraining(batch_size=1_000_000))
    assert large.choose((1_000_000,) * 4) == ("loop", 1, 1)


def with_dropout(network: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(
        *[nn.Sequential(block, nn.Dropout(0.3)) for block in cast(Any, network[:-1])], network[-1]
    )


@pytest.mark.parametrize("server", AT_ONCE)
def test_worker_threads_train_the_same_to_the_last_bit(server: Any, two_threads: None) -> None:
    network, data, plan = random_case(3, residual=True)
    network = with_dropout(network)
    local = LocalTraining(server=server)
    side_by_side = FusedExecutor(split_of(network), data, local, "loop")
    assert side_by_side.choose((4,) * 4).workers == 2
    assert side_by_side.choose((4,) * 3).workers == 1  # one thread would idle half of the time
    many = side_by_side.run(start(network), plan)
    torch.set_num_threads(1)
    one = FusedExecutor(split_of(network), data, local, "loop").run(start(network), plan)
    assert torch.equal(many.device_loss, one.device_loss)
    assert all(torch.equal(many.weights[name], one.weights[name]) for name in one.weights)


def test_a_network_that_draws_from_the_common_generator_has_no_worker_threads(two_threads: None) -> None:
    class Noise(nn.Module):
        def forward(self, x: Any) -> Any:
            return x + 0.1 * torch.randn_like(x)

    network, data, _ = random_case(0)
    noisy = FusedExecutor(split_of(nn.Sequential(Noise(), *network)), data, LocalTraining(), "loop")
    assert noisy.choose((4,) * 4).workers == 1
    before = torch.get_rng_state()
    assert FusedExecutor(split_of(network), data, LocalTraining(), "loop").choose((4,) * 4).workers == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_dropout_is_drawn_anew_for_each_device_iteration_and_round() -> None:
    network, data, plan = random_case(1)
    network = with_dropout(network)
    same = plan.batches[0][:1].expand(3, -1)
    local = LocalTraining(learning_rate=1e-12, momentum=0.0)
    losses = torch.stack(
        [
            FusedExecutor(split_of(network), data, local, "loop")
            .run(start(network), plan._replace(seed=seed, batches=(same[:1],) * 4))
            .device_loss
            for seed in range(3)
        ]
    )
    assert len(losses.unique()) == losses.numel()
    one_iteration, three = (
        FusedExecutor(split_of(network), data, local, "loop")
        .run(start(network), plan._replace(batches=(same[:count],) * 4))
        .device_loss
        for count in (1, 3)
    )
    assert not torch.isclose(one_iteration, three).any()


def test_pooling_first_is_the_same_function_with_the_same_gradient() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(2, stride=1)),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),
    ).double()
    swapped = pool_before_activation(network)
    assert [type(layer) for layer in cast(Any, swapped[0])] == [nn.Conv2d, nn.MaxPool2d, nn.MaxPool2d, nn.ReLU]
    inputs = torch.randn(50, 2, 6, 6, dtype=torch.float64)
    assert torch.equal(swapped(inputs), network(inputs))
    for left, right in zip(
        torch.autograd.grad(network(inputs).square().sum(), list(network.parameters())),
        torch.autograd.grad(swapped(inputs).square().sum(), list(swapped.parameters())),
        strict=True,
    ):
        assert torch.allclose(left, right, rtol=1e-12, atol=1e-12)
    assert network.state_dict().keys() == swapped.state_dict().keys()


@pytest.mark.parametrize("executor", [FusedExecutor, MessagePassingExecutor])
def test_a_loss_that_is_not_a_number_names_round_and_device(executor: Any) -> None:
    network, data, plan = random_case(0)
    data.train_features[plan.batches[2][1, 0]] = float("nan")
    before = start(network)
    kept = {name: tensor.clone() for name, tensor in before.items()}
    culprits = [k for k, b in enumerate(plan.batches) if torch.isnan(data.train_features[b]).any()]
    with pytest.raises(TrainingError, match=rf"device [{''.join(map(str, culprits))}] .* round 7"):
        executor(split_of(network), data, LocalTraining()).run(before, plan)
    assert all(torch.equal(before[name], kept[name]) for name in kept)


@pytest.mark.parametrize("executor", [FusedExecutor, MessagePassingExecutor])
def test_a_last_step_that_overflows_names_round_and_device(executor: Any) -> None:
    network, data, plan = random_case(0, iterations=1)
    with pytest.raises(TrainingError, match=r"of device \d stopped being finite in the last step of round 7"):
        executor(split_of(network), data, LocalTraining(learning_rate=1e308, weight_decay=1e308)).run(
            start(network), plan
        )
