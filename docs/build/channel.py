"""Measure how channels change from round to round in every preset: ``python docs/build/channel.py``.

It writes docs/data/channel.json and, from that, docs/channel.md; it takes some seconds on one core. ``--page``
writes the page anew from the stored figures.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfl_env.optimum.joint import solve_exact
from sfl_env.presets import PRESETS
from sfl_env.rounds.latency import round_problem
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator
from sfl_env.storage.runs import versions, write_json

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "channel.json"
EPISODES = 100
ROUNDS = 15
SEED = 1_000_000
LAGS = (1, 2, 3, 4, 5)
PERCENT = (5, 25, 50, 75, 95)
TIERS = ("SFL-StaleCSI-v0", "SFL-Battery-v0", "SFL-Barrier-v0", "SFL-Deadline-v0")

WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "walking": {"mobility": "random-waypoint"},
    "staying": {"mobility": "static"},
    "staying, nothing in the way": {"mobility": "static", "blockage_fraction": 0.0},
    "as it is, whole speed": {"availability_levels": (1.0,)},
}
"""What is compared: the preset's own channel beside others, and beside its own without changes of free speed."""

BEFORE = """# How channels change from round to round

This page is written by `docs/build/channel.py`, and all of its figures are measured by it; `docs/model.md` says
what the channel is made of. Rounds move it by as long as they last: what takes its time, such as blockage, by the
seconds, and what depends on the place by the metres that a device walks in them. Within a round, small-scale
fading is averaged over: at 3.5 GHz a walker, at 0.83 m/s, takes 0.1 s for a wavelength. Of devices that stay it is
an assumption (`docs/model.md` has what hangs on it). `SFL-StaleCSI-v0`, which is not shown, makes the other one:
there fading stays through a round ([its page](tiers/stale-csi.md)).

## Whose figures these are

| figure | value | source |
|---|---|---|
| correlation distance of the line of sight | 50 m | 3GPP TR 38.901, Table 7.6.3.1-2 |
| of shadowing, UMi with and without line of sight | 10 m, 13 m | TR 38.901, Table 7.5-6 |
| of shadowing, UMa | 37 m, 50 m | the same |
| of shadowing, classic macro cell | 50 m | 3GPP TR 36.814, Table A.2.1.1-2 |
| Rician factor with line of sight, UMi | 9 dB, deviation 5 dB, alike over 15 m | TR 38.901, Table 7.5-6 |
| Rician factor with line of sight, UMa | 9 dB, deviation 3.5 dB, alike over 12 m | the same |
| walkers' mean speed | 0.83 m/s (3 km/h) | TR 38.901, Table 7.2-1, mobility of terminals |
| what a blocked link loses | 6 dB | ours; see below |
| fraction of time blocked, and for how long | 0.2, 60 s | ours: no measurement for rounds of seconds was found |
| mean time until a device's free speed changes | 200 s | ours |

Blockage stands for what moves around a device that stays where it is. Its loss is of the size of two figures. By
3GPP TR 37.885 (clause 6.2.1) a vehicle in between costs 5 dB in the mean where one antenna is above it and 9 dB
where none is, up to 541 m. And averages over five minutes of 72 fixed urban links at 5.8 GHz need an additional
margin of about 6 dB for 90 % of the time (R. A. Valenzuela et al., "Long term fade margin for 90% availability in
fixed wireless links with diversity", IEEE Wireless Communications Letters 9(10), 2020, who find time-varying
multipath rather than shadows behind it; the two states stand for either). `blockage_fraction=0` does without.

What the standard has and this leaves out: correlations between shadowing and Rician factor, between links of
devices that are near each other, and a soft transition between views (clause 7.6.3.3). A view near its threshold
may thus flicker within a few metres, which only rounds of less than a second resolve.
"""

ABOUT = """*Autocorrelation* is that of the gain in dB over 1 to 5 rounds, over all devices, so that where a
device stands counts as well. *Step* is the root mean square of its change in dB. *Cuts*: device-rounds whose
optimal cut is another than a round before; *rounds*: rounds in which some device's is. *Old decision*: how much
longer rounds take with the cuts and shares that were optimal a round before. *Whole speed*: without other programs
on the devices, so that all changes are the channel's."""


@dataclass(frozen=True)
class Change:
    """How a channel, and what is optimal in it, changes from one round to the next."""

    round_s: float  # mean optimal round
    gain_db: list[float]  # percentiles PERCENT of the mean gain
    line_of_sight: float  # fraction of device-rounds
    autocorrelation: list[float]  # of the gain in dB over LAGS, over all devices and rounds
    step_db: float  # root mean square of the gain's change in dB
    cuts: float  # device-rounds whose optimal cut is another than a round before
    rounds: float  # rounds in which some device's is
    old_decision: float  # what last round's optimal decision costs, over this round's


def measure(fields: dict[str, Any]) -> Change:
    """Play rounds of their optimal decisions."""
    simulator = Simulator(Scenario(**fields))
    rng = np.random.default_rng(SEED)
    state = simulator.initial(rng, EPISODES)
    gains, views, cuts, latencies, costs, last = [], [], [], [], [], None
    for _ in range(ROUNDS):
        true = simulator.conditions(state)
        problem = round_problem(simulator.workload, simulator.resources, true)
        best = solve_exact(problem)
        if last is not None:
            costs.append(problem.latency_s(last).sum() / best.latency_s.sum() - 1.0)
        last, _ = simulator.carried_out(state, best.decision)
        gains.append(10.0 * np.log10(state.channel.gain))
        views.append(state.channel.place.los)
        cuts.append(last.cut)
        latencies.append(best.latency_s)
        state = simulator.step(state, simulator.outcome(state, true, last), rng)
    gain, cut = np.array(gains), np.array(cuts)
    changed = cut[1:] != cut[:-1]
    return Change(
        round_s=float(np.mean(latencies)),
        gain_db=np.percentile(gain, PERCENT).tolist(),
        line_of_sight=float(np.mean(views)),
        autocorrelation=[float(np.corrcoef(gain[:-lag].ravel(), gain[lag:].ravel())[0, 1]) for lag in LAGS],
        step_db=float(np.sqrt(np.mean((gain[1:] - gain[:-1]) ** 2))),
        cuts=float(changed.mean()),
        rounds=float(changed.any(axis=-1).mean()),
        old_decision=float(np.mean(costs)),
    )


def latency_fields(env_id: str) -> dict[str, Any]:
    """Return a preset's fields without its training, which takes no part in a round's length."""
    fields = {**PRESETS[env_id].fields, "model": Scenario(**PRESETS[env_id].fields).network}
    learning = ("mode", "target_accuracy", "learning_surrogate")
    return {name: value for name, value in fields.items() if name not in learning}


def measure_all() -> dict[str, Any]:
    """Measure every preset that has a system of its own."""
    ids = [name for name in PRESETS if name not in TIERS]
    return {
        "episodes": EPISODES,
        "rounds": ROUNDS,
        "seed": SEED,
        "versions": versions(),
        "fields": {name: latency_fields(name) for name in ids},
        "presets": {name: measured_ways(latency_fields(name)) for name in ids},
    }


def measured_ways(fields: dict[str, Any]) -> dict[str, Any]:
    """Measure a preset and what it is compared with, unless that is the preset itself."""
    own = Scenario(**fields)
    return {
        way: asdict(measure(fields | other))
        for way, other in WAYS.items()
        if not other or Scenario(**(fields | other)) != own
    }


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    lines = [
        BEFORE,
        "## Mean gains",
        "",
        f"Of {found['episodes']} episodes of {found['rounds']} optimal rounds (seed {found['seed']}).",
        "",
        f"| id | line of sight | gain in dB, percentiles {', '.join(map(str, PERCENT))} |",
        "|---|---|---|",
    ]
    for env_id, ways in found["presets"].items():
        c = Change(**ways["as it is"])
        lines.append(
            f"| `{env_id}` | {c.line_of_sight:.0%} | {', '.join(f'{value:.0f}' for value in c.gain_db)} |"
        )
    lines += ["", *changes(found)]
    return "\n".join(lines)


def changes(found: dict[str, Any]) -> list[str]:
    """Return the table of changes."""
    lines = [
        "## Changes from one round to the next",
        "",
        ABOUT,
        "",
        "| id | devices | optimal round | autocorrelation | step | cuts | rounds | old decision |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for env_id, ways in found["presets"].items():
        for way, figures in ways.items():
            c = Change(**figures)
            lags = ", ".join(f"{value:.2f}" for value in c.autocorrelation)
            lines.append(
                f"| `{env_id}` | {way} | {c.round_s:.3g} s | {lags} | {c.step_db:.1f} dB | {c.cuts:.1%} | "
                f"{c.rounds:.0%} | +{c.old_decision:.1%} |"
            )
    return [*lines, ""]


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    if not parser.parse_args().page:
        write_json(FIGURES, measure_all())
    (DOCS / "channel.md").write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
