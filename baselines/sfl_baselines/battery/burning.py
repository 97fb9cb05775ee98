"""Policies that empty batteries on purpose: whether losing devices pays is found out by those who try."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.battery.policies import EnergyPrice
from sfl_baselines.rules import deepest_fitting
from sfl_env.optimum import allocate_bandwidth, alone_s
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision


class KillStragglers(EnergyPrice):
    """Run the slowest devices empty, so that nobody has to wait for them; ration the batteries of the others.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One with batteries.
    doomed : float
        Part of the devices that is to leave: those that take longest with the whole band.
    within_s : float
        A doomed device takes the deepest cut at which it is done in these seconds with the whole band.
    **price
        ``weight``, ``exponent`` and ``limit`` of :class:`EnergyPrice`; a limit far above 1 overdraws batteries.
    """

    def __init__(self, env: Any, doomed: float, within_s: float = 200.0, **price: float) -> None:
        super().__init__(env, **price)
        self.doomed, self.within_s = doomed, within_s

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the decisions (N, K)."""
        kept = super().decide(rows, seen)
        problem = self._told(rows, seen).problem
        seconds = alone_s(problem)
        fastest = seconds.min(axis=-1)
        # A device that has left needs no seconds, and is among the fastest.
        rank = np.argsort(np.argsort(-fastest, axis=-1), axis=-1)
        gone = (fastest <= 0.0).sum(axis=-1, keepdims=True)
        chosen = rank < round(self.doomed * rank.shape[1]) - gone
        within = seconds <= self.within_s
        deepest = seconds.shape[-1] - 1 - within[..., ::-1].argmax(axis=-1)
        burnt = np.where(within.any(axis=-1), deepest, deepest_fitting(problem, 0))
        cut = np.where(chosen, burnt, kept.cut)
        split = allocate_bandwidth(problem, cut).decision
        any_chosen = chosen.any(axis=-1, keepdims=True)
        return Decision(cut, np.where(any_chosen, split.bandwidth_share, kept.bandwidth_share))
