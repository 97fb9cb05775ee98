"""A slice of the fuzz target; ``make fuzz`` plays all of it."""

import time

import numpy as np
import pytest

from tests.fuzz.__main__ import KINDS
from tests.fuzz.cases import Kind, in_time, play

SEED = 0
SHARE = 0.05
MOST = 60
"""Cases of a kind, so that all slices together take seconds."""


@pytest.mark.parametrize("name", KINDS)
def test_a_slice_of_every_kind_goes_well(name: str) -> None:
    kind = KINDS[name]
    failures = [play(kind, SEED, case) for case in range(min(round(SHARE * kind.count), MOST))]
    assert not [str(failure) for failure in failures if failure is not None]


@pytest.mark.parametrize("name", KINDS)
def test_a_case_is_drawn_alike_whatever_was_played_before(name: str) -> None:
    kind = KINDS[name]
    drawn = [repr(kind.draw(np.random.default_rng([SEED, 3]))) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_what_takes_for_ever_is_stopped() -> None:
    with pytest.raises(TimeoutError, match="took more than 1 s"), in_time(1):
        time.sleep(10)


def test_a_failure_tells_how_to_play_it_again() -> None:
    def fails(drawn: int, folder: object) -> None:
        raise ZeroDivisionError

    failure = play(Kind("demo", 1, lambda rng: 7, fails), 3, 5)
    assert failure is not None
    assert "--kind demo --seed 3 --case 5" in str(failure)
    assert "ZeroDivisionError" in str(failure)
