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
    """Minus latency, energy and dropouts, each over its reference and times its weight.

    With the default weights the reward of a round is minus its seconds over ``reference_latency_s``, so the
    undiscounted return is minus the total time in these units.
    """

    latency_per_s: float
    energy_per_j: float
    per_dropout: float

    @classmethod
    def of(cls, scenario: Scenario, reference_latency_s: float) -> "WeightedReward":
        """Take the weights from a scenario."""
        return cls(
            latency_per_s=scenario.latency_weight / reference_latency_s,
            energy_per_j=scenario.energy_weight / scenario.reference_energy_j,
            per_dropout=scenario.dropout_weight,
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
        return terms
