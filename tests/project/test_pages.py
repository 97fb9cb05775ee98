"""The generated pages of the documentation say what the code says."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "build" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["scenario.md", "devices.md", "networks.md"])
def test_page_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == script("tables").pages()[page], (
        f"docs/{page} is behind the code: run `python docs/build/tables.py`."
    )


def test_the_page_on_speed_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "speed.json").read_text(encoding="utf-8"))
    assert (DOCS / "speed.md").read_text(encoding="utf-8") == script("speed").page(measured), (
        "docs/speed.md is behind docs/data/speed.json: run `python docs/build/speed.py`."
    )
