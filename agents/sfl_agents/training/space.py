"""What a search for settings may choose among."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sfl_agents.training.settings import Settings
from sfl_env.errors import TrainingError

if TYPE_CHECKING:
    from optuna import Trial

SEARCHED = ("ppo", "maskable-ppo")
"""Algorithms whose settings can be searched."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two ends, all as likely or all their logarithms."""

    low: float
    high: float
    log: bool = False


ROLLOUTS = (16, 32, 64, 128)
"""Rounds of each environment that a step of training may be of."""

SPACE: Mapping[str, Range | tuple[Any, ...]] = {
    "learning_rate": Range(2e-4, 2e-2, log=True),
    "log_std_init": Range(-6.0, -1.0),
    "n_steps": ROLLOUTS,
    "batch_size": (256, 512, 1024),
    "n_epochs": (2, 4, 8),
    "clip_range": Range(0.1, 0.8),
    "ent_coef": (0.0, 1e-5, 1e-4, 1e-3),
}
"""Names of settings and what each may be; all else stays as the id's settings have it. What is listed has few
choices, so that a search of some tens of trainings tells something of each, and a rollout of 64 environments is a
multiple of every mini-batch."""


def searched_in(algo: str, base: Settings) -> dict[str, Range | tuple[Any, ...]]:
    """Return the part of the space that an algorithm has, with the values that settings to start from have.

    Raises
    ------
    TrainingError
        If its settings cannot be searched, or the learning rate is zero.

    Examples
    --------
    >>> base = Settings(4096, learning_rate=0.05, hyperparameters={"n_steps": 64, "n_epochs": 3})
    >>> found = searched_in("maskable-ppo", base)
    >>> found["learning_rate"], found["n_epochs"]
    (Range(low=0.0002, high=0.05, log=True), (2, 4, 8, 3))
    """
    if algo not in SEARCHED:
        raise TrainingError(f"The settings of {algo} cannot be searched; those of {' and '.join(SEARCHED)} can.")
    if base.learning_rate == 0.0:
        raise TrainingError(
            "learning_rate is 0, which learns nothing and has no logarithm to search; start above."
        )
    # A rollout that is longer than the training is none; where the present one is, the training tells of it.
    most = base.total_steps // base.num_envs
    among = {**SPACE, "n_steps": tuple(rounds for rounds in ROLLOUTS if rounds <= most)}
    present = values_of(algo, base)
    return {name: _with(among[name], value) for name, value in present.items()}


def _with(among: Range | tuple[Any, ...], value: Any) -> Range | tuple[Any, ...]:
    """Return what may be chosen among once a value may be, too."""
    if isinstance(among, Range):
        return dataclasses.replace(among, low=min(among.low, value), high=max(among.high, value))
    return among if value in among else (*among, value)


def proposed(trial: "Trial", algo: str, base: Settings) -> Settings:
    """Return settings as a trial proposes them."""
    values: dict[str, Any] = {}
    for name, among in searched_in(algo, base).items():
        if isinstance(among, Range):
            values[name] = trial.suggest_float(name, among.low, among.high, log=among.log)
        else:
            values[name] = trial.suggest_categorical(name, among)
    return with_values(base, values)


def with_values(base: Settings, values: Mapping[str, Any]) -> Settings:
    """Return settings with the values that a search has found; the last learning rate keeps its part of the first.

    Examples
    --------
    >>> base = Settings(4096, learning_rate=1e-3, final_learning_rate=1e-5)
    >>> found = with_values(base, {"learning_rate": 2e-3, "n_steps": 16})
    >>> found.final_learning_rate, found.hyperparameters
    (2e-05, {'n_steps': 16})
    """
    rates = {}
    if "learning_rate" in values:
        falls_to = base.final_learning_rate / base.learning_rate
        rates = {
            "learning_rate": values["learning_rate"],
            "final_learning_rate": values["learning_rate"] * falls_to,
        }
    kwargs = {name: values[name] for name in ("log_std_init",) if name in values}
    others = {name: value for name, value in values.items() if name not in (*rates, *kwargs)}
    return base.replace(
        **rates,
        policy_kwargs={**base.policy_kwargs, **kwargs},
        hyperparameters={**base.hyperparameters, **others},
    )


def values_of(algo: str, base: Settings) -> dict[str, Any]:
    """Return what settings have for the names of the space: the point to start from.

    Examples
    --------
    >>> values_of("ppo", Settings(4096, learning_rate=1e-3, hyperparameters={"n_steps": 64, "n_epochs": 3}))
    {'learning_rate': 0.001, 'n_steps': 64, 'batch_size': 64, 'n_epochs': 3, 'clip_range': 0.2, 'ent_coef': 0.0}
    """
    there = {"learning_rate": base.learning_rate, **base.policy_kwargs}
    return {
        name: there[name] if name in there else base.hyperparameter(algo, name)
        for name in SPACE
        # Choices among options have no deviation, and policies that are told none have their own.
        if name != "log_std_init" or name in there
    }
