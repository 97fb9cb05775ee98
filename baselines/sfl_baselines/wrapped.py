"""Environments in their wrappers: the episodes within, and whether the wrappers leave alone what policies see."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv, VectorWrapper

from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError

HARMLESS = frozenset(
    {
        ("gymnasium", "Autoreset"),
        ("gymnasium", "ClipReward"),
        ("gymnasium", "DictInfoToList"),
        ("gymnasium", "HumanRendering"),
        ("gymnasium", "NormalizeReward"),
        ("gymnasium", "OrderEnforcing"),
        ("gymnasium", "PassiveEnvChecker"),
        ("gymnasium", "RecordEpisodeStatistics"),
        ("gymnasium", "RecordVideo"),
        ("gymnasium", "RenderCollection"),
        ("gymnasium", "TimeLimit"),
        ("gymnasium", "TransformReward"),
        ("sfl_agents", "LogReward"),
        ("sfl_agents", "SFLVecEnv"),
        ("stable_baselines3", "Monitor"),
        ("stable_baselines3", "VecCheckNan"),
        ("stable_baselines3", "VecMonitor"),
        ("stable_baselines3", "VecVideoRecorder"),
    }
)
"""Wrappers, by package and name, that override a method below and hand observations and actions on as they are."""

_PLAIN = frozenset(
    {
        ("gymnasium", "Env"),
        ("gymnasium", "RewardWrapper"),
        ("gymnasium", "VectorEnv"),
        ("gymnasium", "VectorRewardWrapper"),
        ("gymnasium", "VectorWrapper"),
        ("gymnasium", "Wrapper"),
        ("sfl_env", "ProblemAccess"),
        ("sfl_env", "SFLEnv"),
        ("sfl_env", "SFLVectorEnv"),
    }
)
"""Bases whose own methods hand everything on; what a class adds to them is looked at."""

_TELLING = frozenset(
    {
        "__getattr__",
        "__getattribute__",
        "action",
        "action_space",
        "actions",
        "episodes",
        "observation",
        "observation_space",
        "observations",
        "reset",
        "reset_wait",
        "single_action_space",
        "single_observation_space",
        "step",
        "step_async",
        "step_wait",
        "unwrapped",
    }
)
"""Names through which a wrapper can change what policies see or do."""

_SPACES = ("observation_space", "action_space", "single_observation_space", "single_action_space")


def episodes_of(env: Any) -> Episodes:
    """Return the episodes that an environment of this package runs, wrapped or not.

    Raises
    ------
    PolicyError
        If it is an environment of another kind.
    """
    *_, core = _layers(env)
    episodes = getattr(core, "episodes", None)
    if isinstance(episodes, Episodes):
        return episodes
    raise PolicyError(
        f"{env} is no environment of sfl_env's: make it with gym.make or gym.make_vec and one of its ids."
    )


def unchanged_episodes_of(env: Any) -> Episodes:
    """Return the episodes of an environment whose wrappers leave observations and actions as they are.

    Policies decode what the environment's own encoders have encoded. Where a wrapper stands between and
    normalises, stacks, rescales or clips, they would decode something else, without a sign of it.

    Raises
    ------
    PolicyError
        If it is an environment of another kind; or if a wrapper changes observations or actions, or is not known
        to leave them alone: it overrides one of the methods that they pass through.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-v0")
    >>> unchanged_episodes_of(env).n
    1
    >>> unchanged_episodes_of(gym.wrappers.NormalizeObservation(env))
    Traceback (most recent call last):
        ...
    sfl_env.errors.PolicyError: NormalizeObservation may change what policies see or do: it has other ...
    """
    episodes = episodes_of(env)
    # From within, so that it is the wrapper itself that is named and not one around it.
    layers = list(_layers(env))[::-1]
    for inner, layer in zip([None, *layers], layers, strict=False):
        reason = _reason(layer, inner)
        if reason:
            raise PolicyError(
                f"{type(layer).__name__} may change what policies see or do: it {reason}. Policies decode the "
                "environment's own observations and encode its own actions; make them for the environment without "
                "this wrapper, such as env.unwrapped, and hand them its observations."
            )
    return episodes


def _layers(env: Any) -> Iterator[Any]:
    """Go through an environment's wrappers to what they wrap, the outermost first."""
    while True:
        yield env
        inner = next((vars(env)[name] for name in ("env", "venv", "envs") if name in _own(env)), None)
        if not isinstance(inner, (gym.Env, VectorEnv)) and not hasattr(inner, "step_wait"):
            return
        env = inner


def _own(env: Any) -> dict[str, Any]:
    return getattr(env, "__dict__", {})


def _reason(layer: Any, inner: Any) -> str:
    """Return why a layer cannot be trusted to leave observations and actions alone, or nothing."""
    if _name(type(layer)) == ("stable_baselines3", "VecNormalize"):
        return "normalises observations" if layer.norm_obs else ""
    if isinstance(layer, (gym.Wrapper, VectorWrapper)) and any(_differs(layer, inner, name) for name in _SPACES):
        return "has other spaces than the environment in it"
    replaced = _TELLING & vars(layer).keys() - _assigned(layer)
    if _name(type(layer)) not in HARMLESS:
        for kind in type(layer).__mro__[:-1]:
            if _name(kind) not in _PLAIN:
                replaced |= _TELLING & vars(kind).keys()
    return f"overrides {', '.join(sorted(replaced))}" if replaced else ""


def _assigned(layer: Any) -> frozenset[str]:
    """Names that environments themselves assign to their objects."""
    return frozenset(_SPACES) | ({"episodes"} if isinstance(layer, (SFLEnv, SFLVectorEnv)) else set())


def _differs(layer: Any, inner: Any, name: str) -> bool:
    return hasattr(inner, name) and getattr(layer, name) != getattr(inner, name)


def _name(kind: type) -> tuple[str, str]:
    """Return a class's package and its name."""
    return kind.__module__.partition(".")[0], kind.__qualname__
