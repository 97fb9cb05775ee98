"""A scenario's training: the network, the data and their partition that its fields describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sfl_env.dnn import catalogue, networks
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import MisfitError, ScenarioError
from sfl_env.learning.arguments import check_data, check_network
from sfl_env.learning.data import TensorData, load
from sfl_env.learning.executors.message_passing import NumberFormats
from sfl_env.learning.federated import SplitFederatedTraining
from sfl_env.learning.network import NetworkFactory
from sfl_env.learning.partition import Partitioner, scheme
from sfl_env.learning.plan import ExecutorName, LocalTraining
from sfl_env.learning.protocol import Score
from sfl_env.learning.stored import Mark
from sfl_env.scenario import Scenario


class ScenarioLearner:
    """Split federated training as a scenario's fields say.

    Parameters
    ----------
    scenario : Scenario
        In accuracy mode.
    network : callable, optional
        Returns a fresh network; by default the scenario's ``model`` with as many classes as the data has, and
        with normalisation that keeps no running statistics.
    data : TensorData, optional
        What to learn; by default the scenario's ``dataset``.
    torch_device : {"auto", "cpu", "cuda"}
        Where to train.
    executor : {"fused", "message-passing"}
        The fast way, or the one that really splits and counts the bits that cross.

    Raises
    ------
    ScenarioError, DataError, TrainingError
        If network and data do not fit, the data is not there, or CUDA is asked for where there is none.

    Examples
    --------
    >>> learner = ScenarioLearner(Scenario(mode="accuracy", num_devices=4), torch_device="cpu")
    >>> before = learner.reset(seed=0)
    >>> after = learner.run_round(np.zeros(4, dtype=np.intp), np.ones(4, dtype=np.bool_))
    >>> after.loss < before.loss
    True
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        network: NetworkFactory | None = None,
        data: TensorData | None = None,
        torch_device: str = "auto",
        executor: str = "fused",
    ) -> None:
        if network is not None:
            check_network(network)
        if data is not None:
            check_data(data)
        stands_in = _stands_in(scenario, network, data)
        is_as_fields_say = network is None and data is None
        data = data or load(scenario.dataset, scenario.dataset_path)
        if network is None and scenario.network.endswith(".json"):
            raise ScenarioError(
                f"model is {scenario.network!r}, a profile, which has costs but no layers to train; in accuracy "
                "mode name a network of the catalogue, or pass network=, a function that returns yours."
            )
        make = network or partial(networks.build, scenario.network, num_classes=data.num_classes)
        with _telling(stands_in):
            self._training = SplitFederatedTraining(
                make,
                data,
                _partition(scenario),
                _local_training(scenario),
                executor=cast(ExecutorName, executor),
                schedule=scenario.schedule,
                device=torch_device,
                formats=_formats(scenario),
            )
        name = scenario.network if network is None else None
        self._profile = self._training.profile if name is None else replace(self._training.profile, name=name)
        self.is_as_fields_say = is_as_fields_say
        """Whether network and data are those that the scenario names, and not the user's."""

    @property
    def profile(self) -> DNNProfile:
        """The costs of the network that is trained."""
        return self._profile

    @property
    def training(self) -> SplitFederatedTraining:
        """The training itself, for weights, label histograms and counted bits."""
        return self._training

    def reset(self, seed: int) -> Score:
        """Start afresh: a new partition, new weights, new draws."""
        self._training.reset(seed)
        return self._training.evaluate()

    def weights(self) -> dict[str, Any]:
        """Return a copy of the global weights, for the ``load_state_dict`` of the user's own network."""
        return self._training.weights()

    def run_round(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_]) -> Score:
        """Train for one round, average, evaluate."""
        return self._training.run_round(cut, takes_part).score

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next round depends on, for ``torch.save``."""
        return self._training.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a stored state: the next round gives the same weights as without the break.

        Raises
        ------
        TrainingError
            If the state does not fit or is broken; then nothing changes.
        """
        self._training.load_state_dict(state)

    def mark(self) -> Mark:
        """Return where the training stands, for :meth:`go_back`."""
        return self._training.mark()

    def go_back(self, mark: Mark) -> None:
        """Stand again where the training stood."""
        self._training.go_back(mark)

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise what :meth:`load_state_dict` would raise, and change nothing."""
        self._training.check_state_dict(state)


def _stands_in(scenario: Scenario, network: object, data: object) -> str:
    """Return what was taken for a network or for data that the user has not given beside the other one."""
    if data is not None and network is None and not scenario.network.endswith(".json"):
        shape = catalogue.load(scenario.network).input_shape
        return (
            f" No network= was given, so the scenario's {scenario.network!r} was taken, which is made for samples "
            f"of shape {shape}: pass network=, a function that returns yours."
        )
    if network is not None and data is None:
        return f" No data= was given, so the scenario's {scenario.dataset!r} was taken: pass data=, a TensorData."
    return ""


@contextmanager
def _telling(stands_in: str) -> Iterator[None]:
    """Say, where network and data do not fit, which of them is not the user's."""
    try:
        yield
    except MisfitError as error:
        if not stands_in:
            raise
        raise MisfitError(f"{error}{stands_in}") from error


def _partition(scenario: Scenario) -> Partitioner:
    return scheme(
        scenario.partition,
        scenario.num_devices,
        concentration=scenario.partition_concentration,
        shards_per_device=scenario.shards_per_device,
        min_samples=scenario.batch_size,
    )


def _formats(scenario: Scenario) -> NumberFormats:
    return NumberFormats(
        scenario.activation_bits,
        scenario.parameter_bits,
        scenario.label_bits,
        scenario.frozen_weights_travel,
    )


def _local_training(scenario: Scenario) -> LocalTraining:
    return LocalTraining(
        iterations=scenario.local_iterations,
        batch_size=scenario.batch_size,
        server=scenario.server,
        optimizer=scenario.optimizer,
        learning_rate=scenario.learning_rate,
        momentum=scenario.momentum,
    )
