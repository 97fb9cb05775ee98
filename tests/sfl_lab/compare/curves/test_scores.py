"""Times to the target are over seeds, and no seed that never reaches it is left out."""

import pytest

from sfl_lab.compare.curves.scores import score
from sfl_lab.compare.curves.tables import seconds
from sfl_lab.compare.lineup import Row
from tests.sfl_lab.compare.curves.curves import FAST, NEVER, SLOW

BASELINE = Row("slow", "baseline", "about", (), ("slow",))
REFERENCE = Row("centralised", "reference", "about", (), ("centralised",))
TRAINED = Row("ppo", "agent", "about", (0, 1, 2), ("a", "b", "c"))


def test_times_are_medians_over_seeds_and_compared_seed_by_seed() -> None:
    found = score(BASELINE, [[SLOW, FAST, SLOW]], 0.9, first=[FAST, FAST, FAST])
    assert (found.reached, found.seeds, found.ratio_unit) == (3, 3, "episode")
    assert found.time_s is not None
    assert found.time_s.value == found.time_at_least_s == 18.0
    assert found.rounds is not None
    assert found.rounds.value == found.rounds_at_least == pytest.approx((3 + 2 + 3) / 3)
    assert found.time_ratio is not None
    assert found.time_ratio.value == pytest.approx((18.0 / 5.0) ** (2.0 / 3.0))
    assert found.final_accuracy.value == pytest.approx((0.9 + 0.8 + 0.9) / 3)


def test_seeds_that_never_reach_the_target_are_counted_as_a_bound_and_never_left_out() -> None:
    found = score(BASELINE, [[FAST, NEVER, FAST, NEVER]], 0.9)
    assert (found.reached, found.seeds) == (2, 4)
    assert found.time_s is not None
    assert found.time_s.value == 5.0  # of those that reach it
    assert found.time_at_least_s == pytest.approx((5.0 + 18.0) / 2)
    assert seconds(found) == "> 11.5"
    assert found.time_ratio is None  # which would be that of the easier seeds

    none = score(BASELINE, [[NEVER, NEVER]], 0.9)
    assert (none.reached, none.rounds, none.time_s, none.time_ratio) == (0, None, None, None)
    assert none.time_at_least_s == 18.0
    assert none.rounds_at_least == 3.0
    assert seconds(none) == "> 18.0"


def test_a_reference_has_rounds_and_no_time() -> None:
    found = score(REFERENCE, [[FAST, FAST]], 0.9)
    assert found.rounds is not None
    assert (found.time_s, found.time_at_least_s, found.latency_s) == (None, None, None)
    assert seconds(found) == "-"


def test_of_several_training_seeds_each_is_one_ratio_and_seconds_are_over_episodes() -> None:
    groups = [[SLOW, SLOW], [FAST, FAST], [FAST, SLOW]]
    found = score(TRAINED, groups, 0.9, first=[FAST, FAST])
    assert (found.reached, found.seeds, found.ratio_unit) == (6, 6, "training seed")
    assert found.time_ratio is not None
    assert found.time_ratio.values == 3
    assert found.time_ratio.value == pytest.approx((18.0 / 5.0) ** 0.5)
    assert found.time_s is not None
    by_episode = [(18.0 + 5.0 + 5.0) / 3, (18.0 + 5.0 + 18.0) / 3]
    assert (found.time_s.values, found.time_s.low, found.time_s.high) == (2, *map(pytest.approx, by_episode))
    assert found.rounds is not None
    assert found.rounds.values == 2
    assert found.rounds.value == pytest.approx(2.5)


def test_a_held_out_seed_counts_as_reached_when_all_training_seeds_reach_the_target() -> None:
    found = score(TRAINED, [[FAST, FAST, FAST], [FAST, NEVER, FAST]], 0.9)
    assert (found.reached, found.seeds) == (5, 6)
    assert found.time_s is not None
    assert (found.time_s.values, found.time_s.value) == (2, 5.0)
    assert found.time_ratio is None
    assert seconds(found) == "> 5.00"


def test_no_accuracy_is_above_one() -> None:
    found = score(BASELINE, [[FAST, SLOW]], 0.9).final_accuracy
    assert found.high == 1.0
    assert 0.0 <= found.low < found.value
