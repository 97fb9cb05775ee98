"""Training settings: YAML files in the package, one per algorithm and environment id."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sfl_agents.training import yaml_text
from sfl_agents.training.algorithms import (
    CARRIES_OVER,
    MASKING,
    ON_POLICY,
    POLICIES,
    TAUGHT,
    algorithm,
    default_of,
    policies_of,
)
from sfl_agents.training.hyperparameters import check_hyperparameters, check_policy
from sfl_env.checks import require_choice, require_known, shown
from sfl_env.errors import TrainingError
from sfl_env.spaces.parts import ACTION_MODES, OBSERVATION_MODES

REWARDS = ("raw", "log", "normalised", "excess")
"""What the algorithm is given as reward; see :class:`Settings`."""

CHOICES = ("cut", "discrete")
"""Action modes whose actions are choices among options."""

LIKE = "like:"
"""Begins a source of settings that names an id with a file in the package."""

_LIKES = (
    ("SFL-v0", "a decision has no effect on later rounds"),
    ("SFL-Battery-v0", "it has one, as where batteries run out"),
)
"""Ids whose settings suit others, and which."""

MOST = 10**15
"""More rounds or environments than anyone can train for."""


@dataclass(frozen=True)
class Settings:
    """How an agent is trained.

    Parameters
    ----------
    total_steps : int
        Rounds to train for, over all environments. Algorithms collect rollouts of ``n_steps`` (on-policy) or
        ``train_freq`` rounds (off-policy) of every environment, and stop at the first whole one from here on.
    num_envs : int
        Environments side by side.
    action_mode : str
        One of :data:`sfl_env.spaces.parts.ACTION_MODES`.
    observation_mode : str
        One of :data:`sfl_env.spaces.parts.OBSERVATION_MODES`.
    policy : str
        ``CutPointerPolicy`` points at cuts by the share that each needs, for any number of devices and cuts; it
        needs ``observation_mode: problem``. ``DevicePolicy`` shares one network among all devices (A2C, PPO and
        MaskablePPO); ``MlpPolicy`` is Stable-Baselines3's own, over all rows end to end, and ``MlpLstmPolicy``
        that of RecurrentPPO.
    policy_kwargs : mapping
        Arguments of the policy, as in :data:`.hyperparameters.POLICY_ARGUMENTS`; ``activation_fn`` is the name of
        one of :data:`.algorithms.ACTIVATIONS`.
    reward : str
        ``raw``: the environment's own. ``normalised``: divided by the running deviation of the return
        (Stable-Baselines3's ``VecNormalize``). ``log``: minus the logarithm of minus the reward, so that a
        per cent more latency costs the same in a short round as in a long one; where the observation settles
        the round, the best action is the same. ``excess``: over the length of the sensible round, which rows of
        the problem tell; see :class:`.rewards.ExcessReward`.
    learning_rate : float
        At the start.
    final_learning_rate : float
        At the end; in between it falls linearly.
    action_noise : float
        Deviation of the Gaussian noise that off-policy algorithms add to actions while collecting; the
        deterministic ones, TD3 and DDPG, explore by nothing else.
    scenarios : list of mappings
        Of the taught algorithms: scenario fields, and an ``env_id`` where it is another, of environments that are
        trained in by turns beside the job's own.
    hyperparameters : mapping
        Other arguments of the algorithm's class, as in :data:`.hyperparameters.HYPERPARAMETERS`.

    Raises
    ------
    TrainingError
        For a value out of its range.
    """

    total_steps: int
    num_envs: int = 64
    action_mode: str = "continuous"
    observation_mode: str = "devices"
    policy: str = "MlpPolicy"
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reward: str = "normalised"
    learning_rate: float = 3e-4
    final_learning_rate: float = 3e-4
    action_noise: float = 0.0
    scenarios: Sequence[Mapping[str, Any]] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("total_steps", "num_envs"):
            _whole_number(name, getattr(self, name))
        for name in ("learning_rate", "final_learning_rate", "action_noise"):
            _rate(name, getattr(self, name))
        require_choice("action_mode", self.action_mode, ACTION_MODES, TrainingError)
        require_choice("observation_mode", self.observation_mode, OBSERVATION_MODES, TrainingError)
        require_choice("policy", self.policy, tuple(POLICIES), TrainingError)
        require_choice("reward", self.reward, REWARDS, TrainingError)
        if not isinstance(self.scenarios, list | tuple) or not all(isinstance(s, Mapping) for s in self.scenarios):
            raise TrainingError(
                f"scenarios is {shown(self.scenarios)}; it has to be a list of mappings of fields to values."
            )
        object.__setattr__(self, "scenarios", tuple(dict(entry) for entry in self.scenarios))
        for name in ("policy_kwargs", "hyperparameters"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise TrainingError(f"{name} is {shown(value)}; it has to be a mapping of names to values.")

    def hyperparameter(self, algo: str, name: str) -> Any:
        """Return a hyperparameter, or the algorithm's own value where the settings leave it out."""
        return self.hyperparameters[name] if name in self.hyperparameters else default_of(algo, name)

    def rollout_steps(self, algo: str) -> int:
        """Return how many rounds an algorithm collects at a time, over all environments: it stops at a multiple.

        Examples
        --------
        >>> Settings(total_steps=200_000).rollout_steps("ppo")  # 2048 of each of 64 environments
        131072
        """
        rounds: int = self.hyperparameter(algo, "n_steps" if algo in ON_POLICY else "train_freq")
        return rounds * self.num_envs

    def trained_steps(self, algo: str) -> int:
        """Return for how many rounds an algorithm will train: ``total_steps``, up to whole rollouts."""
        rollout = self.rollout_steps(algo)
        return math.ceil(self.total_steps / rollout) * rollout

    def check_for(self, algo: str) -> None:
        """Raise unless an algorithm can be trained with these settings.

        Raises
        ------
        TrainingError
            If it does not take the policy, the actions, a hyperparameter or an argument of the policy, if it is
            not known, or if less than one rollout is asked for.
        """
        algorithm(algo)
        self._check_policy_and_actions(algo)
        if algo in ON_POLICY and self.action_noise:
            raise TrainingError(f"action_noise is {self.action_noise}; {algo} explores by its own distribution.")
        check_hyperparameters(algo, self.hyperparameters)
        check_policy(self.policy, algo, self.policy_kwargs)
        if self.hyperparameters.get("use_sde") and (self.policy, self.action_mode) != ("MlpPolicy", "continuous"):
            raise TrainingError("hyperparameters.use_sde needs policy: MlpPolicy and action_mode: continuous.")
        rollout = self.rollout_steps(algo)
        if self.total_steps < rollout:
            raise TrainingError(
                f"total_steps is {self.total_steps}, less than one rollout of {algo}: {rollout // self.num_envs} "
                f"rounds of each of {self.num_envs} environments are {rollout}. Ask for at least as many, or "
                f"lower num_envs or hyperparameters.{'n_steps' if algo in ON_POLICY else 'train_freq'}."
            )

        if algo not in ON_POLICY and self.hyperparameter(algo, "learning_starts") >= self.total_steps:
            raise TrainingError(
                f"hyperparameters.learning_starts is {self.hyperparameter(algo, 'learning_starts')} and "
                f"total_steps is {self.total_steps}: {algo} would never learn. Lower the one or raise the other."
            )

    def _check_policy_and_actions(self, algo: str) -> None:
        if self.policy not in policies_of(algo):
            raise TrainingError(
                f"{algo} does not take policy: {self.policy}, but {' or '.join(policies_of(algo))}."
            )
        if self.reward == "excess" and self.observation_mode != "problem":
            raise TrainingError(
                f"reward: excess is over lengths that rows of the problem tell; observation_mode is "
                f"{self.observation_mode!r} and has to be 'problem'."
            )
        if self.policy == CARRIES_OVER and self.observation_mode != "problem":
            raise TrainingError(
                f"{self.policy} reads rows of the problem; observation_mode is {self.observation_mode!r} and has "
                "to be 'problem'."
            )
        if self.policy in (CARRIES_OVER, "DevicePolicy") and self.action_mode == "residual":
            raise TrainingError(
                f"{self.policy} decides on cuts and shares themselves; action_mode 'residual', relative to a "
                "decision, needs policy: MlpPolicy."
            )
        if self.scenarios and algo not in TAUGHT:
            raise TrainingError(f"{algo} trains in one scenario; scenarios are for {' and '.join(TAUGHT)}.")
        if algo == MASKING and self.action_mode not in CHOICES:
            raise TrainingError(
                f"{algo} masks choices among options; action_mode is {self.action_mode!r} and has to be "
                f"{' or '.join(CHOICES)}."
            )
        if algo not in ON_POLICY and self.action_mode in CHOICES:
            raise TrainingError(
                f"{algo} acts in continuous spaces only; action_mode {self.action_mode!r} needs "
                f"{' or '.join(name for name in ON_POLICY)}."
            )

    def replace(self, **changes: Any) -> "Settings":
        """Return settings with some values changed; those that are None stay."""
        return dataclasses.replace(self, **{name: v for name, v in changes.items() if v is not None})


def load(algo: str, env_id: str, source: Path | str | None = None) -> Settings:
    """Return the settings for an algorithm on an environment id.

    Parameters
    ----------
    algo : str
        Name of an algorithm.
    env_id : str
        Registered id.
    source : path or str, optional
        By default the package's settings for the id. ``"like:SFL-v0"`` takes those for another id, which an id of
        one's own has to say. Else a file of one's own; with ``like: SFL-v0`` in it, what it leaves out is as in
        that id's.

    Raises
    ------
    TrainingError
        For an unknown algorithm, an id without settings, a file that cannot be read, an unknown entry or a value
        out of range.

    Examples
    --------
    >>> load("ppo", "SFL-v0").policy
    'CutPointerPolicy'
    >>> load("ppo", "My-v0", "like:SFL-v0") == load("ppo", "SFL-v0")
    True
    >>> load("ppo", "My-v0")
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: There are no settings of ppo for 'My-v0'. Say which to take: ...
    """
    algorithm(algo)
    folder = resources.files("sfl_agents") / "settings" / algo
    if source is not None and not str(source).startswith(LIKE):
        return _settings(_entries(_read(Path(source)), str(source), folder), str(source))
    name = _bare(env_id) if source is None else str(source).removeprefix(LIKE)
    if source is not None:
        require_choice("settings like", name, known_ids(algo), TrainingError)
    elif name not in known_ids(algo):
        there = [f"settings={LIKE}{known} where {suits}" for known, suits in _LIKES if known in known_ids(algo)]
        raise TrainingError(
            f"There are no settings of {algo} for {env_id!r}. Say which to take: "
            f"{', '.join([*there, 'or a file of your own'])}."
        )
    where = f"settings/{algo}/{name}.yml"
    return _settings(_entries((folder / f"{name}.yml").read_text(encoding="utf-8"), where, folder), where)


def origin(env_id: str, source: Path | str | None = None) -> str:
    """Return where the settings that :func:`load` gives come from, in a word that tells nothing of the machine.

    Examples
    --------
    >>> origin("SFL-v0"), origin("My-v0", "like:SFL-v0"), origin("SFL-v0", Path("/home/me/own.yml"))
    ('SFL-v0', 'like:SFL-v0', 'file own.yml')
    """
    if source is None:
        return _bare(env_id)
    return str(source) if str(source).startswith(LIKE) else f"file {Path(source).name}"


def known_ids(algo: str) -> tuple[str, ...]:
    """Return the ids that the package has settings of an algorithm for.

    Examples
    --------
    >>> "SFL-Battery-v0" in known_ids("ppo")
    True
    """
    folder = resources.files("sfl_agents") / "settings" / algo
    return tuple(sorted(file.name.removesuffix(".yml") for file in folder.iterdir()))


def _bare(env_id: str) -> str:
    return env_id.rpartition(":")[2]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read as settings: {error}.") from error


def _entries(text: str, where: str, folder: Traversable) -> Any:
    """Return what a file says, on top of the file in the folder that it names as ``like``."""
    entries = yaml_text.parse(text, where)
    if not isinstance(entries, dict) or "like" not in entries:
        return entries
    like = entries.pop("like")
    require_choice(f"like in {where}", like, known_ids(folder.name), TrainingError)
    base = folder / f"{like}.yml"
    return _entries(base.read_text(encoding="utf-8"), str(base), folder) | entries


def _settings(entries: Any, where: str) -> Settings:
    if not isinstance(entries, dict) or "total_steps" not in entries:
        raise TrainingError(f"{where} has to map names to values, total_steps among them.")
    known = [item.name for item in dataclasses.fields(Settings)]
    for name in entries:
        require_known(f"entry of {where}", name, known, TrainingError)
    return Settings(**entries)


def _whole_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise TrainingError(f"{name} is {shown(value)}; it has to be a whole number of at least 1.")


def _rate(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        # YAML reads 3e-4 as text; it wants 3.0e-4.
        raise TrainingError(f"{name} is {shown(value)}; it has to be a number from 0 to 1, such as 0.0003.")
