"""A round's problem: what it takes, which system it stands for, and what it says of decisions."""

import dataclasses
import datetime
from typing import Any

import numpy as np
import pytest
import torch

from sfl_env import Decision, DecisionError, ProblemError, RoundProblem
from sfl_env.rounds.problem import LARGEST, SMALLEST
from sfl_env.rounds.system import SYSTEMS

GOOD: dict[str, Any] = {
    "fixed_s": [[[1.0, 2.0], [1.0, 2.0]]],
    "uplink_bits": [[[2e6, 1e6], [2e6, 0.0]]],
    "downlink_bits": np.zeros((1, 2, 2)),
    "uplink_snr_hz": [[3e6, 3e6]],
    "downlink_full_rate_bps": [[np.inf, np.inf]],
    "uplink_bandwidth_hz": [2e6],
}
HALVES = Decision(np.array([[0, 1]]), np.array([[1.0, 0.0]]))


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values + 1j,
        lambda values: values.astype(str),
        lambda values: values.astype(object),
        lambda values: values > 0.5,
        lambda values: np.full(values.shape, np.datetime64("2024-01-01")),
        lambda values: np.ma.masked_array(values, mask=True),
        lambda values: torch.tensor(values, requires_grad=True),
        lambda values: np.full(values.shape, datetime.date(2024, 1, 1)).tolist(),
        lambda values: [values.tolist(), 1.0],
        lambda values: np.full(values.shape, None),
        lambda values: None,
        lambda values: "fast",
    ],
)
def test_only_real_numbers_make_a_problem(name: str, spoil: Any) -> None:
    with pytest.raises(ProblemError, match=f"^{name}"):
        RoundProblem(**{**GOOD, name: spoil(np.array(GOOD[name]))})


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [np.nan, -1.0, -np.inf, 5e-324, 1e-200, SMALLEST / 2, LARGEST * 2, 1e308])
def test_numbers_out_of_range_are_named_with_field_place_and_range(name: str, value: float) -> None:
    values = np.array(GOOD[name])
    values[(0,) * values.ndim] = value
    place = ", ".join("0" * values.ndim)
    with pytest.raises(ProblemError, match=rf"{name}\[{place}\] .* is .*from 1e-40 to 1e\+40") as found:
        RoundProblem(**{**GOOD, name: values})
    assert f" is {np.float64(value)};" in str(found.value)


def test_zero_and_infinity_only_where_they_mean_something() -> None:
    for name, values in GOOD.items():
        for number, allowed in (
            (0.0, name in ("fixed_s", "uplink_bits", "downlink_bits")),
            (np.inf, name in ("fixed_s", "downlink_full_rate_bps")),
        ):
            spoilt = np.array(values)
            spoilt[(0,) * spoilt.ndim] = number
            if allowed:
                RoundProblem(**{**GOOD, name: spoilt})
            else:
                with pytest.raises(ProblemError, match=name):
                    RoundProblem(**{**GOOD, name: spoilt})


def test_a_number_that_no_float64_holds_is_out_of_range() -> None:
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(ProblemError, match="uplink_snr_hz"):
            RoundProblem(**{**GOOD, "uplink_snr_hz": np.full((1, 2), np.longdouble("1e4000"))})


def test_other_precisions_and_whole_numbers_are_taken() -> None:
    problem = RoundProblem(
        **{**GOOD, "fixed_s": np.ones((1, 2, 2), np.int8), "uplink_snr_hz": np.full((1, 2), 3e6, np.float32)}
    )
    assert problem.fixed_s.dtype == problem.uplink_snr_hz.dtype == np.float64


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(ProblemError, match="system is 'serial'; it has to be one of parallel, sequence"):
        RoundProblem(**GOOD, system="serial")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="system is None"):
        RoundProblem(**GOOD, system=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", SYSTEMS)
def test_parts_of_a_problem_stand_for_the_same_system(system: Any) -> None:
    problem = RoundProblem(**GOOD, system=system)
    for part in (problem.rows(slice(0, 1)), problem.rows(np.array([0, 0])), dataclasses.replace(problem)):
        assert part.system == system
    assert problem.as_parallel().system == "parallel"
    np.testing.assert_array_equal(problem.as_parallel().fixed_s, problem.fixed_s)


def test_a_rounds_length_is_its_systems() -> None:
    side_by_side = RoundProblem(**GOOD).device_latency_s(HALVES)
    assert RoundProblem(**GOOD).latency_s(HALVES) == side_by_side.max()
    # In turn each has the whole band, whatever the shares.
    whole = Decision(HALVES.cut, np.ones((1, 2)))
    in_turn = RoundProblem(**GOOD, system="sequence")
    assert in_turn.latency_s(HALVES) == in_turn.device_latency_s(whole).sum()
    other: Any
    for other in ("synchronised", "deadline"):
        with pytest.raises(ProblemError, match="does not hold what their length depends on"):
            RoundProblem(**GOOD, system=other).latency_s(HALVES)


@pytest.mark.parametrize(
    ("cut", "share", "message"),
    [
        ([[0, 1]], [[0.5, 0.5j]], "bandwidth_share is of type complex128"),
        ([[0, 1]], [["a", "b"]], "bandwidth_share is of type"),
        ([[0, 1]], [[0.5], [0.1, 0.2]], "bandwidth_share is a list that is no array"),
        ([[0, 1]], [[np.nan, 0.5]], "device 0"),
        ([[0, 1]], [[-0.5, 0.5]], "device 0"),
        ([[0, 1]], [0.5, 0.5], "shape"),
        ([[0, 1]], None, "bandwidth_share is of type object"),
        ([[0.0, 1.0]], [[0.5, 0.5]], "cut has type float64"),
        ([[True, False]], [[0.5, 0.5]], "cut has type bool"),
        (np.array([[0, 2**63]], np.uint64), [[0.5, 0.5]], "index from 0 to 1"),
        (np.array([[0, -128]], np.int8), [[0.5, 0.5]], "index from 0 to 1"),
        ("ab", [[0.5, 0.5]], "cut has type"),
    ],
)
def test_what_is_no_decision_is_named(cut: Any, share: Any, message: str) -> None:
    problem = RoundProblem(**GOOD)
    for ask in (problem.check, problem.latency_s, problem.device_latency_s):
        with pytest.raises(DecisionError, match=message):
            ask(Decision(cut, share))
    with pytest.raises(DecisionError, match="tuple is no decision"):
        problem.latency_s((cut, share))  # type: ignore[arg-type]


def test_decisions_of_other_whole_numbers_and_of_lists_are_those_of_arrays() -> None:
    problem = RoundProblem(**GOOD)
    wanted = problem.device_latency_s(HALVES)
    for kind in (np.int8, np.uint8, np.uint64, np.int64):
        np.testing.assert_array_equal(
            problem.device_latency_s(HALVES._replace(cut=HALVES.cut.astype(kind))), wanted
        )
    as_lists: Any = Decision(HALVES.cut.tolist(), HALVES.bandwidth_share.tolist())
    np.testing.assert_array_equal(problem.device_latency_s(as_lists), wanted)
    problem.check(as_lists)
