"""Measure the tier with a deadline: ``python docs/build/deadline.py``.

It writes docs/data/deadline.json and, from that, docs/tiers/deadline.md; it takes some three minutes on one core.
``--page`` writes the page anew from the stored figures.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import sfl_baselines
from sfl_baselines import solve_exact, solve_selection
from sfl_baselines.environments import held_out_seed, make_batch, make_single
from sfl_baselines.rollouts import play_to_the_end
from sfl_env import SFLVectorEnv
from sfl_env.presets import PRESETS
from sfl_env.rounds.latency import round_problem
from sfl_env.storage.runs import to_plain, versions, write_json
from sfl_lab.compare.intervals import MEAN
from sfl_lab.compare.rounds.yardstick import samples_in_time
from sfl_lab.compare.writing import short

sys.path.append(str(Path(__file__).parent))
from tier_examples import DEADLINE

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "deadline.json"
PAGE = DOCS / "tiers" / "deadline.md"
ENV_ID = "SFL-Deadline-v0"
REFERENCE = "selection"
POLICIES = (REFERENCE, "fedcs", "equal-bandwidth", "alternating", "exact", "common-cut")
CONTEST = {f"`{name}`": (name, "continuous") for name in POLICIES} | {
    f'`{REFERENCE}`, `action_mode="discrete"`': (REFERENCE, "discrete")
}
EPISODES = 100
STARTS = 1_000
"""Episodes whose first rounds tell what other deadlines would do."""
DEADLINES_S = (30.0, 45.0, 60.0, 75.0, 90.0, 105.0, 120.0, 150.0)

LEARNT_ID = "SFL-Accuracy-v0"
LEARNT: dict[str, dict[str, Any]] = {
    "all digits everywhere": {},
    "a few digits each": {"partition": "dirichlet", "partition_concentration": 0.1},
}
LEARNERS: dict[str, tuple[str, float | None]] = {
    "`selection`": ("selection", 0.8),
    "`exact`": ("exact", 0.8),
    "`equal-bandwidth`": ("equal-bandwidth", 0.8),
    "`exact`, no deadline": ("exact", None),
}
SEEDS, ROUNDS = 5, 25

PLAYED_BY = (
    f"`sfl benchmark --env-id {ENV_ID}` plays these policies, and agents with `--agents`, on the same episodes. "
    "It ranks them by samples in time a second and holds every round against the most samples that are proven to "
    "be possible in it, 1 for a round with as many; a policy that has more stops it with an error. `sfl evaluate` "
    "does so for one agent."
)


def deadline_s() -> float:
    """Return the tier's deadline."""
    return float(PRESETS[ENV_ID].fields["deadline_s"])


def played(name: str, envs: SFLVectorEnv) -> dict[str, np.ndarray]:
    """Let a policy play all episodes, and return what each episode came to, (N,) for every figure."""
    policy = sfl_baselines.make(name, envs)
    totals = {key: np.zeros(EPISODES) for key in ("samples", "in_time", "seconds", "return", "devices", "rounds")}
    for one in play_to_the_end(policy, envs.episodes, held_out_seed(0)):
        samples, infos = one.true.samples, one.done.infos
        found = {
            "samples": samples.sum(axis=1),
            "in_time": samples_in_time(one),
            "seconds": infos["latency_s"],
            "return": one.done.reward,
            "devices": infos["takes_part"].mean(axis=1),
            "rounds": np.ones(EPISODES),
        }
        for key, values in found.items():
            totals[key] += values * one.running
    return totals


def contest() -> dict[str, Any]:
    """Measure every policy on the same held-out episodes, each beside the tier's reference."""
    rows: dict[str, Any] = {}
    reference: dict[str, np.ndarray] = {}
    for label, (name, action_mode) in CONTEST.items():
        totals = played(name, make_batch(ENV_ID, EPISODES, action_mode=action_mode))
        figures = {
            "samples_per_s": totals["in_time"] / totals["seconds"],
            "return_per_round": totals["return"] / totals["rounds"],
        }
        reference = reference or figures
        rows[label] = {
            "in_time": float(totals["in_time"].sum() / totals["samples"].sum()),
            "devices": float(totals["devices"].sum() / totals["rounds"].sum()),
            "round_s": float(totals["seconds"].sum() / totals["rounds"].sum()),
            **{key: MEAN.interval(values) for key, values in figures.items()},
            **{f"{key}_less": MEAN.interval(reference[key] - values) for key, values in figures.items()},
        }
    return rows


def certificate() -> dict[str, float]:
    """Hold the reference, as it acts through the action space, against the bound of every round."""
    envs = make_batch(ENV_ID, EPISODES)
    simulator, policy = envs.episodes.simulator, sfl_baselines.make(REFERENCE, envs)
    proven, met, short_of, mixed = [], [], [], []
    for one in play_to_the_end(policy, envs.episodes, held_out_seed(0)):
        problem = round_problem(simulator.workload, simulator.resources, one.true)
        found = solve_selection(problem, one.true.samples, deadline_s())
        in_time = samples_in_time(one)
        if (in_time > found.bound_samples).any():
            raise AssertionError("A decision has more samples in time than is proven to be possible.")
        proven.append(found.is_proven)
        met.append(in_time == found.bound_samples)
        short_of.append(1.0 - in_time / found.bound_samples)
        mixed.append(~found.selected.all(axis=1) & found.selected.any(axis=1))
    return {
        "rounds": float(np.size(proven)),
        "proven": float(np.mean(proven)),
        "met": float(np.mean(met)),
        "short_of": float(np.mean(short_of)),
        "some_left_out": float(np.mean(mixed)),
    }


def deadlines() -> list[dict[str, float]]:
    """Measure what other deadlines would do to the first rounds of many episodes."""
    envs = make_batch(ENV_ID, STARTS)
    envs.reset(seed=held_out_seed(0))
    problem, samples = envs.true_problem(), envs.episodes.now.true.samples
    everyone_s = solve_exact(problem.as_parallel()).latency_s
    rows = []
    for limit_s in DEADLINES_S:
        found = solve_selection(problem, samples, limit_s)
        rows.append(
            {
                "deadline_s": limit_s,
                "everyone": float((everyone_s <= limit_s).mean()),
                "devices": float(found.selected.mean()),
                "in_time": float(found.samples.sum() / samples.sum()),
                "samples_per_s": float(found.samples.mean() / limit_s),
            }
        )
    return rows


def learnt() -> dict[str, Any]:
    """Train under a deadline and without one."""
    rows: dict[str, Any] = {}
    for spread, fields in LEARNT.items():
        for label, (name, limit_s) in LEARNERS.items():
            env = make_single(
                LEARNT_ID, {**fields, "deadline_s": limit_s, "target_accuracy": None}, torch_device="cpu"
            )
            policy = sfl_baselines.make(name, env)
            accuracy, took_part, seconds = np.zeros((3, SEEDS))
            for seed in range(SEEDS):
                observation, _ = env.reset(seed=held_out_seed(seed))
                for _ in range(ROUNDS):
                    observation, *_, info = env.step(policy.predict(observation)[0])
                    took_part[seed] += info["takes_part"].mean() / ROUNDS
                accuracy[seed], seconds[seed] = info["accuracy"], info["elapsed_s"]
            rows.setdefault(spread, {})[label] = {
                "accuracy": MEAN.interval(accuracy).within(0.0, 1.0),
                "devices": float(took_part.mean()),
                "seconds": float(seconds.mean()),
            }
    return rows


def measure() -> dict[str, Any]:
    """Measure everything and return plain values."""
    envs: Any = gym.make_vec(ENV_ID, num_envs=1).unwrapped
    found = {
        "episodes": EPISODES,
        "rounds": envs.scenario.max_rounds,
        "starts": STARTS,
        "seeds": SEEDS,
        "learnt_rounds": ROUNDS,
        "fields": dict(PRESETS[ENV_ID].fields),
        "reference_latency_s": envs.episodes.reference_latency_s,
        "versions": versions(),
        "contest": contest(),
        "certificate": certificate(),
        "deadlines": deadlines(),
        "learnt": learnt(),
    }
    plain: dict[str, Any] = to_plain(found)
    return plain


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    measured = (*contest_section(found), *deadlines_section(found), *learnt_section(found))
    return "\n".join((about(found), DEADLINE, *measured)) + "\n"


def about(found: dict[str, Any]) -> str:
    """Say what the tier is."""
    fields = found["fields"]
    limit_s, weight = fields["deadline_s"], fields["missed_weight"]
    best = found["contest"][f"`{REFERENCE}`"]
    pace_s = best["round_s"] / best["in_time"]
    return f"""# The tier with a deadline

This page is written by `docs/build/deadline.py`, and all of its figures are measured by it.

`{ENV_ID}` is the default scenario with `deadline_s={limit_s}`, `batch_size_spread={fields["batch_size_spread"]}`,
so that devices differ in what they bring, and `missed_weight={weight}`. A device that is late for the deadline is
left out: it stops there, and its samples are missed. Not everybody can be in time, so the decision is who takes
part. Giving a device next to no band leaves it out and frees band for others. Who equalises all finishing times,
as the optimum of rounds that wait for all does, is late with everybody as soon as one device too many takes part.

**What ends a round.** All devices that can be reached are asked, and the round ends when all of them have
finished, and at the deadline at the latest. So leaving a device out never makes a round shorter: without that,
few fast devices in short rounds would have the most samples a second, which nobody wants (the second table
below).

**Reward.** Minus the round's seconds over the nominal round ({short(found["reference_latency_s"], 3)} s), and
minus `missed_weight` times the part of the round's samples that is not in its average. For given conditions no
round with more samples in time is longer, so for every weight above 0 the best round is the same: one with the
most samples in time, and where all can be in time, the shortest with all. Nobody in time costs the most, in both
terms. The weight decides only how rounds of different length count beside each other. At {weight}, a whole
round's samples cost {short(weight * found["reference_latency_s"], 3)} s more; the reference takes
{short(pace_s, 3)} s for as many, so the return ranks nearly as samples a second do.

**The best round.** Device k is in time if and only if its share is at least what it needs, the least over all
cuts, so who can be in time together is a 0-1 knapsack: the most samples whose needed shares sum to 1 at most.
`sfl_baselines.solve_selection` solves it, greedily where that meets the bound of the relaxed problem and else by
the table of the least share for every number of samples, and gives the bound with it.

**What it is not.** With the present channel known, who is best for a round is best for the episode but for what
the round's length does to the next channel: a policy can learn the knapsack, and hardly beat it. Energy is not in
its reward. `action_mode="cut"` splits the band among all and can leave nobody out; with `"discrete"` a share is
rounded to half a level, and who was to be in time by little is late.
"""


def contest_section(found: dict[str, Any]) -> list[str]:
    """Return what every policy comes to."""
    proof = found["certificate"]
    lines = [
        "## Policies",
        "",
        f"{found['episodes']} held-out episodes of {found['rounds']} rounds, the same for all. In brackets: the "
        f"95 % interval, over episodes, of what is missing to `{REFERENCE}` on the same episode.",
        "",
        "| policy | samples in time a second | fewer | return a round | less | samples in time | devices in "
        "time | seconds a round |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["contest"].items():
        cells = [name]
        for key in ("samples_per_s", "return_per_round"):
            less = row[f"{key}_less"]
            cells.append(f"{row[key]['value']:.3f}")
            cells.append(
                "" if name == f"`{REFERENCE}`" else f"{less['value']:.3f} [{less['low']:.3f}, {less['high']:.3f}]"
            )
        cells += [f"{row['in_time']:.1%}", f"{row['devices']:.1%}", f"{row['round_s']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "`fedcs` adds devices in the order of the time that they add, as FedCS does (Nishio and Yonetani, 2019, "
        "arXiv:1804.08333), whatever their samples; what a device adds is by how much the shortest possible "
        "round of those selected grows, which is this project's. `exact` and `alternating` solve rounds that "
        "wait for all.",
        "",
        f"Of the {proof['rounds']:,.0f} rounds of `{REFERENCE}`, the solution of {proof['proven']:.2%} is proven "
        "to have as many samples in time as can be. Through the action space, where it keeps back what devices "
        f"that are left out still hold (e^-10 of the largest share each), {proof['met']:.2%} of its rounds meet "
        f"that bound, and it is short of it by {proof['short_of']:.3%} of the samples in the mean. Somebody is "
        f"left out and somebody is in time in {proof['some_left_out']:.1%} of the rounds.",
        "",
        PLAYED_BY,
        "",
    ]


def deadlines_section(found: dict[str, Any]) -> list[str]:
    """Return what other deadlines would do."""
    lines = [
        "## Deadlines",
        "",
        f"The first rounds of {found['starts']:,} episodes under the best selection for each deadline. *All can* "
        "is the part of rounds in which everybody can be in time. *Samples a second* are those of rounds that "
        "last to the deadline: the shorter rounds are, the more there are, from fewer and fewer devices. A "
        "server that closed a round as soon as those that it selected are done would pay for that.",
        "",
        "| deadline | all can | devices in time | samples in time | samples a second |",
        "|---|---|---|---|---|",
    ]
    for row in found["deadlines"]:
        lines.append(
            f"| {row['deadline_s']:g} s | {row['everyone']:.1%} | {row['devices']:.1%} | {row['in_time']:.1%} | "
            f"{row['samples_per_s']:.2f} |"
        )
    return [*lines, ""]


def learnt_section(found: dict[str, Any]) -> list[str]:
    """Return what is learnt under a deadline."""
    limit_s = LEARNERS["`selection`"][1]
    lines = [
        "## What is learnt",
        "",
        f"`{LEARNT_ID}` with `deadline_s={limit_s}`, in which those in time train: test accuracy after "
        f"{found['learnt_rounds']} rounds, mean over {found['seeds']} held-out seeds with its 95 % interval.",
        "",
        "| data | policy | accuracy | devices in time | simulated seconds |",
        "|---|---|---|---|---|",
    ]
    for spread, rows in found["learnt"].items():
        for label, row in rows.items():
            accuracy = row["accuracy"]
            lines.append(
                f"| {spread} | {label} | {accuracy['value']:.1%} [{accuracy['low']:.1%}, {accuracy['high']:.1%}] "
                f"| {row['devices']:.1%} | {row['seconds']:.1f} |"
            )
    made = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [*lines, "", f"Versions: {made}."]


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    arguments = parser.parse_args()
    if not arguments.page:
        write_json(FIGURES, measure())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
