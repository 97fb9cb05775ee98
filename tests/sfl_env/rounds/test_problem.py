"""Round problems: what they take, and whose rounds they stand for."""

import re
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch

import sfl_env
from sfl_baselines import allocate_bandwidth, solve_alternating, solve_exact, solve_in_turn
from sfl_env.errors import DecisionError, ProblemError
from sfl_env.rounds.numbers import cut_indices, real_numbers
from sfl_env.rounds.problem import SHARE_SUM_TOLERANCE, Decision, RoundProblem
from sfl_env.rounds.problem_values import ARRAYS, LARGEST, SMALLEST


def arrays(n: int = 1, k: int = 2, c: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "fixed_s": rng.random((n, k, c)),
        "uplink_bits": rng.random((n, k, c)) * 1e6,
        "downlink_bits": rng.random((n, k, c)) * 1e6,
        "uplink_snr_hz": rng.random((n, k)) * 1e6,
        "downlink_full_rate_bps": rng.random((n, k)) * 1e6,
        "uplink_bandwidth_hz": rng.random(n) * 1e6,
        "rician_k": rng.random((n, k)) * 10.0,
    }


def problem_of(env_fields: dict[str, Any]) -> RoundProblem:
    envs: Any = gym.make_vec("SFL-v0", num_envs=1, **env_fields)
    envs.reset(seed=0)
    problem: RoundProblem = envs.unwrapped.true_problem()
    return problem


SYSTEMS: dict[str, dict[str, Any]] = {
    "parallel": {},
    "sequence": {"schedule": "sequence"},
    "staged": {"barriers": "adaptsfl"},
    "deadline": {"deadline_s": 5.0},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_problem_knows_whose_round_it_is(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    assert problem.system == problem.rows(slice(0, 1)).system == system
    assert problem.as_parallel().system == "parallel"


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "parallel"])
def test_nothing_is_proven_outside_of_its_problem(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    cut = np.zeros(problem.shape[:2], dtype=np.intp)
    for solve in (solve_exact, solve_alternating, lambda p: allocate_bandwidth(p, cut)):
        with pytest.raises(ProblemError, match=rf"system is '{system}' .*as_parallel\(\)"):
            solve(problem)
        assert np.isfinite(solve(problem.as_parallel()).latency_s).all()


def test_split_learning_has_an_optimum_of_its_own() -> None:
    problem = problem_of(SYSTEMS["sequence"])
    solution = solve_in_turn(problem)
    assert problem.latency_s(solution.decision) == pytest.approx(solution.latency_s)
    whole_band = np.ones(problem.shape[:2])
    alone = [
        problem.device_latency_s(Decision(np.full(problem.shape[:2], cut), whole_band))
        for cut in range(problem.shape[2])
    ]
    assert solution.latency_s == pytest.approx(np.min(alone, axis=0).sum(), rel=1e-12)
    # The band split like these times, all devices at once would be done no later: rates are concave in the share.
    surrogate = solve_exact(problem.as_parallel())
    assert surrogate.latency_s <= solution.latency_s * (1.0 + 1e-9)
    # Its cuts, one device after another, gain nothing on the best.
    assert problem.latency_s(surrogate.decision) >= solution.latency_s * (1.0 - 1e-12)
    with pytest.raises(ProblemError, match="'parallel'"):
        solve_in_turn(problem.as_parallel())


@pytest.mark.parametrize("system", ["staged", "deadline"])
def test_lengths_that_do_not_follow_from_the_numbers_are_not_given(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    with pytest.raises(ProblemError, match=system):
        problem.latency_s(solve_exact(problem.as_parallel()).decision)


def test_an_unknown_system_finds_its_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean 'sequence'"):
        RoundProblem(**arrays(), system="sequenc")  # type: ignore[arg-type]  # the mistake under test


class Unreadable:
    """Fails to become an array in a way of its own."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, *options: Any, **more: Any) -> Any:
        raise LookupError("not here")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "change",
    [
        lambda values: values + 1e-3j,
        lambda values: values.astype(str),
        lambda values: values.astype(object),
        lambda values: values > 0.0,
        lambda values: values.astype("datetime64[s]"),
        lambda values: [[1.0], [1.0, 2.0]],
        lambda values: None,
        lambda values: values * np.nan,
        lambda values: values * 0.0 - 1.0,
        lambda values: values * 1e-300,
        lambda values: values * 0.0 + 1e300,
        lambda values: values * 0.0 + 5e-324,
        lambda values: values * 0.0 + 1e-41,
        lambda values: values * 0.0 + 1e41,
        lambda values: np.ma.masked_array(values, mask=True),
        lambda values: torch.tensor(values, requires_grad=True),
        Unreadable,
    ],
)
def test_what_is_no_number_in_range_is_refused_by_its_field(name: str, change: Any) -> None:
    given = arrays()
    given[name] = change(given[name])
    with pytest.raises(ProblemError, match=name):
        RoundProblem(**given)


@pytest.mark.parametrize(
    ("cut", "share"),
    [
        ([[0, 1]], [[0.5 + 1j, 0.5]]),
        ([[0, 1]], [["a", "b"]]),
        ([[0, 1]], [[np.nan, 0.5]]),
        ([[0, 1]], [[0.5], [0.5, 0.5]]),
        ([[0, 1]], [[True, False]]),
        ([[0, 1]], None),
        ([[0.0, 1.0]], [[0.5, 0.5]]),
        ([["a", "b"]], [[0.5, 0.5]]),
        ([[0], [0, 1]], [[0.5, 0.5]]),
        ([[0, 3]], [[0.5, 0.5]]),
        ([[-1, 1]], [[0.5, 0.5]]),
        (None, [[0.5, 0.5]]),
    ],
)
def test_what_is_no_decision_is_refused(cut: Any, share: Any) -> None:
    problem = RoundProblem(**arrays())
    for ask in (problem.check, problem.latency_s, problem.device_latency_s):
        with pytest.raises(DecisionError):
            ask(Decision(cut, share))


def test_a_pair_is_no_decision_and_masked_entries_are_none() -> None:
    for system in ("parallel", "sequence"):
        problem = RoundProblem(**arrays(), system=system)
        pair: Any = ([[0, 1]], [[0.5, 0.5]])
        masked = Decision(np.array([[0, 1]]), np.ma.masked_array([[0.5, 0.5]], mask=[[True, False]]))
        for ask in (problem.check, problem.latency_s, problem.device_latency_s):
            with pytest.raises(DecisionError, match="tuple is no decision"):
                ask(pair)
            with pytest.raises(DecisionError, match="masked"):
                ask(masked)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint64])
def test_cuts_of_any_whole_numbers_are_allocated_alike(kind: type) -> None:
    problem, cut = RoundProblem(**arrays()), np.array([[0, 1]])
    wanted, found = (allocate_bandwidth(problem, given) for given in (cut, cut.astype(kind)))
    np.testing.assert_array_equal(found.latency_s, wanted.latency_s)


def test_decisions_in_lists_and_narrow_types_are_taken() -> None:
    problem = RoundProblem(**arrays())
    wide = problem.latency_s(Decision(np.array([[0, 1]]), np.array([[0.5, 0.5]])))
    lists: Any = ([[0, 1]], [[0.5, 0.5]])
    assert problem.latency_s(Decision(*lists)) == wide
    assert problem.latency_s(Decision(np.array([[0, 1]], np.int8), np.array([[0.5, 0.5]], np.float32))) == wide


def test_no_rounds_at_all_are_solved_at_once() -> None:
    problem = RoundProblem(**arrays(n=0))
    cut = np.zeros((0, 2), dtype=np.intp)
    in_turn = RoundProblem(**arrays(n=0), system="sequence")
    for solution in (solve_exact(problem), solve_alternating(problem), allocate_bandwidth(problem, cut)):
        assert solution.latency_s.shape == solution.lower_bound_s.shape == (0,)
        assert solution.decision.bandwidth_share.shape == (0, 2)
        assert problem.latency_s(solution.decision).shape == (0,)
    assert solve_in_turn(in_turn).latency_s.shape == (0,)


def test_environments_give_problems_that_users_can_build_by_hand() -> None:
    problem = problem_of({})
    by_hand = sfl_env.RoundProblem(
        **{name: getattr(problem, name) for name in ARRAYS}, uplink_curve=problem.uplink_curve
    )
    assert by_hand.system == "parallel"
    assert solve_exact(by_hand).latency_s == solve_exact(problem).latency_s


@pytest.mark.parametrize("shape", [(2, 3), (1, 0, 3), (1, 2, 0)])
def test_rounds_have_at_least_one_device_and_one_cut(shape: tuple[int, ...]) -> None:
    with pytest.raises(ProblemError, match=rf"fixed_s has shape {re.escape(str(shape))}; .*\(N, K, C\)"):
        RoundProblem(**{**arrays(), "fixed_s": np.ones(shape)})


@pytest.mark.parametrize(
    ("cut", "share", "said"),
    [
        ([0, 1], [[0.5, 0.5]], "cut has shape (2,); it has to be (1, 2)"),
        ([[0, 1]], [0.5, 0.5], "bandwidth_share has shape (2,); it has to be (1, 2)"),
        ([[0, 3]], [[0.5, 0.5]], "cut of device 1 (environment 0) is 3; it has to be an index from 0 to 2"),
        ([[-1, 1]], [[0.5, 0.5]], "cut of device 0 (environment 0) is -1; it has to be an index from 0 to 2"),
        ([[0, 2]], [[0.5, 0.5]], "cut of device 1 (environment 0) is 2; it does not fit into the device's memory"),
        ([[0, 1]], [[-0.1, 0.5]], "bandwidth_share of device 0 (environment 0) is -0.1; it has to be from 0 to 1"),
        (
            [[0, 1]],
            [[0.5, np.inf]],
            "bandwidth_share of device 1 (environment 0) is inf; it has to be from 0 to 1",
        ),
        ([[0, 1]], [[0.5, 0.0]], "bandwidth_share of device 1 (environment 0) is 0.0; but the device's cut needs"),
        ([[0, 1]], [[0.75, 0.5]], "shares of environment 0 sum to 1.25; they may sum to 1 at most. Divide them"),
    ],
)
def test_a_refused_decision_hears_what_was_wrong_where(cut: Any, share: Any, said: str) -> None:
    given = arrays()
    given["fixed_s"][0, 1, 2] = np.inf
    with pytest.raises(DecisionError, match="^(The bandwidth )?" + re.escape(said)):
        RoundProblem(**given).check(Decision(np.array(cut), np.array(share)))


def test_no_length_of_another_system_is_asked_for_by_name() -> None:
    problem = RoundProblem(**arrays(), system="deadline")
    with pytest.raises(ProblemError, match=r"(^|\W)latency_s(\W|$)"):
        problem.latency_s(Decision(np.array([[0, 1]]), np.array([[0.5, 0.5]])))


@pytest.mark.parametrize(
    ("name", "where", "value", "said"),
    [
        (
            "fixed_s",
            (0, 1, 2),
            -1.0,
            "[0, 1, 2] (environment, device, cut) is -1.0; it has to be 0, or from 1e-40 to",
        ),
        ("uplink_bits", (0, 0, 1), np.inf, "[0, 0, 1] (environment, device, cut) is inf; it has to be 0, or from"),
        ("uplink_snr_hz", (0, 1), 0.0, "[0, 1] (environment, device) is 0.0; it has to be from 1e-40 to 1e+40."),
        ("downlink_full_rate_bps", (0, 1), 0.0, "[0, 1] (environment, device) is 0.0; it has to be from 1e-40 to"),
        ("uplink_bandwidth_hz", (0,), np.inf, "[0] (environment) is inf; it has to be from 1e-40 to 1e+40."),
    ],
)
def test_a_number_out_of_range_is_found_where_it_is(name: str, where: Any, value: float, said: str) -> None:
    given = arrays()
    given[name][where] = value
    with pytest.raises(ProblemError, match="^" + re.escape(name + said)):
        RoundProblem(**given)


def test_the_smallest_and_largest_numbers_are_numbers_still() -> None:
    for bound in (SMALLEST, LARGEST):
        assert RoundProblem(**{name: np.full_like(values, bound) for name, values in arrays().items()}).shape == (
            1,
            2,
            3,
        )


def test_a_device_that_no_cut_fits_is_named() -> None:
    given = arrays(n=2)
    given["fixed_s"][1, 0] = np.inf
    with pytest.raises(ProblemError, match=r"^Device 0 of environment 1 .* none fits its memory.*more memory"):
        RoundProblem(**given)


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "fixed_s"])
def test_an_array_of_another_shape_than_the_others_is_named_with_both(name: str) -> None:
    given = arrays()
    right = given[name].shape
    given[name] = np.ones((*right, 1))
    said = f"{name} has shape {(*right, 1)}; beside fixed_s of shape (1, 2, 3) it has to be {right}."
    with pytest.raises(ProblemError, match="^" + re.escape(said)):
        RoundProblem(**given)


def test_shares_may_miss_their_sum_by_rounding_only() -> None:
    problem = RoundProblem(**arrays())
    cut = np.array([[0, 1]])
    problem.check(Decision(cut, np.array([[0.5, 0.5 + 0.5 * SHARE_SUM_TOLERANCE]])))
    with pytest.raises(DecisionError, match="sum to"):
        problem.check(Decision(cut, np.array([[0.5, 0.5 + 2.0 * SHARE_SUM_TOLERANCE]])))


def test_masked_cuts_are_called_cuts() -> None:
    with pytest.raises(DecisionError, match=r"^cut has masked entries"):
        cut_indices(np.ma.masked_equal([0, 1], 1))


def test_what_no_double_holds_is_infinite_without_a_warning() -> None:
    """Where the machine has longer numbers than doubles; elsewhere it is infinite from the start."""
    with np.errstate(all="raise"):
        assert real_numbers("start", np.longdouble("1e4000"), ProblemError) == np.inf


def test_an_unknown_system_is_named_with_its_field() -> None:
    with pytest.raises(ProblemError, match=r"^system is 'both'"):
        RoundProblem(**arrays(), system=cast(Any, "both"))
