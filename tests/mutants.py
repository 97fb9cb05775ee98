"""Put faults into a package of sfl_env, one at a time, and see whether a test notices: ``make mutants``.

The faults are mutmut's (an operator swapped, a number one higher, an argument left out), at the places that a
seeded sample picks. Each is tried in a process of its own, forked from one that has the large libraries loaded,
which reads the faulty module instead of the file: nothing on the disk changes. A fault has first the package's own
tests and examples against it, the fastest first, up to the one that fails; what these miss meets tests of what is
built on the package.
"""

import argparse
import difflib
import importlib.util
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal, get_args

ROOT = Path(__file__).parents[1]
LOADED = ("numpy", "scipy.optimize", "scipy.special", "torch", "gymnasium", "hypothesis", "pytest")
"""What every trial needs and no fault is in."""

WIDER = {
    "rounds": ("tests/sfl_env/optimum", "tests/sfl_env/simulation"),
    "optimum": ("tests/sfl_baselines",),
    "learning": ("tests/sfl_env/test_accuracy_mode.py",),
    "simulation": (
        "tests/sfl_env/test_env.py",
        "tests/sfl_env/test_own_parts.py",
        "tests/sfl_env/test_own_parts_later.py",
        "tests/project/figures",
    ),
}
"""The tests that a fault meets after those of its own package: of what is built on it.

Folders and test files only: a module of the library that pytest is given by name is read from the disk, without
its fault."""

TOO_LONG = 3.0
START_S = 10.0
"""A trial that takes so many times as long as the tests without a fault, and so long to start, hangs: a person
would notice."""

Circle = Literal["own tests", "wider tests"]
Verdict = Literal[Circle, "hangs", "survives"]


@dataclass(frozen=True)
class Fault:
    """A module with one thing changed."""

    module: str
    path: str
    line: int
    change: str
    """The lines that differ, as a diff has them."""

    code: str


def faults_of(package: str) -> list[Fault]:
    """Return all faults of a package, in the order of its files and their lines."""
    paths = sorted((ROOT / "sfl_env" / package).rglob("*.py"))
    return [fault for path in paths for fault in _faults_in(path)]


def _faults_in(path: Path) -> list[Fault]:
    from mutmut.mutation.file_mutation import create_mutations

    before = path.read_text(encoding="utf-8")
    tree, mutations, _, _ = create_mutations(str(path), before)
    relative = path.relative_to(ROOT)
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    found = {}
    for mutation in mutations:
        if not _only_words(mutation):
            changed: Any = tree.deep_replace(
                mutation.original_node, mutation.mutated_node
            )  # a module, as the tree
            after = changed.code
            line, change = _difference(before, after)
            found[after] = Fault(module, str(relative), line, change, after)
    return sorted(found.values(), key=lambda fault: (fault.line, fault.change))


def _only_words(mutation: Any) -> bool:
    """Tell whether a mutation changes the wording of a message, or a name in a list of exports."""
    text = getattr(mutation.original_node, "value", None)
    is_string = type(mutation.original_node).__name__ == "SimpleString"
    return is_string and (" " in str(text) or mutation.contained_by_top_level_function is None)


def _difference(before: str, after: str) -> tuple[int, str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
    first = int(lines[2].split()[1].removeprefix("-").split(",")[0])
    return first, "\n".join(line for line in lines[3:] if not line.startswith("@@"))


class Instead(MetaPathFinder, SourceFileLoader):  # type: ignore[misc]  # the standard library's own types disagree
    """Loads one module from other code than its file's."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.module, str(ROOT / fault.path))
        self.fault = fault

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the one module."""
        if fullname != self.fault.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """Return the other code."""
        return compile(self.fault.code, self.path, "exec", dont_inherit=True)


class FastFirst:
    """Plugin of pytest that puts fast tests before slow ones, and measures them where it knows no times yet."""

    def __init__(self, times: Path) -> None:
        self.times = times
        self.known: dict[str, float] = json.loads(times.read_text()) if times.exists() else {}
        self.measured: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Order the tests."""
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add the time of a test's set-up, call or end."""
        self.measured[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Keep the times of the run without a fault, which is the first."""
        if not self.times.exists():
            self.times.write_text(json.dumps(self.measured))


def _try(fault: Fault | None, tests: Sequence[str], times: Path) -> None:
    """Run tests with a fault in place, and leave with pytest's exit status."""
    import hypothesis
    import pytest

    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT / folder) for folder in (".", "baselines", "agents", "lab")]
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # The same examples each time, however busy the machine is.
    hypothesis.settings.register_profile("mutants", deadline=None, database=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")
    if fault is not None:
        sys.meta_path.insert(0, Instead(fault))
    loaded_early = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *loaded_early]
    os._exit(int(pytest.main([*options, *tests], plugins=[FastFirst(times)])))


class Trials:
    """Tries faults against two circles of tests.

    Parameters
    ----------
    package : str
        Name of the package in ``sfl_env`` that the faults are in.
    circles : sequence of str
        Which of ``"own tests"`` and ``"wider tests"``.
    scratch : Path
        Folder to keep the tests' times in.
    """

    def __init__(self, package: str, circles: Sequence[Circle], scratch: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(LOADED))
        self._scratch = scratch
        tests: dict[Circle, tuple[str, ...]] = {
            "own tests": (f"tests/sfl_env/{package}", f"sfl_env/{package}"),
            "wider tests": WIDER[package],
        }
        self.tests = {circle: tests[circle] for circle in circles}
        self.usual_s = {circle: self._without_fault(circle) for circle in circles}

    def judge(self, fault: Fault, end: float) -> Verdict | None:
        """Tell what notices a fault; None if the monotonic clock is past the end."""
        if time.monotonic() > end:
            return None
        for circle, usual_s in self.usual_s.items():
            status = self._run(fault, circle, TOO_LONG * usual_s + START_S)
            if status is None:
                return "hangs"
            if status != 0:
                return circle
        return "survives"

    def _without_fault(self, circle: Circle) -> float:
        begin = time.perf_counter()
        status = self._run(None, circle, None)
        if status != 0:
            named = " ".join(self.tests[circle])
            raise SystemExit(f"pytest {named} ends with {status} without any fault: mend that first.")
        return time.perf_counter() - begin

    def _run(self, fault: Fault | None, circle: Circle, limit_s: float | None) -> int | None:
        times = self._scratch / f"{circle}.json"
        process = self._context.Process(target=_try, args=(fault, self.tests[circle], times))
        process.start()
        process.join(limit_s)
        if process.is_alive():
            process.kill()
            process.join()
            return None
        return process.exitcode


def main() -> None:
    """Try a sample of a package's faults, list what survives, and write it as JSON where asked to."""
    arguments = _parser().parse_args()
    faults = faults_of(arguments.package)
    chosen = _survivors(faults, arguments.again) if arguments.again else _sample(faults, arguments)
    verdicts: list[Verdict | None] = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.at_once) as pool:
        trials = Trials(arguments.package, arguments.circles, Path(scratch))
        end = time.monotonic() + 60.0 * arguments.minutes
        usual = ", ".join(f"{circle} {usual_s:.0f} s" for circle, usual_s in trials.usual_s.items())
        print(f"{len(faults)} faults of sfl_env.{arguments.package}; without any: {usual}", flush=True)
        for fault, verdict in zip(chosen, pool.map(lambda fault: trials.judge(fault, end), chosen), strict=True):
            verdicts.append(verdict)
            if verdict == "survives":
                print(f"\n{fault.path}:{fault.line}\n{fault.change}", flush=True)
    count = Counter(verdict for verdict in verdicts if verdict)
    noticed = 1.0 - count["survives"] / max(count.total(), 1)
    named = ", ".join(f"{name}: {number}" for name, number in count.most_common())
    print(f"\nnoticed: {noticed:.1%} of {count.total()} ({named})")
    if arguments.out:
        survivors = [
            {name: value for name, value in asdict(fault).items() if name != "code"}
            for fault, verdict in zip(chosen, verdicts, strict=True)
            if verdict == "survives"
        ]
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        found = {"faults": len(faults), "tried": count.total(), "seed": arguments.seed, "noticed": noticed}
        arguments.out.write_text(json.dumps(found | {"verdicts": count, "survivors": survivors}, indent=2) + "\n")


def _sample(faults: Sequence[Fault], arguments: argparse.Namespace) -> list[Fault]:
    """In an order in which a larger sample begins with the smaller one, and what time cuts short is one too."""
    chosen = list(faults)
    random.Random(arguments.seed).shuffle(chosen)
    return chosen[: arguments.sample or None]


def _survivors(faults: Sequence[Fault], found: Path) -> list[Fault]:
    """Those that survived another time, wherever their lines are now."""
    survived = {(entry["path"], entry["change"]) for entry in json.loads(found.read_text())["survivors"]}
    return [fault for fault in faults if (fault.path, fault.change) in survived]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True, choices=list(WIDER), help="the folder of sfl_env")
    parser.add_argument("--sample", type=int, default=200, help="how many faults to try; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--again", type=Path, help="JSON file of another time: try only what survived it")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no trial so long after the run without a fault"
    )
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="trials at the same time")
    circles = get_args(Circle)
    parser.add_argument("--circles", nargs="+", choices=circles, default=circles, help="whose tests")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser


if __name__ == "__main__":
    main()
