"""Entries of the leaderboard are checked, and all that the table says is computed from their episodes."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.errors import RunError
from sfl_env.presets import PRESETS
from sfl_lab import cli
from sfl_lab.compare.intervals import geometric_mean_interval
from tests.project.test_pages import script

LEADERBOARD = script("leaderboard")
LAW = LEADERBOARD.rules()
N = LAW["episodes"]


def entry(seed: int = 0, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {
        "protocol": 1,
        "name": "mine",
        "kind": "reward",
        "env_id": "SFL-v0",
        "about": "an agent",
        "authors": "Somebody",
        "date": "2026-01-31",
        "command": "sfl benchmark --agents runs/mine",
        "versions": {"python": "3.11.7", "sfl-env": "0.1.0", "numpy": "2", "scipy": "1"},
        "steps": 1_000_000,
        "episodes": {str(s): (1.0 + rng.uniform(0.01, 0.1, N)).tolist() for s in range(5)},
    }
    return copy.deepcopy(found | changes)


def with_value(value: Any) -> dict[str, Any]:
    found = entry()
    found["episodes"]["3"][7] = value
    return found


def test_every_id_that_has_a_batch_has_a_measure() -> None:
    assert set(PRESETS) - {"SFL-Accuracy-v0"} <= set(LAW["measures"]), "add the id to docs/data/protocol.json"


def test_what_the_protocol_allows_is_taken() -> None:
    assert LEADERBOARD.checked(entry(), "mine.json") == entry()
    LEADERBOARD.checked(entry(kind="structure", about="PPO with CutPointerPolicy"), "mine.json")
    LEADERBOARD.checked(entry(kind="baseline", steps=0, episodes={"0": [1.0] * N}), "mine.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "is of protocol 2"),
        ({"kind": "magic"}, "kind in mine.json is 'magic'; it has to be one of baseline, reward"),
        (
            {"about": "PPO with this package's CutPointerPolicy"},
            "CutPointerPolicy, .* contains physics.*'structure'",
        ),
        ({"env_id": "SFL-v9"}, "env_id in mine.json"),
        ({"name": "<script>"}, "name in mine.json"),
        ({"name": "../x"}, "name in mine.json"),
        ({"about": "two\nlines"}, "about in mine.json"),
        ({"authors": ""}, "authors in mine.json"),
        ({"date": "31.1.2026"}, "date in mine.json"),
        ({"versions": {"python": "3"}}, "versions in mine.json"),
        ({"steps": 0}, "steps in mine.json is 0; it has to be from 1 to the budget"),
        ({"steps": 10**9}, "budget of 2,000,000"),
        ({"steps": True}, "steps in mine.json"),
        ({"kind": "baseline"}, "it has to be 0, as nothing is learnt"),
        ({"episodes": {"0": [1.0] * N}}, "has 1 training seeds; the protocol wants 5"),
        ({"episodes": {str(s): [1.0] * (N - 1) for s in range(5)}}, f"has to have {N} episodes"),
        ({"episodes": {"a": []}}, "map each training seed"),
        ({"episodes": []}, "map each training seed"),
        ({"more": 1}, "nothing else"),
    ],
)
def test_what_the_protocol_does_not_allow_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        LEADERBOARD.checked(entry(**changes), "mine.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "no finite"),
        (None, "no finite"),
        (True, "no finite"),
        (float("nan"), "no finite"),
        (0.99, "has a bug"),
    ],
)
def test_figures_that_cannot_be_are_told(value: Any, message: str) -> None:
    with pytest.raises(RunError, match=f"Training seed 3 in mine.json .*{message}"):
        LEADERBOARD.checked(with_value(value), "mine.json")


def test_a_missing_part_is_told() -> None:
    for name in entry():
        part = entry()
        del part[name]
        with pytest.raises(RunError, match="nothing else"):
            LEADERBOARD.checked(part, "mine.json")


def test_a_figure_is_over_training_seeds_and_the_distance_over_episodes() -> None:
    ours, theirs = entry(0), entry(1)
    seeds = [np.exp(np.mean(np.log(values))) for values in ours["episodes"].values()]
    assert LEADERBOARD.interval(ours) == geometric_mean_interval(np.array(seeds))
    behind = LEADERBOARD.paired(ours, theirs)
    assert behind.values == N
    assert behind.value == pytest.approx(LEADERBOARD.interval(ours).value / LEADERBOARD.interval(theirs).value)
    own = LEADERBOARD.paired(ours, ours)
    assert (own.low, own.value, own.high) == pytest.approx((1.0, 1.0, 1.0))


def test_a_paired_interval_is_narrow_where_episodes_differ_more_than_policies() -> None:
    hard = np.linspace(1.0, 5.0, N)
    first, second = (entry(kind="baseline", steps=0, episodes={"0": (hard * by).tolist()}) for by in (1.0, 1.02))
    behind = LEADERBOARD.paired(second, first)
    assert (behind.low, behind.high) == pytest.approx((1.02, 1.02), rel=1e-6)
    apart = LEADERBOARD.interval(second)
    assert apart.high / apart.low > 1.1


def test_the_page_ranks_by_the_measure_and_keeps_what_policies_were_made_from_apart() -> None:
    worse = entry(1, name="worse", kind="gradient", episodes={str(s): [1.5] * N for s in range(5)})
    page = LEADERBOARD.page([worse, entry()])
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["mine", "worse"]
    assert "from the reward alone" in rows[0]
    assert "gradients through the known physics" in rows[1]
    assert "50.00 % [50.00, 50.00]" in rows[1]
    returns = [
        entry(env_id="SFL-Battery-v0", name=name, episodes={str(s): [-value] * N for s in range(5)})
        for name, value in (("low", 2.0), ("high", 1.0))
    ]
    rows = [line for line in LEADERBOARD.page(returns).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["high", "low"]
    assert "-1.00 [-1.00, -1.00]" in rows[1]  # behind the first


def test_text_of_an_entry_does_not_break_the_table() -> None:
    page = LEADERBOARD.page([entry(about="a | b [x](y) <i>")])
    row = next(line for line in page.splitlines() if line.startswith("| `"))
    assert r"a \| b \[x\](y) \<i\>" in row


def test_entries_that_are_there_are_checked_and_called_by_what_they_are_of() -> None:
    names = [path.name for path in LEADERBOARD.ENTRIES.iterdir()]
    assert sorted(names) == sorted(LEADERBOARD.file_name(found) for found in LEADERBOARD.read())


def test_what_a_benchmark_writes_becomes_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LEADERBOARD, "rules", lambda: LAW | {"episodes": 3})
    out = tmp_path / "out"
    command = ["benchmark", "--policies", "exact", "shallow", "--episodes", "3", "--out", str(out)]
    assert cli.main([*command, "--env-id", "SFL-v0", "--fields", "max_rounds=2"]) == 0
    told = {"kind": "baseline", "steps": 0, "authors": "Somebody", "date": "2026-01-31"}
    with pytest.raises(RunError, match="other fields than the id's"):
        LEADERBOARD.entry_of(out, "shallow", told)
    config = json.loads((out / "config.json").read_text())
    config["settings"]["fields"] = {}
    (out / "config.json").write_text(json.dumps(config))
    found = LEADERBOARD.entry_of(out, "shallow", told)
    (score,) = [
        row for row in json.loads((out / "summary.json").read_text())["policies"] if row["policy"] == "shallow"
    ]
    assert LEADERBOARD.interval(found).value == pytest.approx(score["ratio"]["value"], rel=1e-7)
    with pytest.raises(RunError, match="has no policy 'nobody'; it has"):
        LEADERBOARD.entry_of(out, "nobody", told)
    monkeypatch.setattr(LEADERBOARD, "rules", lambda: LAW)
    with pytest.raises(RunError, match=f"not of {N} episodes"):
        LEADERBOARD.entry_of(out, "shallow", told)


def test_physics_in_the_policy_class_is_told_apart_from_reward_alone() -> None:
    page = LEADERBOARD.page([entry(name="pointer", kind="structure"), entry(1, name="network")])
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert "with physics in the policy class" in rows["pointer"]
    assert "learnt from the reward alone" in rows["network"]
    pointers = [found for found in LEADERBOARD.read() if "CutPointer" in found["about"]]
    assert pointers
    assert all(found["kind"] != "reward" for found in pointers)
