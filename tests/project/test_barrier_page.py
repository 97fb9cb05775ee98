"""The page on rounds in stages shows measured figures, and they say what the solvers are for."""

import json
import sys

from tests.project.test_pages import DOCS, script

MEASURED = json.loads((DOCS / "data" / "barrier.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_measured_figures() -> None:
    sys.path.insert(0, str(DOCS / "build"))
    assert (DOCS / "tiers" / "barrier.md").read_text(encoding="utf-8") == script("barrier").page(MEASURED), (
        "docs/tiers/barrier.md is behind docs/data/barrier.json: run `python docs/build/barrier.py --page`."
    )


def test_the_bound_is_within_five_per_cent_of_the_best_found_in_the_mean_and_never_above_brute_force() -> None:
    for figures in MEASURED["systems"].values():
        assert figures["bounds"][-1]["mean"] > 0.95
        assert not figures["few"]["bound above"]
        assert figures["few"]["exact"] < 1e-6
