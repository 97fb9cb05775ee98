"""Profile and train the field's networks, and hold each against plain PyTorch."""

import argparse
import gc
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.networks import report
from tests.networks.checks import check
from tests.networks.names import NAMES


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if enough networks are accepted and all their numbers are right, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.networks", description=__doc__)
    parser.add_argument("--package", choices=NAMES, action="append", help="by default all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these names, or library/name")
    parser.add_argument("--out", type=Path, default=Path("runs/networks"), help="folder of networks.json")
    given = parser.parse_args(arguments)
    chosen = list(_chosen(given.package or list(NAMES), given.only))
    if not chosen:
        parser.error(f"none of the networks is called {' or '.join(given.only)}")
    results = []
    with warnings.catch_warnings():
        # The libraries' own, on their own code.
        warnings.simplefilter("ignore")
        for number, (library, name) in enumerate(chosen, start=1):
            results.append(check(library, name))
            print(f"{number:>3}/{len(chosen)} {report.line(results[-1])}", flush=True)
            gc.collect()  # the largest networks take gigabytes
    print(f"\n{report.summary(results)}\nWritten to {report.write(results, given.out)}.")
    failures = report.failures(results)
    print("\n".join(failures) or "All as it should be.")
    return int(bool(failures))


def _chosen(libraries: Sequence[str], only: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for library in libraries:
        for name in NAMES[library]:
            if only is None or name in only or f"{library}/{name}" in only:
                yield library, name


if __name__ == "__main__":
    sys.exit(main())
