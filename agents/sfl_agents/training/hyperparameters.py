"""What may be set of an algorithm and of its policy, with ranges: all of it is checked beforehand."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from sfl_agents.training.algorithms import ACTIVATIONS, CARRIES_OVER, MASKING, ON_POLICY, algorithm
from sfl_env.checks import Range, require_choice, require_known, shown
from sfl_env.errors import TrainingError

Check = Callable[[str, Any], None]
"""Takes the parameter's name in full and its value; raises :class:`~sfl_env.errors.TrainingError`."""

_MOST_UNITS = 4096
"""Widest layer that a network may have."""

_MOST_LAYERS = 32


def _number(low: float = -math.inf, high: float = math.inf, **options: bool) -> Check:
    within = Range(low, high, **options)

    def check(name: str, value: Any) -> None:
        if value not in within or not isinstance(value, int if within.whole else int | float):
            hint = " (YAML reads 3e-4 as text; write 3.0e-4)" if isinstance(value, str) else ""
            raise TrainingError(f"{name} is {shown(value)}; it has to be {within}{hint}.")

    return check


def _whole(low: int, high: int = 1_000_000_000) -> Check:
    return _number(low, high, whole=True)


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TrainingError(f"{name} is {shown(value)}; it has to be true or false.")


def _optional(check: Check) -> Check:
    def check_unless_none(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return check_unless_none


def _automatic(check: Check) -> Check:
    def check_unless_auto(name: str, value: Any) -> None:
        if isinstance(value, str):
            require_choice(name, value, ("auto",), TrainingError)
        else:
            check(name, value)

    return check_unless_auto


def _gradient_steps(name: str, value: Any) -> None:
    if value == 0:
        raise TrainingError(f"{name} is 0; take -1 for as many as environment steps, or at least 1.")
    _whole(-1, 100_000)(name, value)


def _activation(name: str, value: Any) -> None:
    require_choice(name, value, tuple(ACTIVATIONS), TrainingError)


def _widths(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_LAYERS:
        raise TrainingError(
            f"{name} is {shown(value)}; it has to be a list of 1 to {_MOST_LAYERS} widths, such as [64, 64]."
        )
    for number, width in enumerate(value):
        _whole(1, _MOST_UNITS)(f"{name}[{number}]", width)


def _network(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        _widths(name, value)
        return
    for part, widths in value.items():
        require_known(f"part of {name}", part, ("pi", "qf", "vf"), TrainingError)
        _widths(f"{name}.{part}", widths)


def _betas(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TrainingError(f"{name} is {shown(value)}; it has to be a list of two numbers, such as [0.9, 0.999].")
    for number, beta in enumerate(value):
        _number(0.0, 1.0, high_open=True)(f"{name}[{number}]", beta)


_OPTIMISER: Mapping[str, Check] = {
    "amsgrad": _flag,
    "betas": _betas,
    "eps": _number(0.0, 1.0, low_open=True),
    "foreach": _flag,
    "fused": _flag,
    "weight_decay": _number(0.0, 1.0),
}
"""Arguments of Adam in ``policy_kwargs.optimizer_kwargs``."""


def _optimiser(name: str, value: Any) -> None:
    _check_entries(name, value, _OPTIMISER)


_POSITIVE = _number(0.0, 1e9, low_open=True)
_COEFFICIENT = _number(0.0, 1e9)

HYPERPARAMETERS: Mapping[str, Check] = {
    "batch_size": _whole(1),
    "buffer_size": _whole(1),
    "clip_range": _POSITIVE,
    "clip_range_vf": _optional(_POSITIVE),
    "ent_coef": _COEFFICIENT,
    "gae_lambda": _number(0.0, 1.0),
    "gamma": _number(0.0, 1.0),
    "gradient_steps": _gradient_steps,
    "learning_starts": _whole(0),
    "max_grad_norm": _POSITIVE,
    "n_epochs": _whole(1, 100_000),
    "n_steps": _whole(1),
    "normalize_advantage": _flag,
    "policy_delay": _whole(1),
    "rms_prop_eps": _POSITIVE,
    "sde_sample_freq": _whole(-1),
    "stats_window_size": _whole(1),
    "target_entropy": _automatic(_number(-1e9, 1e9)),
    "target_kl": _optional(_POSITIVE),
    "target_noise_clip": _COEFFICIENT,
    "target_policy_noise": _COEFFICIENT,
    "target_update_interval": _whole(1),
    "tau": _number(0.0, 1.0, low_open=True),
    "train_freq": _whole(1, 100_000),
    "use_rms_prop": _flag,
    "use_sde": _flag,
    "use_sde_at_warmup": _flag,
    "vf_coef": _COEFFICIENT,
}
"""Arguments of the algorithms' classes; which of them an algorithm takes, its signature says."""

_SHARED_POLICY: dict[str, Check] = {
    "activation_fn": _activation,
    "log_std_init": _number(-20.0, 2.0),
    "optimizer_kwargs": _optimiser,
}
_ACTOR_CRITIC = _SHARED_POLICY | {
    "full_std": _flag,
    "net_arch": _network,
    "ortho_init": _flag,
    "use_expln": _flag,
}
_OF_CHOICES: dict[str, Check] = {"activation_fn": _activation, "optimizer_kwargs": _optimiser}
"""Choices among options have no deviation."""

_POINTER: dict[str, Check] = {"width": _whole(1, 256)}

POLICY_ARGUMENTS: Mapping[str, Mapping[str, Check]] = {
    "on-policy CutPointerPolicy": _SHARED_POLICY | _POINTER | {"hedge": _flag, "price": _flag, "staged": _flag},
    "off-policy CutPointerPolicy": _OF_CHOICES | _POINTER | {"n_critics": _whole(1, 100)},
    "DevicePolicy": _SHARED_POLICY | {"net_arch": _widths, "share_per_cut": _flag},
    "MlpLstmPolicy": _ACTOR_CRITIC
    | {
        "enable_critic_lstm": _flag,
        "lstm_hidden_size": _whole(1, _MOST_UNITS),
        "n_lstm_layers": _whole(1, _MOST_LAYERS),
        "shared_lstm": _flag,
    },
    "masking DevicePolicy": _OF_CHOICES | {"net_arch": _widths},
    "masking MlpPolicy": _OF_CHOICES | {"net_arch": _network, "ortho_init": _flag},
    "on-policy MlpPolicy": _ACTOR_CRITIC,
    "off-policy MlpPolicy": {
        "activation_fn": _activation,
        "n_critics": _whole(1, 100),
        "net_arch": _network,
        "optimizer_kwargs": _optimiser,
        "share_features_extractor": _flag,
    },
}
"""Arguments of the policies that may stand in ``policy_kwargs``."""


def hyperparameters_of(algo: str) -> dict[str, Check]:
    """Return what may be set of an algorithm, each with its check.

    Examples
    --------
    >>> sorted(hyperparameters_of("a2c"))[:4]
    ['ent_coef', 'gae_lambda', 'gamma', 'max_grad_norm']
    """
    taken = inspect.signature(algorithm(algo)).parameters
    checks = {name: check for name, check in HYPERPARAMETERS.items() if name in taken}
    if algo == "sac":  # whose coefficient may tune itself
        checks["ent_coef"] = _automatic(_POSITIVE)
    return checks


def check_hyperparameters(algo: str, values: Mapping[str, Any]) -> None:
    """Raise unless an algorithm takes these hyperparameters.

    Raises
    ------
    TrainingError
        For an unknown name, with the nearest known one, or a value out of its range.

    Examples
    --------
    >>> check_hyperparameters("ppo", {"gamma": 0.9})
    >>> check_hyperparameters("ppo", {"n_epochs": 0})
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: hyperparameters.n_epochs is 0; it has to be a whole number from 1 to 100000.
    """
    _check_entries("hyperparameters", values, hyperparameters_of(algo))


def check_policy(policy: str, algo: str, values: Mapping[str, Any]) -> None:
    """Raise unless a policy takes these arguments.

    Raises
    ------
    TrainingError
        For an unknown name, with the nearest known one, or a value out of its range.
    """
    checks = dict(POLICY_ARGUMENTS[_kind(policy, algo)])
    if algo == "sac" and policy == "MlpPolicy":
        checks |= {"log_std_init": _SHARED_POLICY["log_std_init"], "use_expln": _flag}
    _check_entries("policy_kwargs", values, checks)


def _kind(policy: str, algo: str) -> str:
    """Return the entry of :data:`POLICY_ARGUMENTS` that holds for an algorithm's policy."""
    if algo == MASKING:
        return f"masking {policy}"
    if policy in (CARRIES_OVER, "MlpPolicy"):
        return f"{'on' if algo in ON_POLICY else 'off'}-policy {policy}"
    return policy


def _check_entries(where: str, values: Any, checks: Mapping[str, Check]) -> None:
    """Raise unless a mapping has known names alone, each with a value that passes its check."""
    if not isinstance(values, Mapping):
        raise TrainingError(f"{where} is {shown(values)}; it has to be a mapping of names to values.")
    for name, value in values.items():
        require_known(f"entry of {where}", name, checks, TrainingError)
        checks[name](f"{where}.{name}", value)
