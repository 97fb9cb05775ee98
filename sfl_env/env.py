"""The single environment: a batch of one behind Gymnasium's interface."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sfl_env.episodes import Episodes


class SFLEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """DOCSTRING."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 2}  # type: ignore[misc]

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.episodes = Episodes(1, **options)
        num_devices = self.episodes.scenario.num_devices
        self.observation_space = self.episodes.observation_encoder.space(num_devices)
        self.action_space = self.episodes.action_encoder.space(num_devices)
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; see :class:`gymnasium.Env`."""
        super().reset(seed=seed)
        return self.episodes.reset(self.np_random)[0], {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Carry out one round; see :class:`gymnasium.Env`."""
        done = self.episodes.step(np.asarray(action)[None], self.np_random)
        return (
            done.observation[0],
            float(done.reward[0]),
            bool(done.terminated[0]),
            bool(done.truncated[0]),
            _single(done.infos),
        )


def _single(infos: dict[str, Any]) -> dict[str, Any]:
    """Return the infos of the only environment."""
    return {
        name: _single(values) if isinstance(values, dict) else values[0] if values.ndim > 1 else float(values[0])
        for name, values in infos.items()
    }
