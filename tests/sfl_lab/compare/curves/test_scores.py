"""Times to the target are over seeds, and no seed that never reaches it is left out."""

import pytest

from sfl_lab.compare.curves.scores import score
from sfl_lab.compare.curves.tables import seconds
from tests.sfl_lab.compare.curves.curves import FAST, NEVER, SLOW


def test_the_mean_time_is_over_seeds_and_compared_seed_by_seed() -> None:
    found = score("slow", "baseline", [SLOW, FAST], 0.9, first=[FAST, FAST])
    assert (found.reached, found.seeds) == (2, 2)
    assert found.time_s is not None
    assert found.time_s.mean == found.time_at_least_s == (18.0 + 5.0) / 2
    assert found.rounds is not None
    assert found.rounds.mean == found.rounds_at_least == 2.5
    assert found.time_ratio is not None
    assert found.time_ratio.mean == pytest.approx((18.0 / 5.0 + 1.0) / 2)
    assert found.final_accuracy.mean == pytest.approx(0.85)


def test_seeds_that_never_reach_the_target_are_counted_as_a_bound_and_never_left_out() -> None:
    found = score("some", "baseline", [FAST, NEVER, FAST], 0.9)
    assert (found.reached, found.seeds) == (2, 3)
    assert found.time_s is not None
    assert found.time_s.mean == 5.0  # of those that reach it
    assert found.time_at_least_s == pytest.approx((5.0 + 18.0 + 5.0) / 3)
    assert seconds(found) == "> 9.33"
    assert found.time_ratio is None  # which would be that of the easier seeds

    none = score("none", "baseline", [NEVER, NEVER], 0.9)
    assert (none.reached, none.rounds, none.time_s, none.time_ratio) == (0, None, None, None)
    assert none.time_at_least_s == 18.0
    assert none.rounds_at_least == 3.0
    assert seconds(none) == "> 18.0"


def test_a_reference_has_rounds_and_no_time() -> None:
    found = score("centralised", "reference", [FAST, FAST], 0.9)
    assert found.rounds is not None
    assert (found.time_s, found.time_at_least_s, found.latency_s) == (None, None, None)
    assert seconds(found) == "-"
