"""Calls of an environment that are carried out whole or not at all."""

from types import TracebackType
from typing import Any


class AllOrNothing:
    """A context in which an environment goes on, or is as it was before if anything is raised.

    What can be raised comes from a user's own part, from training, or from a user who interrupts it. Then
    episodes, their generator and their learner go back, and the same call again gives what it would have given.

    Rounds are put into it where they can fail: to note where to go back to takes a single environment a thirtieth
    of a round's time.

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
        self._place = env.episodes.place()

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
        self._env.episodes.go_back(self._place)
