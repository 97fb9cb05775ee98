"""Agents that were trained and saved with Stable-Baselines3 alone: a file, and no training run of ours beside it.

Such a file says neither in which environment nor through which modes its agent acts. Its spaces tell which
environments and modes it can be of, and whoever plays it names the environment.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from sfl_agents.files import foreign, run_folder
from sfl_agents.files.interface import spaces_of
from sfl_agents.files.stock_settings import settings_in
from sfl_agents.training.algorithms import ALGORITHMS, TAUGHT, algorithm, library_of
from sfl_baselines.environments import make_batch, mode_of
from sfl_env.errors import PolicyError, RunError, ScenarioError
from sfl_env.presets import PRESETS
from sfl_env.spaces.parts import ACTION_MODES, OBSERVATION_MODES

Modes = tuple[str, str]
"""Of observation and action."""

_ANY_SEED = 2**32


@dataclass(frozen=True)
class StockAgent:
    """What a file of Stable-Baselines3's own tells of its agent.

    Parameters
    ----------
    path : pathlib.Path
        The file, which is trusted.
    algo : str
        Name of the algorithm.
    observation_space, action_space : gymnasium.Space
        Of the environment that it was trained in.
    policy : str
        Name of the policy's class.
    rounds : int
        Rounds that it was trained for.
    seed : int, optional
        That its training was given.
    settings : dict
        Of the training, in words.
    """

    path: Path
    algo: str
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    policy: str
    rounds: int
    seed: int | None
    settings: dict[str, str]

    @classmethod
    def open(cls, path: Path, *, trust: bool) -> "StockAgent":
        """Read a file, running the code in it.

        Raises
        ------
        RunError
            If nobody has said to trust it.
        PolicyError
            If it is damaged, or of an algorithm that is not known here.
        """
        if not trust:
            raise RunError(
                f"{path} is in Stable-Baselines3's own format, parts of which are pickled: opening it runs "
                "whatever code the file's author chose. If you know where the file comes from, say trust=True."
            )
        data = foreign.described(path)
        seed, rounds = data.get("seed"), data.get("num_timesteps")
        return cls(
            path=path,
            algo=_algorithm_of(data, path),
            observation_space=data["observation_space"],
            action_space=data["action_space"],
            policy=data["policy_class"].__name__,
            rounds=rounds if isinstance(rounds, int) else 0,
            seed=seed if isinstance(seed, int) and 0 <= seed < _ANY_SEED else None,
            settings=settings_in(data),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what tells its training from others; of a training without a seed the file, too."""
        told = {name: getattr(self, name) for name in ("algo", "policy", "rounds", "seed", "settings")}
        told |= {"observation_space": str(self.observation_space), "action_space": str(self.action_space)}
        return told if self.seed is not None else told | {"path": str(self.path)}

    def about(self) -> str:
        """Return a sentence's part on the agent, as :func:`sfl_agents.about` does for agents of runs."""
        name = ALGORITHMS[self.algo].partition(":")[2]
        return (
            f"{name} of {library_of(self.algo)} with {self.policy}, trained outside of this package, for "
            f"{self.rounds:,} rounds by its file"
        )

    def fits(self, env: Any) -> bool:
        """Whether an environment of this package, wrapped or not, has the spaces that it was trained with."""
        return spaces_of(env) == (self.observation_space, self.action_space)

    def modes_in(self, make: Callable[..., Any], where: str) -> Modes:
        """Return the modes that an environment has to have for the agent to act in it.

        Parameters
        ----------
        make : callable
            Makes the environment, given its ``observation_mode`` and ``action_mode``.
        where : str
            What the environment is called.

        Raises
        ------
        PolicyError
            If it has the agent's spaces in none of its modes, or in several.
        """
        found = list(self._modes(make))
        if not found:
            raise self.misfit(f"{where} has these in none of its modes")
        if len(found) > 1:
            told = " and with ".join(_in_words(modes) for modes in found)
            raise PolicyError(
                f"The agent in {self.path} fits {where} with {told}; its file does not say which it was trained "
                "with."
            )
        return found[0]

    def _modes(self, make: Callable[..., Any]) -> Iterator[Modes]:
        for observation_mode in OBSERVATION_MODES:
            for action_mode in ACTION_MODES:
                if self.fits(make(observation_mode=observation_mode, action_mode=action_mode)):
                    yield observation_mode, action_mode

    def load(self, env: Any) -> BaseAlgorithm:
        """Return the agent, to act in an environment of this package.

        Raises
        ------
        PolicyError
            If the environment has other spaces, or the file is damaged.
        """
        if not self.fits(env):
            seen, acted = spaces_of(env)
            raise self.misfit(f"this environment has {_size(seen)} and {_size(acted)}")
        return foreign.opened(self.path, algorithm(self.algo))

    def misfit(self, why: str) -> PolicyError:
        """Return the error for an environment that it does not fit, with those of the package that it fits."""
        there = "; ".join(self.suggestions())
        other = (
            f"It would fit: {there}."
            if there
            else (
                "No id of this package has such spaces in any of its modes. Wrappers that change observations or "
                "actions, as FlattenObservation does, are not in the file, and scenario fields are to be named."
            )
        )
        return PolicyError(
            f"The agent in {self.path} was trained on observations {_size(self.observation_space)} and actions "
            f"{_size(self.action_space)}; {why}. {other}"
        )

    def suggestions(self) -> list[str]:
        """Return the ids of the package, with modes and number of devices, whose spaces are the agent's."""
        shape = self.observation_space.shape or ()
        if len(shape) != 2:
            return []
        found = []
        for env_id, preset in PRESETS.items():
            if mode_of(env_id, {}) == "accuracy":
                continue
            usual = make_batch(env_id, 1).scenario.num_devices
            fields = {} if usual == shape[0] else {"num_devices": shape[0]}
            own = {"observation_mode": "devices", "action_mode": "continuous", **preset.modes}
            for modes in self._modes_of(env_id, fields):
                told = [f"num_devices={shape[0]}"] if fields else []
                told += [] if modes == (own["observation_mode"], own["action_mode"]) else [_in_words(modes)]
                found.append(env_id + (f" with {' and '.join(told)}" if told else ""))
        return found

    def _modes_of(self, env_id: str, fields: dict[str, Any]) -> list[Modes]:
        try:
            return list(self._modes(lambda **modes: make_batch(env_id, 1, fields, **modes)))
        except ScenarioError:  # so many devices are out of its range
            return []


def is_stock(path: Path) -> bool:
    """Whether a path is that of a file of Stable-Baselines3's own that no training run lies beside.

    Nothing in it is opened.
    """
    return path.is_file() and foreign.is_foreign(path) and not run_folder.is_of_a_run(path)


def _algorithm_of(data: dict[str, Any], path: Path) -> str:
    """Return the algorithm whose policies are of the class that a file names; the file does not name itself."""
    policy = data["policy_class"]
    distances = {name: _distance(name, policy) for name in ALGORITHMS if name not in TAUGHT}
    known = {name: distance for name, distance in distances.items() if distance is not None}
    if not known:
        raise PolicyError(
            f"{path} has a policy of class {policy.__module__}.{policy.__name__}, which none of the algorithms "
            f"that are known here and installed has: {', '.join(distances)}."
        )
    fitting = [name for name, distance in known.items() if distance == min(known.values())]
    # Some algorithms share their policies; what else they store tells them apart. DDPG is TD3 with one critic and
    # targets that are not smoothed. TRPO, which is not known here, has the policy of A2C, but mini-batches, and
    # what is told more than the reward has no advantages.
    is_ddpg = data["policy_kwargs"].get("n_critics") == 1 and data.get("target_noise_clip") == 0.0
    is_a2c = "normalize_advantage" in data and "batch_size" not in data
    told = {"a2c": is_a2c, "ppo": "clip_range" in data, "ddpg": is_ddpg, "td3": not is_ddpg}
    found = [name for name in fitting if told.get(name, True)]
    if not found:
        raise PolicyError(
            f"{path} has the policy of {' and '.join(fitting)}, and settings of neither; known here are "
            f"{', '.join(distances)}."
        )
    return found[0]


def _distance(algo: str, policy: type[Any]) -> int | None:
    """Return how far a policy's class is derived from those of an algorithm; None if it is not."""
    module, _, class_name = ALGORITHMS[algo].partition(":")
    try:
        kind = getattr(importlib.import_module(module), class_name)
    except ModuleNotFoundError:
        return None
    line = policy.__mro__
    return min((line.index(known) for known in kind.policy_aliases.values() if known in line), default=None)


def _in_words(modes: Modes) -> str:
    return f"observation_mode={modes[0]!r}, action_mode={modes[1]!r}"


def _size(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Box):
        return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape})"
    if isinstance(space, spaces.MultiDiscrete):
        counts = sorted(set(space.nvec.ravel().tolist()))
        return f"MultiDiscrete of {space.nvec.size} choices among {' or '.join(map(str, counts))}"
    return str(space)
