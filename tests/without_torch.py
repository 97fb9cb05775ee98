"""A pytest plugin for a Python that has no torch: what needs it is skipped, and says so.

``pytest -p tests.without_torch``. Torch comes as a small build for one version of Python alone; on others the
rest of the suite, which is most of it, still runs. A test that needs torch is known by what it meets, so that no
list has to be kept.
"""

import importlib
import importlib.util
import sys
from collections.abc import Generator
from doctest import UnexpectedException
from pathlib import Path
from typing import Any

import pytest

NEED_TORCH = ("torch", "stable_baselines3", "sb3_contrib")
"""What cannot be imported here."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to hide anything where torch is there."""
    found = [name for name in NEED_TORCH if importlib.util.find_spec(name) is not None]
    if found:
        raise pytest.UsageError(f"{' and '.join(found)} can be imported here: run the whole suite.")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Skip modules that import torch."""
    report = yield
    call = getattr(report, "call", None)
    if call is not None and call.excinfo is not None and needs_torch(call.excinfo.value):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, "Skipped: needs torch")
        forget(collector.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip tests whose fixtures need torch."""
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip tests that come to need torch."""
    return (yield from _skipping())


def _skipping() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except Exception as error:
        if needs_torch(error):
            pytest.skip("needs torch")
        raise


def forget(path: Path) -> None:
    """Drop a half-imported module, which pytest leaves behind and others would take for the whole.

    So are the packages that it lies in, those that need torch themselves.
    """
    files = {str(path), *(str(folder / "__init__.py") for folder in path.parents)}
    found = [name for name, module in sys.modules.items() if getattr(module, "__file__", None) in files]
    for name in sorted(found, key=len, reverse=True):
        module = sys.modules.pop(name)
        if module.__file__ == str(path):
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if needs_torch(error):
                continue
        sys.modules[name] = module


def needs_torch(error: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, is that torch is missing."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in NEED_TORCH:
            return True
        # What follows in an example fails, too, as it misses the names.
        if any(needs_torch(each) for each in getattr(error, "failures", ())):
            return True
        if isinstance(error, UnexpectedException):
            error = error.exc_info[1]
        else:
            error = error.__cause__ or error.__context__
    return False
