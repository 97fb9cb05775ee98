"""How an agent's action becomes a decision, and a decision an action."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_sums
from sfl_env.errors import DecisionError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision
from sfl_env.spaces import masks
from sfl_env.spaces.incoming import floats, indices, shaped

Actions = NDArray[Any]
_SMALLEST_TOTAL = constant(1e-300)
"""Stands for the total weight where no device takes part, so that all shares are zero."""

BandwidthSplitter = Callable[[NDArray[np.intp], Conditions], Array]
"""Returns the shares (N, K) that suit the cuts (N, K) under the observed conditions."""


class ActionEncoder(Protocol):
    """Owns an action space and both ways between its actions and decisions."""

    def space(self, num_devices: int) -> spaces.Space[Any]:
        """Return the space of one environment's action."""

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision that a batch of actions asks for.

        A device that takes no part gets no band. Cuts that do not fit a device's memory may be asked for: the
        environment takes the deepest one that fits.
        """

    def encode(self, decision: Decision, seen: Conditions) -> Actions:
        """Return a batch of actions that stands for the decision, under the same observed conditions."""


@dataclass(frozen=True)
class ContinuousAction:
    """Cut and log-share of every device as two numbers from -1 to 1.

    Parameters
    ----------
    num_cuts : int
        C. Column 0 falls into one of C bins of equal width.
    share_log_range : float
        Column 1 times this is the logarithm of the device's weight; shares are weights over their sum
        (softmax). One device can so get up to exp(2 share_log_range) times another's share.

    Examples
    --------
    >>> from sfl_env.rounds.conditions import Conditions
    >>> encoder = ContinuousAction(num_cuts=4)
    >>> wanted = Decision(cut=np.array([[0, 3]]), bandwidth_share=np.array([[0.25, 0.75]]))
    >>> seen = Conditions(*[None] * 6, np.ones((1, 2)), np.array([[3, 3]]), None, None)
    >>> got = encoder.decode(encoder.encode(wanted, seen), seen)
    >>> got.cut, got.bandwidth_share.round(6)
    (array([[0, 3]]), array([[0.25, 0.75]]))
    """

    num_cuts: int
    share_log_range: float = 5.0

    @cached_property
    def _half_range(self) -> Array:
        """A hair below C / 2, so that 1 falls into the last bin."""
        return constant(math.nextafter(self.num_cuts / 2.0, 0.0))

    @cached_property
    def _share_log_range(self) -> Array:
        return constant(self.share_log_range)

    def space(self, num_devices: int) -> spaces.Box:
        """Return ``Box(-1, 1, (K, 2), float32)``."""
        return spaces.Box(-1.0, 1.0, (num_devices, 2), np.float32)

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision of (N, K, 2) actions.

        Raises
        ------
        DecisionError
            Naming the device and what was wrong: shape, type, NaN, or a number outside [-1, 1].
        """
        wanted, log_weight = checked_pairs(action, seen, 1.0, "(cut, log-share) for every device")
        wanted *= self._half_range
        wanted += self._half_range
        log_weight *= self._share_log_range
        np.exp(log_weight, out=log_weight)
        return Decision(wanted.astype(np.intp), normalised_shares(log_weight, seen))

    def encode(self, decision: Decision, seen: Conditions) -> Actions:
        """Return (N, K, 2) float32 actions: each cut's bin centre, and log-shares around zero.

        A share below exp(-2 share_log_range) of the largest, or of 0, is raised to that, but for devices that take
        no part.
        """
        return np.stack(
            [
                (decision.cut + 0.5) * (2.0 / self.num_cuts) - 1.0,
                _centred_log(decision.bandwidth_share, self.share_log_range),
            ],
            axis=-1,
        ).astype(np.float32)


@dataclass(frozen=True)
class CutAction:
    """Only the cuts are chosen; the band is then split optimally for what is observed.

    Parameters
    ----------
    num_cuts : int
        C.
    split : callable
        Gives the shares for cuts and observed conditions.
    """

    num_cuts: int
    split: BandwidthSplitter

    def space(self, num_devices: int) -> spaces.MultiDiscrete:
        """Return ``MultiDiscrete([C] * K)``."""
        return spaces.MultiDiscrete([self.num_cuts] * num_devices)

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision of (N, K) cut indices."""
        cut = _indices(action, seen.samples.shape, "a cut for every device", self.num_cuts)
        return Decision(cut, self.split(np.minimum(cut, seen.deepest_cut), seen))

    def encode(self, decision: Decision, seen: Conditions) -> Actions:
        """Return the cuts; the shares are left to the environment."""
        return decision.cut.astype(np.int64)

    def masks(self, seen: Conditions) -> NDArray[np.bool_]:
        """Return (N, K C): for every device which cuts it can take, see :func:`.masks.of_cuts`."""
        return masks.flat(masks.of_cuts(seen, self.num_cuts))


@dataclass(frozen=True)
class DiscreteAction:
    """A cut and one of a few share levels for every device.

    Parameters
    ----------
    num_cuts : int
        C.
    num_levels : int
        Levels of the weight, a geometric series; shares are weights over their sum.
    share_log_range : float
        Logarithm of the highest level's weight, and minus that of the lowest's.

    Notes
    -----
    The action's first K entries are the cuts, the last K the levels. A decision is encoded to the nearest
    levels, so its shares come back to within half a level.
    """

    num_cuts: int
    num_levels: int = 32
    share_log_range: float = 3.0

    def space(self, num_devices: int) -> spaces.MultiDiscrete:
        """Return ``MultiDiscrete([C] * K + [num_levels] * K)``."""
        return spaces.MultiDiscrete([self.num_cuts] * num_devices + [self.num_levels] * num_devices)

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision of (N, 2 K) indices."""
        n, k = seen.samples.shape
        values = shaped(action, (n, 2 * k), "action", "K cuts, then K share levels")
        cut = _indices(values[:, :k], (n, k), "K cuts", self.num_cuts)
        level = _indices(values[:, k:], (n, k), "K share levels", self.num_levels)
        weight = np.exp((level * (2.0 / (self.num_levels - 1)) - 1.0) * self.share_log_range)
        return Decision(cut, normalised_shares(weight, seen))

    def encode(self, decision: Decision, seen: Conditions) -> Actions:
        """Return (N, 2 K) indices: the cuts and the nearest levels."""
        scaled = _centred_log(decision.bandwidth_share, self.share_log_range)
        level = np.rint((scaled + 1.0) * ((self.num_levels - 1) / 2.0))
        return np.concatenate([decision.cut, level], axis=-1).astype(np.int64)

    def masks(self, seen: Conditions) -> NDArray[np.bool_]:
        """Return (N, K C + K num_levels): the cuts that every device can take, then the levels."""
        return masks.flat(masks.of_cuts(seen, self.num_cuts), masks.of_levels(seen, self.num_levels))


def checked_pairs(action: Actions, seen: Conditions, bound: float, meaning: str) -> Array:
    """Return both columns of (N, K, 2) actions, (2, N, K) float64, once all numbers are within bounds.

    Raises
    ------
    DecisionError
        Naming the device and what was wrong.
    """
    values = shaped(action, (*seen.samples.shape, 2), "action", meaning)
    if values.dtype.kind != "f":
        values = floats(values, "action", meaning)
    size = np.abs(values)
    # argmax gives the position of the first NaN, too.
    if not size.item(size.argmax()) <= bound:
        _report(~(size <= bound), values, f"every number has to be finite and from {-bound:g} to {bound:g}")
    # Columns apart from each other: NumPy has a faster way for arrays without gaps.
    return values.transpose(2, 0, 1).astype(np.float64, "C")


def normalised_shares(weight: Array, seen: Conditions) -> Array:
    """Divide weights by their sum over the devices that take part, in place, and return them."""
    if seen.takes_part is not None:
        weight *= seen.takes_part
    total = weight.dot(row_sums(weight.shape[1]))
    if seen.takes_part is not None:
        np.maximum(total, _SMALLEST_TOTAL, out=total)
    weight /= total
    return weight


def _centred_log(share: Array, log_range: float) -> Array:
    """Log-shares over log_range, shifted to lie around zero, or at least with the largest at 1.

    Beside a share of 0 the largest always lies at 1, so that what cannot be 0 is as small as can be.
    """
    held = share > 0.0
    log_share = np.log(np.where(held, share, 1.0))
    held |= ~np.logical_or.reduce(held, axis=-1, keepdims=True)  # no device takes part: any weights do
    all_held = np.logical_and.reduce(held, axis=-1, keepdims=True)
    highest = np.where(held, log_share, -np.inf).max(axis=-1, keepdims=True)
    lowest = np.where(held, log_share, np.inf).min(axis=-1, keepdims=True)
    middle = np.where(all_held, np.maximum((highest + lowest) / 2.0, highest - log_range), highest - log_range)
    scaled = np.where(held, (log_share - middle) / log_range, -1.0)
    return np.clip(scaled, -1.0, 1.0)


def _indices(action: Actions, shape: tuple[int, ...], meaning: str, count: int) -> NDArray[np.intp]:
    values = indices(shaped(action, shape, "action", meaning), "action", meaning)
    if values.size and not (values.min() >= 0 and values.max() < count):
        _report((values < 0) | (values >= count), values, f"it has to be from 0 to {count - 1}")
    return values.astype(np.intp)


def _report(bad: NDArray[np.bool_], values: Actions, why: str) -> None:
    env, device = (int(i) for i in np.argwhere(bad)[0][:2])
    raise DecisionError(f"Action of device {device} (environment {env}) is {values[env, device]}; {why}.")
