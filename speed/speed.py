"""The whole speed suite in one go: ``make speed``, or ``python -m speed.speed``.

Prints every table, and at the end what was to be reached beside what was seen. Needs the dependency group
``speed``. Takes about half an hour.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from sfl_env.storage.runs import write_json
from speed import environments, learning, solvers, training
from speed.timing import Row, as_text

TABLES: dict[str, Callable[[int], list[Row]]] = {
    **environments.TABLES,
    "solvers": solvers.fast_rows,
    "cost of the exact solver as problems grow": solvers.growth_rows,
    "PPO, training included": learning.table,
    **training.TABLES,
}
SCIP = "the joint problem by SCIP"
PACKAGES = (
    "numpy",
    "scipy",
    "gymnasium",
    "torch",
    "stable-baselines3",
    "mobile-env",
    "cvxpy",
    "clarabel",
    "pyscipopt",
)


Rows = Mapping[tuple[str, str], Row]
"""The tables' rows by title and measure."""


@dataclass(frozen=True)
class Target:
    """One line of what the project promises of its speed."""

    measure: str
    to_reach: str
    seen: str
    reached: bool


def targets(tables: dict[str, list[Row]], scip: list[solvers.Table]) -> list[Target]:
    """Set what was seen beside what was to be reached.

    Parameters
    ----------
    tables : mapping
        The rows of each of :data:`TABLES`.
    scip : list
        The rows of :func:`speed.solvers.scip_table`.
    """
    rows = {(title, row.measure): row for title, table in tables.items() for row in table}
    return [*_of_environments(rows), *_of_solvers(rows, scip[-1]), _of_agents(rows), *_of_training(rows)]


def _of_environments(rows: Rows) -> list[Target]:
    batch = rows["batched environments", "SFL-v0, N = 1024, K = 10"]
    cart_pole = rows["batched environments", "CartPole-v1, N = 1024"]
    single = rows["default single environment", "SFL-v0, single, K = 10"]
    grown = rows["cost of a device-round", "single, K = 1000"]
    return [
        Target(
            "vector environment, K = 10, N = 1024, rounds a second",
            "at least 1,000,000 where CartPole's does 11.9 million: 1/11.9",
            f"{_rate(batch)} where CartPole's does {_rate(cart_pole)}: 1/{_ratio(batch)}",
            batch.ratio <= 11.9,
        ),
        Target(
            "single environment through `gym.make`, K = 10, over CartPole's",
            "at least 1/8 of the rate",
            f"1/{_ratio(single)}",
            single.ratio <= 8.0,
        ),
        Target(
            "cost of a device-round from K = 10 to K = 1000",
            "falls",
            f"to {_ratio(grown)} of it",
            grown.ratio < 1.0,
        ),
    ]


def _of_solvers(rows: Rows, joint: solvers.Table) -> list[Target]:
    predict = rows["solvers", "SB3 predict, one observation"]
    slsqp = rows["solvers", "SLSQP, band alone"]
    exact = rows["solvers", "exact, 1024 at once"]
    state = "solved to the same optimum" if joint["scip_finished"] else "stopped by its time limit"
    return [
        Target(
            "exact joint solve, K = 10, C = 14, one problem",
            "under SB3's `predict`, and under SLSQP for the band alone",
            f"`predict` takes {_ratio(predict)} times as long, SLSQP {_ratio(slsqp)} times",
            predict.ratio > 1.0 and slsqp.ratio > 1.0,
        ),
        Target(
            "exact joint solve with certificate, batched by 1024, problems a second",
            "at least 100,000",
            _rate(exact),
            exact.median_s <= 1e-5,
        ),
        Target(
            f"against SCIP on the joint problem, K = {joint['devices']}, C = {joint['cuts']}",
            "same objective to 1e-6, at least 10,000 times faster",
            f"{joint['ratio']:,.0f} times faster; SCIP {state} (once)",
            joint["ratio"] >= 1e4,
        ),
    ]


def _of_agents(rows: Rows) -> Target:
    adapter = rows["PPO, training included", "PPO, adapter with 64"]
    free = rows["PPO, training included", "PPO, 64 environments at no cost"]
    return Target(
        "PPO's steps a second, adapter with 64 over 8 single environments",
        "at least 4",
        f"{1.0 / adapter.ratio:.2f} ({1.0 / adapter.ratio_quartile_3:.2f} - "
        f"{1.0 / adapter.ratio_quartile_1:.2f}); environments at no cost would reach {1.0 / free.ratio:.2f}",
        adapter.ratio <= 0.25,
    )


def _of_training(rows: Rows) -> list[Target]:
    fused = [row for (_, measure), row in rows.items() if ": fused" in measure]
    small = {
        measure.split(": fused")[0]: row
        for (title, measure), row in rows.items()
        if title == "training small networks" and ": fused" in measure
    }
    ten, fifty = small["digits-cnn, K = 10, n = 32"], small["digits-cnn, K = 50, n = 16"]
    slowest = max(fused, key=lambda row: row.ratio)
    return [
        Target(
            "the fused executor's time over a plain loop's, `digits`, K = 10, n = 32",
            "at most 1/3",
            _ratio(ten),
            ten.ratio <= 1.0 / 3.0,
        ),
        Target("the same, K = 50, n = 16", "at most 1/5", _ratio(fifty), fifty.ratio <= 0.2),
        Target(
            f"the same, the slowest of {len(fused)} settings ({slowest.measure})",
            "never slower",
            _ratio(slowest),
            slowest.ratio <= 1.0,
        ),
    ]


def _rate(row: Row) -> str:
    low, middle, high = 1.0 / row.quartile_3_s, 1.0 / row.median_s, 1.0 / row.quartile_1_s
    return f"{middle:,.0f} ({low:,.0f} - {high:,.0f})"


def _ratio(row: Row) -> str:
    return f"{row.ratio:.3g} ({row.ratio_quartile_1:.3g} - {row.ratio_quartile_3:.3g})"


def targets_text(found: list[Target]) -> str:
    """Lay the targets out for the terminal."""
    return "\n".join(
        f"{'reached' if target.reached else 'MISSED '}  {target.measure}\n"
        f"         to reach: {target.to_reach}\n"
        f"         seen:     {target.seen}"
        for target in found
    )


def machine() -> dict[str, str | int | None]:
    """Describe the machine without naming it."""
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        names = [line for line in cpu_info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def main() -> None:
    """Measure everything, print it, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that everything takes")
    parser.add_argument("--scip-limit", type=float, default=60.0, help="seconds that SCIP may take for a problem")
    parser.add_argument("--out", type=Path, help="folder to write speed.json to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    tables = {}
    with threadpool_limits(1):
        for title, table in TABLES.items():
            tables[title] = table(arguments.rounds)
            print(f"\n{title}\n{as_text(tables[title])}", flush=True)
        scip = solvers.scip_table(arguments.scip_limit)
    print(f"\n{SCIP}\n{solvers.scip_text(scip)}")
    found = targets(tables, scip)
    print(f"\n{targets_text(found)}")
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(
            arguments.out / "speed.json",
            {
                "targets": [asdict(target) for target in found],
                "tables": {title: [row.to_dict() for row in rows] for title, rows in tables.items()},
                "scip": scip,
                "rounds": arguments.rounds,
                "scip_limit_s": arguments.scip_limit,
                "machine": machine(),
                "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
                "minutes": round((time.perf_counter() - begin) / 60.0, 1),
            },
        )


if __name__ == "__main__":
    main()
