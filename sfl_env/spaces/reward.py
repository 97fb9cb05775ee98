"""The reward: a sum of named, weighted terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from sfl_env.arrays import Array, constant
from sfl_env.rounds.outcome import Outcome
from sfl_env.scenario import Scenario


class Reward(Protocol):
    """Turns an outcome into named terms whose sum is the reward; write one to set another goal."""

    def terms(self, outcome: Outcome) -> Mapping[str, Array]:
        """Return the weighted terms, each (N,)."""


@dataclass(frozen=True)
class WeightedReward:
    """Minus latency, energy, dropouts and missed samples, each over its reference and times its weight.

    With the default weights the reward of a round is minus its seconds over ``reference_latency_s``, so the
    undiscounted return is minus the total time in these units.

    Where late devices are left out, time alone rewards nobody for being in time. The term ``missed`` prices the
    part of a round's samples that is not in its average: with the weight w, all of them cost as much as w
    ``reference_latency_s`` more. For given conditions a round with more samples in time is never longer, since it
    lasts to the deadline as soon as one device is late; so for every w > 0 the best round is one with the most
    samples in time, and among rounds with all of them the shortest.
    """

    latency_per_s: float
    energy_per_j: float
    per_dropout: float
    per_missed: float = 0.0

    @classmethod
    def of(cls, scenario: Scenario, reference_latency_s: float) -> "WeightedReward":
        """Take the weights from a scenario."""
        return cls(
            latency_per_s=scenario.latency_weight / reference_latency_s,
            energy_per_j=scenario.energy_weight / scenario.reference_energy_j,
            per_dropout=scenario.charged_for_dropouts,
            per_missed=scenario.missed_weight,
        )

    @cached_property
    def _minus_latency_per_s(self) -> Array:
        return constant(-self.latency_per_s)

    def terms(self, outcome: Outcome) -> Mapping[str, Array]:
        """Return the terms whose weight is not zero, each (N,)."""
        terms: dict[str, Array] = {}
        if self.latency_per_s:
            terms["latency"] = outcome.latency_s * self._minus_latency_per_s
        if self.energy_per_j:
            terms["energy"] = outcome.energy_j.mean(axis=-1) * -self.energy_per_j
        if self.per_dropout:
            terms["dropout"] = (outcome.charge == 0.0).mean(axis=-1) * -self.per_dropout
        if self.per_missed:
            terms["missed"] = outcome.missed() * -self.per_missed
        return terms
