"""Policies: rules that see what an agent sees and act through the action space that an agent acts through."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.environments import episodes_of
from sfl_baselines.rules import RULES, RandomRule, Rule, exact
from sfl_env.checks import nearest_name
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
        One of this package's, wrapped or not; its encoders are used, none of its state.
    rule : callable
        Decides N problems; write one to compare a method of your own.

    Raises
    ------
    PolicyError
        If the environment is not one of this package's or its encoders lack a way back.

    Examples
    --------
    A rule that never offloads less than three blocks, at equal shares:

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
        self.episodes = episodes_of(env)
        self.rule = rule
        for encoder, method in (
            (self.episodes.observation_encoder, "decode"),
            (self.episodes.action_encoder, "encode"),
        ):
            if not callable(getattr(encoder, method, None)):
                raise _no_way_back(encoder, method)
        space = self.episodes.observation_encoder.space(self.episodes.scenario.num_devices)
        self._single_ndim = len(space.shape)

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
        rows = np.asarray(observation)
        single = rows.ndim == self._single_ndim
        decision = self.rule(self._problem(rows[None] if single else rows))
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


ABOUT: Mapping[str, str] = {
    "oracle": "optimal cuts and shares for the true state, which agents cannot see",
    "exact": "optimal cuts and shares for the state as observed",
    "alternating": "alternating optimisation of cuts and shares, as observed",
    "common-cut": "the best single cut for all devices, band split optimally",
    "proportional": "shares in proportion to air time, each device its own best cut",
    "equal-bandwidth": "equal shares, each device its own best cut",
    "federated": "the whole network on every device, band split optimally",
    "shallow": "one block on every device, band split optimally",
    "sequential": "each device the cut that is best with the whole band to itself, for schedule='sequence'",
    "random": "uniform over the cuts that fit and over all splits of the band",
}
"""The policies that :func:`make` knows, and what they do."""


def names() -> tuple[str, ...]:
    """Return the names that :func:`make` knows, the strongest first."""
    return tuple(ABOUT)


def make(name: str, env: Any, seed: int = 0) -> Policy:
    """Make a baseline policy for an environment.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    env : Gymnasium environment or vector environment
        From ``gym.make`` or ``gym.make_vec``.
    seed : int
        Of the random policy's generator; the others draw nothing.

    Returns
    -------
    Policy
        With Stable-Baselines3's ``predict``, so that its ``evaluate_policy`` runs it. With ``action_mode``
        ``"cut"`` the environment splits the band itself, and with ``"discrete"`` shares are rounded to the
        nearest level, whatever the policy's own shares are.

    Raises
    ------
    PolicyError
        For an unknown name, or an environment that policies cannot act in.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-v0", num_devices=5, info_optimum=True)
    >>> policy = make("exact", env)
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = policy.predict(observation)
    >>> info = env.step(action)[4]
    >>> round(float(info["latency_s"] / info["optimal_latency_s"]), 5)
    1.0
    """
    if name == "oracle":
        return OraclePolicy(env, exact)
    if name == "random":
        return RulePolicy(env, RandomRule(seed))
    if name in RULES:
        return RulePolicy(env, RULES[name])
    raise PolicyError(f"Unknown baseline {name!r}{nearest_name(name, ABOUT)}; known are {', '.join(ABOUT)}.")


def _no_way_back(encoder: object, method: str) -> PolicyError:
    kind, meaning = {
        "decode": ("observation", "what an observation tells of"),
        "encode": ("action", "the action for a decision"),
    }[method]
    return PolicyError(
        f"The {kind} encoder {type(encoder).__name__} has no {method}(), so baselines do not know {meaning}; "
        "write one."
    )
