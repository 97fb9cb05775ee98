"""What is asked of each network: its costs are those that torch counts, and its training that of a plain loop."""

import copy
import time
import zlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import sfl_env
from sfl_env import DNNProfile
from sfl_env.errors import SFLError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, TensorData, scheme
from tests.networks import flops, plain
from tests.networks.libraries import NUM_CLASSES, Network, find, without_zeros

Verdict = Literal["right", "wrong", "refused", "crashed", "not made"]

NUM_DEVICES = 3
BATCH_SIZE = 2
LEARNING_RATE = 0.05
LARGEST_ERROR = 1e-9
"""Of a step in double precision, relative to the largest step of any parameter."""


@dataclass(frozen=True)
class Result:
    """What came of one network.

    ``refused`` is an error of the package's own that says why, ``crashed`` any other; ``wrong`` names the numbers
    that differ, and ``not made`` is the library's own failure.
    """

    package: str
    name: str
    verdict: Verdict = "right"
    reason: str = ""
    input_shape: tuple[int, ...] = ()
    cut_names: tuple[str, ...] = ()
    forward_flops: float = 0.0  # of BATCH_SIZE samples, by the profile
    counted_flops: int = 0  # by torch, of the whole module
    counted_on: str = ""
    uncounted: dict[str, int] = field(default_factory=dict)  # products that torch counts as nothing
    parameters: int = 0
    cuts: tuple[int, ...] = ()  # of the step, one for each device
    step_error: float = float("nan")
    seconds: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether it was profiled and trained, rightly or not."""
        return self.verdict in ("right", "wrong")

    @property
    def uncounted_share(self) -> float:
        """Share of the profile's forward FLOPs that torch does not count."""
        return 1 - self.counted_flops / self.forward_flops if self.forward_flops else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self) | {"uncounted_share": self.uncounted_share}


def check(library: str, name: str) -> Result:
    """Make a network, profile it, train it for a step, and compare."""
    started = time.monotonic()
    result = _checked(Result(library, name))
    return replace(result, seconds=time.monotonic() - started)


def _checked(result: Result) -> Result:
    try:
        network = find(result.package, result.name)
        torch.manual_seed(0)
        module = without_zeros(network.make())
    # Whatever a library raises is told, and the next network goes on.
    except Exception as error:
        return replace(result, verdict="not made", reason=_told(error))
    result = replace(result, input_shape=network.input_shape)
    try:
        return compare(result, network, module, sfl_env.profile(module, network.input_shape))
    except SFLError as error:
        return replace(result, verdict="refused", reason=_told(error))
    except Exception as error:
        return replace(result, verdict="crashed", reason=_told(error))


def compare(result: Result, network: Network, module: nn.Module, profile: DNNProfile) -> Result:
    """Return the result with the numbers of both sides, and the verdict on them.

    Parameters
    ----------
    result : Result
        Whose network it is.
    network : Network
        What the module takes.
    module : nn.Module
        It is left as it is.
    profile : DNNProfile
        Of the module; this is what is judged, with a step of training of the module.
    """
    inputs = network.samples(BATCH_SIZE)
    counted, where = flops.forward_flops(module, inputs)
    of_a_batch = profile.device_forward_flops[-1] * BATCH_SIZE + profile.device_forward_flops_per_batch[-1]
    cuts = _some_cuts(network.title, profile.num_cuts)
    result = replace(
        result,
        cut_names=profile.cut_names,
        forward_flops=float(of_a_batch),
        counted_flops=counted,
        counted_on=where,
        uncounted=flops.uncounted_products(module, inputs),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        cuts=tuple(cuts.tolist()),
        step_error=_step_error(network, module, cuts, profile.num_cuts),
    )
    wrong = _differences(result, float(profile.device_parameters[-1]))
    return replace(result, verdict="wrong", reason="; ".join(wrong)) if wrong else result


def _differences(result: Result, profiled_parameters: float) -> list[str]:
    wrong = []
    has_more = bool(result.uncounted) and result.forward_flops > result.counted_flops
    if result.forward_flops != result.counted_flops and not has_more:
        wrong.append(f"{result.forward_flops:.0f} forward FLOPs, torch counts {result.counted_flops}")
    if profiled_parameters != result.parameters:
        wrong.append(f"{profiled_parameters:.0f} parameters of {result.parameters}")
    if not result.step_error <= LARGEST_ERROR:
        wrong.append(f"a step at cuts {result.cuts} is off by {result.step_error:.1e}")
    return wrong


def _some_cuts(title: str, num_cuts: int) -> NDArray[np.int64]:
    """Return a cut for each device, different ones where there are enough, the same in every run."""
    rng = np.random.default_rng(zlib.crc32(title.encode()))
    return np.sort(rng.choice(num_cuts, NUM_DEVICES, replace=num_cuts < NUM_DEVICES))


def _step_error(network: Network, module: nn.Module, cuts: NDArray[np.int64], num_cuts: int) -> float:
    training = SplitFederatedTraining(
        lambda: copy.deepcopy(module),
        _data(network),
        scheme("iid", NUM_DEVICES),
        # The first step of an optimiser with momentum is one without, and takes a third less memory.
        LocalTraining(iterations=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, momentum=0.0),
        executor="message-passing",
        dtype=torch.float64,
        device="cpu",
    )
    if training.num_cuts != num_cuts:
        raise AssertionError(f"{training.num_cuts} cuts are trained, {num_cuts} profiled")
    training.reset(seed=0)
    plan = plain.next_plan(training)
    training.run_round(cuts)
    start = copy.deepcopy(module).double()
    expected = plain.train(start, training.data, plan, LEARNING_RATE)
    return plain.largest_error(start, training.weights(), expected)


def _data(network: Network) -> TensorData:
    """Return a mini-batch for each device, and another for the test."""
    number = BATCH_SIZE * NUM_DEVICES
    labels = torch.arange(number) % NUM_CLASSES
    test = slice(0, BATCH_SIZE)
    train_features, test_features = network.samples(number, seed=1), network.samples(BATCH_SIZE, seed=2)
    return TensorData(network.name, train_features, labels, test_features, labels[test], NUM_CLASSES)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
