"""Policies that leave out devices for a deadline, from observations alone."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.policies import ObservingPolicy
from sfl_baselines.selection.solver import solve_selection
from sfl_env.arrays import Array
from sfl_env.errors import PolicyError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.scenario import Scenario
from sfl_env.spaces.action import ContinuousAction

DeadlineRule = Callable[[RoundProblem, Array, float], Decision]
"""Maps N rounds' problems, the devices' samples (N, K) and the deadline, seconds, to N rounds' decisions."""

_HURRY = 1e-5
"""By this part of the deadline decisions aim below it: observations and actions are float32, and a device that was
to finish at the deadline itself would be late by their rounding."""

_LEAST_SHARE = math.exp(-2.0 * ContinuousAction.share_log_range)
"""Of the largest share: what a device holds at least in the action mode ``"continuous"``."""


def can_select(scenario: Scenario) -> bool:
    """Whether a scenario's devices all work at once until a deadline, so that leaving some out helps others.

    Examples
    --------
    >>> can_select(Scenario(deadline_s=9.0)), can_select(Scenario(deadline_s=9.0, schedule="sequence"))
    (True, False)
    """
    return scenario.deadline_s is not None and scenario.schedule == "parallel" and not scenario.server_in_turn


def most_samples(problem: RoundProblem, samples: Array, deadline_s: float) -> Decision:
    """Return the decision with the most samples in time."""
    return solve_selection(problem, samples, deadline_s).decision


class DeadlinePolicy(ObservingPolicy):
    """Decide by the observed problem, the observed samples and the deadline.

    Who is left out still holds a share in the action mode ``"continuous"``, e^-10 of the largest. What all devices
    together could so hold is kept back, so that it makes nobody late.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's, with ``deadline_s``.
    rule : callable
        Decides N rounds.
    name : str
        For messages.

    Raises
    ------
    PolicyError
        As for :class:`~sfl_baselines.policies.RulePolicy`, or if the environment's devices do not work at once
        until a deadline.
    """

    def __init__(self, env: Any, rule: DeadlineRule, name: str) -> None:
        super().__init__(env)
        scenario = self.episodes.scenario
        if scenario.deadline_s is None or not can_select(scenario):
            raise PolicyError(
                f"{name!r} leaves devices out of rounds with a deadline in which all work at once, and this "
                f"environment has deadline_s={scenario.deadline_s}, schedule={scenario.schedule!r} and "
                f"server={scenario.server!r}. Make SFL-Deadline-v0, or one with deadline_s=... seconds; without a "
                "deadline everybody is waited for: take 'exact' or 'alternating'."
            )
        self.rule = rule
        self.deadline_s = scenario.deadline_s

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the decisions (N, K) on observations (N, K, F)."""
        samples = np.rint(seen.samples)
        if seen.takes_part is not None:
            samples = samples * seen.takes_part
        band = 1.0 / (1.0 + samples.shape[1] * _LEAST_SHARE)
        problem = _narrowed(self.episodes.problem_under(seen), band)
        cut, share = self.rule(problem, samples, self.deadline_s * (1.0 - _HURRY))
        return Decision(cut, share * band)


def _narrowed(problem: RoundProblem, band: float) -> RoundProblem:
    """Return the problem with a part of the band, in both directions."""
    return dataclasses.replace(
        problem.as_parallel(),
        uplink_bandwidth_hz=problem.uplink_bandwidth_hz * band,
        downlink_full_rate_bps=problem.downlink_full_rate_bps * band,
    )
