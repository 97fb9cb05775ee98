"""Play cases and print those that fail, each with the command that plays it again."""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.fuzz.cases import Kind, play
from tests.fuzz.commands import COMMAND_LINES
from tests.fuzz.damaged import DAMAGED_RUNS
from tests.fuzz.lives import LIVES
from tests.fuzz.own_parts import OWN_PARTS
from tests.fuzz.scenarios import SCENARIOS

KINDS = {kind.name: kind for kind in (SCENARIOS, LIVES, OWN_PARTS, DAMAGED_RUNS, COMMAND_LINES)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every case went well, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="by default all")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same cases")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each kind")
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the cases")
    given = parser.parse_args(arguments)
    failures = 0
    for kind in (KINDS[name] for name in given.kind or KINDS):
        cases = range(round(given.share * kind.count)) if given.case is None else [given.case]
        failures += _play_all(kind, given.seed, cases, given.jobs)
    return int(failures > 0)


def _play_all(kind: Kind, seed: int, cases: Sequence[int], jobs: int) -> int:
    started, failures = time.monotonic(), 0
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for failure in pool.map(play, repeat(kind), repeat(seed), cases, chunksize=5):
            if failure is not None:
                failures += 1
                print(failure, flush=True)
    print(f"{kind.name}: {len(cases)} cases, {failures} failed, {time.monotonic() - started:.0f} s", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
