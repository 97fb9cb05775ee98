"""Names, choices and ranges: one wording each, whatever is passed."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import ProblemError, ScenarioError, SFLError
from sfl_env.checks import (
    Range,
    is_number,
    look_up,
    nearest_name,
    require_choice,
    require_known,
    require_positive,
    require_range,
    require_whole,
    shown,
)
from sfl_env.checks.names import LISTED_NAMES, SHOWN_CHARACTERS

FINITE = st.floats(-1e12, 1e12)


@given(low=FINITE, width=st.floats(0.0, 1e12), value=FINITE, low_open=st.booleans(), high_open=st.booleans())
def test_a_range_holds_what_lies_between_its_ends(
    low: float, width: float, value: float, low_open: bool, high_open: bool
) -> None:
    high = low + width
    inside = (value > low or (value == low and not low_open)) and (
        value < high or (value == high and not high_open)
    )
    assert (value in Range(low, high, low_open=low_open, high_open=high_open)) == inside


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, True, np.True_, "3", None, [1.0], 1j, 10**400, np.array([1.0]), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_finite_number_lies_in_no_range(value: Any) -> None:
    assert not is_number(value)
    assert value not in Range()
    with pytest.raises(ScenarioError, match=r"^x is .*; it has to be a number\.$"):
        require_range("x", value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1.0), np.int64(1), np.uint8(1)], ids=repr)
def test_numbers_of_python_and_numpy_are_numbers(value: Any) -> None:
    require_whole("x", value, 1, 1)
    require_positive("x", value)


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ScenarioError, match=r"x is 1\.5; it has to be a whole number from 1 to 3"):
        require_whole("x", 1.5, 1, 3)


def test_the_error_is_of_the_callers_class() -> None:
    checks: list[Any] = [
        lambda: require_range("x", 2.0, 0.0, 1.0, ProblemError),
        lambda: require_whole("x", 0.5, error=ProblemError),
        lambda: require_positive("x", 0.0, ProblemError),
        lambda: require_choice("x", "c", ["a", "b"], ProblemError),
        lambda: require_known("thing", "c", ["a", "b"], ProblemError),
        lambda: look_up("thing", "c", {"a": 1}, ProblemError),
    ]
    for check in checks:
        with pytest.raises(ProblemError):
            check()


@given(st.text(max_size=20))
def test_an_unknown_name_is_an_error_on_one_line(name: str) -> None:
    with pytest.raises(SFLError) as error:
        require_known("thing", name, ["first-thing-of-all", "second-thing-of-all"])
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("Unknown thing '") or '"' in str(error.value)


@pytest.mark.parametrize("name", [None, 3, ["a"], {"a": 1}], ids=repr)
def test_what_is_no_string_is_no_name(name: Any) -> None:
    with pytest.raises(ScenarioError, match="Unknown thing "):
        look_up("thing", name, {"a": 1})
    with pytest.raises(ScenarioError, match=r"^thing is .*; it has to be one of a\.$"):
        require_choice("thing", name, ["a"])


def test_many_known_names_are_not_listed_but_the_nearest_is_told() -> None:
    known = [f"name_{i}" for i in range(LISTED_NAMES + 1)]
    with pytest.raises(ScenarioError, match=r"^Unknown field 'nam_1' \(did you mean 'name_1'\?\)\.$"):
        require_known("field", "nam_1", known)


def test_what_else_may_be_given_is_told() -> None:
    with pytest.raises(ScenarioError, match=r"known are a, b, or the path of a file\.$"):
        require_known("thing", "zzz", ["a", "b"], otherwise="the path of a file")


def test_long_values_are_cut_and_lines_joined() -> None:
    assert len(shown("x" * 10_000)) == SHOWN_CHARACTERS
    assert "\n" not in shown(np.zeros((3, 3)))
    assert nearest_name("x" * 10**6, ["y"]) == ""


class Speechless:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_a_value_that_cannot_be_shown_is_shown_by_its_class() -> None:
    assert shown(Speechless()) == "<Speechless>"
