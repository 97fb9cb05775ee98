"""A sensible decision without a search: the band in proportion to air time, every device its own best cut."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.optimum.joint import OwnCuts, first_entries, own_cuts
from sfl_env.optimum.link import Toll
from sfl_env.rounds.problem import Decision, RoundProblem

_SMALLEST_TOTAL = 1e-300
"""Stands for the total air time where nobody sends, so that all shares are zero."""


class ByAirTime(NamedTuple):
    """Cuts and shares by air time, and what they were found with."""

    cut: NDArray[np.intp]  # (N, K)
    share: Array  # (N, K) in proportion to air time; 0 where a cut needs no band
    equal: Toll  # (N, K) seconds per bit at an equal share


def air_time_s(devices: OwnCuts, equal: Toll, cut: NDArray[np.intp]) -> Array:
    """Return what devices' bits take at an equal share of the band, (N, K) seconds.

    Parameters
    ----------
    devices : OwnCuts
        N problems of K devices.
    equal : Toll
        Seconds per bit at an equal share.
    cut : (N, K) integer array
        Each device's cut.
    """
    entry = first_entries(devices.fixed_s.shape) + cut
    air_s: Array = devices.uplink_bits.take(entry) * equal.up
    air_s += devices.downlink_bits.take(entry) * equal.down
    return air_s


def in_proportion(weight: Array) -> Array:
    """Return shares (N, K) of the whole band in proportion to weights; zero throughout where all weights are."""
    shares: Array = weight / np.maximum(weight.sum(axis=-1, keepdims=True), _SMALLEST_TOTAL)
    return shares


def split_by_air_time(devices: OwnCuts) -> ByAirTime:
    """Return each device's own best cut at shares in proportion to air time, and shares that suit these cuts.

    Air time is what a device's bits take under equal shares at its own best cut there, so devices with much to
    send or a weak link get more of the band. At these shares cuts are chosen anew, and the shares returned are in
    proportion to the air times of those.
    """
    sends = np.logical_or.reduce(devices.uplink_bits + devices.downlink_bits > 0.0, axis=-1)
    number = np.maximum(np.add.reduce(sends, axis=-1, keepdims=True), 1)
    even = devices.evaluate(sends / number)
    first = air_time_s(devices, even.toll, devices.cut(even))
    cut = devices.cut(devices.evaluate(in_proportion(first)))
    return ByAirTime(cut, in_proportion(air_time_s(devices, even.toll, cut)), even.toll)


def proportional_decision(problem: RoundProblem) -> Decision:
    """Return the decision of :func:`split_by_air_time` for N problems.

    Examples
    --------
    Two devices alike but for twice the bits:

    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0], [1.0]]],
    ...     uplink_bits=[[[1e6], [2e6]]],
    ...     downlink_bits=np.zeros((1, 2, 1)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> proportional_decision(problem).bandwidth_share.round(4)
    array([[0.3333, 0.6667]])
    """
    found = split_by_air_time(own_cuts(problem))
    return Decision(found.cut, found.share)
