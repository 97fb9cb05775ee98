"""The single environment: a batch of one behind Gymnasium's interface."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sfl_env.episodes import Episodes
from sfl_env.screen import Frame, picture_of, screen


class SFLEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """DOCSTRING."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 2}  # type: ignore[misc]

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.episodes = Episodes(1, **options)
        num_devices = self.episodes.scenario.num_devices
        self.observation_space = self.episodes.observation_encoder.space(num_devices)
        self.action_space = self.episodes.action_encoder.space(num_devices)
        self.render_mode = render_mode
        self._screen = screen(render_mode)
        self._last_info: dict[str, Any] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; see :class:`gymnasium.Env`."""
        super().reset(seed=seed)
        observation = self.episodes.reset(self.np_random)[0]
        self._last_info = None
        if self.render_mode == "human":
            self.render()
        return observation, {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Carry out one round; see :class:`gymnasium.Env`."""
        done = self.episodes.step(np.asarray(action)[None], self.np_random)
        info = self._last_info = _first(done.infos)
        if self.render_mode == "human":
            self.render()
        return (
            done.observation[0],
            float(done.reward[0]),
            bool(done.terminated[0]),
            bool(done.truncated[0]),
            info,
        )

    def render(self) -> Frame | None:
        """Show the last round as a timeline.

        Returns
        -------
        (540, 960, 3) array or None
            The picture in render mode ``"rgb_array"``.

        Raises
        ------
        RenderError
            In render mode ``"human"`` where no window can be opened.
        """
        if self._screen is None:
            return None
        return self._screen.show(picture_of(self.episodes, self._last_info))

    def close(self) -> None:
        """Close the window of render mode ``"human"``."""
        if self._screen is not None:
            self._screen.close()


def _first(infos: dict[str, Any]) -> dict[str, Any]:
    """Return the infos of the only environment."""
    terms = infos.pop("reward_terms")
    single = {name: values[0] for name, values in infos.items()}
    single["reward_terms"] = {name: values[0] for name, values in terms.items()}
    return single
