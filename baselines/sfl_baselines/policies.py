"""Policies: rules that see what an agent sees and act through the action space that an agent acts through."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.rules import Rule
from sfl_baselines.wrappers import unchanged_episodes_of
from sfl_env.episodes import Episodes
from sfl_env.errors import DecisionError, PolicyError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.spaces.incoming import as_array

PolicyState = tuple[NDArray[Any], ...] | None

ConditionsRule = Callable[[Conditions], Decision]
"""Maps N rounds' observed conditions to N rounds' decisions."""


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


class ObservingPolicy(ABC):
    """Decide by what observations tell, and encode the decision as an action; the way to do so is a subclass's.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's, wrapped or not, as long as no wrapper changes observations or actions; its encoders
        are used, none of its state.

    Raises
    ------
    PolicyError
        If the environment is not one of this package's, a wrapper changes its observations or actions, or its
        encoders lack a way back.
    """

    def __init__(self, env: Any) -> None:
        self.episodes = unchanged_episodes_of(env)
        space = self.episodes.observation_encoder.space(self.episodes.scenario.num_devices)
        self._single_ndim = len(space.shape)

    @abstractmethod
    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the decisions (N, K) on observations (N, K, F), which tell of the conditions."""

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
        """
        rows = _rows(observation, self._single_ndim)
        single = rows.ndim == self._single_ndim
        rows = rows[None] if single else rows
        seen = self._seen(rows)
        decision = self.decide(rows, seen)
        with way_back(self.episodes.action_encoder, "encode"):
            action = self.episodes.action_encoder.encode(decision, seen)
        return (action[0] if single else action), state

    def _seen(self, rows: NDArray[Any]) -> Conditions:
        with way_back(self.episodes.observation_encoder, "decode"):
            return self.episodes.conditions_of(rows)


class RulePolicy(ObservingPolicy):
    """Decode the observation into a round's problem, decide by a rule, encode the decision as an action.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's, wrapped or not, as long as no wrapper changes observations or actions; its encoders
        are used, none of its state.
    rule : callable
        Decides N problems; write one to compare a method of your own.

    Raises
    ------
    PolicyError
        If the environment is not one of this package's, a wrapper changes its observations or actions, or its
        encoders lack a way back.

    Examples
    --------
    A rule that leaves three blocks on every device, or as many as fit, at equal shares:

    >>> import gymnasium as gym, sfl_env
    >>> from sfl_env import Decision
    >>> from sfl_baselines.rules import deepest_fitting, equal_shares
    >>> env = gym.make("SFL-v0")
    >>> policy = RulePolicy(env, lambda problem: Decision(deepest_fitting(problem, 2), equal_shares(problem)))
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = policy.predict(observation)
    >>> env.step(action)[4]["cut"].max()
    np.int64(2)
    """

    def __init__(self, env: Any, rule: Rule) -> None:
        super().__init__(env)
        self.rule = rule

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the rule's decisions (N, K) on the problems that observations tell of."""
        return self.rule(self._problem(seen))

    def _problem(self, seen: Conditions) -> RoundProblem:
        return self.episodes.problem_under(seen)


class ConditionsPolicy(ObservingPolicy):
    """Decode the observation into conditions, decide by a rule that asks for more than the round's problem.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        As for :class:`RulePolicy`.
    make_rule : callable
        Returns the rule, from the environment's episodes.

    Raises
    ------
    PolicyError
        As for :class:`RulePolicy`, or from ``make_rule`` where the rule is not for such an environment.
    """

    def __init__(self, env: Any, make_rule: Callable[[Episodes], ConditionsRule]) -> None:
        super().__init__(env)
        self._decide = make_rule(self.episodes)

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the rule's decisions (N, K)."""
        return self._decide(seen)


class OraclePolicy(RulePolicy):
    """Decide by the environment's true state, which no agent can see.

    It can only be used on the environment that it was made for, all of whose episodes it decides at once.
    """

    def _seen(self, rows: NDArray[Any]) -> Conditions:
        observed = self.episodes.now.observed
        if len(rows) != len(observed.samples):
            raise PolicyError(
                f"The oracle was given {len(rows)} observations and its environment runs {len(observed.samples)} "
                "episodes; it reads the environment's state and has to decide all of its episodes at once."
            )
        return observed

    def _problem(self, seen: Conditions) -> RoundProblem:
        return self.episodes.true_problem()


class ActionSpacePolicy:
    """Draw uniformly from the action space, as ``env.action_space.sample()`` does, whatever is observed.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's, wrapped or not.
    seed : int
        Of the generator; two policies with the same seed act alike.

    Raises
    ------
    PolicyError
        If the environment is not one of this package's, or a wrapper changes its observations or actions.
    """

    def __init__(self, env: Any, seed: int = 0) -> None:
        episodes = unchanged_episodes_of(env)
        num_devices = episodes.scenario.num_devices
        self._space = episodes.action_encoder.space(num_devices)
        self._space.seed(seed)
        self._single_ndim = len(episodes.observation_encoder.space(num_devices).shape)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: PolicyState = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], PolicyState]:
        """Return an action for an observation (K, F), or actions for a batch (N, K, F)."""
        rows = _rows(observation, self._single_ndim)
        if rows.ndim == self._single_ndim:
            return self._space.sample(), state
        return np.stack([self._space.sample() for _ in rows]), state


def _rows(observation: NDArray[Any] | dict[str, NDArray[Any]], single_ndim: int) -> NDArray[Any]:
    """Return an observation or a batch of them as an array of numbers."""
    kind = type(observation).__name__
    if not isinstance(observation, dict):
        try:
            rows = as_array(observation, "observation")
        except DecisionError as error:
            raise PolicyError(str(error)) from error
        else:
            if rows.dtype.kind in "fiu" and rows.ndim in (single_ndim, single_ndim + 1):
                return rows
            kind = f"an array of {rows.dtype} with {rows.ndim} axes"
    raise PolicyError(
        f"The observation is {kind}; it has to be numbers with {single_ndim} axes, or {single_ndim + 1} for a "
        "batch, as the environment gives them."
    )


@contextmanager
def way_back(encoder: object, method: str) -> Iterator[None]:
    """Name an encoder that lacks a method that solvers alone need, or says in it that there is no way back."""
    if not hasattr(encoder, method):
        raise _no_way_back(encoder, method)
    try:
        yield
    except NotImplementedError as error:
        raise _no_way_back(encoder, method) from error


def _no_way_back(encoder: object, method: str) -> PolicyError:
    kind, meaning = {
        "decode": ("observation", "what an observation tells of"),
        "decode_batteries": ("observation", "what an observation tells of the batteries"),
        "encode": ("action", "the action for a decision"),
    }[method]
    return PolicyError(
        f"The {kind} encoder {type(encoder).__name__} has no {method}(), so baselines do not know {meaning}; "
        "write one."
    )
