"""Whether what an agent sees and does in an environment is still what the environment itself gives and takes."""

from collections.abc import Iterator
from typing import Any

from sfl_baselines.environments import episodes_of
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError

HARMLESS = frozenset(
    {
        "gymnasium.core.Wrapper",
        "gymnasium.core.RewardWrapper",
        "gymnasium.vector.vector_env.VectorWrapper",
        "gymnasium.vector.vector_env.VectorRewardWrapper",
        *(
            f"gymnasium.wrappers.{name}"
            for name in (
                "common.Autoreset",
                "common.OrderEnforcing",
                "common.PassiveEnvChecker",
                "common.RecordEpisodeStatistics",
                "common.TimeLimit",
                "rendering.HumanRendering",
                "rendering.RecordVideo",
                "rendering.RenderCollection",
                "stateful_reward.NormalizeReward",
                "vector.common.RecordEpisodeStatistics",
                "vector.dict_info_to_list.DictInfoToList",
                "vector.rendering.HumanRendering",
                "vector.rendering.RecordVideo",
                "vector.stateful_reward.NormalizeReward",
            )
        ),
        "sfl_agents.training.rewards.ExcessReward",
        "sfl_agents.training.rewards.LogReward",
        "sfl_agents.vec_env.SFLVecEnv",
        "sfl_env.env.SFLEnv",
        "sfl_env.vector_env.SFLVectorEnv",
        "stable_baselines3.common.monitor.Monitor",
        *(
            f"stable_baselines3.common.vec_env.{name}"
            for name in (
                "base_vec_env.VecEnvWrapper",
                "vec_check_nan.VecCheckNan",
                "vec_monitor.VecMonitor",
                "vec_video_recorder.VecVideoRecorder",
            )
        ),
    }
)
"""Classes that are known to hand observations and actions on as they are, by name: nothing is imported for it."""

_TRANSFORMING = (
    "reset",
    "step",
    "step_async",
    "step_wait",
    "observation",
    "observations",
    "action",
    "actions",
    "__getattribute__",
)
"""Methods in which a wrapper can change what is seen or done."""


def unchanged_episodes_of(env: Any) -> Episodes:
    """Return the episodes that an environment runs, if its observations and actions are those of the episodes.

    A baseline decodes observations and encodes actions as the environment itself does. What a wrapper has changed
    on the way it would take for something else.

    Parameters
    ----------
    env : Gymnasium environment, vector environment or Stable-Baselines3 ``VecEnv``
        One of this package's, wrapped or not.

    Raises
    ------
    PolicyError
        If it is an environment of another kind, or a wrapper changes observations or actions, or may do so.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-v0")
    >>> unchanged_episodes_of(gym.wrappers.NormalizeReward(env)) is env.unwrapped.episodes
    True
    >>> unchanged_episodes_of(gym.wrappers.NormalizeObservation(env))
    Traceback (most recent call last):
        ...
    sfl_env.errors.PolicyError: NormalizeObservation changes, or may change, what is observed or how ...
    """
    episodes = episodes_of(env)
    for layer in _layers(env):
        if _may_transform(layer):
            raise PolicyError(
                f"{type(layer).__name__} changes, or may change, what is observed or how actions are taken, so "
                "that a policy which decodes the environment's own observations would decide about something "
                "else. Give it the environment without this wrapper; if the wrapper leaves both as they are, make "
                "the policy for env.unwrapped."
            )
    return episodes


def _layers(env: Any) -> Iterator[Any]:
    """From the outermost wrapper to the environment itself."""
    while env is not None:
        yield env
        # Gymnasium's wrappers hold an `env`, Stable-Baselines3's a `venv`, our view of a batch the batch, `envs`.
        held = vars(env)
        env = next((held[name] for name in ("env", "venv", "envs") if held.get(name) is not None), None)
        if isinstance(env, list):
            return


def _may_transform(layer: Any) -> bool:
    if any(callable(vars(layer).get(method)) for method in _TRANSFORMING):
        return True  # replaced on the object itself
    if _name(type(layer)) == "stable_baselines3.common.vec_env.vec_normalize.VecNormalize":
        return bool(layer.norm_obs)
    if any(method in vars(layer) for method in _TRANSFORMING):  # put on the object itself
        return True
    for kind in type(layer).__mro__:
        if _name(kind) in HARMLESS:
            return _has_own_spaces(layer)
        if any(method in vars(kind) for method in _TRANSFORMING):
            return True
    return True


def _has_own_spaces(layer: Any) -> bool:
    """Whether a wrapper declares other spaces than what it wraps."""
    inner = next((vars(layer)[name] for name in ("env", "venv") if name in vars(layer)), None)
    return inner is not None and any(
        getattr(layer, name) != getattr(inner, name) for name in ("observation_space", "action_space")
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
