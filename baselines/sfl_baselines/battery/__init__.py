"""Yardsticks of the battery tier: rules that ration the batteries, and a bound on what any policy can reach."""

from sfl_baselines.battery.bound import ReturnBound, return_bound
from sfl_baselines.battery.policies import BudgetRule, EnergyPrice

__all__ = ["BudgetRule", "EnergyPrice", "ReturnBound", "return_bound"]
