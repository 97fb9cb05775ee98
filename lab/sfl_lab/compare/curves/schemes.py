"""The schemes whose learning curves are compared, each with its environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sfl_baselines
from sfl_baselines import Policy
from sfl_baselines.environments import held_out_seed, make_single
from sfl_baselines.policies import PolicyState
from sfl_env import DNNProfile, SFLEnv, SFLVectorEnv
from sfl_env.errors import ScenarioError
from sfl_env.learning.protocol import Learner, Score
from sfl_lab.compare.rounds.comparison import agent_action_mode, check_contest, labels_of, load_agent

CENTRALISED = "centralised"
"""One device that holds all data: what accuracy is possible. It has no time axis."""

SEQUENTIAL = "sequential"
"""Split learning: devices in sequence."""

SCHEMES = ("alternating", "exact", "common-cut", "equal-bandwidth", "federated", SEQUENTIAL, CENTRALISED)
"""What is compared by default."""


@dataclass(frozen=True)
class LearningComparison:
    """What to compare.

    Parameters
    ----------
    env_id : str
        Registered id, in accuracy mode by itself or by its fields.
    policies : tuple of str
        Names of baselines, and ``"centralised"``. All act in the environment as it is but ``"sequential"``, for
        which it has ``schedule="sequence"``.
    agents : tuple of path
        Folders of training runs on round lengths alone, or model files in them.
    episodes : int
        How many held-out seeds, at least 2.
    seed : int
        The first of them.
    fields : mapping
        Scenario fields that override the id's.
    action_mode : str
        Action space that the baselines act through; agents act through the one they were trained with.

    Raises
    ------
    PolicyError
        If a scheme is not known or nothing is to be compared.
    RunError
        For less than 2 episodes.
    """

    env_id: str = "SFL-Accuracy-v0"
    policies: tuple[str, ...] = SCHEMES
    agents: tuple[Path, ...] = ()
    episodes: int = 5
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    action_mode: str = "continuous"

    def __post_init__(self) -> None:
        check_contest(self.policies, self.agents, self.episodes, known=(*sfl_baselines.names(), CENTRALISED))
        held_out_seed(self.seed)
        held_out_seed(self.seed + self.episodes - 1)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the episodes."""
        return tuple(held_out_seed(self.seed + number) for number in range(self.episodes))

    def env(self, action_mode: str, **fields: Any) -> SFLEnv:
        """Return the environment, with some fields changed."""
        options = {"mode": "accuracy", **self.fields, **fields}
        return make_single(self.env_id, options, action_mode=action_mode)


@dataclass(frozen=True)
class Scheme:
    """One of those compared, ready to train."""

    label: str
    kind: str  # "baseline", "agent" or "reference"
    env: SFLEnv
    policy: Callable[[], Policy]  # a fresh one for each seed, so that an interrupted benchmark goes on alike


def prepare(comparison: LearningComparison) -> list[Scheme]:
    """Make the environments, baselines and agents.

    Raises
    ------
    SFLError
        For an environment, baseline or agent that is not there or does not fit, or that is named twice; and if
        there is no target accuracy.
    """
    labels = labels_of(comparison.policies, comparison.agents)
    mode = comparison.action_mode
    env = comparison.env(mode)
    if env.scenario.target_accuracy is None:
        raise ScenarioError(
            "target_accuracy is None; say which accuracy to reach, with --fields target_accuracy=0.9."
        )
    lineup = [_baseline(name, comparison, env) for name in comparison.policies]
    for label, path in zip(labels[len(lineup) :], comparison.agents, strict=True):
        own = comparison.env(agent_action_mode(path))
        lineup.append(Scheme(label, "agent", own, partial(RoundLengthAgent, path, own)))
    return lineup


def _baseline(name: str, comparison: LearningComparison, env: SFLEnv) -> Scheme:
    if name == CENTRALISED:
        own = comparison.env(comparison.action_mode, learner=CentralisedLearner(comparison, env))
        return Scheme(name, "reference", own, partial(sfl_baselines.make, "equal-bandwidth", own))
    own = comparison.env(comparison.action_mode, schedule="sequence") if name == SEQUENTIAL else env
    return Scheme(name, "baseline", own, partial(sfl_baselines.make, name, own))


class CentralisedLearner:
    """Train at one place what the devices would: all data, and K mini-batches in every step.

    Parameters
    ----------
    comparison : LearningComparison
        With the scenario's fields.
    env : SFLEnv
        The environment of the schemes, whose episodes' weights it starts from.
    """

    def __init__(self, comparison: LearningComparison, env: SFLEnv) -> None:
        together = {
            "num_devices": 1,
            "batch_size": env.scenario.num_devices * env.scenario.batch_size,
            "partition": "iid",
            "schedule": "parallel",
            # So that nobody asks for this device's rounds, which do not take place, or for its memory.
            "reference_latency_s": 1.0,
            "device_types": ("cloud-vm",),
            "device_weights": (1.0,),
        }
        learner = comparison.env(comparison.action_mode, **together).episodes.learner
        assert learner is not None
        self._learner: Learner = learner
        self._whole = np.array([self.profile.num_cuts - 1])

    @property
    def profile(self) -> DNNProfile:
        """The costs of the network that is trained."""
        return self._learner.profile

    def reset(self, seed: int) -> Score:
        """Start afresh; equal seeds start from equal weights, however many devices there are."""
        return self._learner.reset(seed)

    def run_round(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_]) -> Score:
        """Train on as many samples as all devices together do in a round; cuts make no difference."""
        return self._learner.run_round(self._whole, np.ones(1, dtype=np.bool_))

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next round depends on."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a stored state."""
        self._learner.load_state_dict(state)


class RoundLengthAgent:
    """An agent that was trained on round lengths alone, acting where a network is trained too.

    It sees what it saw in training: the columns on the network's progress, which come last, are left out.

    Parameters
    ----------
    path : pathlib.Path
        Of the training run.
    env : SFLEnv
        In accuracy mode, where it is to act.

    Raises
    ------
    PolicyError
        If the agent does not fit the environment's devices and cuts.
    """

    def __init__(self, path: Path, env: SFLEnv) -> None:
        alone = env.scenario.replace(mode="latency", model=env.scenario.network)
        twin = SFLVectorEnv(1, scenario=alone, profile=env.profile, action_mode=agent_action_mode(path))
        self._agent = load_agent(path, twin)
        shape = twin.single_observation_space.shape
        assert shape is not None
        self._columns = shape[-1]

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return the action for an observation (K, F), or the actions for a batch (N, K, F)."""
        known = np.asarray(observation)[..., : self._columns]
        return self._agent.predict(known, state, episode_start, deterministic)
