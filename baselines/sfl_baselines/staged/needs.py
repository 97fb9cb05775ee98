"""How much of the band keeps given stage times, looked up in a table of each link's seconds per bit."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.problem import StagedProblem
from sfl_env.arrays import Array
from sfl_env.optimum.link import Rows

_ENTRIES = 1024
_LEAST_LOG_SHARE = -4.5 * np.log(10.0)
_SPACING = -_LEAST_LOG_SHARE / (_ENTRIES - 1)


_LookUp = Callable[[Array], Array]


class _Table(NamedTuple):
    """Shares by the logarithm of seconds per bit, evenly spaced for each link."""

    first: Array  # (N, K) the logarithm with the whole band
    step: Array  # (N, K)
    log_share: Array  # (N, K, entries), falling from 0


@dataclass(frozen=True)
class Needs:
    """What devices need of the band, about and at least.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each.
    """

    problem: StagedProblem

    @cached_property
    def table(self) -> _Table:
        """The links' table."""
        link = self.problem.band.link()
        n, k = link.snr_hz.shape
        log_shares = np.linspace(0.0, _LEAST_LOG_SHARE, _ENTRIES)
        tolls = np.stack([np.log(link.toll(np.full((n, k), share)).up) for share in np.exp(log_shares)], axis=-1)
        first = tolls[..., 0]
        step = np.maximum((tolls[..., -1] - first) / (_ENTRIES - 1), 1e-12)
        wanted = first[..., None] + step[..., None] * np.arange(_ENTRIES)
        rows = zip(wanted.reshape(n * k, -1), tolls.reshape(n * k, -1), strict=True)
        found = [np.interp(row, toll, log_shares) for row, toll in rows]
        return _Table(first, step, np.reshape(found, (n, k, _ENTRIES)))

    def rows(self, index: Rows) -> "Needs":
        """Some of the N rounds, or some several times."""
        part = Needs(self.problem.rows(index))
        part.__dict__["table"] = _Table(*(values[index] for values in self.table))
        return part

    def about(self, times_s: Array) -> Array:
        """(N, R, K, C): shares that keep R sets of stage times (J, N, R), to about a per cent.

        Infinite where the whole band is not enough. Below the table's end, a share of 3e-5, that is returned.
        """
        return self._shares(times_s, self._interpolated)

    def at_least(self, times_s: Array) -> Array:
        """(N, K, C): no less of the band keeps stage times (J, N); infinite where all of it does not."""
        return self._shares(times_s[..., None], self._floor)[:, 0] * (1.0 - 1e-9)

    def _shares(self, times_s: Array, look_up: "_LookUp") -> Array:
        p = self.problem
        down_s = p.downlink_bits * p.band.link().downlink_s[..., None]
        j, n, k, c = p.shape
        need = np.zeros((n, times_s.shape[2], k, c))
        for stage in range(j):
            left = times_s[stage][..., None, None] * (1.0 + 1e-12) - p.fixed_s[stage][:, None]
            need[left < 0.0] = np.inf
            np.maximum(left, 1e-300, out=left)
            if down_s[stage].any():
                np.maximum(need, down_s[stage][:, None] / left, out=need)
            bits = p.uplink_bits[stage][:, None]
            if bits.any():
                sends = np.maximum(bits, 1e-300)
                place = (np.log(left / sends) - self.table.first[:, None, :, None]) / self.table.step[
                    :, None, :, None
                ]
                np.maximum(need, np.where(bits > 0.0, look_up(place), 0.0), out=need)
                need[(place < -1e-9) & (bits > 0.0)] = np.inf
        need[need > 1.0 + 1e-9] = np.inf
        need[np.broadcast_to(~p.fits[:, None], need.shape)] = np.inf
        return need

    def _entries(self, place: Array) -> tuple[NDArray[np.intp], Array]:
        n, _, k, _ = place.shape
        np.clip(place, 0.0, _ENTRIES - 1.000001, out=place)
        below = place.astype(np.intp)
        return (np.arange(n * k) * _ENTRIES).reshape(n, 1, k, 1) + below, place - below

    def _interpolated(self, place: Array) -> Array:
        entry, part = self._entries(place.copy())
        low, high = self.table.log_share.take(entry), self.table.log_share.take(entry + 1)
        shares: Array = np.exp(low + (high - low) * part)
        return shares

    def _floor(self, place: Array) -> Array:
        # The next entry stands for a longer time, and its share was interpolated within one spacing.
        entry, _ = self._entries(place.copy())
        least = np.exp(self.table.log_share.take(entry + 1) - _SPACING)
        return np.where(place < _ENTRIES - 2, least, 0.0)
