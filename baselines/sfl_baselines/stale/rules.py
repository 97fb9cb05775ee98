"""Yardsticks for old channels: rules that decide by what an observation tells of the present channel."""

import numpy as np

from sfl_baselines.stale.draws import mean_power, spread_normals
from sfl_baselines.stale.knowledge import averaged_problem, certain_problem, known_of, sampled_rounds
from sfl_baselines.stale.search import solve_sampled
from sfl_env.arrays import Array
from sfl_env.checks import require_whole
from sfl_env.episodes import Episodes
from sfl_env.errors import SolverError
from sfl_env.optimum import solve_exact
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision

DRAWS = 128
"""Draws of the channel; docs/tiers/stale-csi.md has what more of them would bring."""

CERTAINTY_EQUIVALENTS = (1.0, 0.69, 0.5, 0.35, 0.25)
"""Parts of the mean power that searches start from, as if they were certain."""

AT_ONCE = 400_000
"""Devices' draws that are computed with at once, for the memory that they take."""


class Statistics:
    """Decide by the links' statistics alone: optimal cuts and shares as if each round met all of its fading.

    What was observed of the fading is not looked at.

    Parameters
    ----------
    episodes : Episodes
        Whose observations are decided.
    """

    def __init__(self, episodes: Episodes) -> None:
        self._episodes = episodes

    def __call__(self, observed: Conditions) -> Decision:
        """Decide N rounds."""
        return solve_exact(averaged_problem(self._episodes, known_of(self._episodes, observed))).decision


class SampleAverage:
    """Minimise the mean length of the round over draws of the present channel, given the old one.

    The draws use the same random numbers in all rounds, so the decision depends on the observation alone.

    Parameters
    ----------
    episodes : Episodes
        Whose observations are decided.
    seed : int
        Of the draws.
    draws : int
        Their number, M, at least 2.

    Raises
    ------
    SolverError
        If the number of draws is out of range.
    """

    def __init__(self, episodes: Episodes, seed: int = 0, draws: int = DRAWS) -> None:
        require_whole("draws", draws, 2, error=SolverError)
        self._episodes = episodes
        num_devices = episodes.scenario.num_devices
        self._normals = spread_normals(np.random.default_rng(seed), draws, num_devices)
        self._rows = max(AT_ONCE // (draws * num_devices), 1)

    def __call__(self, observed: Conditions) -> Decision:
        """Decide N rounds."""
        n = len(observed.samples)
        parts = [self._decide(observed.rows(slice(at, at + self._rows))) for at in range(0, n, self._rows)]
        cut, share = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Decision(cut, share)

    def _decide(self, observed: Conditions) -> Decision:
        episodes, known = self._episodes, known_of(self._episodes, observed)
        mean = mean_power(known.old_power, known.correlation)
        problems = [averaged_problem(episodes, known)]
        problems += [certain_problem(episodes, known, part * mean) for part in CERTAINTY_EQUIVALENTS]
        starts = [solve_exact(problem).decision for problem in problems]
        return solve_sampled(sampled_rounds(episodes, known, self._normals), starts)


def expected_s(episodes: Episodes, observed: Conditions, decision: Decision, normals: Array) -> Array:
    """Return the mean length (N,) of rounds over draws of the channel, by complex normal numbers (2, M, K)."""
    return sampled_rounds(episodes, known_of(episodes, observed), normals).mean_s(decision)
