"""Schemes that take more than a policy: training at one place, and agents that know of round lengths alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sfl_agents
from sfl_baselines.policies import PolicyState
from sfl_env import DNNProfile, Scenario, SFLEnv, SFLVectorEnv
from sfl_env.learning.protocol import Learner, Progress, Score
from sfl_env.learning.surrogate import constants_of, find
from sfl_env.spaces.observation import DeviceRows, scaled_learnt
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

    It sees what it saw in training: the columns on the network's progress are left out. With a surrogate of
    learning it sees in their place how far that would be after its decisions.

    Parameters
    ----------
    path : pathlib.Path
        Of the training run.
    env : SFLEnv
        In accuracy mode, where it is to act.
    trust : bool
        As for :func:`sfl_agents.load`.
    **modes
        ``observation_mode`` and ``action_mode``, those of ``env``.

    Raises
    ------
    PolicyError
        If the agent does not fit the environment's devices and cuts.
    """

    def __init__(self, path: Path, env: SFLEnv, *, trust: bool = False, **modes: Any) -> None:
        twin = without_progress(env, **modes)
        self._agent = sfl_agents.load(path, twin, trust=trust)
        self._episodes = twin.episodes
        after = num_absolute(env)
        self._progress = slice(after - len(Progress._fields), after)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return the action for an observation (K, F), or the actions for a batch (N, K, F)."""
        rows, surrogate = np.asarray(observation), self._episodes.simulator.surrogate
        known = np.delete(rows, self._progress, axis=-1)
        if surrogate is None:
            return self._agent.predict(known, state, episode_start, deterministic)
        single = rows.ndim == 2
        known = known[None] if single else known
        *before, learnt = state or (np.zeros(len(known)),)
        learnt = learnt if episode_start is None else np.where(episode_start, 0.0, learnt)
        known = np.insert(known, self._progress.start, scaled_learnt(learnt)[:, None], axis=-1)
        actions, after = self._agent.predict(known, tuple(before) or None, episode_start, deterministic)
        seen = self._episodes.conditions_of(known)
        asked = self._episodes.action_encoder.decode(actions, seen).cut
        learnt = learnt + surrogate.progress(np.minimum(asked, seen.deepest_cut), seen.takes_part)
        return (actions[0] if single else actions), (*(after or ()), learnt)


def without_progress(env: SFLEnv, **modes: Any) -> SFLVectorEnv:
    """Return the environment of an environment's rounds alone, in which no network is trained.

    Parameters
    ----------
    env : SFLEnv
        In accuracy mode.
    **modes
        ``observation_mode`` and ``action_mode``.
    """
    alone = env.scenario.replace(mode="latency", model=Scenario.model)
    if alone.learning_surrogate:
        alone = alone.replace(**constants_of(find(env.scenario)))
    return SFLVectorEnv(1, scenario=alone, profile=env.profile, **modes)


def num_absolute(env: SFLEnv | SFLVectorEnv) -> int:
    """Return how many columns rows begin with, of which the last tell of the network's progress if one trains."""
    encoder = env.episodes.observation_encoder
    absolute = encoder.absolute if isinstance(encoder, ProblemRows) else encoder
    assert isinstance(absolute, DeviceRows)
    return absolute.num_features
