"""The page on agents in the tiers shows what was measured, of the agents that the package's settings train."""

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sfl_env.storage.runs import to_plain
from tests.project.test_pages import DOCS, script


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return script("tier_agents")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "data" / "tier-agents.json").read_text(encoding="utf-8"))
    return found


def test_the_page_shows_the_measured_figures(builder: ModuleType, measured: dict[str, Any]) -> None:
    assert (DOCS / "tiers" / "agents.md").read_text(encoding="utf-8") == builder.page(measured), (
        "docs/tiers/agents.md is behind: run `python docs/build/tier_agents.py --page`."
    )


def test_the_agents_are_those_of_the_settings(builder: ModuleType, measured: dict[str, Any]) -> None:
    for name, found in measured["tiers"].items():
        tier = builder.TIERS[name]
        assert found["settings"] == json.loads(json.dumps(to_plain(tier.job(0).settings))), name
        assert found["fields"] == dict(tier.fields)
        assert len(found["agents"]["each over best"]) == len(found["training_s"]) == tier.seeds


def test_gains_and_excesses_tell_the_same_story(measured: dict[str, Any]) -> None:
    """Who makes up for a part g of what is between a yardstick and the best exceeds the best by 1 - g of it."""
    for found in measured["tiers"].values():
        agents = found["agents"]
        for other, gain in agents["gain"].items():
            between = found["yardsticks"][other]["over best"][0] - 1.0
            assert agents["over best"][0] - 1.0 == pytest.approx((1.0 - gain[0]) * between, abs=1e-9)
        single = np.mean([ratio[0] for ratio in agents["each over best"]])
        assert single == pytest.approx(agents["over best"][0], abs=1e-9)
