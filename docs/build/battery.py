"""Measure the battery tier: ``python docs/build/battery.py``.

It writes docs/data/battery.json and, from that, docs/tiers/battery.md; it takes a minute or two on one core.
``--held-out`` plays the held-out episodes alone and keeps what was found on validation episodes. ``--page`` writes
the page anew from the stored figures.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import sfl_baselines
from sfl_baselines import Policy
from sfl_baselines.battery import EnergyPrice, return_bound
from sfl_baselines.battery.burning import KillStragglers
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.rollouts import play_to_the_end
from sfl_env import SFLVectorEnv
from sfl_env.presets import PRESETS
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import MEAN

sys.path.append(str(Path(__file__).parent))
from tier_examples import BATTERY

DOCS = Path(__file__).parents[1]
FIGURES, PAGE = DOCS / "data" / "battery.json", DOCS / "tiers" / "battery.md"
ENV_ID = "SFL-Battery-v0"

EPISODES, SEED = 100, held_out_seed(300_000)
"""Nothing was chosen by these episodes: the preset's fields were, by others."""
VALIDATION_EPISODES, VALIDATION_SEED = 16, 500_000
"""For tuning: below all held-out seeds."""

GRID = {"weight": (0.01, 0.02, 0.05), "exponent": (1.0, 2.0), "limit": (1.15, 1.25, 1.4)}

SEARCHED = {"doomed": (0.0, 0.3), "weight": (-4.0, 1.5), "limit": (0.3, 0.4)}
"""What the cross-entropy search over policies starts from, mean and deviation: the part of the devices that is run
empty, the logarithm of the price's weight, and the logarithm of how many budgets a round may take."""
GENERATIONS, POPULATION, ELITE, SEARCH_EPISODES = 3, 8, 3, 8

POLICIES = ("exact", "common-cut", "shallow", "budget-rule", "energy-price")


def outcome(policy: Policy, envs: SFLVectorEnv, seed: int) -> dict[str, Any]:
    """Return returns (N,) of episodes, and the part of the devices that has left at their ends."""
    total = np.zeros(envs.num_envs)
    for played in play_to_the_end(policy, envs.episodes, seed):
        total += played.done.reward
    left = envs.episodes.now.state.charge == 0.0
    return {"returns": total.tolist(), "left": left.mean(axis=1).tolist()}


def tuned() -> list[dict[str, float]]:
    """Return the validation return of every setting of the grid."""
    envs = make_batch(ENV_ID, VALIDATION_EPISODES)
    found = []
    for values in itertools.product(*GRID.values()):
        setting = dict(zip(GRID, values, strict=True))
        returns = outcome(EnergyPrice(envs, **setting), envs, VALIDATION_SEED)["returns"]
        found.append({**setting, "return": float(np.mean(returns))})
    return found


def searched() -> list[dict[str, float]]:
    """Search by cross-entropy among policies that may run devices empty; return all that were tried."""
    envs = make_batch(ENV_ID, SEARCH_EPISODES)
    rng = np.random.default_rng(0)
    mean, deviation = (np.array(values) for values in zip(*SEARCHED.values(), strict=True))
    tried: list[dict[str, float]] = []
    for _ in range(GENERATIONS):
        drawn = mean + deviation * rng.standard_normal((POPULATION, len(mean)))
        for doomed, weight, limit in drawn:
            setting = {
                "doomed": float(np.clip(doomed, 0.0, 1.0)),
                "weight": float(np.exp(weight)),
                "limit": float(np.exp(limit)),
            }
            found = outcome(KillStragglers(envs, **setting), envs, VALIDATION_SEED)
            tried.append(
                {**setting, "return": float(np.mean(found["returns"])), "left": float(np.mean(found["left"]))}
            )
        scores = np.array([one["return"] for one in tried[-POPULATION:]])
        elite = drawn[np.argsort(-scores)[:ELITE]]
        mean, deviation = elite.mean(axis=0), elite.std(axis=0) + 0.02
    return tried


def chosen() -> dict[str, Any]:
    """Return what is chosen or searched for on validation episodes."""
    grid = tuned()
    best = max(grid, key=lambda one: one["return"])
    return {
        "validation": {"episodes": VALIDATION_EPISODES, "seed": VALIDATION_SEED},
        "grid": grid,
        "price": {name: best[name] for name in GRID},
        "search": {"episodes": SEARCH_EPISODES, "tried": searched()},
    }


def held_out(price: dict[str, float]) -> dict[str, Any]:
    """Play the held-out episodes and bound their returns."""
    envs = make_batch(ENV_ID, EPISODES)
    without = make_batch(ENV_ID, EPISODES, {"battery_share": None})
    found = {name: outcome(sfl_baselines.make(name, envs), envs, SEED) for name in POLICIES[:-1]}
    found["energy-price"] = outcome(EnergyPrice(envs, **price), envs, SEED)
    found |= {
        f"stragglers run empty: {part:.0%}": outcome(KillStragglers(envs, part, **price), envs, SEED)
        for part in (0.1, 0.2, 1.0)
    }
    bound = return_bound(envs.episodes, SEED)
    return {
        "fields": dict(PRESETS[ENV_ID].fields),
        "episodes": EPISODES,
        "seed": SEED,
        "versions": versions(),
        "policies": found,
        "no batteries": outcome(sfl_baselines.make("exact", without), without, SEED)["returns"],
        "bound": bound.any_policy.tolist(),
        "bound on losing a device": bound.losing_a_device.tolist(),
    }


def interval(values: Any) -> str:
    """Return a mean with its 95 % interval."""
    found = MEAN.interval(np.asarray(values, dtype=np.float64))
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    sections = (opening(found), table(found), tuning(found), killing(found), bounding())
    return "\n".join([*(line for section in sections for line in (*section, "")), BATTERY])


def opening(found: dict[str, Any]) -> list[str]:
    """Say what the tier is."""
    fields = ", ".join(f"`{name}={value!r}`" for name, value in found["fields"].items())
    charge = make_batch(ENV_ID, 1).scenario.charged_for_dropouts
    return [
        "# The battery tier",
        "",
        "<!-- Written by docs/build/battery.py: change the code and run it, not this page. -->",
        "",
        f"`{ENV_ID}` is the default scenario with {fields}.",
        "",
        "Training takes from a device's battery what it draws more than waiting would. A device that has used "
        "up its "
        "share finishes its round and has left: it takes neither time nor band any more, and costs "
        f"`dropout_weight / K` in that round and in every one up to the last; by default the weight is {charge:g} "
        "here, four reference rounds for each of the devices. Rounds go on whoever has left. Free "
        "speed and blockage are drawn anew in every round, since they hold far shorter than a round lasts, and "
        "devices stay where they are: what comes does not depend on what is decided.",
        "",
        "The round-by-round optimum spends more than there is. To compute little costs air time, which all "
        "share, so "
        "that the question is which device may compute in which round: one at full speed pays half as much for "
        "it as "
        "one at half speed.",
    ]


def table(found: dict[str, Any]) -> list[str]:
    """Return the returns of all policies and the bound."""
    best = np.array(found["policies"]["energy-price"]["returns"])
    bound = np.array(found["bound"])
    lines = [
        "## Returns",
        "",
        f"Measured by `python docs/build/battery.py` on {found['episodes']} held-out episodes (seed "
        f"{found['seed']}), "
        "the same for all, with 95 % intervals of the mean. They are fresh: the preset's fields and the rules "
        "were chosen before these episodes were played for the first time. *Behind the bound* is the return's "
        "difference to the bound, episode by episode, *against the price* that to `energy-price`.",
        "",
        "| policy | return | behind the bound | against the price | devices that have left |",
        "|---|---|---|---|---|",
    ]
    for name, entry in found["policies"].items():
        returns = np.array(entry["returns"])
        against = "" if name == "energy-price" else interval(returns - best)
        shown = name if name.startswith("stragglers") else f"`{name}`"
        left = f"{np.mean(entry['left']):.1%}"
        lines.append(f"| {shown} | {interval(returns)} | {interval(bound - returns)} | {against} | {left} |")
    free = np.array(found["no batteries"])
    lines.append(f"| `exact`, no batteries at all | {interval(free)} | | {interval(free - best)} | |")
    lines.append(f"| bound: no policy exceeds it | {interval(bound)} | | {interval(bound - best)} | |")
    budget = np.array(found["policies"]["budget-rule"]["returns"])
    lines += [
        "",
        f"The best rule here costs {np.sum(best) / np.sum(bound) - 1.0:.1%} more than the bound, the budget rule "
        f"{np.sum(budget) / np.sum(bound) - 1.0:.1%} more. So a policy that learns has at most "
        f"{1.0 - np.sum(bound) / np.sum(budget):.1%} of the budget rule's cost to gain, of which the price takes "
        f"{1.0 - np.sum(best) / np.sum(budget):.1%}. The bound knows all channels in advance, and so need not be "
        "reachable.",
    ]
    return lines


def tuning(found: dict[str, Any]) -> list[str]:
    """Say how the price was found."""
    ranked = sorted(found["grid"], key=lambda one: -one["return"])
    chosen = ", ".join(f"`{name}={value:g}`" for name, value in found["price"].items())
    about = found["validation"]
    lines = [
        "## The price of energy",
        "",
        "`energy-price` minimises a round's seconds plus the price of what it drains. A device whose fastest "
        "decision "
        "would take d of its battery, and whose charge over the rounds left is b, has its b priced at "
        "`weight` x the fastest round's length x (d / b) ** `exponent`; no round takes more than `limit` times b. "
        f"Of {len(ranked)} settings on {about['episodes']} validation episodes (seed {about['seed']}), the "
        "best and "
        f"the default is {chosen}. The best five and the worst:",
        "",
        "| weight | exponent | limit | return on validation |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one['weight']:g} | {one['exponent']:g} | {one['limit']:g} | {one['return']:.2f} |"
        for one in [*ranked[:5], ranked[-1]]
    ]
    return lines


def killing(found: dict[str, Any]) -> list[str]:
    """Say what is known of policies that lose devices."""
    best = np.array(found["policies"]["energy-price"]["returns"])
    losing = np.array(found["bound on losing a device"])
    tried = found["search"]["tried"]
    top = max(tried, key=lambda one: one["return"])
    deadly = [one["return"] for one in tried if one["left"] > 0.0]
    return [
        "## Losing devices does not pay",
        "",
        "A second bound holds for all policies under which some device leaves. In the last round at the least "
        "it is "
        "absent, so that the round costs at least its charge and what the others need. This bound is "
        f"{interval(losing)}; in {np.mean(losing < best):.0%} of the episodes it lies below the return of "
        f"`energy-price` in the same episode, by {np.min((best - losing)[losing < best]):.2f} at the least: there "
        "*no* policy that "
        "loses a device does as well as this rule.",
        "",
        f"A search by cross-entropy among {len(tried)} policies that may run the slowest devices empty on "
        "purpose and "
        "overdraw batteries at will (`sfl_baselines.battery.burning`, "
        f"{found['search']['episodes']} validation episodes) ended with {top['doomed']:.0%} of the devices "
        "doomed, "
        f"{top['left']:.1%} lost and a return of {top['return']:.2f}; the best that lost any came to "
        f"{max(deadly, default=float('nan')):.2f}.",
    ]


def bounding() -> list[str]:
    """Say what the bound is of."""
    return [
        "## What the bound is of",
        "",
        "It is of every single episode: with its devices, channels and free speeds given, no policy, also none "
        "that "
        "knows them all in advance, has a higher return. For prices p_k >= 0 of the batteries, and the charge "
        "A for a "
        "device that is absent in a round,",
        "",
        "    sum_t T_t + A x absences >= sum_t min over decisions (T + sum_k min(p_k D_k, A)) - sum_k p_k",
        "",
        "since whoever stays drains at most its whole battery, and whoever leaves in a round, overdrawing it "
        "as it "
        "may, is charged A in this round already. A round's minimum is bounded from below in turn: over "
        "intervals of "
        "its length T; for each with a price of the band, which makes the devices independent; and for each "
        "device "
        "over its cuts and over intervals of its share, on which what the air takes is at least inversely "
        "proportional to the share (`sfl_baselines.battery.relaxation`). No step relies on an optimum having been "
        "found, and the prices, sought by subgradients, only matter to how tight it is. Computed in double "
        "precision, "
        "it is lowered by 1e-9 of its value.",
        "",
        "It needs that what comes depends on no decision. `foresee` refuses fields under which it would: moving "
        "devices, delayed CSI, free speed or blockage that holds longer than a fiftieth of the shortest possible "
        "round, a weight on energy, other systems, parts of one's own.",
    ]


def main() -> None:
    """Measure, and write the figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    parser.add_argument("--held-out", action="store_true", help="keep what was found on validation episodes")
    asked = parser.parse_args()
    if not asked.page:
        started = time.process_time()
        found = json.loads(FIGURES.read_text(encoding="utf-8")) if asked.held_out else chosen()
        write_json(FIGURES, found | held_out(found["price"]))
        print(f"{time.process_time() - started:.0f} s of processor time")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
