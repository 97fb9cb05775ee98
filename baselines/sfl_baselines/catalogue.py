"""The baselines by name: what each is called, what it does, what it is for, and how it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sfl_baselines import rules
from sfl_baselines.battery import BudgetRule, EnergyPrice
from sfl_baselines.environments import episodes_of
from sfl_baselines.policies import ActionSpacePolicy, ConditionsPolicy, OraclePolicy, Policy, RulePolicy
from sfl_baselines.rules import Rule
from sfl_baselines.selection import DeadlinePolicy, DeadlineRule, can_select, most_samples, select_fedcs
from sfl_baselines.staged import StagedPolicy, StagedSolver, staged_alternating, staged_search
from sfl_baselines.stale import SampleAverage, Statistics, is_known, require_known
from sfl_baselines.surrogates import surrogate_of
from sfl_baselines.time_to_accuracy import solve_time_to_accuracy
from sfl_env.checks import look_up, require_whole
from sfl_env.errors import PolicyError, ScenarioError
from sfl_env.learning.surrogate import find
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.scenario import Scenario


def _everywhere(scenario: Scenario) -> bool:
    return True


@dataclass(frozen=True)
class Baseline:
    """A row of the catalogue."""

    name: str
    about: str
    build: Callable[[Any, int], Policy]  # from an environment and a seed
    suits: Callable[[Scenario], bool] = _everywhere  # whether it is for such a scenario
    needs: str = ""  # what that comes to, for messages; empty where building it tells more


@dataclass(frozen=True)
class _AtOnce:
    """A rule that decides as if all devices worked at once, whatever the system."""

    rule: Rule

    def __call__(self, problem: RoundProblem) -> Decision:
        return self.rule(problem.as_parallel())


def _by_rule(rule: Rule, env: Any, seed: int) -> Policy:
    return RulePolicy(env, _AtOnce(rule))


def _ruled(name: str, about: str, rule: Rule) -> Baseline:
    return Baseline(name, about, partial(_by_rule, rule))


def _oracle(env: Any, seed: int) -> Policy:
    return OraclePolicy(env, _AtOnce(rules.exact))


def _statistics(env: Any, seed: int) -> Policy:
    require_known("statistics", episodes_of(env))
    return ConditionsPolicy(env, Statistics)


def _sample_average(env: Any, seed: int) -> Policy:
    require_known("sample-average", episodes_of(env))
    return ConditionsPolicy(env, partial(SampleAverage, seed=seed))


def _time_to_accuracy(env: Any, seed: int) -> Policy:
    surrogate = surrogate_of(episodes_of(env))
    return RulePolicy(env, _AtOnce(lambda problem: solve_time_to_accuracy(problem, surrogate)[0].decision))


def _learns(scenario: Scenario) -> bool:
    try:
        find(scenario)
    except ScenarioError:
        return False
    return True


def _random_decision(env: Any, seed: int) -> Policy:
    return RulePolicy(env, rules.RandomDecision(seed))


def _takes_turns(scenario: Scenario) -> bool:
    return scenario.schedule == "sequence"


def _in_stages(scenario: Scenario) -> bool:
    return scenario.system == "staged"


def _has_batteries(scenario: Scenario) -> bool:
    return scenario.battery_share is not None and scenario.system == "parallel"


def _rationing(name: str, about: str, build: Callable[[Any], Policy]) -> Baseline:
    return Baseline(name, about, lambda env, seed: build(env), _has_batteries)


def _selecting(name: str, about: str, rule: DeadlineRule) -> Baseline:
    needs = (
        "devices that work at once until a deadline: deadline_s=... seconds, as in SFL-Deadline-v0, without the "
        "queue of server='splitfed-v2'"
    )
    return Baseline(name, about, lambda env, seed: DeadlinePolicy(env, rule, name), can_select, needs)


def _staged(name: str, about: str, solve: StagedSolver) -> Baseline:
    needs = "rounds whose devices wait for each other between stages: barriers='adaptsfl' or 'every-phase'"
    return Baseline(name, about, lambda env, seed: StagedPolicy(env, solve), _in_stages, needs)


_CATALOGUE = (
    Baseline("oracle", "optimal cuts and shares for the true state, which agents cannot see", _oracle),
    _ruled("exact", "optimal cuts and shares for the state as observed", rules.exact),
    _ruled(
        "alternating", "alternating optimisation of cuts and shares (after Xu et al., 2024)", rules.alternating
    ),
    Baseline(
        "sample-average",
        "least mean length of the round over draws of the present channel, given the old one",
        _sample_average,
        is_known,
    ),
    Baseline(
        "statistics",
        "optimal cuts and shares for the links' mean rates, whatever was observed",
        _statistics,
        is_known,
    ),
    Baseline(
        "time-to-accuracy",
        "cuts and shares whose rounds reach the target accuracy first, by fitted constants of learning",
        _time_to_accuracy,
        _learns,
    ),
    _ruled("common-cut", "the best single cut for all devices, band split optimally", rules.common_cut),
    _ruled("proportional", "shares in proportion to air time, each device its own best cut", rules.proportional),
    _ruled("equal-bandwidth", "equal shares, each device its own best cut", rules.equal_bandwidth),
    _ruled("federated", "the whole network on every device, band split optimally", rules.federated),
    _ruled("shallow", "one block on every device, band split optimally", rules.shallow),
    Baseline(
        "sequential",
        "split learning: devices take turns, each at the cut that is best with the whole band to itself",
        partial(_by_rule, rules.sequential),
        _takes_turns,
        "devices that take turns: schedule='sequence'",
    ),
    _selecting(
        "selection", "the most samples in time for the deadline: a knapsack of needed shares", most_samples
    ),
    _selecting(
        "fedcs", "devices added while in time, the one next that adds the least time (after FedCS)", select_fedcs
    ),
    _rationing(
        "energy-price", "seconds plus a price of every device's drain, by how scarce its charge is", EnergyPrice
    ),
    _rationing(
        "budget-rule",
        "the fastest round in which no device takes more than its charge over the rounds left",
        BudgetRule,
    ),
    _staged("staged-search", "rounds in stages: the best decision that a search finds", staged_search),
    _staged(
        "staged-alternating",
        "rounds in stages: the best shares for given cuts and best replies of cuts for given shares, in turn",
        staged_alternating,
    ),
    Baseline(
        "random-decision", "uniform over the cuts that fit and over all splits of the band", _random_decision
    ),
    Baseline("random", "uniform over the action space, as action_space.sample() draws", ActionSpacePolicy),
)
"""The strongest first, where all devices work at once and are waited for. What is for any scenario decides as if
it were so; where it is not, the decision is optimal for that surrogate and not for the round."""

_BY_NAME = {entry.name: entry for entry in _CATALOGUE}


def names(scenario: Scenario | None = None) -> tuple[str, ...]:
    """Return the names that :func:`make` knows, the strongest first.

    Parameters
    ----------
    scenario : Scenario, optional
        Leave out what is not for such a scenario.

    Examples
    --------
    >>> names()[1]
    'exact'
    >>> set(names(Scenario(deadline_s=90.0))) - set(names(Scenario())) == {"selection", "fedcs"}
    True
    """
    return tuple(entry.name for entry in _CATALOGUE if scenario is None or entry.suits(scenario))


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
        Of the random policies' generators, and of the draws of ``sample-average``; the others draw nothing.

    Returns
    -------
    Policy
        With Stable-Baselines3's ``predict``, so that its ``evaluate_policy`` runs it. With ``action_mode``
        ``"cut"`` the environment splits the band itself, and with ``"discrete"`` shares are rounded to the
        nearest level, whatever the policy's own shares are.

    Raises
    ------
    PolicyError
        For an unknown name, a seed that is none, an environment that policies cannot act in, wrappers that change
        observations or actions, or a scenario that the baseline is not for.

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
    entry, scenario = _entry(name), episodes_of(env).scenario
    require_whole("seed", seed, 0, error=PolicyError)
    if entry.needs and not entry.suits(scenario):
        raise PolicyError(
            f"{name!r} is for {entry.needs}. Make the environment so; for it as it is there are "
            f"{', '.join(names(scenario))}."
        )
    return entry.build(env, seed)


def _entry(name: str) -> Baseline:
    return look_up("baseline", name, _BY_NAME, PolicyError)
