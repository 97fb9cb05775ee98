"""Calls of an environment that are carried out whole or not at all."""

import copy
from types import TracebackType
from typing import Any

from sfl_env.episodes.running import Episodes


class AllOrNothing:
    """A context in which an environment goes on, or is as it was before if anything is raised.

    What can be raised comes from a user's own part, from training, or from a user who interrupts it. Then
    episodes, their generator and their learner go back, and the same call again gives what it would have given.

    Parameters
    ----------
    env : SFLEnv or SFLVectorEnv
        With its ``episodes`` and Gymnasium's generator.
    *own : str
        Names of its other attributes that such calls replace.

    Examples
    --------
    >>> from sfl_env import SFLEnv
    >>> env = SFLEnv()
    >>> _ = env.reset(seed=1)
    >>> with AllOrNothing(env):
    ...     _ = env.reset(seed=2)
    ...     raise OSError("the disk is full")
    Traceback (most recent call last):
        ...
    OSError: the disk is full
    >>> env.np_random_seed
    1
    """

    def __init__(self, env: Any, *own: str) -> None:
        self._env = env
        self._values = {name: getattr(env, name) for name in ("_np_random", "_np_random_seed", *own)}
        self._rng = self._values["_np_random"]
        self._drawn = None if self._rng is None else self._rng.bit_generator.state
        self._position = env.episodes.position
        self._learned = _learned(env.episodes)

    def __enter__(self) -> None:
        """Nothing is left to do: where all stands is known."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        for name, value in self._values.items():
            setattr(self._env, name, value)
        if self._rng is not None:
            self._rng.bit_generator.state = self._drawn
        self._env.episodes.position = self._position
        if self._learned is not None:
            self._env.episodes.learner.load_state_dict(self._learned)


def can_fail(episodes: Episodes) -> bool:
    """Whether a round can break off: in a user's own part or in training.

    Elsewhere, to note where to go back to would take a twentieth of a round's time for nothing.
    """
    return bool(episodes.own_parts) or episodes.learner is not None


def _learned(episodes: Episodes) -> dict[str, Any] | None:
    """Return what the learner has learned, if a part that fails after it may leave it ahead of the episode."""
    if episodes.learner is None or episodes.position is None or not episodes.own_parts:
        return None
    try:
        # A learner of one's own may hand out the very arrays that it goes on changing.
        return copy.deepcopy(episodes.learner.state_dict())
    except NotImplementedError:  # it knows no way back
        return None
