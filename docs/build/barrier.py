"""Measure solvers of rounds in stages: ``python docs/build/barrier.py``, some minutes on one core.

It writes docs/data/barrier.json and, from that, docs/tiers/barrier.md; ``--page`` writes the page alone,
``--times`` measures the solvers' times alone.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import sfl_baselines
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.policies import Policy
from sfl_baselines.staged import (
    StagedPolicy,
    StagedProblem,
    best_shares,
    solve_staged_exactly,
    staged_bound,
    staged_common_cut,
    staged_problem_of,
    staged_search,
)
from sfl_env.arrays import Array
from sfl_env.storage.runs import versions, write_json
from sfl_env.vector_env import SFLVectorEnv
from sfl_lab.compare.intervals import GEOMETRIC_MEAN

sys.path.insert(0, str(Path(__file__).parent))
from tables import prose, table
from tier_examples import BARRIER

DOCS = Path(__file__).parents[1]
FIGURES, PAGE = DOCS / "data" / "barrier.json", DOCS / "tiers" / "barrier.md"
ENV_ID, SYSTEMS = "SFL-Barrier-v0", ("adaptsfl", "every-phase")
EPISODES, FEW = 100, 20
TOLERANCE, EFFORTS = 0.005, (0, 20, 100)
POLICIES: Mapping[str, str] = {
    "staged-search": "search over stage times, best shares for the cuts found",
    "common cut": "the best single cut for all, with the best shares for rounds in stages",
    "staged-alternating": "best shares for given cuts and best replies of cuts for given shares, in turn",
    "common-cut": "the single cut and the shares that would be best if nobody waited",
    "alternating": "alternating optimisation of the round in which nobody waits",
    "exact": "the optimum of the round in which nobody waits",
    "equal-bandwidth": "equal shares, each device's own best cut",
}
"""In the order of the table."""


def policy_of(name: str, envs: SFLVectorEnv) -> Policy:
    """Return one of :data:`POLICIES`."""
    return StagedPolicy(envs, staged_common_cut) if name == "common cut" else sfl_baselines.make(name, envs)


def played_s(envs: SFLVectorEnv, name: str) -> Array:
    """Return the lengths (N,) of held-out first rounds under a policy that sees the observation."""
    observation, _ = envs.reset(seed=held_out_seed(0))
    action, _ = policy_of(name, envs).predict(observation)
    latency_s: Array = envs.step(action)[4]["latency_s"]
    return latency_s


def problem_of(envs: SFLVectorEnv) -> StagedProblem:
    """Return the held-out first rounds."""
    envs.reset(seed=held_out_seed(0))
    return staged_problem_of(envs.episodes, envs.episodes.now.true)


def measure(barriers: str) -> dict[str, Any]:
    """Measure one system."""
    envs = make_batch(ENV_ID, EPISODES, {"barriers": barriers})
    latency = {name: played_s(envs, name) for name in POLICIES}
    problem = problem_of(envs)
    known_s = np.minimum(staged_search(problem).latency_s, np.min(list(latency.values()), axis=0))
    efforts, bound_s = [], np.zeros(EPISODES)
    for boxes in EFFORTS:
        bound_s = staged_bound(problem, known_s, TOLERANCE, boxes).lower_bound_s
        below = bound_s / known_s
        efforts.append({"boxes": boxes, "mean": below.mean(), "least": below.min()})
    if any((found < bound_s).any() for found in latency.values()):
        raise AssertionError("A decision is faster than the bound.")
    return {
        "best_s": known_s.mean(),
        "policies": {
            name: {
                "over best": asdict(GEOMETRIC_MEAN.interval(found / known_s)),
                "over bound": asdict(GEOMETRIC_MEAN.interval(found / bound_s)),
            }
            for name, found in latency.items()
        },
        "bounds": efforts,
        "times": times(barriers),
        "few": with_three_devices(barriers),
    }


def times(barriers: str) -> dict[str, Any]:
    """Return the processor's seconds for a round that solvers take."""
    return {"policies": timed(barriers), "bound": bound_seconds(barriers)}


def timed(barriers: str) -> dict[str, list[float]]:
    """Return the seconds that each policy takes for a round alone, and for each of a batch."""
    return {
        name: [seconds_each(barriers, name, n, repeats) for n, repeats in ((1, 5), (FEW, 1))] for name in POLICIES
    }


def seconds_each(barriers: str, name: str, n: int, repeats: int) -> float:
    """Return the seconds that a policy takes for a round where n are decided at once."""
    envs = make_batch(ENV_ID, n, {"barriers": barriers})
    policy = policy_of(name, envs)
    observations = [envs.reset(seed=held_out_seed(seed))[0] for seed in range(repeats + 1)]
    policy.predict(observations.pop())
    start = time.process_time()
    for rows in observations:
        policy.predict(rows)
    return (time.process_time() - start) / (n * repeats)


def bound_seconds(barriers: str) -> float:
    """Return the seconds that the bound takes for each of a few rounds, at the middle effort."""
    problem = problem_of(make_batch(ENV_ID, FEW, {"barriers": barriers}))
    known_s = staged_search(problem).latency_s
    start = time.process_time()
    staged_bound(problem, known_s, TOLERANCE, EFFORTS[1])
    return (time.process_time() - start) / FEW


def with_three_devices(barriers: str) -> dict[str, Any]:
    """Return by how much solvers miss the best of all cuts, one by one, of a few rounds of three devices."""
    problem = problem_of(make_batch(ENV_ID, FEW, {"barriers": barriers, "num_devices": 3}))
    vectors = np.array(list(itertools.product(range(problem.shape[3]), repeat=3)))
    least = []
    for n in range(FEW):
        fitting = vectors[problem.fits[n, np.arange(3), vectors].all(axis=1)]
        rows = problem.rows(np.full(len(fitting), n))
        least.append(best_shares(rows.at(fitting)).latency_s.min())
    exact, search = solve_staged_exactly(problem).latency_s, staged_search(problem).latency_s
    bound = staged_bound(problem, exact, TOLERANCE, EFFORTS[-1]).lower_bound_s
    return {
        "rounds": FEW,
        "exact": np.abs(exact / least - 1.0).max(),
        "search": np.max(search / least - 1.0),
        "bound": np.max(1.0 - bound / least),
        "bound above": bool((bound > np.array(least) * (1.0 + 1e-9)).any()),
    }


def measure_all() -> dict[str, Any]:
    """Measure both systems."""
    return {
        "episodes": EPISODES,
        "seed": held_out_seed(0),
        "versions": versions(),
        "systems": {barriers: measure(barriers) for barriers in SYSTEMS},
    }


ABOUT = """# Rounds in stages: `SFL-Barrier-v0`

<!-- Written by docs/build/barrier.py from docs/data/barrier.json: no figure of a table was typed. -->

With `barriers` devices wait for each other between stages ([the model](../model.md)): the round lasts as long as
each stage's slowest device, all stages added up, and the server takes its jobs one after another. Devices that all
finish together, which is the optimum of rounds without barriers, are not the goal any more. `sfl_baselines.staged`
has solvers of this problem and a bound that no decision can beat.

## How

* **Shares for given cuts** are a convex problem where rates are concave in the band, as those of Shannon's and of
  the default curve are: the least sum of the stages' lengths that devices keep with shares summing to 1.
  `best_shares` solves it for all rounds of a batch by an interior-point method in the logarithms of the shares.
* **Cuts.** Given the stages' lengths, each device needs a certain share at each cut and takes the cut with the
  least one. So `staged_search` looks through ratios of the stages' lengths. From what it finds, and from cuts of
  the relaxed problem below, it changes single devices' cuts while that helps.
* **The bound** is Lagrangian: at prices for each device's seconds in each stage and for the band, every device is
  on its own. `staged_bound` raises it by a subgradient method. The best prices leave a gap, since they bound
  mixtures of cuts as well; branching on the stages' lengths narrows it. The bound holds whatever the prices: its
  minimum over shares is taken over intervals, and asks for nothing but that no time rises with the share.
* **All cuts**: where few vectors of cuts are left below the bound, as with few devices, `solve_staged_exactly`
  goes through them.
* `staged_alternating` is alternating optimisation with sub-problems of rounds in stages, from equal shares on.

The policies `staged-search` and `staged-alternating` see the observation alone, as agents do. They are made for
environments with `barriers` and refuse others. `exact`, `alternating`, `oracle` and the rules decide as if nobody
waited: surrogates.
What agents learn here is on [a page of its own](agents.md).

`sfl benchmark --env-id SFL-Barrier-v0` holds every round against the bound without branching (0 boxes in the
tables below), which takes some milliseconds a round. It starts from the best common cut, so that all policies have
the same.
"""


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _section(barriers: str, found: Mapping[str, Any], episodes: int) -> list[str]:
    rows = [
        (
            f"`{name}`" if name in sfl_baselines.names() else name,
            about,
            _interval(found["policies"][name]["over best"]),
            _interval(found["policies"][name]["over bound"]),
            *(f"{1e3 * seconds:.3g} ms" for seconds in found["times"]["policies"][name]),
        )
        for name, about in POLICIES.items()
    ]
    efforts = [(str(row["boxes"]), f"{row['mean']:.4f}", f"{row['least']:.4f}") for row in found["bounds"]]
    few = found["few"]
    return [
        f'## `barriers="{barriers}"`\n',
        prose(
            f"First rounds of {episodes} held-out episodes; the best found last {found['best_s']:.1f} s in the "
            "mean. Ratios are geometric means with 95 % intervals over the episodes. Times are those of one round "
            f"alone, and each of {FEW} side by side, of one core's time; the bound takes "
            f"{1e3 * found['times']['bound']:.3g} ms a round with {EFFORTS[1]} boxes at most."
        ),
        table(("policy", "what it does", "over the best found", "over the bound", "alone", "side by side"), rows),
        "What the bound reaches, over the best found, by the number of boxes that a round is given at most:\n",
        table(("boxes", "mean", "least"), efforts),
        prose(
            f"With three devices every vector of cuts can be tried: in {few['rounds']} rounds "
            f"`solve_staged_exactly` is within {few['exact']:.1e} of the best of them, `staged_search` at most "
            f"{few['search']:.1e} above it, "
            f"and the bound of at most {EFFORTS[-1]} boxes at most {100.0 * few['bound']:.2f} % below and "
            f"{'in some rounds' if few['bound above'] else 'never'} above it."
        ),
    ]


def page(found: Mapping[str, Any]) -> str:
    """Return the page from the figures."""
    parts = [ABOUT]
    for barriers, figures in found["systems"].items():
        parts += _section(barriers, figures, found["episodes"])
    return "\n".join([*parts, BARRIER])


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the page alone, from the stored figures")
    parser.add_argument("--times", action="store_true", help="measure the solvers' times alone")
    asked = parser.parse_args()
    if asked.times:
        stored = json.loads(FIGURES.read_text(encoding="utf-8"))
        for barriers, found in stored["systems"].items():
            found["times"] = times(barriers)
        write_json(FIGURES, stored)
    elif not asked.page:
        write_json(FIGURES, measure_all())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
