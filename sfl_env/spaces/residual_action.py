"""Actions relative to a sensible decision, for agents that start with standard normal noise."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.optimum.by_air_time import air_time_s
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision
from sfl_env.spaces.action import Actions, checked_pairs, normalised_shares
from sfl_env.spaces.sensible import SensibleDecisions

BOUND = 5.0
"""Actions are from minus this to this: an agent's standard normal noise stays within."""

_SAME_CUT = 2.0
"""Up to this the cut is the sensible decision's."""

_KNOTS = np.array([-BOUND, -3.5, 3.5, BOUND])
_LOG_WEIGHT = np.array([-8.0, -0.7, 0.7, 8.0])
"""Log-weights at the knots, in between on straight lines: fine steps within the noise, a wide range beyond."""


@dataclass(frozen=True)
class ResidualAction:
    """How far every device's cut and share are from a sensible decision's, as two numbers from -5 to 5.

    The zero action is the decision of :class:`~sfl_env.spaces.sensible.SensibleDecisions`: every device's own best
    cut and shares in proportion to air time. Numbers are in units of the noise that agents commonly start with, a
    standard normal one.

    Parameters
    ----------
    num_cuts : int
        C. Column 0 within [-2, 2] is the sensible cut; beyond, C - 1 bins of equal width on either side are 1, 2,
        ... cuts deeper (positive) or shallower, to the last one there is.
    sensible : SensibleDecisions
        The decision that actions are relative to.

    Notes
    -----
    Column 1 gives the logarithm of what the device's weight is multiplied with: 0.2 times the number up to 3.5,
    and on a steeper line from 0.7 to 8 at the end. The weight is the device's air time at the cut asked for, at an
    equal share, so a device whose cut sends nothing gets no band. Shares are weights over their sum.
    """

    num_cuts: int
    sensible: SensibleDecisions

    def space(self, num_devices: int) -> spaces.Box:
        """Return ``Box(-5, 5, (K, 2), float32)``."""
        return spaces.Box(-BOUND, BOUND, (num_devices, 2), np.float32)

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision of (N, K, 2) actions.

        Raises
        ------
        DecisionError
            Naming the device and what was wrong: shape, type, NaN, or a number outside [-5, 5].
        """
        offset, residual = checked_pairs(action, seen, BOUND, "(cut offset, log-share) for every device")
        base = self.sensible(seen).decision
        beyond = np.maximum(np.abs(offset) - _SAME_CUT, 0.0)
        steps = np.ceil(beyond * (max(self.num_cuts - 1, 1) / (BOUND - _SAME_CUT)))
        cut = np.clip(base.cut + np.copysign(steps, offset), 0, self.num_cuts - 1).astype(np.intp)
        weight = self._air_time_s(cut, seen) * np.exp(np.interp(residual, _KNOTS, _LOG_WEIGHT))
        return Decision(cut, normalised_shares(weight, seen))

    def encode(self, decision: Decision, seen: Conditions) -> Actions:
        """Return (N, K, 2) float32 actions.

        A share further than exp(8) from that by air time, or of 0, is moved to that, but where nothing is sent.
        """
        base = self.sensible(seen).decision
        steps = decision.cut - base.cut
        width = (BOUND - _SAME_CUT) / max(self.num_cuts - 1, 1)
        offset = np.where(steps == 0, 0.0, np.copysign(_SAME_CUT + (np.abs(steps) - 0.5) * width, steps))
        weight = self._air_time_s(decision.cut, seen)
        held = (weight > 0.0) & (decision.bandwidth_share > 0.0)
        log_weight = np.log(np.where(held, decision.bandwidth_share, 1.0) / np.where(held, weight, 1.0))
        number = np.maximum(held.sum(axis=-1, keepdims=True), 1)
        log_weight -= np.where(held, log_weight, 0.0).sum(axis=-1, keepdims=True) / number
        log_weight = np.where(held, log_weight, _LOG_WEIGHT[0])
        residual = np.interp(log_weight, _LOG_WEIGHT, _KNOTS)
        return np.stack([offset, residual], axis=-1).astype(np.float32)

    def _air_time_s(self, cut: NDArray[np.intp], seen: Conditions) -> Array:
        """Return what devices' bits take at an equal share, whatever fits at their cuts."""
        devices, base = self.sensible(seen)
        fitting = np.minimum(cut, seen.deepest_cut)
        return air_time_s(devices, base.equal, fitting)
