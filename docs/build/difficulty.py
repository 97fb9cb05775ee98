"""Measure how much the decision matters in every preset: ``python docs/build/difficulty.py``.

It writes docs/data/presets.json and, from that, docs/presets.md; it takes some ten seconds on one core. ``--page``
writes the page anew from the stored figures.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import sfl_baselines
from sfl_baselines import allocate_bandwidth, solve_exact
from sfl_baselines.rules import equal_bandwidth
from sfl_env.optimum import alone_s
from sfl_env.presets import PRESETS
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.radio import uplink_rate_bps
from sfl_env.scenario import Scenario
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.writing import short

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "presets.json"
EPISODES = 100
ROUNDS = 30
EVERY = 10
SEED = 1_000_000
MATTERS = 0.1
"""A cut counts where it is optimal for at least this share of the devices."""
ALONE = 0.9
"""A device that needs this share of the optimal round even with the whole band to itself rules the round."""

STARTS, TOGETHER = 40_000, 4_000
"""Episodes whose first rounds tell how lengths spread, and how many at once."""
TAIL = 0.01
"""Part of them that the Hill index looks at."""
NEARLY = 0.95
"""An uplink is at its curve's ceiling where it carries at least this share of the most that the curve carries."""
STRONGEST_HZ = 1e20
"""Received power over noise density of a link on which every rate curve carries the most."""
NR_BEST = 7.4063
"""Bit/s/Hz of NR's best channel quality indicator, 3GPP TS 38.214, Table 5.2.2.1-3."""

TIERS = ("SFL-Bandit-v0", "SFL-Battery-v0", "SFL-Barrier-v0", "SFL-Deadline-v0")
TIERS_ABOUT = (
    f"Not shown are {', '.join(f'`{name}`' for name in TIERS)}, whose rounds are those of others or have another "
    "measure. Of `SFL-StaleCSI-v0` these are the figures for who knows the present channel."
)


@dataclass(frozen=True)
class Links:
    """How much the strength of links matters to decisions."""

    at_ceiling: float  # device-rounds whose uplink carries NEARLY the most at the optimum
    unseen: float  # cost of the cuts and shares that would be optimal if all links were of the strongest
    same_cuts: float  # device-rounds whose cut is the optimal one all the same


@dataclass(frozen=True)
class Spread:
    """How the optimal rounds of many episodes spread."""

    mean_s: float
    median_s: float
    p99_s: float
    longest_s: float
    hill_index: float  # of the tail; at most 2 would mean a variance without end, at most 1 a mean without
    outage: float  # device-rounds in which a device could not be reached


@dataclass(frozen=True)
class Difficulty:
    """What wrong decisions cost in a scenario, as shares of the optimum's total time."""

    optimum_s: float  # mean optimal round
    optimum_error_s: float  # its standard error, over episodes
    cuts: dict[str, float]  # how often each cut is optimal, where it is for at least a tenth of the devices
    equal_bandwidth: float  # every device its own best cut, equal shares
    common_cut: float  # the best single cut for all, optimal shares
    common_cut_name: str
    on_device: float  # everything on the device (or as deep as fits), optimal shares
    shallow: float  # the first cut for all, optimal shares
    ruled: float  # device-rounds in which a device alone would need ALONE of the optimal round
    above_nr: float  # device-rounds that send more bit/s/Hz at the optimum than NR's best mode carries
    links: Links
    spread: Spread


def spread(env_id: str) -> Spread:
    """Measure the first rounds of :data:`STARTS` episodes."""
    lengths, reached = [], []
    for seed in range(STARTS // TOGETHER):
        envs = gym.make_vec("SFL-v0", num_envs=TOGETHER, **latency_fields(env_id))
        envs.reset(seed=SEED + seed)
        problem = envs.unwrapped.true_problem()
        lengths.append(solve_exact(problem).latency_s)
        reached.append(problem.needs_band.any(axis=-1))
    length_s = np.sort(np.concatenate(lengths))
    tail = np.log(length_s[-int(TAIL * STARTS) :])
    return Spread(
        mean_s=float(length_s.mean()),
        median_s=float(np.median(length_s)),
        p99_s=float(np.quantile(length_s, 0.99)),
        longest_s=float(length_s[-1]),
        hill_index=float(1.0 / (tail[1:] - tail[0]).mean()),
        outage=1.0 - float(np.mean(reached)),
    )


def efficiencies(problem: RoundProblem, share: np.ndarray) -> np.ndarray:
    """Return bit/s/Hz that devices send at their shares, of those that hold one."""
    band_hz = problem.uplink_bandwidth_hz[:, None]
    rate = uplink_rate_bps(share, band_hz, problem.uplink_snr_hz, problem.uplink_curve, problem.fading_levels)
    held = share > 0.0
    found: np.ndarray = (rate / (share + ~held) / band_hz)[held]
    return found


def links(found: list[RoundProblem]) -> Links:
    """Measure what is lost by who takes all links for the strongest."""
    optimum, believed, same, ceiling = [], [], [], []
    for problem in found:
        best = solve_exact(problem)
        full_bps = problem.downlink_full_rate_bps
        strongest = replace(
            problem,
            uplink_snr_hz=np.full_like(problem.uplink_snr_hz, STRONGEST_HZ),
            downlink_full_rate_bps=np.full_like(full_bps, full_bps.max()),
        )
        decision = solve_exact(strongest).decision
        optimum.append(best.latency_s)
        believed.append(problem.latency_s(decision))
        same.append(decision.cut == best.decision.cut)
        most = problem.uplink_curve.held_efficiency(np.array([STRONGEST_HZ]))
        ceiling.append(efficiencies(problem, best.decision.bandwidth_share) >= NEARLY * most)
    return Links(
        at_ceiling=float(np.concatenate(ceiling).mean()),
        unseen=float(np.sum(believed) / np.sum(optimum) - 1.0),
        same_cuts=float(np.mean(same)),
    )


def problems(env_id: str) -> list[RoundProblem]:
    """Return the joint problems of some rounds of some episodes, acted on optimally."""
    envs = gym.make_vec("SFL-v0", num_envs=EPISODES, **latency_fields(env_id))
    policy = sfl_baselines.make("exact", envs)
    observation, _ = envs.reset(seed=SEED)
    found = []
    for number in range(ROUNDS):
        if number % EVERY == 0:
            found.append(envs.unwrapped.true_problem())
        observation = envs.step(policy.predict(observation)[0])[0]
    return found


def latency_fields(env_id: str) -> dict[str, Any]:
    """Return a preset's fields without its training and what is known late: rounds are the same without."""
    fields = {**PRESETS[env_id].fields, "model": Scenario(**PRESETS[env_id].fields).network}
    left_out = ("mode", "target_accuracy", "csi_delay_rounds", "learning_surrogate")
    return {name: value for name, value in fields.items() if name not in left_out}


def measure(env_id: str) -> Difficulty:
    """Measure one preset."""
    cut_names = gym.make("SFL-v0", **latency_fields(env_id)).unwrapped.profile.cut_names
    num_cuts = len(cut_names)
    optimum, equal, ruled, sent = [], [], [], []
    used = np.zeros(num_cuts)
    common = np.zeros(num_cuts)
    found = problems(env_id)
    for problem in found:
        best = solve_exact(problem)
        optimum.append(best.latency_s)
        sent.append(efficiencies(problem, best.decision.bandwidth_share))
        used += np.bincount(best.decision.cut.ravel(), minlength=num_cuts)
        deepest = np.isfinite(problem.fixed_s).sum(axis=-1) - 1
        equal.append(problem.latency_s(equal_bandwidth(problem)))
        ruled.append(alone_s(problem).min(axis=-1) > ALONE * best.latency_s[:, None])
        for cut in range(num_cuts):
            common[cut] += allocate_bandwidth(problem, np.minimum(cut, deepest)).latency_s.sum()
    total = np.sum(optimum)
    shares = used / used.sum()
    return Difficulty(
        optimum_s=float(np.mean(optimum)),
        optimum_error_s=float(np.mean(optimum, axis=0).std(ddof=1) / EPISODES**0.5),
        cuts={name: float(s) for name, s in zip(cut_names, shares, strict=True) if s >= MATTERS},
        equal_bandwidth=float(np.sum(equal) / total - 1.0),
        common_cut=float(common.min() / total - 1.0),
        common_cut_name=cut_names[int(common.argmin())],
        on_device=float(common[-1] / total - 1.0),
        shallow=float(common[0] / total - 1.0),
        ruled=float(np.mean(ruled)),
        above_nr=float((np.concatenate(sent) > NR_BEST).mean()),
        links=links(found),
        spread=spread(env_id),
    )


def measured_ids() -> list[str]:
    """Return the ids whose rounds differ from the default's; other tiers change what counts."""
    return [name for name in PRESETS if name not in TIERS]


def measure_all() -> dict[str, Any]:
    """Measure every preset and return plain values."""
    return {
        "episodes": EPISODES,
        "rounds": ROUNDS,
        "every": EVERY,
        "seed": SEED,
        "starts": STARTS,
        "tail": TAIL,
        "versions": versions(),
        "fields": {name: latency_fields(name) for name in measured_ids()},
        "presets": {name: asdict(measure(name)) for name in measured_ids()},
    }


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            *presets_table(),
            "",
            about(found),
            "",
            *difficulty_table(found),
            "",
            TIERS_ABOUT,
            "",
            *links_section(found),
            "",
            *spread_section(found),
            "",
        ]
    )


def presets_table() -> list[str]:
    """Return the ids and their fields."""
    lines = [
        "# Presets and how much the decision matters in them",
        "",
        "Every id is a few scenario fields on top of the defaults; any field can be overridden in `gym.make`.",
        "",
        "| id | what it is | fields that differ |",
        "|---|---|---|",
    ]
    for env_id, preset in PRESETS.items():
        fields = ", ".join(f"`{name}={value!r}`" for name, value in preset.fields.items()) or "none"
        lines.append(f"| `{env_id}` | {preset.about} | {fields} |")
    return lines


def about(found: dict[str, Any]) -> str:
    """Say what was measured."""
    return (
        f"Measured by `python docs/build/difficulty.py` over {found['episodes']} episodes of each id (seed "
        f"{found['seed']}), every {found['every']}th of {found['rounds']} rounds. The optimal round is a mean "
        "with its standard error over episodes, which single long rounds make large: the last table has the "
        f"lengths of {found['starts']:,} rounds. The costs say by how much the "
        "total time exceeds the optimum's: *equal bandwidth* (each device its own best cut), *common cut* (the "
        "best single cut for all, optimal band), *on device* (the deepest cut that fits, optimal band), *shallow* "
        "(first cut, optimal band). *Ruled* is the share of device-rounds in which one device would need over "
        f"{ALONE:.0%} of the optimal round even with the whole band to itself, so that its channel alone would "
        "decide."
    )


def difficulty_table(found: dict[str, Any]) -> list[str]:
    """Return what wrong decisions cost."""
    lines = [
        "| id | optimal round | cuts that are optimal for a tenth of the devices or more | equal bandwidth | "
        "common cut | on device | shallow | ruled |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for env_id, figures in found["presets"].items():
        d = Difficulty(**figures)
        cuts = ", ".join(f"{name} {share:.0%}" for name, share in d.cuts.items())
        lines.append(
            f"| `{env_id}` | {short(d.optimum_s, 3)} ± {short(d.optimum_error_s, 2)} s | {cuts} | "
            f"+{d.equal_bandwidth:.0%} | +{d.common_cut:.0%} ({d.common_cut_name}) | +{d.on_device:.0%} | "
            f"+{d.shallow:.0%} | {d.ruled:.2%} |"
        )
    return lines


def links_section(found: dict[str, Any]) -> list[str]:
    """Return how much the strength of links matters."""
    lines = [
        "## How much the links matter",
        "",
        "Of the same rounds. *At the ceiling* is the share of device-rounds whose uplink carries, at the optimum, "
        f"at least {NEARLY:.0%} of the most that its rate curve carries, so that a better link would bring hardly "
        "anything. *Links unseen* is by how much rounds take longer with the cuts and shares that would be best "
        "if all links were as strong as the strongest, and *same cuts* the share of device-rounds whose cut is "
        "optimal all the same. Cuts follow the devices' speeds, then, and hardly the channel; it is the shares "
        "that have to know which links are weak. Narrow cells, no interference but `uplink_noise_rise_db` and "
        "`downlink_noise_rise_db`, and devices that always send at full power make links so strong; higher noise "
        "rises or a wider cell make the channel matter more.",
        "",
        "| id | at the ceiling | links unseen | same cuts |",
        "|---|---|---|---|",
    ]
    for env_id, figures in found["presets"].items():
        seen = Links(**figures["links"])
        lines.append(f"| `{env_id}` | {seen.at_ceiling:.0%} | +{seen.unseen:.0%} | {seen.same_cuts:.1%} |")
    return lines


def spread_section(found: dict[str, Any]) -> list[str]:
    """Return how lengths of rounds spread over episodes, and how fast the uplinks are."""
    lines = [
        "## How long rounds are",
        "",
        f"The optimal first rounds of {found['starts']:,} episodes. The Hill index tells how heavy the tail is "
        f"(of the longest {found['tail']:.0%}): above 1 the mean is finite, above 2 the variance. *Out* is the "
        "share of device-rounds in which a device cannot be reached. *Above NR* is the share of the first table's "
        f"device-rounds whose uplink carries more than NR's best mode, {NR_BEST} bit/s/Hz.",
        "",
        "| id | median | mean | 99 % | longest | Hill index | out | above NR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for env_id, figures in found["presets"].items():
        s = Spread(**figures["spread"])
        seconds = " | ".join(f"{short(x, 3)} s" for x in (s.median_s, s.mean_s, s.p99_s, s.longest_s))
        lines.append(
            f"| `{env_id}` | {seconds} | {s.hill_index:.1f} | {s.outage:.4%} | {figures['above_nr']:.1%} |"
        )
    return lines


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    arguments = parser.parse_args()
    if not arguments.page:
        write_json(FIGURES, measure_all())
    (DOCS / "presets.md").write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
