"""Schemes that take more than a policy: training at one place, and agents that know of round lengths alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sfl_agents
from sfl_baselines.policies import PolicyState
from sfl_env import DNNProfile, Scenario, SFLEnv, SFLVectorEnv
from sfl_env.learning.protocol import Learner, Score
from sfl_env.spaces.observation import DeviceRows
from sfl_env.spaces.problem_rows import ProblemRows

EnvMaker = Callable[..., SFLEnv]
"""Makes a scheme's environment with some fields and parts changed."""


class CentralisedLearner:
    """Train at one place what the devices would: all data, and K mini-batches in every step.

    Parameters
    ----------
    make : callable
        Makes an environment like the schemes', with some fields changed.
    env : SFLEnv
        The environment of the schemes, whose episodes' weights it starts from.
    """

    def __init__(self, make: EnvMaker, env: SFLEnv) -> None:
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
        learner = make(**together).episodes.learner
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

    It sees what it saw in training: the columns on the network's progress are left out.

    Parameters
    ----------
    path : pathlib.Path
        Of the training run.
    env : SFLEnv
        In accuracy mode, where it is to act.
    trust : bool
        As for :func:`sfl_agents.load`.

    Raises
    ------
    PolicyError
        If the agent does not fit the environment's devices and cuts.
    """

    def __init__(self, path: Path, env: SFLEnv, *, trust: bool = False) -> None:
        alone = env.scenario.replace(mode="latency", model=Scenario.model)
        modes: dict[str, Any] = {
            "action_mode": sfl_agents.action_mode_of(path),
            "observation_mode": sfl_agents.observation_mode_of(path),
        }
        twin = SFLVectorEnv(1, scenario=alone, profile=env.profile, **modes)
        self._agent = sfl_agents.load(path, twin, trust=trust)
        self._progress = slice(num_absolute(twin), num_absolute(env))

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return the action for an observation (K, F), or the actions for a batch (N, K, F)."""
        known = np.delete(np.asarray(observation), self._progress, axis=-1)
        return self._agent.predict(known, state, episode_start, deterministic)


def num_absolute(env: SFLEnv | SFLVectorEnv) -> int:
    """Return how many columns rows begin with, of which the last tell of the network's progress if one trains."""
    encoder = env.episodes.observation_encoder
    absolute = encoder.absolute if isinstance(encoder, ProblemRows) else encoder
    assert isinstance(absolute, DeviceRows)
    return absolute.num_features
