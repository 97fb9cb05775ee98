"""Policies: rules that see what an agent sees and act through the action space that an agent acts through."""

import copy
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_baselines.rules import Rule
from sfl_baselines.wrapped import unchanged_episodes_of
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError
from sfl_env.rounds.problem import RoundProblem

PolicyState = tuple[NDArray[Any], ...] | None


class Policy(Protocol):
    """Whatever decides rounds: baselines and Stable-Baselines3's agents alike."""

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return the action (or actions) for an observation (or a batch of them), and the next state."""


class RulePolicy:
    """Decode the observation into a round's problem, decide by a rule, encode the decision as an action.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's; its wrappers have to leave observations and actions as they are. Its encoders are
        used, none of its state.
    rule : callable
        Decides N problems; write one to compare a method of your own. The problems say which system they stand
        for, and solvers refuse those that they do not know: see :meth:`sfl_env.RoundProblem.as_parallel`.

    Raises
    ------
    PolicyError
        If the environment is not one of this package's, a wrapper may change what policies see or do, or its
        encoders lack a way back.

    Examples
    --------
    A rule that leaves three blocks on every device, or as many as its memory holds, at equal shares:

    >>> import gymnasium as gym, sfl_env
    >>> from sfl_env import Decision
    >>> from sfl_baselines.rules import deepest_fitting, equal_shares
    >>> env = gym.make("SFL-v0")
    >>> policy = RulePolicy(env, lambda problem: Decision(deepest_fitting(problem, 2), equal_shares(problem)))
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = policy.predict(observation)
    >>> env.step(action)[4]["cut"]
    array([2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """

    def __init__(self, env: Any, rule: Rule) -> None:
        self.episodes = unchanged_episodes_of(env)
        self.rule = rule
        for encoder, method in (
            (self.episodes.observation_encoder, "decode"),
            (self.episodes.action_encoder, "encode"),
        ):
            if not callable(getattr(encoder, method, None)):
                raise _no_way_back(encoder, method)
        self._seen = _space_of_observations(self.episodes)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return the action for an observation (K, F), or the actions for a batch (N, K, F).

        Parameters
        ----------
        observation : (K, F) or (N, K, F) array
            As the environment gives it.
        state, episode_start, deterministic
            Stable-Baselines3's; rules remember nothing between rounds, and ``state`` is handed back.

        Returns
        -------
        action : array
            One action, or N of them.
        state
            As given.

        Raises
        ------
        PolicyError
            If the observation is none of the environment's: another type or shape, a number outside the space.
        """
        rows, single = _batch(observation, self._seen)
        decision = self.rule(self._problem(rows))
        try:
            action = self.episodes.action_encoder.encode(decision)
        except NotImplementedError as error:
            raise _no_way_back(self.episodes.action_encoder, "encode") from error
        return (action[0] if single else action), state

    def _problem(self, rows: NDArray[Any]) -> RoundProblem:
        try:
            return self.episodes.problem_of(rows)
        except NotImplementedError as error:
            raise _no_way_back(self.episodes.observation_encoder, "decode") from error


class OraclePolicy(RulePolicy):
    """Decide by the environment's true state, which no agent can see.

    It can only be used on the environment that it was made for, all of whose episodes it decides at once.
    """

    def _problem(self, rows: NDArray[Any]) -> RoundProblem:
        problem = self.episodes.true_problem()
        if len(rows) != problem.shape[0]:
            raise PolicyError(
                f"The oracle was given {len(rows)} observations and its environment runs {problem.shape[0]} "
                "episodes; it reads the environment's state and has to decide all of its episodes at once."
            )
        return problem


class RandomPolicy:
    """Act as ``action_space.sample()`` does: uniformly over the action space, whatever is observed.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        As for :class:`RulePolicy`.
    seed : int
        Of the policy's own generator; it draws what the action space of a single environment would with this seed.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-v0")
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = RandomPolicy(env, seed=3).predict(observation)
    >>> _ = env.action_space.seed(3)
    >>> bool((action == env.action_space.sample()).all())
    True
    """

    def __init__(self, env: Any, seed: int = 0) -> None:
        episodes = unchanged_episodes_of(env)
        self._seen = _space_of_observations(episodes)
        # A copy, so that an encoder that keeps its space shares no draws with it.
        self._acted = copy.deepcopy(episodes.action_encoder.space(episodes.scenario.num_devices))
        self._acted.seed(seed)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return a random action for an observation (K, F), or N of them for a batch (N, K, F).

        Raises
        ------
        PolicyError
            As :meth:`RulePolicy.predict`.
        """
        rows, single = _batch(observation, self._seen)
        actions = [self._acted.sample() for _ in range(len(rows))]
        if not actions:
            return np.empty((0, *(self._acted.shape or ())), self._acted.dtype), state
        return (actions[0] if single else np.stack(actions)), state


def _space_of_observations(episodes: Episodes) -> spaces.Box:
    return episodes.observation_encoder.space(episodes.scenario.num_devices)


def _batch(observation: object, space: spaces.Box) -> tuple[NDArray[Any], bool]:
    """Return observations as a batch, and whether there was a single one."""
    rows = np.asarray(_as_array(observation))
    if rows.dtype.kind not in "iuf":
        raise PolicyError(f"The observation is of type {rows.dtype}; it has to hold the environment's numbers.")
    single = rows.shape == space.shape
    if not single and rows.shape[1:] != space.shape:
        raise PolicyError(
            f"The observation has shape {rows.shape}; here it has to be {space.shape}, or (N, ...) for a batch."
        )
    inside = (rows >= space.low) & (rows <= space.high)
    if np.count_nonzero(inside) < rows.size:
        where = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise PolicyError(
            f"The observation has {rows[where]} at {where}, outside the environment's observation space: it has "
            "been changed on its way here. Hand over what the environment itself returns."
        )
    return (rows[None] if single else rows), single


def _as_array(observation: object) -> NDArray[Any]:
    if isinstance(observation, np.ma.MaskedArray) and np.ma.is_masked(observation):
        raise PolicyError("The observation has masked entries; every entry has to have its value.")
    try:
        return np.asarray(observation)
    except Exception as error:  # whatever the object's own conversion raises
        raise PolicyError(
            f"The observation is a {type(observation).__name__} that NumPy makes no array of: {error}"
        ) from error


def _no_way_back(encoder: object, method: str) -> PolicyError:
    kind, meaning = {
        "decode": ("observation", "what an observation tells of"),
        "encode": ("action", "the action for a decision"),
    }[method]
    return PolicyError(
        f"The {kind} encoder {type(encoder).__name__} has no {method}(), so baselines do not know {meaning}; "
        "write one."
    )
