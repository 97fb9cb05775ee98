"""What policies are ranked by: lengths of rounds, or what counts in a tier where these are not all."""

from typing import Literal

from sfl_env import Scenario
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEAN, Estimator

Measure = Literal["ratio", "return", "samples", "time"]
"""Rounds over their yardstick; the return of an episode; samples in time for a deadline a second; seconds to the
target accuracy."""


def measure_of(scenario: Scenario) -> Measure:
    """Return what ranks the policies of a scenario.

    Examples
    --------
    >>> measure_of(Scenario()), measure_of(Scenario(battery_share=0.1)), measure_of(Scenario(deadline_s=90.0))
    ('ratio', 'return', 'samples')
    """
    if scenario.deadline_s is not None:
        return "samples"
    if scenario.learning_surrogate:
        return "time"
    counts_more = scenario.energy_weight > 0.0 or scenario.charged_for_dropouts > 0.0
    return "return" if counts_more or scenario.battery_share is not None else "ratio"


def estimator_of(measure: Measure) -> Estimator:
    """Return what the figures over the yardstick are summarised by: parts of what is possible may be 0."""
    return MEAN if measure == "samples" else GEOMETRIC_MEAN
