"""The generated pages of the documentation say what the code says."""

import importlib.util
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sfl_agents
import sfl_baselines
from sfl_env.learning import surrogate
from sfl_env.presets import PRESETS
from sfl_env.storage import runs
from sfl_lab.compare.contest import Contest, compare
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.lineup import Lineup
from sfl_lab.compare.rounds.contest import RoundContest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
OF_DOCS = sorted(str(page.relative_to(DOCS.parent)) for page in DOCS.rglob("*.md"))


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


def test_the_page_on_channels_shows_the_measured_figures() -> None:
    channel = script("channel")
    measured = json.loads((DOCS / "data" / "channel.json").read_text(encoding="utf-8"))
    assert (DOCS / "channel.md").read_text(encoding="utf-8") == channel.page(measured), (
        "docs/channel.md is behind docs/data/channel.json: run `python docs/build/channel.py --page`."
    )
    fields = {name: channel.latency_fields(name) for name in measured["fields"]}
    assert measured["fields"] == json.loads(json.dumps(fields)), (
        "docs/data/channel.json is behind the presets: run `python docs/build/channel.py`."
    )


def test_the_page_on_the_battery_tier_shows_the_figures_measured_with_its_fields() -> None:
    measured = json.loads((DOCS / "data" / "battery.json").read_text(encoding="utf-8"))
    assert (DOCS / "tiers" / "battery.md").read_text(encoding="utf-8") == script("battery").page(measured), (
        "docs/tiers/battery.md is behind docs/data/battery.json: run `python docs/build/battery.py --page`."
    )
    fields = json.loads(json.dumps(dict(PRESETS["SFL-Battery-v0"].fields)))
    assert measured["fields"] == fields, "docs/data/battery.json is behind: run `python docs/build/battery.py`."


def test_the_page_on_agents_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "carry-over.json").read_text(encoding="utf-8"))
    carry_over = script("carry_over")
    assert (DOCS / "agents.md").read_text(encoding="utf-8") == carry_over.page(measured), (
        "docs/agents.md is behind docs/data/carry-over.json: run `python docs/build/carry_over.py --page`."
    )
    assert all(list(ratios) == list(carry_over.SCENARIOS) for ratios in measured["ratios"].values())
    told = {name: entry["about"] for name, entry in measured["agents"].items()}
    assert told == {name: sfl_agents.about(job) for name, job in carry_over.JOBS.items()}, (
        "docs/data/carry-over.json is of other settings than the package's: run `python docs/build/carry_over.py`."
    )
    ratios = measured["ratios"].items()
    beaten = [name for name, found in ratios if min(itertools.chain.from_iterable(found.values())) < 1.0]
    assert beaten == [], "nobody beats the optimum"


def test_the_page_on_stock_agents_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "stock.json").read_text(encoding="utf-8"))
    stock, text = script("stock"), (DOCS / "stock-agents.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- table: begin -->\n")[2].partition("\n<!-- table: end -->")[0]
    assert shown == stock.page(measured), (
        "docs/stock-agents.md is behind docs/data/stock.json: run `python docs/build/stock.py --page`."
    )
    assert len({(run["env_id"], run["seed"]) for run in measured["trained"]}) == len(measured["trained"]) >= 5
    assert all(run["curve"][-1]["rounds"] == stock.STEPS for run in measured["trained"])


def test_the_page_on_presets_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "presets.json").read_text(encoding="utf-8"))
    assert (DOCS / "presets.md").read_text(encoding="utf-8") == script("difficulty").page(measured), (
        "docs/presets.md is behind: run `python docs/build/difficulty.py` after a change of a preset's fields, "
        "with `--page` after one of the page alone."
    )


def test_the_page_on_the_deadline_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "deadline.json").read_text(encoding="utf-8"))
    deadline = script("deadline")
    assert (DOCS / "tiers" / "deadline.md").read_text(encoding="utf-8") == deadline.page(measured), (
        "docs/tiers/deadline.md is behind docs/data/deadline.json: run `python docs/build/deadline.py --page`."
    )
    assert measured["fields"] == PRESETS[deadline.ENV_ID].fields, (
        "docs/data/deadline.json is behind the preset: run `python docs/build/deadline.py`."
    )


def test_the_presets_that_were_measured_are_those_that_are_registered() -> None:
    measured = json.loads((DOCS / "data" / "presets.json").read_text(encoding="utf-8"))
    difficulty = script("difficulty")
    fields = {name: difficulty.latency_fields(name) for name in difficulty.measured_ids()}
    assert measured["fields"] == json.loads(json.dumps(fields)), (
        "docs/data/presets.json is behind the presets: run `python docs/build/difficulty.py`."
    )


def test_the_page_on_old_channels_shows_the_measured_figures() -> None:
    measured = json.loads((DOCS / "data" / "stale-csi.json").read_text(encoding="utf-8"))
    stale_csi = script("stale_csi")
    assert (DOCS / "tiers" / "stale-csi.md").read_text(encoding="utf-8") == stale_csi.page(measured), (
        "docs/tiers/stale-csi.md is behind docs/data/stale-csi.json: run `python docs/build/stale_csi.py --page`."
    )
    assert measured["fields"] == json.loads(json.dumps(dict(PRESETS[stale_csi.ENV_ID].fields))), (
        "docs/data/stale-csi.json is behind the preset: run `python docs/build/stale_csi.py`."
    )


def test_the_picture_of_the_layers_names_every_module_of_the_contract() -> None:
    architecture = script("architecture")
    assert {name for names in architecture.layers() for name in names} == set(architecture.ABOUT)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *OF_DOCS])
def test_links_lead_somewhere(page: str) -> None:
    path = DOCS.parent / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), f"{page} links to {link}, which is not there."


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", *OF_DOCS])
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


def test_the_page_on_time_to_accuracy_shows_the_measured_figures() -> None:
    told = script("time_to_accuracy")
    found, constants = (json.loads(path.read_text(encoding="utf-8")) for path in (told.FIGURES, surrogate.STORED))
    assert told.PAGE.read_text(encoding="utf-8") == told.page(found, constants), (
        "docs/tiers/time-to-accuracy.md is behind: run `python docs/build/time_to_accuracy.py --page`."
    )
    assert found["fields"] == json.loads(json.dumps(dict(PRESETS[told.ENV_ID].fields))), (
        "docs/data/time-to-accuracy.json is behind the preset: run `python docs/build/time_to_accuracy.py`."
    )


def test_the_constants_of_learning_are_fitted_to_the_stored_runs() -> None:
    build = script("surrogate")
    found = json.loads(build.DATA.read_text(encoding="utf-8"))
    wanted = [surrogate.circumstances(build.BASE.replace(**fields)) for fields in build.SETTINGS]
    assert [each["scenario"] for each in found["measured"]] == wanted
    again = json.loads(json.dumps(runs.to_plain(build.fit(found))))
    for fitted, stored in zip(again["measured"], surrogate.measured(), strict=True):
        assert fitted["scenario"] == stored["scenario"]
        for name in ("least_rounds", "rounds_per_block", "spread"):
            assert fitted[name] == pytest.approx(stored[name], rel=1e-6, abs=1e-9), name


def test_the_fit_finds_the_constants_that_runs_were_made_with() -> None:
    build, rng = script("surrogate"), np.random.default_rng(0)
    cut = np.array([rng.choice(4, 10, p=rng.dirichlet(np.ones(4))) for _ in range(2000)])
    true = surrogate.Surrogate(6.0, (0.0, 4.0, 0.0, 9.0), spread=0.1)
    rounds = true.rounds(cut) * np.exp(0.1 * rng.standard_normal(2000))
    constants = build.fitted(build.terms_of(cut, 4), rounds)
    np.testing.assert_allclose(constants, [6.0, 4.0, 0.0, 9.0], atol=0.6)
    np.testing.assert_allclose(build.terms_of(cut, 4) @ [6.0, 4.0, 0.0, 9.0], true.rounds(cut))


def test_the_page_on_statistics_shows_the_measured_coverage() -> None:
    measured = json.loads((DOCS / "data" / "coverage.json").read_text(encoding="utf-8"))
    page = (DOCS / "statistics.md").read_text(encoding="utf-8")
    assert page == script("coverage").filled(page, measured), (
        "docs/statistics.md is behind docs/data/coverage.json: run `python docs/build/coverage.py --tables`."
    )


def test_what_comparisons_take_covers_nearly_95_per_cent_where_it_was_measured() -> None:
    measured = json.loads((DOCS / "data" / "coverage.json").read_text(encoding="utf-8"))
    for name, about in measured["populations"].items():
        for n, shares in about["covered"].items():
            # 4000 intervals tell their coverage to 0.4 points.
            assert shares[about["chosen"]] >= 0.925, (name, n)


def test_the_leaderboard_is_made_of_its_entries() -> None:
    told = script("leaderboard")
    assert (DOCS / "leaderboard.md").read_text(encoding="utf-8") == told.page(told.read()), (
        "docs/leaderboard.md is behind its entries: run `python docs/build/leaderboard.py`."
    )
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    assert page == told.filled(page), "docs/protocol.md is behind: run `python docs/build/leaderboard.py`."


def test_the_readme_shows_the_measured_figures() -> None:
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert page == script("results").filled(page), (
        "README.md is behind docs/data/benchmark.json or docs/data/benchmark-accuracy.json: run "
        "`python docs/build/results.py`."
    )


def test_the_results_section_says_what_every_baseline_of_the_benchmark_does() -> None:
    told = script("results")
    assert set(sfl_baselines.names()) <= set(told.SCHEMES)


AGENT = "PPO of Stable-Baselines3 with this package's DevicePolicy"


def as_stored(contest: Contest[Any, Any]) -> dict[str, Any]:
    """The summary that a benchmark writes, with its baseline `random` in the place of three training seeds."""
    lineup = contest.lineup()
    *others, last = lineup.contestants
    seeds = [
        replace(last, label=f"ppo {seed}", kind="agent", about=AGENT, row="ppo", training_seed=seed)
        for seed in range(3)
    ]
    summary = compare(contest, Lineup(lineup.scenario, (*others, *seeds))).summary()
    stored: dict[str, Any] = json.loads(json.dumps(runs.to_plain(summary)))
    return stored


def test_the_table_of_rounds_is_made_of_what_a_benchmark_writes() -> None:
    fields = {"num_devices": 2, "max_rounds": 2}
    summary = as_stored(RoundContest(policies=("exact", "random"), episodes=6, fields=fields))
    *table, _, source = script("results").rounds_table(summary)
    assert {line.count("|") for line in table} == {8}
    exact, agent = table[2:]
    seconds = summary["policies"][0]["round_s"]
    assert exact.endswith(f"| {seconds['mean']:.1f} | {seconds['median']:.1f} | {seconds['percentile_95']:.1f} |")
    assert sfl_baselines.about("exact") in exact
    assert f"| `ppo` | {AGENT}; 3 training seeds, interval of the ratio over these |" in agent
    assert "of ratios over training seeds where there are several" in source
    assert "96.9 % of such intervals of medians over 6 episodes hold the true one" in source


def test_the_table_of_what_is_learnt_is_made_of_what_a_benchmark_writes(one_thread: None) -> None:
    fields = {"num_devices": 2, "max_rounds": 2, "local_iterations": 1, "target_accuracy": 0.0}
    summary = as_stored(CurveContest(policies=("exact", "random"), episodes=2, fields=fields))
    told = script("results")
    lines = told.accuracy_tables({"benchmark-accuracy": summary})
    assert any("SFL, exact joint optimum" in line for line in lines)
    assert any(f"`ppo` | {AGENT}; 3 training seeds, interval of the ratio over these" in line for line in lines)
    assert any("6 of 6" in line for line in lines)
    assert "over held-out seeds, of ratios over training seeds where there are several" in lines[-1]


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
