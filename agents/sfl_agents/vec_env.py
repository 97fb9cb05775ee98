"""The batched environment as a Stable-Baselines3 ``VecEnv``: many environments, one process, no loop over them."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from sfl_env import RoundProblem, SFLVectorEnv
from sfl_env.checks import require_instance
from sfl_env.errors import ScenarioError

Info = dict[str, Any]


class SFLVecEnv(VecEnv):
    """Train Stable-Baselines3 on :class:`sfl_env.SFLVectorEnv`.

    Parameters
    ----------
    envs : SFLVectorEnv
        The batch, made with ``autoreset_mode="SameStep"``: an environment whose episode ends returns the
        first observation of its next one.

    Attributes
    ----------
    batch_infos : dict
        The last step's infos as arrays with the environment axis first, as the batched environment gives
        them.

    Raises
    ------
    ScenarioError
        If the batch has another autoreset mode.

    Notes
    -----
    The list of infos that ``step`` returns has an empty dictionary for every environment that goes on. One
    whose episode has ended has ``terminal_observation``, ``TimeLimit.truncated`` and ``episode``: the
    return ``r``, the length ``l`` and the seconds ``t`` since the environments were reset, as
    Stable-Baselines3's ``Monitor`` reports them. Building 64 full dictionaries a step would cost more than
    the step; what they would hold is in ``batch_infos``.

    Examples
    --------
    >>> envs = SFLVecEnv(SFLVectorEnv(2, autoreset_mode="SameStep", max_rounds=1))
    >>> first = envs.reset()
    >>> observations, rewards, dones, infos = envs.step(np.zeros((2, 10, 2), dtype=np.float32))
    >>> dones, sorted(infos[0])
    (array([ True,  True]), ['TimeLimit.truncated', 'episode', 'terminal_observation'])
    """

    def __init__(self, envs: SFLVectorEnv) -> None:
        require_instance(
            "envs", envs, SFLVectorEnv, "the batched environment itself, without wrappers: envs.unwrapped"
        )
        if envs.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ScenarioError(
                f"autoreset_mode is {envs.autoreset_mode.value!r}; Stable-Baselines3 resets in the step that ends "
                "an episode: make the environments with autoreset_mode='SameStep'."
            )
        self.envs = envs
        self.batch_infos: Info = {}
        self._actions: NDArray[Any] = np.empty(0)
        self._return = np.zeros(envs.num_envs)
        self._length = np.zeros(envs.num_envs, dtype=np.int64)
        self._start_s = time.perf_counter()
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes and return the observations (N, K, F).

        The seed given to :meth:`seed` is used once. The batch draws from one generator, so it is the first
        environment's seed that counts.
        """
        observation, _ = self.envs.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._return[:] = 0.0
        self._length[:] = 0
        self._start_s = time.perf_counter()
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[Info]]:
        """Carry out one round of every environment."""
        observation, reward, terminated, truncated, self.batch_infos = self.envs.step(self._actions)
        self._return += reward
        self._length += 1
        done = terminated | truncated
        infos: list[Info] = [{} for _ in range(self.num_envs)]
        if np.count_nonzero(done):
            self._report_ended(infos, done, truncated & ~terminated)
        return observation, reward.astype(np.float32), done, infos

    def _report_ended(self, infos: list[Info], done: NDArray[np.bool_], truncated: NDArray[np.bool_]) -> None:
        elapsed_s = round(time.perf_counter() - self._start_s, 6)
        final = self.batch_infos["final_obs"]
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": final[i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {
                    "r": round(float(self._return[i]), 6),
                    "l": int(self._length[i]),
                    "t": elapsed_s,
                },
            }
        self._return[done] = 0.0
        self._length[done] = 0

    def close(self) -> None:
        """Close the batch."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the batch's attribute once for each of the environments asked for."""
        value = getattr(self.envs, attr_name)
        return [_of_one(value, i) for i in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the batch.

        Raises
        ------
        ScenarioError
            If only some of the environments are to get it: they share one batch.
        """
        if len(set(self._chosen(indices))) != self.num_envs:
            raise ScenarioError(
                f"{attr_name} was to be set for environments {list(self._chosen(indices))} of {self.num_envs}; "
                "they share one batch, so set it for all (indices=None)."
            )
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the batch once and return each environment's part of a round problem or of masks.

        Any other result is the same object for every environment.
        """
        value = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        if method_name == "action_masks":
            return [value[i] for i in self._chosen(indices)]
        return [_of_one(value, i) for i in self._chosen(indices)]

    def action_masks(self) -> NDArray[np.bool_]:
        """Return (N, M): which options of the coming rounds' actions make sense, of every environment.

        Raises
        ------
        ScenarioError
            If the actions are continuous.
        """
        return self.envs.action_masks()

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Say yes for ``Monitor`` alone, whose episode statistics the infos hold."""
        return [issubclass(wrapper_class, Monitor) for _ in self._chosen(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return no pictures: rendering is the single environment's."""
        return [None] * self.num_envs

    def _chosen(self, indices: VecEnvIndices) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        return list(indices) if isinstance(indices, Iterable) else [indices]


def _of_one(value: Any, index: int) -> Any:
    """Return one environment's part of a batch's round problem, and any other value as it is."""
    if not isinstance(value, RoundProblem):
        return value
    return value.rows(slice(index, index + 1))
