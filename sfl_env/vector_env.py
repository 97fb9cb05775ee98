"""The batched environment: all episodes in one array program behind Gymnasium's vector interface."""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sfl_env.episodes import Episodes, ProblemAccess, Transition
from sfl_env.errors import ScenarioError
from sfl_env.rounds.problem import Decision

BoolArray = NDArray[np.bool_]


class SFLVectorEnv(ProblemAccess, VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Many environments stepped at once, without a Python loop over them.

    What :class:`~sfl_env.env.SFLEnv` is for one environment this is for N: the same spaces, rewards and
    infos (arrays with the environment axis first, beside ``_key`` masks), computed by the same code.

    Parameters
    ----------
    num_envs : int
        N.
    autoreset_mode : AutoresetMode or str
        ``"NextStep"`` (default): the step after an episode's end ignores its action and returns the new
        episode's first observation with reward 0. ``"SameStep"``: the ending step returns it already, and
        the old episode's last observation and infos are in ``infos["final_obs"]`` and
        ``infos["final_info"]``. ``"Disabled"``: the user resets, with ``options={"reset_mask": mask}``.
    max_episode_steps : int, optional
        Overrides the scenario's ``max_rounds``.
    render_mode : None
        Rendering is the single environment's.
    **options
        As for :class:`~sfl_env.env.SFLEnv`.

    Notes
    -----
    All environments draw from one generator, so a seed fixes the whole batch and not a single
    environment of it.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> envs = gym.make_vec("SFL-v0", num_envs=3, num_devices=4)
    >>> observations, infos = envs.reset(seed=0)
    >>> observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
    >>> infos["device_latency_s"].shape
    (3, 4)
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: None = None,
        **options: Any,
    ) -> None:
        if render_mode is not None:
            raise ScenarioError(
                f"render_mode is {render_mode!r}; the batched environment draws no pictures, gym.make's does."
            )
        if num_envs < 1:
            raise ScenarioError(f"num_envs is {num_envs}; it has to be at least 1.")
        if max_episode_steps is not None:
            options["max_rounds"] = max_episode_steps
        self.episodes = Episodes(num_envs, **options)
        num_devices = self.episodes.scenario.num_devices
        self.num_envs = num_envs
        self.single_observation_space = self.episodes.observation_encoder.space(num_devices)
        self.single_action_space = self.episodes.action_encoder.space(num_devices)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self._over = np.zeros(num_envs, dtype=np.bool_)  # episodes that have ended and not been restarted
        shallow = Decision(np.zeros((1, num_devices), np.intp), np.full((1, num_devices), 1.0 / num_devices))
        self._stand_in = self.episodes.action_encoder.encode(shallow)[0]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start all episodes, or those of ``options["reset_mask"]``, a boolean (N,) array.

        Raises
        ------
        ScenarioError
            If the mask is not a boolean array of that shape with at least one entry set.
        """
        if isinstance(seed, list):
            given = [number for number in seed if number is not None]
            seed = int(np.random.SeedSequence(given).generate_state(1)[0]) if len(given) == len(seed) else None
        super().reset(seed=seed)
        mask = (options or {}).get("reset_mask")
        if mask is None:
            self._over[:] = False
            return self.episodes.reset(self.np_random), {}
        if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == self._over.shape):
            raise ScenarioError(
                f"options['reset_mask'] is {mask!r}; it has to be a boolean array of shape {self._over.shape}."
            )
        if not mask.any():
            raise ScenarioError("options['reset_mask'] has no entry set; at least one environment has to start.")
        self._over[mask] = False
        return self.episodes.restart(mask, self.np_random), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], BoolArray, BoolArray, dict[str, Any]]:
        """Carry out one round of every environment; see :class:`gymnasium.vector.VectorEnv`."""
        some_over = bool(np.count_nonzero(self._over))
        if some_over and self.autoreset_mode == AutoresetMode.DISABLED:
            raise ScenarioError(
                f"Environment {int(np.argmax(self._over))} was stepped after its episode's end; with autoreset "
                "disabled, call reset(options={'reset_mask': terminated | truncated}) first."
            )
        if not some_over:
            done = self.episodes.step(np.asarray(actions), self.np_random)
            infos = masked(done.infos, np.ones(self.num_envs, dtype=np.bool_))
        else:
            done = self._start_over(self.episodes.step(self._heeded(actions), self.np_random))
            infos = masked(done.infos, ~self._over)
        self._over = done.terminated | done.truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and np.count_nonzero(self._over):
            done, infos = self._restart_at_once(done)
        return done.observation, done.reward, done.terminated, done.truncated, infos

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next round depends on, as plain values; see :meth:`SFLEnv.state_dict`.

        Raises
        ------
        ScenarioError
            Before the first :meth:`reset`.
        """
        return {
            "rng": self.np_random.bit_generator.state,
            "over": self._over.tolist(),
            "episodes": self.episodes.state_dict(),
        }

    def load_state_dict(self, stored: dict[str, Any]) -> NDArray[np.float32]:
        """Go on from a stored state, in environments made with the same arguments, and return the observations.

        Raises
        ------
        ScenarioError
            If the state is of another scenario, of another number of environments, or of other parts.
        """
        observations = self.episodes.load_state_dict(stored["episodes"], np.random.default_rng(0))
        self.np_random = np.random.default_rng(0)
        self.np_random.bit_generator.state = stored["rng"]
        self._over = np.array(stored["over"], dtype=np.bool_)
        return observations

    def _heeded(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the actions with a valid one wherever the episode is over and anything may have been passed."""
        heeded = np.array(actions)
        if heeded.shape == self.action_space.shape:  # else the encoder will say what is wrong
            heeded[self._over] = self._stand_in
        return heeded

    def _start_over(self, done: Transition) -> Transition:
        """Replace the meaningless round of episodes that were over by their successors' start."""
        going_on = ~self._over
        return done._replace(
            observation=self.episodes.restart(self._over, self.np_random),
            reward=done.reward * going_on,
            terminated=done.terminated & going_on,
            truncated=done.truncated & going_on,
        )

    def _restart_at_once(self, done: Transition) -> tuple[Transition, dict[str, Any]]:
        ended = self._over
        infos = masked(done.infos, ~ended)
        infos |= {
            "final_obs": done.observation,
            "_final_obs": ended,
            "final_info": masked(done.infos, ended),
            "_final_info": ended,
        }
        observation = self.episodes.restart(ended, self.np_random)
        self._over = np.zeros(self.num_envs, dtype=np.bool_)
        return done._replace(observation=observation), infos


def masked(infos: dict[str, Any], present: BoolArray) -> dict[str, Any]:
    """Return infos with Gymnasium's ``_key`` masks that say which environments an entry holds for."""
    result: dict[str, Any] = {}
    for name, values in infos.items():
        result[name] = masked(values, present) if isinstance(values, dict) else values
        result[f"_{name}"] = present
    return result
