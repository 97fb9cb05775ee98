"""Sample-average approximation: cuts and shares under which rounds are shortest in the mean over draws.

For given cuts the best shares are those of a convex problem, :mod:`sfl_baselines.stale.shares`. Cuts are searched
for: from the best of some certainty equivalents on, by moves that pay at the present price of the band. That no
other cuts are better is not proven.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.stale.sampled import SampledRounds
from sfl_baselines.stale.shares import best_shares
from sfl_env.arrays import Array
from sfl_env.rounds.problem import Decision

ROUNDS = 4
"""Times that cuts are moved, at most."""

FACTORS = (0.7, 1.0, 1.4)
"""Parts of its present share with which a device may take another cut."""

_WORTH = 1e-4
"""A move has to shorten rounds by this part of them."""


def solve_sampled(rounds: SampledRounds, starts: Sequence[Decision]) -> Decision:
    """Search for the cuts and shares under which the mean length over the draws is smallest.

    Parameters
    ----------
    rounds : SampledRounds
        N rounds with M draws each.
    starts : sequence of Decision
        Where to start from, in each round from the best of them.

    Returns
    -------
    Decision
        No longer in the mean than any of the starts.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> from sfl_baselines.stale.draws import spread_normals
    >>> from sfl_baselines.stale.knowledge import known_of, sampled_rounds
    >>> env = gym.make("SFL-StaleCSI-v0", num_devices=3)
    >>> observation, _ = env.reset(seed=0)
    >>> episodes = env.unwrapped.episodes
    >>> known = known_of(episodes, episodes.conditions_of(observation[None]))
    >>> rounds = sampled_rounds(episodes, known, spread_normals(np.random.default_rng(0), 16, 3))
    >>> start = Decision(np.zeros((1, 3), dtype=int), np.full((1, 3), 1 / 3))
    >>> bool(rounds.mean_s(solve_sampled(rounds, [start])) < rounds.mean_s(start))
    True
    """
    best = best_shares(rounds, _best_start(rounds, starts))
    best_s = rounds.mean_s(best)
    alone = np.zeros(len(best_s), dtype=np.bool_)  # whether to move a single device, as moving all has failed
    active = np.arange(len(best_s))
    for _ in range(ROUNDS):
        part = rounds.rows(active)
        now = Decision(best.cut[active], best.bandwidth_share[active])
        moved, moves = _moved(part, now, best_s[active], alone[active])
        active, moved = active[moves], _rows(moved, moves)
        if not active.size:
            break
        moved = best_shares(part.rows(moves), moved)
        moved_s = part.rows(moves).mean_s(moved)
        better = moved_s < best_s[active] * (1.0 - _WORTH)
        to = active[better]
        best.cut[to], best.bandwidth_share[to], best_s[to] = (
            moved.cut[better],
            moved.bandwidth_share[better],
            moved_s[better],
        )
        active = active[better | ~alone[active]]
        alone[:] = True
        alone[to] = False
    return best


def _rows(decision: Decision, index: NDArray[np.bool_] | NDArray[np.intp]) -> Decision:
    return Decision(decision.cut[index], decision.bandwidth_share[index])


def _best_start(rounds: SampledRounds, starts: Sequence[Decision]) -> Decision:
    """Return the best of the starts in each round."""
    means = np.stack([rounds.mean_s(start) for start in starts])
    place, everyone = means.argmin(axis=0), np.arange(means.shape[1])
    cuts, shares = (np.stack([start[part] for start in starts]) for part in range(2))
    return Decision(cuts[place, everyone], shares[place, everyone])


def _moved(
    rounds: SampledRounds, now: Decision, now_s: Array, alone: NDArray[np.bool_]
) -> tuple[Decision, NDArray[np.bool_]]:
    """Return decisions with the moves that pay, and in which of the N rounds any does.

    All devices whose moves pay are moved, where ``alone`` says so only the one that gains most. Shares that go up
    and down with the cuts are scaled to sum to 1 again.
    """
    gain_s, cut, share = _best_moves(rounds, now, now_s)
    pays = gain_s > _WORTH * now_s[:, None]
    pays &= ~alone[:, None] | (gain_s == gain_s.max(axis=1, keepdims=True))
    new_share = np.where(pays, share, now.bandwidth_share)
    total = new_share.sum(axis=1, keepdims=True)
    moved = Decision(np.where(pays, cut, now.cut), new_share / np.where(total > 0.0, total, 1.0))
    return moved, np.asarray(pays.any(axis=1))


def _best_moves(rounds: SampledRounds, now: Decision, now_s: Array) -> tuple[Array, NDArray[np.intp], Array]:
    """Return by how many seconds each device's best move shortens rounds, and its cut and share, (N, K) each.

    A move changes one device's cut and share, while the others keep theirs and a change of the share costs the
    band's price: what the last unit of the band is worth to the slowest devices.
    """
    times = rounds.times(now)
    without = _slowest_of_others(times.seconds)
    slowest = times.seconds == times.seconds.max(axis=-1, keepdims=True)
    price_s = (times.slope_s * slowest).sum(axis=-1).mean(axis=0)  # for the whole band
    cuts = rounds.problem.shape[-1]
    best_gain = np.zeros(now.cut.shape)
    best_cut, best_share = now.cut.copy(), now.bandwidth_share.copy()
    for cut in range(cuts):
        fits = np.isfinite(rounds.problem.fixed_s[..., cut]) & (now.cut != cut)
        if not fits.any():
            continue
        taken = np.where(fits, cut, now.cut)
        for factor in FACTORS:
            share = factor * now.bandwidth_share
            lengths = np.maximum(rounds.device_s(Decision(taken, share)), without)
            cost = price_s[:, None] * (share - now.bandwidth_share)
            gain = np.where(fits, now_s[:, None] - lengths.mean(axis=0) - cost, 0.0)
            better = gain > best_gain
            best_gain[better], best_cut[better], best_share[better] = gain[better], cut, share[better]
    return best_gain, best_cut, best_share


def _slowest_of_others(seconds: Array) -> Array:
    """(M, N, K): the longest time (M, N, K) of the other devices; 0 where there are none."""
    if seconds.shape[-1] == 1:
        return np.zeros_like(seconds)
    two = np.partition(seconds, -2, axis=-1)
    second, first = two[..., -2:-1], two[..., -1:]
    return np.where(seconds == first, second, first)
