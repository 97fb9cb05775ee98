"""The generated pages of the documentation say what the code says."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import sfl_baselines

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


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


def test_the_page_on_presets_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "presets.json").read_text(encoding="utf-8"))
    assert (DOCS / "presets.md").read_text(encoding="utf-8") == script("difficulty").page(measured), (
        "docs/presets.md is behind: run `python docs/build/difficulty.py` after a change of a preset's fields, "
        "with `--page` after one of the page alone."
    )


def test_the_presets_that_were_measured_are_those_that_are_registered() -> None:
    measured = json.loads((DOCS / "data" / "presets.json").read_text(encoding="utf-8"))
    difficulty = script("difficulty")
    fields = {name: difficulty.latency_fields(name) for name in difficulty.measured_ids()}
    assert measured["fields"] == json.loads(json.dumps(fields)), (
        "docs/data/presets.json is behind the presets: run `python docs/build/difficulty.py`."
    )


def test_the_picture_of_the_layers_names_every_module_of_the_contract() -> None:
    architecture = script("architecture")
    assert {name for names in architecture.layers() for name in names} == set(architecture.ABOUT)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in DOCS.glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    path = DOCS.parent / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), f"{page} links to {link}, which is not there."


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{p.name}" for p in DOCS.glob("*.md"))]
)
def test_modules_that_a_page_names_are_there(page: str) -> None:
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    for name in re.findall(r"`((?:sfl_env|baselines|agents|lab|docs|speed|tests)/[\w/.-]+\.\w+)`", text):
        assert (DOCS.parent / name).exists(), f"{page} names {name}, which is not there."


def test_the_page_on_accuracy_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "accuracy.json").read_text(encoding="utf-8"))
    page = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    assert page == script("accuracy").filled(page, measured), (
        "docs/accuracy.md is behind docs/data/accuracy.json: run `python docs/build/accuracy.py --tables`."
    )


def test_the_readme_shows_the_measured_figures() -> None:
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert page == script("results").filled(page), (
        "README.md is behind docs/data/benchmark.json or docs/data/benchmark-accuracy.json: run "
        "`python docs/build/results.py`."
    )


def test_the_results_section_says_what_every_baseline_of_the_benchmark_does() -> None:
    told = script("results")
    assert set(sfl_baselines.names()) <= set(told.SCHEMES)


@pytest.mark.parametrize("section", ["results", "accuracy", "accuracy in words"])
def test_a_figure_that_was_typed_into_the_readme_is_found(section: str) -> None:
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    begin = page.index(f"<!-- {section}: begin -->")
    digit = next(at for at in range(begin, len(page)) if page[at].isdigit())
    typed = page[:digit] + str((int(page[digit]) + 1) % 10) + page[digit + 1 :]
    assert script("results").filled(typed) == page


def words(page: Path) -> str:
    return " ".join(page.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_teaches_what_runs_code_or_claims_what_is_not_so(page: Path) -> None:
    assert "weights_only=False" not in words(page)
    assert not re.search(r"no formula is written twice", words(page), re.IGNORECASE)


def test_the_page_on_accuracy_says_that_threads_matter() -> None:
    what_a_seed_fixes = words(DOCS / "accuracy.md").partition("## What a seed fixes")[2].partition("## ")[0]
    assert "number of torch threads" in what_a_seed_fixes
    assert "`resnet18` and `vgg11` differ in the last digits" in what_a_seed_fixes
