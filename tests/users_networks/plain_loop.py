"""What users' networks are compared with: a plain loop over the user's own module, and a split done by hand."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from sfl_env.dnn.measure import profile_of
from sfl_env.dnn.profile import DNNProfile
from sfl_env.dnn.split import SplitNetwork, as_chain
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.choice import Method
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor
from sfl_env.learning.plan import LocalTraining, RoundOutcome, RoundPlan
from sfl_env.learning.weights import tensors_of
from sfl_env.rounds.workload import workload
from sfl_env.scenario import Server

CLASSES = 3
K = 3
ROUNDS = 2
TURN = torch.tensor([[1, 2, 0], [2, 0, 1]])
"""(E, K): in each iteration the smaller comes first, where a server takes devices in turn."""
TOLERANCE = 1e-9


class User(NamedTuple):
    """A network that a user brings, and what it takes."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (6,)
    tokens: int = 0  # size of the vocabulary; 0: it takes real numbers
    batches: tuple[int, ...] = (3, 4, 2)

    def network(self, seed: int = 0) -> nn.Module:
        """Return the network with fresh weights, in double precision."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make().double().train()

    def split(self) -> SplitNetwork:
        """Return the cuts of a network with fresh weights; they are looked for once."""
        return _cuts(self.make, self.shape).of(self.network())

    def data(self) -> TensorData:
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(48, *self.shape, generator=generator, dtype=torch.float64)
        if self.tokens:
            features = torch.randint(0, self.tokens, features.shape, generator=generator).double()
        labels = torch.randint(0, CLASSES, (48,), generator=generator)
        return TensorData("toy", features, labels, features[:8].clone(), labels[:8].clone(), CLASSES)

    def plan(self, cuts: list[int]) -> RoundPlan:
        generator = torch.Generator().manual_seed(1)
        batches = tuple(torch.randint(0, 48, (2, size), generator=generator) for size in self.batches)
        samples = torch.tensor([20.0, 17.0, 11.0], dtype=torch.float64)
        return RoundPlan(1, tuple(range(K)), torch.tensor(cuts), samples, batches, TURN, seed=0)

    def local(self, server: Server = "splitfed-v1") -> LocalTraining:
        return LocalTraining(iterations=2, batch_size=self.batches, server=server)


@lru_cache(maxsize=2)
def _cuts(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> SplitNetwork:
    return as_chain(User(make, shape).network(), shape, torch.float64)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def put(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in state(network).items():
            tensor.copy_(tensors[name])


def federated(user: User, rounds: int = ROUNDS) -> dict[str, Tensor]:
    """FedAvg of whole networks, each made by the user's own function, with torch's own optimiser."""
    data, plan = user.data(), user.plan([0] * K)
    shares = plan.samples / plan.samples.sum()
    now = {name: tensor.detach().clone() for name, tensor in state(user.network()).items()}
    for _ in range(rounds):
        copies = []
        for batches in plan.batches:
            network = user.network()
            put(network, now)
            trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9)
            for batch in batches:
                optimizer.zero_grad()
                output = network(data.train_features[batch])
                logits = output if isinstance(output, Tensor) else output["logits"]
                functional.cross_entropy(logits, data.train_labels[batch]).backward()
                for parameter in trained:
                    if parameter.grad is not None and parameter.grad.is_sparse:
                        parameter.grad = parameter.grad.to_dense()
                optimizer.step()
            copies.append({name: tensor.detach() for name, tensor in state(network).items()})
        now = {name: _average(shares, [own[name] for own in copies]) for name in now}
    return now


def _average(shares: Tensor, copies: list[Tensor]) -> Tensor:
    if all(torch.equal(copy, copies[0]) for copy in copies):
        return copies[0].clone()
    stacked = torch.stack(copies)
    if not (stacked.is_floating_point() or stacked.is_complex()):
        return stacked.amax(dim=0)
    average: Tensor = torch.tensordot(shares.to(stacked.dtype), stacked, dims=1)
    return average


def outcome(executor: Any, network: nn.Module, plan: RoundPlan, rounds: int = ROUNDS) -> RoundOutcome:
    """Return what the last of some rounds leaves, from the network's own weights on."""
    weights = {name: tensor.detach().clone() for name, tensor in tensors_of(network).items()}
    for _ in range(rounds):
        last: RoundOutcome = executor.run(weights, plan)
        weights = last.weights
    return last


def trained(executor: Any, network: nn.Module, plan: RoundPlan) -> dict[str, Tensor]:
    return outcome(executor, network, plan).weights


def distance(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Return the largest difference of any number; infinite ones, as masks have them, have to be equal."""
    worst = 0.0
    for name, tensor in wanted.items():
        differs = got[name] != tensor
        if differs.any():
            worst = max(worst, float((got[name] - tensor)[differs].abs().max()))
    return worst


def fused(user: User, method: Method | None = None, server: Server = "splitfed-v1") -> FusedExecutor:
    return FusedExecutor(user.split(), user.data(), user.local(server), method)


def message_passing(user: User, server: Server = "splitfed-v1") -> MessagePassingExecutor:
    return MessagePassingExecutor(user.split(), user.data(), user.local(server))


def cut_patterns(num_cuts: int) -> list[list[int]]:
    """Return cuts of the devices: the first, the middle and the last one, and others where there are more."""
    last = num_cuts - 1
    patterns = [[0, last, last // 2]]
    if num_cuts > 3:
        patterns.append([1, last - 1, last // 3])
    return patterns


def assert_is_the_users_own(user: User, *, by_hand: bool = True) -> None:
    """All that is promised of any network: it trains like the plain loop, and each cut costs what it does by hand.

    Parameters
    ----------
    user : User
        The network.
    by_hand : bool
        Split it by hand, too; not where torch's own counter does not know the network's products.
    """
    split = user.split()
    assert_trains_like_the_plain_loop(user, split)
    if by_hand:
        assert_costs_what_a_split_by_hand_costs(user, split)


def assert_trains_like_the_plain_loop(user: User, split: SplitNetwork, *, bits: bool = True) -> None:
    """All executors leave what FedAvg over the user's own module does.

    Parameters
    ----------
    user : User
        The network.
    split : SplitNetwork
        Its cuts.
    bits : bool
        Bits on the air are those charged; not where a gradient comes back in some steps alone.
    """
    wanted = federated(user)
    data, local = user.data(), user.local()
    costs = profile_of(split, user.shape, "net")
    for cuts in cut_patterns(split.num_cuts):
        last = outcome(MessagePassingExecutor(split, data, local), split.network, user.plan(cuts))
        gap = distance(last.weights, wanted)
        assert gap < TOLERANCE, f"message-passing at the cuts {cuts} is off by {gap:.1e}"
        if bits:
            assert_bits_are_those_charged(last, costs, user.plan(cuts))
    quickest = FusedExecutor(split, data, local)
    ways = [quickest]
    if quickest.execution.method != "loop":
        ways.append(FusedExecutor(split, data, local, "loop"))
    for way in ways:
        gap = distance(trained(way, split.network, user.plan([0] * K)), wanted)
        assert gap < TOLERANCE, f"fused by {way.execution.method!r} is off by {gap:.1e}"


def assert_bits_are_those_charged(last: RoundOutcome, costs: DNNProfile, plan: RoundPlan) -> None:
    work = workload(costs, activation_bits=32, parameter_bits=32, label_bits=32, optimizer_slots=1)
    cut, samples = plan.cut.numpy(), np.array([batch.numel() for batch in plan.batches])
    assert last.traffic is not None
    assert last.traffic.uplink_bits.tolist() == list(samples * work.smashed_bits[cut] + work.model_bits[cut])
    assert last.traffic.downlink_bits.tolist() == list(samples * work.gradient_bits[cut] + work.model_bits[cut])


class Handed(NamedTuple):
    """What a split by hand shows at one cut, of a whole batch."""

    elements: int
    device_forward_flops: int
    server_forward_flops: int
    device_backward_flops: int
    server_backward_flops: int
    device_gradients: set[str]
    server_gradients: set[str]


def split_by_hand(split: SplitNetwork, cut: int, x: Tensor) -> Handed:
    """Run both sides at a cut for real: the server gets a tensor of its own, and its gradient is handed back."""
    network = split.network
    network.zero_grad(set_to_none=True)
    counter = FlopCounterMode(display=False)
    smashed: list[tuple[Tensor, Tensor, int]] = []

    def hand_over(tensor: Tensor) -> Tensor:
        received = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        smashed.append((tensor, received, counter.get_total_flops()))
        return received.clone()  # which the server may write to

    with counter, split.handing_over(cut, hand_over):
        logits = split(x)
    ((sent, received, device_forward),) = smashed
    forward = counter.get_total_flops()
    server_backward = _backward_flops(logits, torch.ones_like(logits)) if logits.requires_grad else 0
    at_server = _with_gradient(network)
    network.zero_grad(set_to_none=True)
    device_backward = 0 if received.grad is None else _backward_flops(sent, received.grad)
    return Handed(
        sent.numel(),
        device_forward,
        forward - device_forward,
        device_backward,
        server_backward,
        _with_gradient(network),
        at_server,
    )


def _backward_flops(tensor: Tensor, gradient: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        tensor.backward(gradient)
    flops: int = counter.get_total_flops()
    return flops


def _with_gradient(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.grad is not None}


def assert_costs_what_a_split_by_hand_costs(user: User, split: SplitNetwork, batch: int = 4) -> None:
    """At each cut both sides do the work, send the elements and train the parameters that the profile says."""
    costs = profile_of(split, user.shape, "net")
    for cut in range(split.num_cuts - 1):
        seen = split_by_hand(split, cut, user.data().train_features[:batch].clone())
        name = costs.cut_names[cut]
        assert seen.elements == batch * costs.smashed_elements[cut], name
        for side in ("device", "server"):
            for way in ("forward", "backward"):
                field = f"{side}_{way}_flops"
                told = batch * getattr(costs, field)[cut] + getattr(costs, f"{field}_per_batch")[cut]
                assert getattr(seen, field) == told, f"{field} at {name}"
        assert all(split.block[each] <= cut for each in seen.device_gradients), name
        assert all(split.block[each] > cut for each in seen.server_gradients), name
        assert seen.device_gradients | seen.server_gradients == split.trained, name
    assert costs.device_parameters[-1] == sum(parameter.numel() for parameter in split.network.parameters())
