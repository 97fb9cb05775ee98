"""A learning curve says when the target was reached, and belongs to the seed of the others."""

import pytest

from sfl_lab.compare.curves.curve import Curve, Reached, reach
from sfl_lab.compare.records import ImpossibleResultError, check_paired
from tests.sfl_lab.compare.curves.curves import FAST, NEVER, SLOW


def test_the_target_is_reached_when_it_is_first_met() -> None:
    assert reach(FAST, 0.9) == Reached(rounds=2, time_s=5.0)
    assert reach(FAST, 0.85) == Reached(rounds=2, time_s=5.0)  # that it is lost again later changes nothing
    assert reach(SLOW, 0.9) == Reached(rounds=3, time_s=18.0)
    assert reach(FAST, 0.1) == Reached(rounds=0, time_s=0.0)
    assert reach(NEVER, 0.9) is None


def test_curves_that_are_not_paired_are_refused() -> None:
    check_paired({"a": FAST, "b": FAST})
    elsewhere = Curve(FAST.accuracy, FAST.loss, FAST.latency_s, FAST.conditions + 1)
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' started from different channels"):
        check_paired({"a": FAST, "b": elsewhere})
    other_start = Curve(FAST.accuracy, FAST.loss + 1.0, FAST.latency_s, FAST.conditions)
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' started from different weights"):
        check_paired({"a": FAST, "b": other_start})
