"""Write docs/speed.md from docs/data/speed.json: ``python docs/build/speed.py [runs/speed/speed.json]``.

With a file given, as ``make speed`` writes it, its figures become docs/data/speed.json first.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "speed.json"

BEFORE = """# Speed

This page is written by `docs/build/speed.py` from `docs/data/speed.json`, a result of `make speed`: no figure of a
table was typed. Run `make speed` for those of your own machine.

## What is compared, and how

Times of one machine say little about another, and a busy one slows everything. So every table below comes from one
run in which all that is compared **takes turns** on one thread: each turn lasts about ten milliseconds, or as long
as a call does, and the ratios are formed turn by turn. What is timed is the processor time of the process, so time
slices that other programs take do not count; only the table on all processors goes by the wall clock. Given are
medians and, in brackets, quartiles over the turns; **the ratios are what counts**.

For the default single environment and for training, each side has **processes of its own**, all on one core, which
start anew three times: what else a process has done, and where its memory happens to lie, moves such times by some
per cent.

Environments run through the whole Gymnasium interface: `gym.make` with its wrappers, or `gym.make_vec`; random
actions that were sampled beforehand; infos built; episodes reset at their end. "Random numbers" are the bare NumPy
calls that draw what a round of `SFL-v0` draws, two uniform numbers for each device, whether something is in the
way and whether its free speed changes: no simulator that draws as much with NumPy's default generator on one
thread can be faster. A "device-round" is one device's part of one round.

Solvers get instances of one kind: ten devices with 14 cuts of ResNet-34 in a macro cell, 10 MHz, thermal noise.
Rates are Shannon's without fading, which general solvers can express, unless a row names another curve. Each
general solver's optimum is compared with ours before its time counts. SLSQP and Clarabel only split the band
for given cuts; SCIP solves the joint problem, once for each size since it may take a minute.

PPO's two sides collect rollouts of the same size and train on them with the same `MlpPolicy` and the same
sizes, epochs and discounts, those of `sfl train --algo ppo`; only where the rollouts come from differs. Eight
single environments are what SB3's `make_vec_env` gives; the other side is `sfl_agents.SFLVecEnv`.
"""

NOTES = {
    "default single environment": """\
A single step of ten devices is many NumPy calls on arrays of ten numbers, and a call costs a quarter to
half a microsecond whatever it computes. The floor is therefore the number of calls. The step keeps it
low, uses arrays without gaps and of one shape, for which NumPy has its fastest way, and constants that are
arrays, since NumPy takes longer over Python's numbers.""",
    "single environments": """\
The same with variants of ours in turn, which keeps the interpreter from specialising its calls to one of
them. The mode `cut` and the optimum in the infos each pay for solving the bandwidth or the joint problem.""",
    "batched environments": "One process, one thread. Per environment and round.",
    "over the cost of the random numbers": "How much the physics adds to drawing the numbers that it is made of.",
    "cost of a device-round": """\
A single environment's step hardly grows up to a hundred devices, since it is the calls that cost. A batch has
spread that cost already, and levels off where its arrays outgrow the processor's caches. The number of cuts
does not matter: only the cut that is taken is looked up.""",
    "solvers": """\
The exact solver's time includes its certificate, the proven lower bound. "One problem" is another one of 64
each time, so that none is in the processor's caches.""",
    "PPO, training included": """\
Stepping is half of what eight single environments cost and next to nothing of the adapter's time. What is
left there is SB3's own work, the policy's forward passes and above all the training epochs, which both sides
have in common: the row with environments at no cost is the floor, and whatever makes the single environment
faster lowers the ratio. Adam takes one pass over all parameters (torch's `fused`), on both sides.""",
    "training small networks": """\
One local iteration of all K devices in accuracy mode, optimiser, copies and average included. "Plain loop" trains
one device after another with torch's defaults; "centralised" is one step of one network on as many samples, what K
copies would cost if copies were free. `docs/accuracy.md` says how the fused executor works. Its grouped way keeps
channels last in memory, which is why it can undercut the centralised step.""",
    "training large networks": """\
Here the executor loops over the devices too: the arithmetic is the same, in the same kernels. It keeps freed
memory and steps in one pass over the weights, which pays for its checks of losses and weights. Where the
centralised step, what K copies would cost if copies were free, is itself hardly faster than the loop,
more is not to be had.""",
    "training on all processors": """\
As many torch threads as processors, on both sides, and timed by the clock on the wall. Where it pays, the executor
trains replicas side by side in worker threads.""",
}


def page(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    parts = [BEFORE, "## What was to be reached\n", _targets(results["targets"])]
    for title, rows in results["tables"].items():
        parts += [f"## {title[0].upper()}{title[1:]}\n"]
        if title in NOTES:
            parts += [NOTES[title] + "\n"]
        parts += [_table(rows), *_measured_anew(title, results)]
    parts += ["## The joint problem by SCIP\n", _scip(results["scip"], results["scip_limit_s"])]
    parts += ["## How this was measured\n", _about(results)]
    return "\n".join(parts)


def _targets(targets: list[dict[str, Any]]) -> str:
    lines = ["| measure | to reach | seen: median (quartiles) | |", "|---|---|---|---|"]
    for target in targets:
        mark = "reached" if target["reached"] else "**missed**"
        lines.append(f"| {target['measure']} | {target['to_reach']} | {target['seen']} | {mark} |")
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"| | time per {rows[0]['unit']} | over {rows[0]['reference']} |",
        "|---|---|---|",
    ]
    for row in rows:
        time = f"{_time(row['median_s'])} ({_time(row['quartile_1_s'])} - {_time(row['quartile_3_s'])})"
        ratio = f"{row['ratio']:.3g} ({row['ratio_quartile_1']:.3g} - {row['ratio_quartile_3']:.3g})"
        lines.append(f"| {row['measure']} | {time} | {ratio} |")
    return "\n".join(lines) + "\n"


def _measured_anew(title: str, results: dict[str, Any]) -> list[str]:
    """Say of a table that is younger than the others where it comes from."""
    younger = results.get("measured_anew", {}).get(title)
    if younger is None:
        return []
    machine = younger["machine"]
    return [
        f"This table was measured after the others: `{younger['command']}`, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}.\n"
    ]


def _scip(rows: list[dict[str, Any]], limit_s: float) -> str:
    lines = [
        f"One instance of ResNet-18 for each size, once, with Shannon's rate; SCIP may take {limit_s:g} s. The "
        "last column is SCIP's objective over ours, minus 1: below 0, SCIP has used its tolerance, by which each "
        "constraint may be broken (1e-7), since nothing that keeps them all lies below our proven bound.\n",
        "| devices | cuts | SCIP | exact | times faster | relative difference of the objectives |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["scip_finished"]:
            faster = f"{row['ratio']:,.0f}"
            difference = f"{row['scip_latency_s'] / row['exact_latency_s'] - 1.0:.1e}"
        else:
            faster = f"more than {row['ratio']:,.0f}"
            difference = "SCIP had not finished"
        lines.append(
            f"| {row['devices']} | {row['cuts']} | {_time(row['scip_time_s'])} | {_time(row['exact_time_s'])} | "
            f"{faster} | {difference} |"
        )
    return "\n".join(lines) + "\n"


def _about(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"`make speed`, {results['rounds']} turns, {results['minutes']} minutes in all, on "
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}. Versions: {versions}.\n"
    )


def _time(seconds: float) -> str:
    for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {name}"
    return f"{seconds / 1e-9:.3g} ns"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        shutil.copyfile(sys.argv[1], FIGURES)
    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    (DOCS / "speed.md").write_text(page(results), encoding="utf-8")
