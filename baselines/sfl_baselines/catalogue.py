"""The baselines by name: what each does, and how it is made. Whatever lists or describes them reads this table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sfl_baselines import rules
from sfl_baselines.policies import OraclePolicy, Policy, RandomPolicy, RulePolicy
from sfl_baselines.wrapped import unchanged_episodes_of
from sfl_env.checks import nearest_name
from sfl_env.errors import PolicyError


@dataclass(frozen=True)
class Baseline:
    """One row of the table.

    Parameters
    ----------
    name : str
        What it is called everywhere.
    about : str
        What it does, in a few words.
    policy : callable
        Makes the policy of an environment and a seed.
    schedule : {"parallel", "sequence"} or None
        The schedule without which it is not what its name says; None where it plays in both.
    """

    name: str
    about: str
    policy: Callable[[Any, int], Policy]
    schedule: str | None = None


def _by(rule: rules.Rule) -> Callable[[Any, int], Policy]:
    """Return what makes the policy of a rule that draws nothing."""
    return lambda env, _: RulePolicy(env, rule)


BASELINES: Mapping[str, Baseline] = {
    row.name: row
    for row in (
        Baseline(
            "oracle",
            "reads the true channel, exact optimum",
            lambda env, _: OraclePolicy(env, rules.exact),
        ),
        Baseline("exact", "exact joint optimum of what is observed", _by(rules.exact)),
        Baseline(
            "alternating",
            "alternating optimisation, the reference (Xu et al., 2024)",
            _by(rules.alternating),
        ),
        Baseline("common-cut", "the best single cut for all, optimal band", _by(rules.common_cut)),
        Baseline("proportional", "shares in proportion to need, own best cuts", _by(rules.proportional)),
        Baseline("equal-bandwidth", "equal shares, own best cuts", _by(rules.equal_bandwidth)),
        Baseline("federated", "the whole network on the device, optimal band", _by(rules.federated)),
        Baseline("shallow", "the first cut for all, optimal band", _by(rules.shallow)),
        Baseline(
            "sequential",
            "split learning: devices in sequence, own best cuts with the whole band",
            _by(rules.sequential),
            schedule="sequence",
        ),
        Baseline("random", "uniform over the action space, as `action_space.sample()`", RandomPolicy),
        Baseline(
            "random-decision",
            "uniform over the cuts that fit and over all splits of the band",
            lambda env, seed: RulePolicy(env, rules.RandomDecision(seed)),
        ),
    )
}
"""The baselines, the strongest first.

*Optimal* is meant of devices that work side by side, the system of ``SFL-v0``. In other systems (in sequence, with
synchronised phases, with a deadline) all but ``sequential`` and the random ones decide for that system as a
surrogate, and are carried out in the environment's own. With ``schedule="sequence"`` their cuts count and their
shares do not, since each device has the whole band in its turn; there ``sequential`` is the optimum.
"""


def names() -> tuple[str, ...]:
    """Return the names that :func:`make` knows, the strongest first."""
    return tuple(BASELINES)


def make(name: str, env: Any, seed: int = 0) -> Policy:
    """Make a baseline policy for an environment.

    Parameters
    ----------
    name : str
        One of :func:`names`; :data:`BASELINES` says what each does.
    env : Gymnasium environment or vector environment
        From ``gym.make`` or ``gym.make_vec``. Wrappers have to leave observations and actions as they are.
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
        For an unknown name, an environment that policies cannot act in or whose schedule makes another scheme of
        the baseline, or wrappers that may change what policies see or do.

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
    baseline = BASELINES.get(name) if isinstance(name, str) else None
    if baseline is None:
        near = nearest_name(str(name), BASELINES)
        raise PolicyError(f"Unknown baseline {name!r}{near}; known are {', '.join(BASELINES)}.")
    schedule = unchanged_episodes_of(env).scenario.schedule
    if baseline.schedule not in (None, schedule):
        raise PolicyError(
            f"{name} is {baseline.about}; here the schedule is {schedule!r}, where its decisions are no such "
            f"thing. Make the environment with schedule={baseline.schedule!r}."
        )
    return baseline.policy(env, seed)
