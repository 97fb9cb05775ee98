"""What a ratio of signal to noise carries, and what a sender makes of the band that it holds."""

import math
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import RoundProblem
from sfl_env.errors import ProblemError, ScenarioError
from sfl_env.optimum import solve_exact
from sfl_env.rounds.curve_checks import check_curve
from sfl_env.rounds.curve_files import curve_from_plain, curve_to_plain
from sfl_env.rounds.curves import SHANNON, Modes, RateCurve, TruncatedShannon
from sfl_env.rounds.radio import Downlink

NR_EFFICIENCIES = (
    *(0.1523, 0.377, 0.877, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223),
    *(3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141, 7.4063),
)
"""Bit/s/Hz of NR's channel quality indicators, 3GPP TS 38.214, Table 5.2.2.1-3."""

NR = Modes(tuple(10.0 * math.log10(2.0 * (2.0**e - 1.0)) for e in NR_EFFICIENCIES), NR_EFFICIENCIES)
"""These modes at 3 dB above Shannon's bound."""

CURVES = [SHANNON, TruncatedShannon(), TruncatedShannon(0.6, -10.0, 30.0), NR, Modes((3.0,), (1.0,))]
SINR = st.floats(1e-6, 1e12)


def by_definition(curve: RateCurve, sinr: float) -> float:
    """The most that any part of a band of 1 Hz carries: on b Hz the ratio is sinr / b."""
    used = np.geomspace(1e-9, 1.0, 200_001)
    return float((used * curve.efficiency(sinr / used)).max())


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("sinr_db", [-40.0, -11.0, -3.0, 2.0, 12.3, 21.0, 35.0])
def test_a_sender_leaves_unused_what_would_lower_its_rate(curve: RateCurve, sinr_db: float) -> None:
    sinr = 10.0 ** (sinr_db / 10.0)
    assert curve.held_efficiency(np.array([sinr]))[0] == pytest.approx(by_definition(curve, sinr), rel=2e-4)


@pytest.mark.parametrize("curve", CURVES)
@given(first=SINR, second=SINR)
def test_more_band_never_carries_less_and_more_power_neither(
    curve: RateCurve, first: float, second: float
) -> None:
    low, high = np.array([min(first, second)]), np.array([max(first, second)])
    assert curve.held_efficiency(low)[0] <= curve.held_efficiency(high)[0] * (1.0 + 1e-12)
    # A band of 1 / y Hz on a link of 1 Hz of signal over noise carries e(y) / y.
    assert curve.held_efficiency(low)[0] / low[0] >= curve.held_efficiency(high)[0] / high[0] * (1.0 - 1e-12)
    assert curve.efficiency(low)[0] <= curve.efficiency(high)[0]


@pytest.mark.parametrize("curve", CURVES)
@given(sinr=SINR)
def test_the_elasticity_is_the_derivative_of_the_rate(curve: RateCurve, sinr: float) -> None:
    held, step = np.array([sinr]), 1e-5

    def log_rate(log_band: float) -> float:
        return log_band + math.log(curve.held_efficiency(held * math.exp(-log_band))[0])

    below, above = (log_rate(step * sign) - log_rate(0.0) for sign in (-1.0, 1.0))
    slopes = sorted((above / step, -below / step))
    found = curve.elasticity(held, curve.held_efficiency(held))[0]
    assert slopes[0] - 2e-5 <= found <= slopes[1] + 2e-5


@given(sinr=SINR)
def test_a_curve_without_loss_and_ends_is_shannons_bound(sinr: float) -> None:
    wide = TruncatedShannon(1.0, -100.0, 200.0)
    at = np.array([sinr])
    assert wide.efficiency(at) == pytest.approx(SHANNON.efficiency(at), rel=1e-12)
    assert wide.held_efficiency(at) == pytest.approx(SHANNON.held_efficiency(at), rel=1e-12)


def test_the_standards_curves_end_where_the_standard_says() -> None:
    """3GPP TR 36.942, Annex A: 4.4 bit/s/Hz down; TR 38.803's uplink ends below NR's best mode, 7.41."""
    lte_down = TruncatedShannon(0.6, -10.0, 22.0)
    assert lte_down.efficiency(np.array([1e9]))[0] == pytest.approx(4.4, abs=0.01)
    assert TruncatedShannon().efficiency(np.array([1e9]))[0] < NR_EFFICIENCIES[-1]


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (lambda: TruncatedShannon(attenuation=0.0), "attenuation"),
        (lambda: TruncatedShannon(attenuation=1.5), "attenuation"),
        (lambda: TruncatedShannon(min_sinr_db=math.nan), "min_sinr_db"),
        (lambda: TruncatedShannon(min_sinr_db=22.0, max_sinr_db=22.0), "start"),
        (lambda: Modes((), ()), "at least for one"),
        (lambda: Modes((0.0, 1.0), (1.0,)), "both for every mode"),
        (lambda: Modes((0.0, 1.0), (2.0, 1.0)), "efficiencies is .* above the one before"),
        (lambda: Modes((1.0, 1.0), (1.0, 2.0)), "thresholds_db is .* above the one before"),
        (lambda: Modes((1.0,), (math.inf,)), "finite"),
        (lambda: Modes((1.0,), (0.0,)), "efficiencies"),
        (lambda: Modes("ab", (1.0, 2.0)), "finite numbers"),  # type: ignore[arg-type]
    ],
)
def test_a_curve_that_is_none_is_refused(curve: object, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        curve()  # type: ignore[operator]


@pytest.mark.parametrize("curve", CURVES)
def test_curves_come_back_from_plain_values(curve: RateCurve) -> None:
    assert curve_from_plain(curve_to_plain(curve)) == curve


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ("shannon", "object"),
        ({"attenuation": 0.5}, "object"),
        ({"curve": "shanon"}, "did you mean 'shannon'"),
        ({"curve": "shannon", "attenuation": 0.5}, "attenuation"),
        ({"curve": "truncated-shannon", "attenuation": 7}, "attenuation is 7"),
        ({"curve": "modes"}, "no curve"),
    ],
)
def test_what_is_no_curve_in_a_file_is_named(plain: object, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        curve_from_plain(plain)


def test_a_users_curve_cannot_be_written() -> None:
    class Own(TruncatedShannon):
        pass

    with pytest.raises(ProblemError, match="Own cannot be written"):
        curve_to_plain(Own())


class Own:
    """Shannon's bound with a gap, as a user writes it."""

    def __init__(self, gap: float = 4.0) -> None:
        self.gap = gap

    def efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.asarray(np.log1p(sinr / self.gap) / np.log(2.0))

    def held_efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return self.efficiency(sinr)

    def elasticity(self, sinr: np.ndarray, held_efficiency: np.ndarray) -> np.ndarray:
        y = sinr / self.gap
        return np.clip(1.0 - y / ((1.0 + y) * np.log1p(y)), 0.0, 1.0)


class Falls(Own):
    def efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.where(sinr > 100.0, 1.0, np.log2(1.0 + sinr))


class Hump(Own):
    def held_efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.where(sinr > 100.0, 1.0, np.log2(1.0 + sinr))


class WastesBand(Own):
    """A modem that cannot leave band unused: below 0 dB it carries nothing."""

    def held_efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.where(sinr < 1.0, 1e-9 * sinr, np.log2(1.0 + sinr))


class Silent(Own):
    def held_efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.where(sinr < 1.0, 0.0, np.log2(1.0 + sinr))


class Rounds(Own):
    """1 + y rounds to 1 for a weak link, whose transfer would be endless."""

    def held_efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.log2(1.0 + sinr)


class WritesInto(Own):
    """Its argument, which is still needed."""

    def efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return np.asarray(np.log1p(sinr, out=sinr) / np.log(2.0))


class Lacking:
    def efficiency(self, sinr: np.ndarray) -> np.ndarray:
        return sinr


BROKEN = [
    (Falls(), r"efficiency falls as the ratio grows beyond 20\.0 dB"),
    (Hump(), r"held_efficiency falls as the ratio grows beyond 20\.0 dB; more power"),
    (WastesBand(), r"times the band falls as the ratio falls below .*leaves some of it unused"),
    (Silent(), r"held_efficiency (is 0|times)"),
    (Rounds(), r"held_efficiency is 0 at -159\.8 dB.*log1p"),
    (WritesInto(), r"efficiency\(\.\.\.\) raised ValueError: .*read-only"),
    (Lacking(), "held_efficiency"),
    (3.0, "efficiency"),
]


@pytest.mark.parametrize(("curve", "message"), BROKEN)
def test_a_curve_under_which_more_band_carries_less_is_refused(curve: object, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        check_curve("uplink_curve", curve)
    with pytest.raises(ScenarioError, match=message):
        gym.make("SFL-v0", uplink_curve=curve)
    problem = {
        "fixed_s": np.ones((1, 1, 1)),
        "uplink_bits": np.ones((1, 1, 1)),
        "downlink_bits": np.ones((1, 1, 1)),
        "uplink_snr_hz": np.ones((1, 1)),
        "downlink_full_rate_bps": np.ones((1, 1)),
        "uplink_bandwidth_hz": np.ones(1),
    }
    with pytest.raises(ProblemError, match=message):
        RoundProblem(**problem, uplink_curve=curve)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("curve", CURVES)
def test_the_packages_own_curves_pass_where_a_users_would(curve: RateCurve) -> None:
    methods = ("efficiency", "held_efficiency", "elasticity")
    check_curve("uplink_curve", SimpleNamespace(**{name: getattr(curve, name) for name in methods}))


def test_a_users_curve_replaces_the_fields_and_is_solved_to_its_proven_optimum() -> None:
    env = gym.make("SFL-v0", uplink_curve=Own(1.0), downlink_curve=Own(1.0))
    twin = gym.make("SFL-v0", rate_curve="shannon")
    lengths = []
    for each in (env, twin):
        each.reset(seed=0)
        problem = each.unwrapped.true_problem()  # type: ignore[attr-defined]  # an SFLEnv
        solution = solve_exact(problem)
        assert solution.lower_bound_s == pytest.approx(solution.latency_s, rel=1e-8)
        lengths.append(solution.latency_s[0])
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-9)
    with pytest.raises(ScenarioError, match="uplink_attenuation is given beside uplink_curve"):
        gym.make("SFL-v0", uplink_curve=Own(), uplink_attenuation=0.3)


def test_what_a_curve_returns_is_not_written_into() -> None:
    class Constant(Own):
        table = np.full((1, 2), 3.0)

        def efficiency(self, sinr: np.ndarray) -> np.ndarray:
            return self.table

    downlink = Downlink(bandwidth_hz=10.0, power_w=1.0, noise_w_per_hz=1.0, curve=Constant())
    for _ in range(2):
        np.testing.assert_array_equal(downlink.full_rate_bps(np.ones((1, 2))), 30.0)
