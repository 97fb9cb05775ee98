"""Measure how often intervals hold the true figure: ``python docs/build/coverage.py``.

It writes docs/data/coverage.json and, from that, the tables of docs/statistics.md; it takes about a minute on one
core. ``--tables`` writes the tables anew from the stored figures.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap, gmean, skew

import sfl_baselines
from sfl_baselines.environments import make_batch
from sfl_env.arrays import Array
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEAN, MEDIAN, Estimator
from sfl_lab.compare.rounds.rollout import Rollout, roll_out
from sfl_lab.compare.rounds.scores import episode_ratio
from sfl_lab.compare.rounds.yardstick import yardstick_of

DOCS = Path(__file__).parents[1]
FIGURES, PAGE = DOCS / "data" / "coverage.json", DOCS / "statistics.md"
SIZES = (5, 7, 20)
TRIALS, BOOTSTRAP_TRIALS, RESAMPLES = 4000, 1000, 999
EPISODES, SEED = 1000, 0

ESTIMATORS: dict[str, Estimator] = {
    "mean, Student's t": MEAN,
    "geometric mean, t of logarithms": GEOMETRIC_MEAN,
    "median, order statistics": MEDIAN,
}
BOOTSTRAPS = {"mean, percentile bootstrap": "percentile", "mean, BCa bootstrap": "BCa"}
NORMAL = "normal (mean 5, deviation 1)"
CHOSEN = {
    NORMAL: "mean, Student's t",
    "log-normal, sigma 0.5": "geometric mean, t of logarithms",
    "log-normal, sigma 1": "median, order statistics",
}
"""What is taken for quantities of such distributions."""

TRUTHS: Mapping[str, Callable[[Array], float]] = {
    "mean": lambda values: float(values.mean()),
    "geometric mean": lambda values: float(gmean(values)),
    "median": lambda values: float(np.median(values)),
}


@dataclass(frozen=True)
class Population:
    """What values are drawn from."""

    draw: Callable[[tuple[int, int]], Array]
    truth: Mapping[str, float]  # of each statistic
    skewness: float
    chosen: str  # the estimator that comparisons take for it


def known_populations(rng: np.random.Generator) -> dict[str, Population]:
    """Return distributions whose figures are known."""
    normal = dict.fromkeys(TRUTHS, 5.0)
    # That of normal values has no closed form; of so many draws it is right to 1e-4 of the deviation or so.
    normal["geometric mean"] = float(np.exp(np.log(rng.normal(5.0, 1.0, 4_000_000).clip(1e-3)).mean()))
    found = {NORMAL: Population(lambda size: rng.normal(5.0, 1.0, size).clip(1e-3), normal, 0.0, CHOSEN[NORMAL])}
    for sigma in (0.5, 1.0):
        name = f"log-normal, sigma {sigma:g}"
        variance = np.exp(sigma**2)
        truth = {"mean": float(np.sqrt(variance)), "geometric mean": 1.0, "median": 1.0}
        skewness = float((variance + 2.0) * np.sqrt(variance - 1.0))
        found[name] = Population(_log_normal(rng, sigma), truth, skewness, CHOSEN[name])
    return found


def _log_normal(rng: np.random.Generator, sigma: float) -> Callable[[tuple[int, int]], Array]:
    return lambda size: rng.lognormal(0.0, sigma, size)


def measured_populations(rng: np.random.Generator) -> dict[str, Population]:
    """Return what benchmarks measure, of so many episodes that they stand for all."""
    found = {}
    for env_id in ("SFL-v0", "SFL-MacroCell-v0"):
        played = {name: rolled_out(env_id, name) for name in ("exact", "equal-bandwidth")}
        seconds = played["exact"].mean(played["exact"].latency_s)
        ratios = episode_ratio(played["equal-bandwidth"])
        found[f"episodes' mean seconds of `exact`, `{env_id}`"] = _of(rng, seconds, "median, order statistics")
        name = f"episodes' ratios of `equal-bandwidth`, `{env_id}`"
        found[name] = _of(rng, ratios, "geometric mean, t of logarithms")
    return found


def rolled_out(env_id: str, policy: str) -> Rollout:
    """Return a baseline's rounds in so many episodes."""
    envs = make_batch(env_id, EPISODES)
    yardstick = yardstick_of(envs.episodes)
    return roll_out(sfl_baselines.make(policy, envs), envs.episodes, yardstick, SEED, lambda: None)


def _of(rng: np.random.Generator, values: Array, chosen: str) -> Population:
    truth = {name: figure(values) for name, figure in TRUTHS.items()}
    return Population(lambda size: rng.choice(values, size), truth, float(skew(values)), chosen)


def covered(population: Population, n: int) -> dict[str, float]:
    """Return how often each interval of n values holds the true figure."""
    found = {}
    for name, method in BOOTSTRAPS.items():
        values = population.draw((BOOTSTRAP_TRIALS, n))
        ends = bootstrap(
            (values,), np.mean, axis=-1, vectorized=True, method=method, n_resamples=RESAMPLES, batch=50, rng=n
        ).confidence_interval
        found[name] = float(
            np.mean((ends.low <= population.truth["mean"]) & (population.truth["mean"] <= ends.high))
        )
    for name, estimator in ESTIMATORS.items():
        truth = population.truth[estimator.statistic]
        intervals = [estimator.interval(values) for values in population.draw((TRIALS, n))]
        found[name] = float(np.mean([entry.low <= truth <= entry.high for entry in intervals]))
    return found


def measure() -> dict[str, Any]:
    """Measure everything and return plain values."""
    rng = np.random.default_rng(SEED)
    populations = known_populations(rng) | measured_populations(rng)
    return {
        "trials": TRIALS,
        "bootstrap_trials": BOOTSTRAP_TRIALS,
        "resamples": RESAMPLES,
        "episodes": EPISODES,
        "seed": SEED,
        "versions": versions(),
        "populations": {
            name: {
                "skewness": population.skewness,
                "truth": dict(population.truth),
                "chosen": population.chosen,
                "covered": {str(n): covered(population, n) for n in SIZES},
            }
            for name, population in populations.items()
        },
    }


def table(found: dict[str, Any]) -> list[str]:
    """Return the measured coverage as lines of Markdown; what comparisons take is bold."""
    methods = [*BOOTSTRAPS, *ESTIMATORS]
    lines = [f"| values | skewness | n | {' | '.join(methods)} |", "|---|---|---" + "|---" * len(methods) + "|"]
    for name, about in found["populations"].items():
        for n, shares in about["covered"].items():
            first = (name, f"{about['skewness']:.1f}") if n == str(SIZES[0]) else ("", "")
            cells = [_share(shares[method], bold=method == about["chosen"]) for method in methods]
            lines.append(f"| {' | '.join([*first, n, *cells])} |")
    packages = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return [
        *lines,
        "",
        f"Per cent of {found['trials']} intervals of n values (bootstraps: {found['bootstrap_trials']} of "
        f"{found['resamples']} resamples) that hold the true figure; bold: what comparisons take for such values. "
        f"Those of this package are drawn from {found['episodes']} episodes of the ids. Versions: {packages}.",
    ]


def _share(share: float, *, bold: bool) -> str:
    return f"**{100.0 * share:.1f}**" if bold else f"{100.0 * share:.1f}"


def filled(page: str, found: dict[str, Any]) -> str:
    """Return the page with its table as the figures say."""
    begin, end = "<!-- coverage: begin -->", "<!-- coverage: end -->"
    before, rest = page.split(begin)
    return "\n".join([before + begin, *table(found), end + rest.split(end)[1]])


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    if not parser.parse_args().tables:
        write_json(FIGURES, measure())
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
