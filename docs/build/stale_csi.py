"""Measure what is to be gained where the channel is known late: ``python docs/build/stale_csi.py``.

It writes docs/data/stale-csi.json and, from that, docs/tiers/stale-csi.md; it takes two minutes on one core.
``--page`` writes the page anew from the stored figures.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sfl_baselines
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.policies import ConditionsPolicy, Policy
from sfl_baselines.rollouts import play
from sfl_baselines.stale import SampleAverage
from sfl_baselines.stale.draws import spread_normals
from sfl_baselines.stale.rules import DRAWS, expected_s
from sfl_env.arrays import Array
from sfl_env.optimum import solve_exact
from sfl_env.presets import PRESETS
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import MEAN
from sfl_lab.compare.writing import short

sys.path.append(str(Path(__file__).parent))
from tier_examples import STALE_CSI

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "stale-csi.json"
PAGE = DOCS / "tiers" / "stale-csi.md"
ENV_ID = "SFL-StaleCSI-v0"

EPISODES, ROUNDS, SEED = 400, 5, 0
"""Devices stay, so that an episode is one cell: many short ones tell more than few long ones."""

CORRELATIONS = (0.0, 0.5, 0.9)
BEST = "sample-average"
BLIND = "sample-average, fading unseen"
POLICIES = ("oracle", BEST, BLIND, "statistics", "exact", "common-cut", "equal-bandwidth")
"""``BLIND`` is made for fading that is drawn anew in every round: it makes nothing of what was observed of it."""

STARTS, TOGETHER, TAIL = 20_000, 4_000, 0.01
"""Episodes whose first rounds tell how lengths spread, how many at once, and which part of them is the tail."""

NUMBERS, CELLS, FRESH = (32, 64, 128, 256, 512), 200, 4096
"""Draws that are compared, in the first rounds of so many episodes, by so many fresh draws."""


def policy_of(name: str, envs: Any) -> Policy:
    """Return a policy that acts in a batch of environments."""
    if name != BLIND:
        return sfl_baselines.make(name, envs)
    return sfl_baselines.make(BEST, make_batch(ENV_ID, 1, {"fading_correlation": 0.0}))


def seconds(name: str, correlation: float) -> Array:
    """Return the mean round of each episode, (N,)."""
    envs = make_batch(ENV_ID, EPISODES, {"fading_correlation": correlation})
    rounds = play(policy_of(name, envs), envs.episodes, held_out_seed(SEED))
    lengths = [played.done.infos["latency_s"] for played in itertools.islice(rounds, ROUNDS)]
    mean: Array = np.mean(lengths, axis=0)
    return mean


def ratio_of_means(values: Array, others: Array) -> list[float]:
    """Return the ratio of two means over the same episodes with its 95 % interval, linearised."""
    ratio = values.mean() / others.mean()
    beside = MEAN.interval((values - ratio * others) / others.mean())
    return [float(ratio), float(ratio + beside.low), float(ratio + beside.high)]


def compared(correlation: float) -> dict[str, Any]:
    """Return what each policy comes to at one correlation, beside the sample average."""
    names = [name for name in POLICIES if name != BLIND or correlation > 0.0]
    found = {name: seconds(name, correlation) for name in names}
    return {
        name: {"mean_s": float(values.mean()), "ratio": ratio_of_means(values, found[BEST])}
        for name, values in found.items()
    }


def draws_compared() -> dict[str, list[float]]:
    """Return by what part rounds are longer with each number of draws than with the most, with intervals."""
    envs = make_batch(ENV_ID, CELLS)
    episodes = envs.episodes
    observation = episodes.reset(np.random.default_rng(held_out_seed(SEED)))
    seen = episodes.conditions_of(observation)
    fresh = spread_normals(np.random.default_rng(1), FRESH, episodes.scenario.num_devices)
    found = {}
    for number in NUMBERS:
        policy = ConditionsPolicy(envs, lambda here, m=number: SampleAverage(here, seed=SEED, draws=m))
        decision = episodes.action_encoder.decode(policy.predict(observation)[0], seen)
        found[number] = in_parts(episodes, seen, decision, fresh)
    return {str(number): ratio_of_means(values, found[NUMBERS[-1]]) for number, values in found.items()}


def in_parts(episodes: Any, seen: Any, decision: Any, normals: Array, at_once: int = 20) -> Array:
    """Return expected seconds (N,) of decisions, a few rounds at a time for the memory that they take."""
    parts = [slice(at, at + at_once) for at in range(0, len(decision.cut), at_once)]
    rows = (expected_s(episodes, seen.rows(p), type(decision)(*(a[p] for a in decision)), normals) for p in parts)
    return np.concatenate(list(rows))


def tail(narrowest_band_hz: float) -> dict[str, float]:
    """Return how optimal first rounds spread with a narrowest allocation."""
    lengths, out = [], []
    for seed in range(STARTS // TOGETHER):
        episodes = make_batch(ENV_ID, TOGETHER, {"narrowest_band_hz": narrowest_band_hz}).episodes
        episodes.reset(np.random.default_rng(held_out_seed(SEED + seed)))
        problem = episodes.true_problem()
        lengths.append(solve_exact(problem).latency_s)
        out.append(~problem.needs_band.any(axis=-1))
    length_s = np.sort(np.concatenate(lengths))
    longest = length_s[-int(TAIL * STARTS) :]
    return {
        "median_s": float(np.median(length_s)),
        "mean_s": float(length_s.mean()),
        "p99_s": float(np.quantile(length_s, 1.0 - TAIL)),
        "longest_s": float(length_s[-1]),
        "of_mean": float(longest.sum() / length_s.sum()),
        "hill_index": float(1.0 / np.log(longest[1:] / longest[0]).mean()),
        "out": float(np.mean(out)),
    }


def measure_all() -> dict[str, Any]:
    """Measure and return plain values."""
    return {
        "episodes": EPISODES,
        "rounds": ROUNDS,
        "seed": held_out_seed(SEED),
        "versions": versions(),
        "fields": dict(PRESETS[ENV_ID].fields),
        "draws": draws_compared(),
        "starts": STARTS,
        "tails": {
            str(float(width)): tail(width) for width in (360e3, PRESETS[ENV_ID].fields["narrowest_band_hz"])
        },
        "cells": CELLS,
        "fresh": FRESH,
        "correlations": {str(correlation): compared(correlation) for correlation in CORRELATIONS},
    }


BEFORE = """# A channel that is known late: `SFL-StaleCSI-v0`

<!-- Written by docs/build/stale_csi.py from docs/data/stale-csi.json: no figure of a table was typed. -->

A base station measures its links in one round and decides the next one by what it has measured. Links fade in
blocks: small-scale fading stays through a round and is another in the next, and how much of it stays, the
correlation from round to round, is known. So the best decision is not the one that would have been best for
the channel that was seen. It insures against fades that may come, in so far as the round is likely to wait
for them.

## What is added

| field | value | why |
|---|---|---|
"""

WHY = {
    "csi_delay_rounds": "the observed channel is that of the round before",
    "fading": "constant within a round, so that what a round meets is chance; averaged fading is known in advance",
    "rician_k_db": "Rayleigh fading with line of sight, too, of which the power alone counts",
    "fading_correlation": "of the complex fading from round to round; 0 and 0.9 below: set it as you like",
    "blockage_fraction": "nothing else changes, so that what is known of the present channel is known exactly",
    "cell_radius_m": "wide enough for links below the rate curve's ceiling, where fades cost time",
    "narrowest_band_hz": "a link that is too weak for four resource blocks of 30 kHz, the larger resource block "
    "group of a 10 MHz carrier (3GPP TS 38.214, Table 6.1.2.2.1-1, configuration 2), is out; see below. Shares "
    "may be narrower still, as if devices took turns in a group",
}

KNOWN = """
Time on a fading link goes as one over its power where the link is weak, and the mean of one over an
exponential number is infinite. What bounds it is outage: a link that cannot carry the narrowest allocation at
the rate curve's start is out for the round, as `docs/model.md` says, and nobody waits for it. Which links are
out depends on no decision. Optimal rounds, for the channel as it is, by the narrowest allocation: with the
default of one resource block, and with the preset's four.
"""

MAY_BE_KNOWN = """
## What may be known

Beside the link as it was, which fades (columns 0 and 2), observations tell of the same link without
small-scale fading: path loss, shadowing and blockage, as a base station knows them by averaging (columns 10
and 11, in both directions, since devices' transmit powers are not observed). Column 0 over column 10, before
their logarithms, is the fading's old power. The correlation is the scenario's, the same in all episodes.

Nothing else helps. Complex fading is a Gauss-Markov process, and of its present power, given the old one,
neither the old phase nor what was before makes any difference (`tests/sfl_baselines/stale/test_draws.py`). So
a policy needs no memory. And fading goes by rounds, however long they are: no decision changes the channel,
and what is best for each round is best for the episode. (Free speeds go by the seconds; nobody gains by
their changing sooner.)

## Yardsticks

`sfl_baselines.make(name, env)` knows them. All but the oracle see what an agent sees.

* `oracle`: the optimum for the true channel, which nobody knows. A bound that cannot be reached.
* `sample-average`: cuts and shares under which the mean length of the round over draws of the present
  channel, given the old one, is least: draws from the right distribution, the same numbers in every round, a
  convex problem in the shares by Newton's method, and a search over cuts. It approximates the best that can
  be done. What separates it from that is the number of draws and that its search over cuts is none over all
  of them; with three devices it finds what trying all cuts finds. **It is what agents are to be measured
  against.**
* `sample-average, fading unseen`: the same for a correlation of 0, so that it knows the links' statistics
  alone.
* `statistics`: the optimum for mean rates over the fading, as if each round met all of it, whatever was
  observed.
* `exact`: the optimum for the channel as it was observed, as if it were the present one.

`sample-average` and `statistics` refuse environments in which something else changes (mobility, blockage,
Rician fading, fading within rounds, a channel of one's own) or in which rounds are of another system, and say
which yardstick there is.

What agents learn here is on [a page of its own](agents.md).
"""


def page(found: Mapping[str, Any]) -> str:
    """Return the whole page."""
    fields = [f"| `{name}` | `{value!r}` | {WHY[name]} |" for name, value in found["fields"].items()]
    return "\n".join(
        [
            BEFORE + "\n".join(fields),
            KNOWN,
            *tails_table(found),
            MAY_BE_KNOWN,
            *headroom(found),
            worth(found),
            "",
            *number_of_draws(found),
            "",
            STALE_CSI,
        ]
    )


def tails_table(found: Mapping[str, Any]) -> list[str]:
    """Return how rounds spread by the narrowest allocation."""
    lines = [
        f"The first rounds of {found['starts']:,} episodes each. *Of the mean*: what the longest {TAIL:.0%} make "
        "up of the total time, whose tail the Hill index is of (above 2 the variance is finite). *Out*: devices "
        "that cannot be reached, or could not when they were observed.",
        "",
        "| narrowest allocation | median | mean | 99 % | longest | of the mean | Hill index | out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for width, row in found["tails"].items():
        seconds = " | ".join(f"{row[name]:.0f} s" for name in ("median_s", "mean_s", "p99_s", "longest_s"))
        rest = f"{row['of_mean']:.0%} | {row['hill_index']:.1f} | {row['out']:.3%}"
        lines.append(f"| {float(width) / 1e3:g} kHz | {seconds} | {rest} |")
    return lines


def headroom(found: Mapping[str, Any]) -> list[str]:
    """Return what each policy comes to."""
    by_correlation = found["correlations"]
    lines = [
        "## What is to be gained",
        "",
        f"By `python docs/build/stale_csi.py`: {found['episodes']} episodes of {found['rounds']} rounds, seed "
        f"{found['seed']}, the same for all. The mean round, and in brackets by how much the total time exceeds "
        "that of `sample-average`, with its 95 % interval over episodes.",
        "",
        f"| policy | {' | '.join(f'correlation {correlation}' for correlation in by_correlation)} |",
        f"|---|{'---|' * len(by_correlation)}",
    ]
    for name in POLICIES:
        cells = [cell(rows.get(name)) for rows in by_correlation.values()]
        shown = f"`{name}`" if name != BLIND else name
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return [*lines, ""]


def worth(found: Mapping[str, Any]) -> str:
    """Say what the old channel is worth, by the policies that look at it and do not."""
    told = [
        f"{in_percent(rows[BLIND]['ratio'], 1)} at a correlation of {correlation}"
        for correlation, rows in found["correlations"].items()
        if BLIND in rows
    ]
    return (
        "An agent can learn two things that `exact` and `statistics` do not know: to insure against fades, for "
        "which the links' statistics suffice, and to make something of an old channel that is right in part. The "
        "row of the fading unseen parts the two. Who insures and does not look at the old fading is behind "
        f"`sample-average` by {' and '.join(told)}: set `fading_correlation=0.9` where the old channel is to "
        "matter, too."
    )


def cell(row: Mapping[str, Any] | None) -> str:
    """Return mean seconds, and by how much they exceed the yardstick's."""
    if row is None:
        return "the same as `sample-average`"
    mean = f"{short(row['mean_s'], 4)} s"
    return mean if row["ratio"][0] == 1.0 else f"{mean} ({in_percent(row['ratio'], 1)})"


def in_percent(ratio: Sequence[float], digits: int) -> str:
    """Return a ratio as a difference in per cent, with its interval."""
    value, low, high = (100.0 * (each - 1.0) for each in ratio)
    return f"{value:+.{digits}f} % [{low:+.{digits}f}, {high:+.{digits}f}]"


def number_of_draws(found: Mapping[str, Any]) -> list[str]:
    """Return what more draws bring."""
    most = max(map(int, found["draws"]))
    lines = [
        "## How many draws",
        "",
        f"`sample-average` takes {DRAWS} draws. By how much the expected rounds of its decisions, over "
        f"{found['fresh']} fresh draws in the first rounds of {found['cells']} episodes, are longer than those "
        f"with {most}:",
        "",
        "| draws | expected round |",
        "|---|---|",
    ]
    lines += [
        f"| {number} | {in_percent(ratio, 2)} |" for number, ratio in found["draws"].items() if int(number) != most
    ]
    return lines


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    if not parser.parse_args().page:
        write_json(FIGURES, measure_all())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
