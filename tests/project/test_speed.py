"""What `make speed` times is what the environments are, and its page tells what it found."""

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

import sfl_env  # noqa: F401  (registers its ids)
from speed import idioms, timing

ROOT = Path(__file__).parents[2]
MEASURED = json.loads((ROOT / "docs" / "data" / "speed.json").read_text(encoding="utf-8"))


def test_an_agent_that_is_timed_sees_observations_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    solvers = pytest.importorskip("speed.solvers", reason="needs the dependency group speed")
    timed: dict[str, timing.Case] = {}
    monkeypatch.setattr(solvers, "measure", lambda cases, *_: timed.update(cases))
    solvers.fast_rows(1)
    predict = timed["SB3 predict, one observation"].call
    env = gym.make("SFL-v0", num_devices=10)
    (action, _) = cast(Any, predict)()
    assert env.action_space.contains(action)
    seen = predict.__closure__ or ()
    assert any(getattr(cell.cell_contents, "shape", None) == env.observation_space.shape for cell in seen)


@pytest.mark.parametrize("path", sorted((ROOT / "speed").glob("*.py")), ids=lambda path: path.stem)
def test_no_space_is_made_up(path: Path) -> None:
    """What is timed gets its spaces from an environment, not from numbers that may fall behind it."""
    made = [
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not {"Box", "Discrete", "MultiDiscrete"} & set(made)


def test_the_stored_targets_follow_from_the_stored_tables() -> None:
    speed = pytest.importorskip("speed.speed", reason="needs the dependency group speed")
    tables = {title: [timing.Row(**row) for row in rows] for title, rows in MEASURED["tables"].items()}
    found = [dataclasses.asdict(target) for target in speed.targets(tables, MEASURED["scip"])]
    assert found == MEASURED["targets"]


@pytest.mark.parametrize("n", idioms.SIZES)
@pytest.mark.parametrize("name", idioms.IDIOMS)
def test_an_idiom_gives_what_the_plain_way_gives(name: str, n: int) -> None:
    plain, ours = idioms.IDIOMS[name](n)
    wanted, found = plain(), ours()
    if isinstance(wanted, tuple):
        assert all(a is b for a, b in zip(wanted, found, strict=True))
    else:  # sums are repeated for every device
        np.testing.assert_allclose(found, np.broadcast_to(wanted, np.shape(found)))
