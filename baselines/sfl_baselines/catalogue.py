"""The baselines by name: what each is called, what it does, and how it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sfl_baselines import rules
from sfl_baselines.environments import episodes_of
from sfl_baselines.policies import ActionSpacePolicy, OraclePolicy, Policy, RulePolicy
from sfl_baselines.rules import Rule
from sfl_baselines.surrogates import surrogate_of
from sfl_baselines.time_to_accuracy import solve_time_to_accuracy
from sfl_env.checks import look_up
from sfl_env.errors import PolicyError
from sfl_env.rounds.problem import Decision, RoundProblem

TIME_TO_ACCURACY = "time-to-accuracy"
"""Decides where there are constants of learning alone."""


@dataclass(frozen=True)
class Baseline:
    """A row of the catalogue."""

    name: str
    about: str
    build: Callable[[Any, int], Policy]  # from an environment and a seed
    schedule: str | None = None  # the only one that it is for; None: it decides in any


@dataclass(frozen=True)
class _AtOnce:
    """A rule that decides as if all devices worked at once, whatever the system."""

    rule: Rule

    def __call__(self, problem: RoundProblem) -> Decision:
        return self.rule(problem.as_parallel())


def _by_rule(rule: Rule, env: Any, seed: int) -> Policy:
    return RulePolicy(env, _AtOnce(rule))


def _oracle(env: Any, seed: int) -> Policy:
    return OraclePolicy(env, _AtOnce(rules.exact))


def _time_to_accuracy(env: Any, seed: int) -> Policy:
    surrogate = surrogate_of(episodes_of(env))
    return RulePolicy(env, _AtOnce(lambda problem: solve_time_to_accuracy(problem, surrogate)[0].decision))


def _random_decision(env: Any, seed: int) -> Policy:
    return RulePolicy(env, rules.RandomDecision(seed))


def _ruled(name: str, about: str, rule: Rule, schedule: str | None = None) -> Baseline:
    return Baseline(name, about, partial(_by_rule, rule), schedule)


_CATALOGUE = (
    Baseline("oracle", "optimal cuts and shares for the true state, which agents cannot see", _oracle),
    _ruled("exact", "optimal cuts and shares for the state as observed", rules.exact),
    _ruled(
        "alternating", "alternating optimisation of cuts and shares (after Xu et al., 2024)", rules.alternating
    ),
    Baseline(
        TIME_TO_ACCURACY,
        "cuts and shares whose rounds reach the target accuracy first, by fitted constants of learning",
        _time_to_accuracy,
    ),
    _ruled("common-cut", "the best single cut for all devices, band split optimally", rules.common_cut),
    _ruled("proportional", "shares in proportion to air time, each device its own best cut", rules.proportional),
    _ruled("equal-bandwidth", "equal shares, each device its own best cut", rules.equal_bandwidth),
    _ruled("federated", "the whole network on every device, band split optimally", rules.federated),
    _ruled("shallow", "one block on every device, band split optimally", rules.shallow),
    _ruled(
        "sequential",
        "split learning: devices take turns, each at the cut that is best with the whole band to itself",
        rules.sequential,
        schedule="sequence",
    ),
    Baseline(
        "random-decision", "uniform over the cuts that fit and over all splits of the band", _random_decision
    ),
    Baseline("random", "uniform over the action space, as action_space.sample() draws", ActionSpacePolicy),
)
"""The strongest first. They decide as if all devices worked at once; where a scenario has it otherwise, their
decision is optimal for that surrogate and not for the round."""

_BY_NAME = {entry.name: entry for entry in _CATALOGUE}


def names() -> tuple[str, ...]:
    """Return the names that :func:`make` knows, the strongest first.

    Examples
    --------
    >>> names()[1]
    'exact'
    """
    return tuple(_BY_NAME)


def about(name: str) -> str:
    """Return what a baseline does, in a few words.

    Raises
    ------
    PolicyError
        For an unknown name.

    Examples
    --------
    >>> about("random")
    'uniform over the action space, as action_space.sample() draws'
    """
    return _entry(name).about


def make(name: str, env: Any, seed: int = 0) -> Policy:
    """Make a baseline policy for an environment.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    env : Gymnasium environment or vector environment
        From ``gym.make`` or ``gym.make_vec``.
    seed : int
        Of the random policies' generators; the others draw nothing.

    Returns
    -------
    Policy
        With Stable-Baselines3's ``predict``, so that its ``evaluate_policy`` runs it. With ``action_mode``
        ``"cut"`` the environment splits the band itself, and with ``"discrete"`` shares are rounded to the
        nearest level, whatever the policy's own shares are.

    Raises
    ------
    PolicyError
        For an unknown name, an environment that policies cannot act in, wrappers that change observations or
        actions, or a schedule that the baseline is not for.

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
    entry = _entry(name)
    policy = entry.build(env, seed)
    if entry.schedule is not None:
        schedule = episodes_of(env).scenario.schedule
        if schedule != entry.schedule:
            raise PolicyError(
                f"{name!r} is for schedule={entry.schedule!r}, and this environment has schedule={schedule!r}, in "
                f"which its decisions would be another scheme's. Make the environment with that schedule."
            )
    return policy


def _entry(name: str) -> Baseline:
    return look_up("baseline", name, _BY_NAME, PolicyError)
