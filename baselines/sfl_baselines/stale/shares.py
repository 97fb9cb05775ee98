r"""Shares of the band under which rounds are shortest in the mean over draws of the channel, for given cuts.

The mean of the slowest device's time is convex in the shares, since each device's time is. Its corners, where two
devices change places, are rounded off: with the temperature t the longest time becomes
:math:`t \log \sum_k e^{T_k / t}`, which is at most :math:`t \log K` above it, and Newton's method in all shares at
once takes few steps. The temperature goes down to a thousandth of the round.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.stale.sampled import SampledRounds, Times
from sfl_env.arrays import Array
from sfl_env.rounds.problem import Decision

TEMPERATURES = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Temperatures one after another, as parts of the mean round."""

STEPS = 12
"""Newton steps at each, at most."""

_WORTH = 1e-5
"""Steps that gain less than this part of the round are the last."""

_LEAST_SHARE = 1e-4
"""Shares to start from are at least this part of an equal share."""

_LARGEST_STEP = 0.8
"""A share falls by this part of itself at most, or grows by twice as much."""

_GROWTH, _CUT_BACK, _SHORTEST = 2.0, 0.25, 0.01
_SMALLEST = 1e-9


class _Smoothed(NamedTuple):
    """Mean rounded-off lengths, and their derivatives by the shares' relative changes."""

    mean_s: Array  # (N,)
    slope_s: Array  # (N, K)
    curvature_s: Array  # (N, K, K)


def best_shares(rounds: SampledRounds, start: Decision) -> Decision:
    """Return a decision's cuts with shares under which the mean length over the draws is smallest.

    Parameters
    ----------
    rounds : SampledRounds
        N rounds with M draws each.
    start : Decision
        Cuts, and shares to start from.

    Returns
    -------
    Decision
        Never worse than the start: after each temperature the best shares so far are kept, by the mean itself.

    Examples
    --------
    The device whose link may turn out weak is given more of the band.

    >>> from sfl_env import RoundProblem
    >>> problem = RoundProblem(
    ...     fixed_s=np.ones((1, 2, 1)),
    ...     uplink_bits=np.full((1, 2, 1), 1e6),
    ...     downlink_bits=np.zeros((1, 2, 1)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[1e9, 1e9]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> snr_hz, all_reached = np.array([[[3e6, 3e6]], [[3e6, 1e6]]]), np.ones((2, 1, 2), dtype=bool)
    >>> rounds = SampledRounds(problem, snr_hz, np.full((2, 1, 2), 1e9), all_reached, outage_wait_s=10.0)
    >>> equal = Decision(np.array([[0, 0]]), np.array([[0.5, 0.5]]))
    >>> found = best_shares(rounds, equal)
    >>> found.bandwidth_share.round(2), rounds.mean_s(equal).round(3), rounds.mean_s(found).round(3)
    (array([[0.47, 0.53]]), array([1.75]), array([1.749]))
    """
    cut = start.cut
    _, _, _, needs = rounds.problem.at_cut(cut)
    share = _filled(start.bandwidth_share, needs)
    best, best_s = start.bandwidth_share.copy(), rounds.mean_s(start)
    for part in TEMPERATURES:
        temperature = part * rounds.mean_s(Decision(cut, share))
        share = _newton(rounds, cut, share, temperature, needs)
        now_s = rounds.mean_s(Decision(cut, share))
        better = now_s < best_s
        best[better], best_s[better] = share[better], now_s[better]
    return Decision(cut, best)


def _filled(share: Array, needs: NDArray[np.bool_]) -> Array:
    """Return shares above 0 for all who need the band, which sum to 1."""
    return _scaled(np.where(needs, np.maximum(share, _LEAST_SHARE / share.shape[1]), 0.0))


def _scaled(share: Array) -> Array:
    total = share.sum(axis=1, keepdims=True)
    shares: Array = share / np.where(total > 0.0, total, 1.0)
    return shares


def _newton(
    rounds: SampledRounds, cut: NDArray[np.intp], share: Array, temperature_s: Array, needs: NDArray[np.bool_]
) -> Array:
    """Take Newton steps at one temperature (N,) until they gain nothing more.

    One that leads upwards is not taken, and short steps of :func:`_towards_need` come in its place for a while.
    """
    share = share.copy()
    index, length = np.arange(len(share)), np.ones(len(share))
    now = _smoothed(rounds.times(Decision(cut, share)), temperature_s)
    for _ in range(STEPS):
        here = share[index]
        step = np.where(length[:, None] < 1.0, _towards_need(now, here), _step(now, here, needs[index]))
        tried = _scaled(here * (1.0 + length[:, None] * step))
        then = _smoothed(rounds.times(Decision(cut[index], tried)), temperature_s[index])
        gain_s = now.mean_s - then.mean_s
        better = gain_s > 0.0
        share[index[better]] = tried[better]
        length = np.where(better, np.minimum(_GROWTH * length, 1.0), _CUT_BACK * length)
        goes_on = np.where(better, gain_s > _WORTH * now.mean_s, length > _SHORTEST)
        if not goes_on.any():
            break
        now = _taken(now, then, better, goes_on)
        index, length, rounds = index[goes_on], length[goes_on], rounds.rows(goes_on)
    return share


def _towards_need(now: _Smoothed, share: Array) -> Array:
    """Return a relative change (N, K) of the shares towards where the band is worth most.

    Where times go as one over the share, optimal shares go as the square roots of shares times worths.
    """
    worth = -now.slope_s
    total = np.maximum(worth.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    wanted = np.sqrt(worth / (total * np.where(share > 0.0, share, 1.0)))
    limited: Array = np.clip(wanted - 1.0, -_LARGEST_STEP, 2.0 * _LARGEST_STEP)
    return limited


def _taken(now: _Smoothed, then: _Smoothed, better: NDArray[np.bool_], goes_on: NDArray[np.bool_]) -> _Smoothed:
    """Return where the rounds that go on stand: those that have become better, after the step."""
    part = better[goes_on]
    one, other = (_Smoothed(*(values[goes_on] for values in each)) for each in (now, then))
    return _Smoothed(
        np.where(part, other.mean_s, one.mean_s),
        np.where(part[:, None], other.slope_s, one.slope_s),
        np.where(part[:, None, None], other.curvature_s, one.curvature_s),
    )


def _smoothed(times: Times, temperature_s: Array) -> _Smoothed:
    """Round the longest times off, and take the mean over the draws."""
    seconds, slope, curvature = times
    draws = len(seconds)
    heat = temperature_s[:, None]
    longest = seconds.max(axis=-1)
    weight = np.exp((seconds - longest[..., None]) / heat)
    total = weight.sum(axis=-1)
    weight /= total[..., None]
    mean_s = (longest + temperature_s * np.log(total)).mean(axis=0)
    pull = weight * slope
    matrix = -np.matmul(pull.transpose(1, 2, 0), pull.transpose(1, 0, 2))  # (N, K, K), summed over the draws
    matrix /= temperature_s[:, None, None]
    diagonal = (weight * curvature).sum(axis=0)
    diagonal += (pull * slope).sum(axis=0) / heat
    devices = np.arange(slope.shape[-1])
    matrix[:, devices, devices] += diagonal
    return _Smoothed(mean_s, -pull.mean(axis=0), matrix / draws)


def _step(now: _Smoothed, share: Array, needs: NDArray[np.bool_]) -> Array:
    """Return the relative change (N, K) of the shares that Newton's method asks for; their sum stays."""
    n, k = share.shape
    devices = np.arange(k)
    matrix = np.zeros((n, k + 1, k + 1))
    matrix[:, :k, :k] = now.curvature_s
    diagonal = now.curvature_s[:, devices, devices]
    floor = _SMALLEST * np.maximum(diagonal.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    matrix[:, devices, devices] += np.where(needs, floor, 1.0)
    matrix[:, devices, k] = matrix[:, k, devices] = share
    matrix[:, k, k] = np.where(needs.any(axis=1), 0.0, 1.0)
    wanted = np.concatenate([-now.slope_s, np.zeros((n, 1))], axis=1)
    step = np.linalg.solve(matrix, wanted[..., None])[:, :k, 0]
    limited: Array = np.clip(step, -_LARGEST_STEP, 2.0 * _LARGEST_STEP)
    return limited
