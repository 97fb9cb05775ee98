"""The batched environment: all episodes in one array program behind Gymnasium's vector interface."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sfl_env.checks import (
    Range,
    require_choice,
    require_entries,
    require_instance,
    require_known,
    require_methods,
    shown,
)
from sfl_env.episodes import AllOrNothing, Episodes, ProblemAccess, Transition, action_masks
from sfl_env.errors import ScenarioError
from sfl_env.simulation.states import from_nested
from sfl_env.simulation.stored import restored_generator
from sfl_env.spaces.incoming import as_array
from sfl_env.spaces.probing import any_actions

BoolArray = NDArray[np.bool_]

NUM_ENVS = Range(1, 1_000_000_000, whole=True)
"""More than any memory holds: above it, sizes of arrays overflow before memory is asked for."""

SEED = Range(0, whole=True)


class SFLVectorEnv(ProblemAccess, VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Many environments stepped at once, without a Python loop over them.

    What :class:`~sfl_env.env.SFLEnv` is for one environment this is for N: the same spaces, rewards and
    infos (arrays with the environment axis first, beside ``_key`` masks), computed by the same code.

    Parameters
    ----------
    num_envs : int
        N, at most 1e9.
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

    The infos of a reset have the keys of a step's. What only a round gives is NaN there, and its mask says that it
    is not there; so it is in a step of ``"NextStep"`` where an episode only starts.

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
        self.autoreset_mode = restarting(num_envs, autoreset_mode)
        options = with_length(options, max_episode_steps)
        self.episodes = Episodes(num_envs, **options)
        num_devices = self.episodes.scenario.num_devices
        self.num_envs = num_envs
        self.single_observation_space = self.episodes.observation_encoder.space(num_devices)
        self.single_action_space = self.episodes.action_encoder.space(num_devices)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self._over = np.zeros(num_envs, dtype=np.bool_)  # episodes that have ended and not been restarted
        self._start_of_one: dict[str, Any] | None = None  # infos of an episode's start, the same for each
        require_methods("action", self.episodes.action_encoder, ["encode"], "sfl_env.spaces.ActionEncoder")

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start all episodes, or those of ``options["reset_mask"]``, a boolean (N,) array.

        Those that cannot start leave all as it was.

        Raises
        ------
        ScenarioError
            If the mask is not a boolean array of that shape with at least one entry set, another option is given,
            or a list of seeds has not one for each environment.
        """
        options = {} if options is None else options
        require_instance("options", options, dict, "a dictionary")
        for name in options:
            require_known("option of reset", name, ["reset_mask"])
        mask = options.get("reset_mask")
        if mask is not None:
            self._check_mask(mask)
        with AllOrNothing(self, "_over"):
            super().reset(seed=self._one_seed(seed) if isinstance(seed, list) else seed)
            if mask is None:
                observations = self.episodes.reset(self.np_random)
                self._over = np.zeros(self.num_envs, dtype=np.bool_)
            else:
                observations = self.episodes.restart(mask, self.np_random)
                self._over = self._over & ~mask
            return observations, self._start_infos()

    def _check_mask(self, mask: Any) -> None:
        if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == self._over.shape):
            raise ScenarioError(
                f"options['reset_mask'] is {shown(mask)}; it has to be a boolean array of shape "
                f"{self._over.shape}."
            )
        if not mask.any():
            raise ScenarioError("options['reset_mask'] has no entry set; at least one environment has to start.")

    def _one_seed(self, seeds: list[int | None]) -> int | None:
        """Return the seed of the batch's one generator: of all the seeds, or none where all are ``None``."""
        given = [number for number in seeds if number is not None]
        if len(seeds) != self.num_envs or len(given) not in (0, len(seeds)):
            raise ScenarioError(
                f"seed is {shown(seeds)}; a list has to hold a number for each of the {self.num_envs} "
                "environments, or None for each: they draw from one generator."
            )
        for number in given:
            SEED.require("seed", number)
        return int(np.random.SeedSequence(given).generate_state(1)[0]) if given else None

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], BoolArray, BoolArray, dict[str, Any]]:
        """Carry out one round of every environment; see :class:`gymnasium.vector.VectorEnv`.

        One that fails, or after which an episode cannot start, is as if it had not been asked for.
        """
        if self.episodes.can_fail:
            with AllOrNothing(self, "_over"):
                return self._step(actions)
        return self._step(actions)

    def _step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], BoolArray, BoolArray, dict[str, Any]]:
        some_over = bool(np.count_nonzero(self._over))
        if some_over and self.autoreset_mode == AutoresetMode.DISABLED:
            raise ScenarioError(
                f"Environment {int(np.argmax(self._over))} was stepped after its episode's end; with autoreset "
                "disabled, call reset(options={'reset_mask': terminated | truncated}) first."
            )
        if not some_over:
            done = self.episodes.step(as_array(actions, "action"), self.np_random)
            infos = masked(done.infos, self._everywhere())
        else:
            heeded = self._heeded(as_array(actions, "action"))
            done = self._start_over(self.episodes.step(heeded, self.np_random))
            infos = masked(done.infos, ~self._over) | masked(self.episodes.learning_infos(), self._everywhere())
        self._over = done.terminated | done.truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and np.count_nonzero(self._over):
            done, infos = self._restart_at_once(done)
        # A sum of one term is that term, and infos hold it: rewards are the caller's to change.
        return done.observation, done.reward.copy(), done.terminated, done.truncated, infos

    def action_masks(self) -> BoolArray:
        """Return (N, M): what :meth:`SFLEnv.action_masks <sfl_env.env.SFLEnv.action_masks>` gives, of each."""
        return action_masks(self.episodes)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next round depends on, as plain values; see :meth:`SFLEnv.state_dict`.

        Raises
        ------
        StateError
            Before the first :meth:`reset`.
        """
        return {
            "rng": self.np_random.bit_generator.state,
            "over": self._over.tolist(),
            "episodes": self.episodes.state_dict(),
        }

    def load_state_dict(self, stored: Mapping[str, Any]) -> NDArray[np.float32]:
        """Go on from a stored state, in environments made with the same arguments, and return the observations.

        All of it or nothing: whatever is raised, the episodes stay where they were.

        Raises
        ------
        StateError
            If the state is of another scenario, of another number of environments or of other parts, or if an
            entry is missing, foreign or impossible.
        """
        stored = require_entries(stored, ("rng", "over", "episodes"), "state")
        generator = restored_generator(stored["rng"])
        over: BoolArray = from_nested(self._over, stored["over"], "over")
        observations = self.episodes.load_state_dict(stored["episodes"])
        self.np_random, self._over = generator, over
        return observations

    def _heeded(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the actions with a valid one wherever the episode is over and anything may have been passed."""
        if actions.shape != self.action_space.shape or actions.dtype.kind not in "biuf":
            return actions  # the encoder will say what is wrong
        heeded = actions.copy()
        encoder, seen = self.episodes.action_encoder, self.episodes.now.observed
        heeded[self._over] = any_actions(encoder, self.single_action_space, seen)[self._over]
        return heeded

    def _start_over(self, done: Transition) -> Transition:
        """Replace the meaningless round of episodes that were over by their successors' start."""
        going_on = ~self._over
        observation = self.episodes.restart(self._over, self.np_random)
        reward = done.reward * going_on  # before its terms are gone
        if self._start_of_one is None:
            self._start_of_one = self.episodes.start_infos(1)
        _replace(done.infos, np.flatnonzero(self._over), self._start_of_one | self.episodes.learning_infos())
        return done._replace(
            observation=observation,
            reward=reward,
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
        infos |= masked(self.episodes.learning_infos(), self._everywhere())
        return done._replace(observation=observation), infos

    def _start_infos(self) -> dict[str, Any]:
        """Return the infos of a reset: every key of a round's, marked as not there where only a round gives it."""
        nowhere = ~self._everywhere()
        return masked(self.episodes.start_infos(self.num_envs), nowhere) | masked(
            self.episodes.learning_infos(), self._everywhere()
        )

    def _everywhere(self) -> BoolArray:
        return np.ones(self.num_envs, dtype=np.bool_)


def restarting(num_envs: int, autoreset_mode: AutoresetMode | str) -> AutoresetMode:
    """Return how so many environments start afresh.

    Raises
    ------
    ScenarioError
        If that is no number of environments, or no way to start afresh.
    """
    NUM_ENVS.require("num_envs", num_envs)
    mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
    require_choice("autoreset_mode", mode, [one.value for one in AutoresetMode])
    return AutoresetMode(mode)


def with_length(options: dict[str, Any], max_episode_steps: int | None) -> dict[str, Any]:
    """Return the options with the length of an episode, if it is given, as Gymnasium calls it.

    Raises
    ------
    ScenarioError
        If they have another length.
    """
    if max_episode_steps is None:
        return options
    if options.get("max_rounds", max_episode_steps) != max_episode_steps:
        raise ScenarioError(
            f"max_episode_steps is {max_episode_steps!r} beside max_rounds={options['max_rounds']!r}; both say "
            "how long an episode is: leave one of the two out."
        )
    return options | {"max_rounds": max_episode_steps}


def _replace(infos: dict[str, Any], which: NDArray[np.intp], other: dict[str, Any]) -> None:
    """Replace the infos of some environments, in arrays that are the round's own, by those of one other."""
    for name, values in infos.items():
        if isinstance(values, dict):
            _replace(values, which, other[name])
        else:
            values[which] = other[name][0]


def masked(infos: dict[str, Any], present: BoolArray) -> dict[str, Any]:
    """Return infos with Gymnasium's ``_key`` masks that say which environments an entry holds for."""
    result: dict[str, Any] = {}
    for name, values in infos.items():
        result[name] = masked(values, present) if isinstance(values, dict) else values
        result[f"_{name}"] = present
    return result
