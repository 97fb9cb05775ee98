"""What steps the server's blocks, and when: the ways of the message-passing executor."""

from collections.abc import Collection
from typing import Protocol

from torch import Tensor

from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.weights import Names, Weights
from sfl_env.scenario import Server


class PlainStepper:
    """An optimiser that is handed its gradients, by torch's defaults."""

    def __init__(self, parameters: Weights, local: LocalTraining) -> None:
        self._parameters = parameters
        self._optimizer = local.make_optimizer(list(parameters.values())) if parameters else None

    def __call__(self, gradients: MaybeGradients) -> None:
        """Take a step; what has no gradient is left alone."""
        if self._optimizer is not None:
            for name, parameter in self._parameters.items():
                parameter.grad = gradients.get(name)
            self._optimizer.step()


class ServerSide(Protocol):
    """The server's tensors and optimisers."""

    sides: list[Weights]
    """The tensors that each device's mini-batches meet there; tensors of one model are the same objects."""

    def take(self, device: int, gradients: MaybeGradients) -> None:
        """Take what a device's mini-batch gave."""

    def finish_iteration(self) -> None:
        """All devices of the iteration were there."""


def server_side(
    local: LocalTraining, weights: Weights, names: Names, cuts: list[int], samples: Tensor
) -> ServerSide:
    """Make the server's side of a round.

    Parameters
    ----------
    local : LocalTraining
        With the kind of server, and the optimiser.
    weights : dict of tensors
        The global weights, which are copied.
    names : Names
        Of the network's tensors.
    cuts : list of int
        Index of each device's last block.
    samples : (A,) tensor
        Training samples of each device.
    """
    left = [{name: tensor for name, tensor in weights.items() if names.block[name] > cut} for cut in cuts]
    if local.server == "splitfed-v2":
        return _InTurn(left, names, local)
    common = [name for name in names.trained if names.block[name] > _own_upto(local.server, cuts)]
    return _AtOnce(left, names, common, samples, local)


def _own_upto(server: Server, cuts: list[int]) -> float:
    """Return the last block of which the server keeps a copy for each device that leaves it there."""
    if server == "splitfed-v1":
        return float("inf")
    return max(cuts) if server == "adaptsfl" else -1


class _InTurn:
    """One model, running statistics included; it takes a step for each mini-batch."""

    def __init__(self, left: list[Weights], names: Names, local: LocalTraining) -> None:
        one = {name: tensor.clone() for side in left for name, tensor in side.items()}
        self.sides = [{name: one[name] for name in side} for side in left]
        self._step = PlainStepper({name: one[name] for name in names.trained if name in one}, local)

    def take(self, device: int, gradients: MaybeGradients) -> None:
        self._step({name: gradients.get(name) for name in self.sides[device]})

    def finish_iteration(self) -> None:
        pass


class _AtOnce:
    """Copies of the devices' own, which step at once, and one copy of common parameters.

    The common ones step when all devices were there, along the mean of the gradients from those that use them.
    Running statistics belong to the device whose data they describe.
    """

    def __init__(
        self,
        left: list[Weights],
        names: Names,
        common: Collection[str],
        samples: Tensor,
        local: LocalTraining,
    ) -> None:
        one = {name: tensor.clone() for side in left for name, tensor in side.items() if name in common}
        self.sides = [
            {name: one[name] if name in one else tensor.clone() for name, tensor in side.items()} for side in left
        ]
        self._common = one
        self._samples = samples.tolist()
        trained = set(names.trained) - set(one)
        self._step_own = [
            PlainStepper({name: tensor for name, tensor in side.items() if name in trained}, local)
            for side in self.sides
        ]
        self._step_common = PlainStepper(one, local)
        self._start_iteration()

    def _start_iteration(self) -> None:
        self._sums: MaybeGradients = dict.fromkeys(self._common)
        self._weight = dict.fromkeys(self._common, 0.0)

    def take(self, device: int, gradients: MaybeGradients) -> None:
        self._step_own[device](gradients)
        for name in self._common.keys() & self.sides[device].keys():
            # A device whose loss does not depend on it pulls nowhere.
            self._weight[name] += self._samples[device]
            own, total = gradients[name], self._sums[name]
            if own is not None:
                weighted = self._samples[device] * own
                self._sums[name] = weighted if total is None else total + weighted

    def finish_iteration(self) -> None:
        self._step_common(
            {name: None if total is None else total / self._weight[name] for name, total in self._sums.items()}
        )
        self._start_iteration()
