"""Rounds in stages for tests: random ones, and those of environments."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfl_baselines.staged import StagedProblem, staged_problem_of
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.optimum.link import Band
from sfl_env.rounds.curves import SHANNON, Modes, RateCurve, TruncatedShannon
from sfl_env.rounds.fading_levels import fading_levels
from sfl_env.rounds.problem import Decision

CURVES: tuple[RateCurve, ...] = (SHANNON, TruncatedShannon(), Modes((-5.0, 5.0, 15.0), (0.5, 2.0, 4.0)))
CONCAVE = CURVES[:2]


def random_problem(
    rng: np.random.Generator, n: int, k: int, c: int, stages: int = 3, curve: RateCurve = SHANNON
) -> StagedProblem:
    """Stages that compute, send, receive or do nothing; some devices are out, some cuts do not fit."""
    shape = (stages, n, k, c)
    fixed, up, down = (
        10.0 ** rng.uniform(-1, 1, shape) * (rng.random(shape) < share) for share in (0.8, 0.6, 0.5)
    )
    out = (rng.random((n, k)) < 0.1)[..., None]
    for part in (fixed, up, down):
        part *= ~out
    server = 10.0 ** rng.uniform(-2, 0, (n, k, c)) * ~out
    server[rng.random((n, k, c)) < 0.15] = np.inf
    server[..., 0] = 0.0
    downlink = np.where(rng.random((n, k)) < 0.2, np.inf, 10.0 ** rng.uniform(6, 8, (n, k)))
    rician_k = np.where(rng.random((n, k)) < 0.3, np.inf, 10.0 ** rng.uniform(-1, 1, (n, k)))
    band = Band(10.0 ** rng.uniform(6, 9, (n, k)), downlink, np.full(n, 1e7), curve, fading_levels(rician_k))
    return StagedProblem(fixed, up * 1e7, down * 1e7, server, 0.3 * rng.random(n), band)


problems = st.builds(
    lambda seed, k, c, stages, curve: random_problem(np.random.default_rng(seed), 4, k, c, stages, curve),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(CURVES),
)


def random_cuts(problem: StagedProblem, rng: np.random.Generator) -> NDArray[np.intp]:
    lots = np.where(problem.fits, rng.random(problem.fits.shape), -1.0)
    return np.asarray(lots.argmax(axis=-1))


def random_shares(problem: StagedProblem, rng: np.random.Generator) -> Array:
    n, k = problem.server_s.shape[:2]
    return np.asarray(rng.dirichlet(np.full(k, 0.7), n) * 0.999 + 1e-3 / k)


def random_decision(problem: StagedProblem, rng: np.random.Generator) -> Decision:
    return Decision(random_cuts(problem, rng), random_shares(problem, rng))


def episodes(n: int, barriers: str = "adaptsfl", seed: int = 1, **fields: Any) -> Episodes:
    envs = cast(Any, gym.make_vec("SFL-Barrier-v0", num_envs=n, barriers=barriers, **fields)).unwrapped
    envs.reset(seed=seed)
    return cast(Episodes, envs.episodes)


def true_problem(n: int, barriers: str = "adaptsfl", seed: int = 1, **fields: Any) -> StagedProblem:
    found = episodes(n, barriers, seed, **fields)
    return staged_problem_of(found, found.now.true)
