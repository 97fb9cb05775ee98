"""Own parts that are right when they are tried and wrong in a later round."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from sfl_env import Decision, SFLEnv, SFLVectorEnv
from sfl_env.devices.population import DeviceBatch, Population
from sfl_env.dnn import catalogue
from sfl_env.errors import ScenarioError, SFLError
from sfl_env.learning import Score
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.outcome import Outcome
from sfl_env.spaces.action import ContinuousAction
from sfl_env.spaces.observation import DeviceRows
from sfl_env.spaces.view import View

Changed = Callable[[Any], Any]

WRONG_FACTORS: dict[str, Changed] = {
    "negative": lambda values: -values,
    "zero": lambda values: values * 0.0,
    "not a number": lambda values: values * np.nan,
    "above one": lambda values: values * 1e12,
    "one device short": lambda values: values[:, :-1],
    "one axis": lambda values: values[0],
    "complex": lambda values: values * 1j,
    "objects": lambda values: values.astype(object),
    "masked": lambda values: np.ma.masked_array(values, mask=values > 0.0),
    "nothing": lambda values: None,
}


class Links(NamedTuple):
    round: NDArray[np.int64]
    gain: Any
    fraction: Any


class Late:
    """A channel or an availability whose third round is another than it should be."""

    def __init__(self, value: float, change: Changed) -> None:
        self.value, self.change = value, change

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Links:
        values = np.full((n, num_devices), self.value)
        return Links(np.zeros(n, dtype=np.int64), values, values)

    def step(self, state: Links, elapsed_s: np.ndarray, rng: np.random.Generator) -> Links:
        values = state.gain if state.round.max() < 2 else self.change(state.gain)
        return Links(state.round + 1, values, values)


def play(n: int, **fields: Any) -> None:
    env: Any = SFLEnv(num_devices=3, **fields) if n == 1 else SFLVectorEnv(n, num_devices=3, **fields)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros(env.action_space.shape, env.action_space.dtype))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("change", WRONG_FACTORS.values(), ids=WRONG_FACTORS)
@pytest.mark.parametrize(("part", "value"), [("channel", 1e-9), ("availability", 1.0)])
def test_a_process_that_goes_wrong_later_is_named(part: str, value: float, change: Changed, n: int) -> None:
    with pytest.raises(SFLError, match=rf"{part}\.step"):
        play(n, **{part: Late(value, change)})


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("part", ["channel", "availability", "action", "reward", "observation"])
def test_after_a_part_has_failed_the_episode_stands_where_it_stood(part: str, n: int) -> None:
    env: Any = SFLEnv(num_devices=3) if n == 1 else SFLVectorEnv(n, num_devices=3)
    encoders = env.episodes
    late: dict[str, tuple[str, Any]] = {
        "channel": ("step", encoders.simulator.channel),
        "availability": ("step", encoders.simulator.availability),
        "action": ("decode", encoders.action_encoder),
        "reward": ("terms", encoders.reward),
        "observation": ("per_round", encoders.observation_encoder),
    }
    fails = False

    class Failing:
        """The package's own part, one of whose methods fails when it is told to."""

        def __getattr__(self, name: str) -> Any:
            if fails and name == late[part][0]:
                raise ZeroDivisionError
            return getattr(late[part][1], name)

    env = type(env)(*(() if n == 1 else (n,)), num_devices=3, **{part: Failing()})
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, env.action_space.dtype)
    env.step(action)
    before = env.true_problem()
    fails = True
    with pytest.raises(ZeroDivisionError):
        env.step(action)
    fails = False
    np.testing.assert_array_equal(env.true_problem().uplink_snr_hz, before.uplink_snr_hz)
    env.step(action)


class LatePopulation:
    """Its first devices, those of the trial and of the nominal round, are good ones."""

    def __init__(self, name: str) -> None:
        self.name, self.calls = name, 0

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        self.calls += 1
        good = Population(("laptop",), (1.0,), 1.0).sample(rng, n, num_devices)
        if self.calls < 4:
            return good
        return good._replace(**{self.name: -getattr(good, self.name) - 1})


@pytest.mark.parametrize("name", DeviceBatch._fields)
def test_devices_that_are_wrong_later_are_named(name: str) -> None:
    envs = SFLVectorEnv(2, num_devices=3, population=LatePopulation(name))
    envs.episodes.simulator.population.calls = 4  # type: ignore[attr-defined]  # ours, and the good ones are over
    with pytest.raises(SFLError, match=rf"population\.sample.*{name}"):
        envs.reset(seed=0)


class LateReward:
    def __init__(self, late: Callable[[Outcome], Any]) -> None:
        self.late, self.calls = late, 0

    def terms(self, outcome: Outcome) -> Any:
        self.calls += 1
        return {"latency": -outcome.latency_s} if self.calls < 4 else self.late(outcome)


WRONG_TERMS: dict[str, Callable[[Outcome], Any]] = {
    "not a number": lambda outcome: {"latency": outcome.latency_s * np.nan},
    "infinite": lambda outcome: {"latency": outcome.latency_s * np.inf},
    "per device": lambda outcome: {"latency": outcome.device_latency_s},
    "a column": lambda outcome: {"latency": outcome.latency_s[:, None]},
    "complex": lambda outcome: {"latency": outcome.latency_s * 1j},
    "a plain number": lambda outcome: {"latency": -1.0},
    "another name": lambda outcome: {"seconds": outcome.latency_s},
    "one more": lambda outcome: {"latency": outcome.latency_s, "more": outcome.latency_s},
    "none": lambda outcome: {},
    "nothing": lambda outcome: None,
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("late", WRONG_TERMS.values(), ids=WRONG_TERMS)
def test_a_reward_that_goes_wrong_later_is_named(late: Callable[[Outcome], Any], n: int) -> None:
    with pytest.raises(SFLError, match=r"reward\.terms"):
        play(n, reward=LateReward(late))


def test_a_reward_cannot_change_the_round() -> None:
    def spoil(outcome: Outcome) -> dict[str, Any]:
        outcome.latency_s[:] = 0.0
        return {"latency": -outcome.latency_s}

    with pytest.raises(ValueError, match="read-only"):
        play(1, reward=LateReward(spoil))


def test_rewards_are_arrays_of_their_own() -> None:
    class Seconds:
        def terms(self, outcome: Outcome) -> dict[str, Any]:
            return {"seconds": outcome.latency_s}

    envs = SFLVectorEnv(2, num_devices=3, reward=Seconds())
    envs.reset(seed=0)
    _, reward, _, _, infos = envs.step(np.zeros((2, 3, 2), np.float32))
    reward *= 0.0
    assert (infos["latency_s"] > 0.0).all()


class LateActions:
    def __init__(self, late: Callable[[Decision], Any]) -> None:
        self.late, self.calls = late, 0

    def space(self, num_devices: int) -> gym.spaces.Box:
        return gym.spaces.Box(-1.0, 1.0, (num_devices,), np.float32)

    def encode(self, decision: Decision, seen: Any) -> NDArray[np.float32]:
        return np.zeros(decision.cut.shape, np.float32)

    def decode(self, action: NDArray[Any], seen: Conditions) -> Any:
        self.calls += 1
        good = Decision(np.zeros(action.shape, np.intp), np.full(action.shape, 1.0 / action.shape[1]))
        return good if self.calls < 4 else self.late(good)


WRONG_DECISIONS: dict[str, Callable[[Decision], Any]] = {
    "a cut that is not there": lambda decision: decision._replace(cut=decision.cut + 99),
    "nothing": lambda decision: None,
    "a plain tuple": tuple,
    "lists": lambda decision: Decision(*(part.tolist() for part in decision)),
    "one device": lambda decision: Decision(decision.cut[:, :1], decision.bandwidth_share[:, :1]),
    "more than the band": lambda decision: decision._replace(bandwidth_share=decision.bandwidth_share * 2.0),
}


@pytest.mark.parametrize("late", WRONG_DECISIONS.values(), ids=WRONG_DECISIONS)
@pytest.mark.parametrize("fields", [{}, {"schedule": "sequence"}, {"barriers": "adaptsfl"}], ids=str)
def test_decisions_that_are_wrong_later_are_named(
    late: Callable[[Decision], Any], fields: Mapping[str, Any]
) -> None:
    with pytest.raises(SFLError, match=r"action\.decode"):
        play(1, action=LateActions(late), **fields)


class LateLearner:
    """Its third score, the first being that of the trial, is another than it should be."""

    profile = catalogue.load("lenet5")

    def __init__(self, late: Any, good_scores: int) -> None:
        self.late, self.left = late, good_scores

    def score(self) -> Any:
        self.left -= 1
        return Score(0.5, 1.0) if self.left >= 0 else self.late

    def reset(self, seed: int) -> Any:
        return self.score()

    def run_round(self, cut: Any, takes_part: Any) -> Any:
        return self.score()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


WRONG_SCORES: dict[str, Any] = {
    "accuracy not a number": Score(np.nan, 1.0),
    "accuracy in per cent": Score(93.0, 1.0),
    "negative accuracy": Score(-0.1, 1.0),
    "infinite loss": Score(0.5, np.inf),
    "complex loss": Score(0.5, 1j),  # type: ignore[arg-type]  # the mistake
    "text": Score("0.9", 1.0),  # type: ignore[arg-type]  # the mistake
    "an accuracy for each of two": Score(np.ones(2), 1.0),  # type: ignore[arg-type]  # the mistake
    "a plain tuple": (0.5, 1.0),
    "nothing": None,
}


@pytest.mark.parametrize("late", WRONG_SCORES.values(), ids=WRONG_SCORES)
@pytest.mark.parametrize(("good_scores", "method"), [(1, r"reset\(seed\)"), (3, "run_round")])
def test_scores_that_are_wrong_later_are_named(good_scores: int, method: str, late: Any) -> None:
    with pytest.raises(SFLError, match=rf"learner\.{method}"):
        play(1, mode="accuracy", learner=LateLearner(late, good_scores))


class LateRows:
    def __init__(self, late: Changed) -> None:
        self.late, self.calls = late, 0

    def space(self, num_devices: int) -> gym.spaces.Box:
        return gym.spaces.Box(-1.0, 1.0, (num_devices, 2), np.float32)

    def per_episode(self, view: View) -> NDArray[np.float32]:
        return np.zeros((*view.conditions.samples.shape, 2), np.float32)

    def per_round(self, view: View, rows: NDArray[np.float32]) -> Any:
        self.calls += 1
        return rows if self.calls < 4 else self.late(rows)


WRONG_ROWS: dict[str, Changed] = {
    "not a number": lambda rows: rows * np.nan,
    "out of the space": lambda rows: rows + 5,
    "doubles": lambda rows: rows.astype(np.float64),
    "lists": lambda rows: rows.tolist(),
    "one device": lambda rows: rows[:, :1],
    "nothing": lambda rows: None,
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("late", WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_observations_that_are_wrong_later_are_named(late: Changed, n: int) -> None:
    with pytest.raises(SFLError, match=r"observation\.per_round"):
        play(n, observation=LateRows(late))


WRONG_KEPT_ROWS: dict[str, Changed] = {
    "one device": lambda rows: rows[:, :1],
    "twice": lambda rows: np.concatenate([rows, rows]),
    "complex": lambda rows: rows * 1j,
    "nothing": lambda rows: None,
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("late", WRONG_KEPT_ROWS.values(), ids=WRONG_KEPT_ROWS)
def test_an_episodes_rows_that_are_wrong_later_are_named(late: Changed, n: int) -> None:
    class LateEpisodes(LateRows):
        def per_episode(self, view: View) -> Any:
            self.calls += 1
            rows = super().per_episode(view)
            return rows if self.calls < 3 else late(rows)

    with pytest.raises(SFLError, match=r"observation\.per_episode"):
        play(n, max_rounds=2, observation=LateEpisodes(lambda rows: rows))


class Kept(DeviceRows):
    """Gives the rows that stay through an episode back as they are, or writes into them."""

    writes = False

    def per_round(self, view: View, episode_rows: Any) -> Any:
        if self.writes:
            episode_rows[..., 0] = 0.5
        return episode_rows


class Overwriting(Kept):
    writes = True


def test_the_rows_that_stay_cannot_be_written_to_by_an_encoder_nor_by_an_agent() -> None:
    num_cuts = SFLEnv().episodes.simulator.workload.num_cuts
    with pytest.raises(ScenarioError, match=r"observation\.per_round\(view, rows\) raised .* read-only"):
        SFLEnv(num_devices=3, observation=Overwriting(num_cuts, with_battery=False))
    env = SFLEnv(num_devices=3, observation=Kept(num_cuts, with_battery=False))
    first, _ = env.reset(seed=0)
    before = first.copy()
    first[...] = 0.25
    second = env.step(np.zeros((3, 2), np.float32))[0]
    np.testing.assert_array_equal(second, before)


class Reusing(ContinuousAction):
    """Fills the same arrays again in every round."""

    def decode(self, action: Any, seen: Conditions) -> Decision:
        decided = super().decode(action, seen)
        kept: Decision = self.__dict__.setdefault(f"of {len(decided.cut)}", decided)
        kept.cut[...], kept.bandwidth_share[...] = decided
        return kept


def test_what_infos_tell_of_a_round_stays_so_when_an_encoder_uses_its_arrays_again() -> None:
    num_cuts = SFLEnv().episodes.simulator.workload.num_cuts
    env = SFLEnv(num_devices=3, action=Reusing(num_cuts))
    env.reset(seed=0)
    first = env.step(np.full((3, 2), -1.0, np.float32))[4]
    cut = first["cut"].copy()
    second = env.step(np.full((3, 2), 1.0, np.float32))[4]
    np.testing.assert_array_equal(first["cut"], cut)
    assert (second["cut"] > first["cut"]).any()


class Scribbling(ContinuousAction):
    def decode(self, action: Any, seen: Conditions) -> Decision:
        action[...] = 0.0
        return super().decode(action, seen)


def test_an_action_encoder_cannot_write_into_the_callers_action() -> None:
    with pytest.raises(ScenarioError, match=r"action\.decode.* raised .* read-only"):
        SFLEnv(num_devices=3, action=Scribbling(SFLEnv().episodes.simulator.workload.num_cuts))


class Unsigned(ContinuousAction):
    def decode(self, action: Any, seen: Conditions) -> Decision:
        decided = super().decode(action, seen)
        return decided._replace(cut=decided.cut.astype(np.uint64))


def test_cuts_may_be_told_in_unsigned_numbers() -> None:
    num_cuts = SFLEnv().episodes.simulator.workload.num_cuts
    infos = []
    for action in (Unsigned(num_cuts), ContinuousAction(num_cuts)):
        env = SFLEnv(num_devices=3, action=action)
        env.reset(seed=0)
        infos.append(env.step(np.full((3, 2), 0.3, np.float32))[4])
    assert infos[0]["latency_s"] == infos[1]["latency_s"]
    np.testing.assert_array_equal(infos[0]["cut"], infos[1]["cut"])


class Units(np.ndarray):
    """An array that computes in its own way."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [np.asarray(value) for value in inputs]
        return np.asarray(getattr(ufunc, method)(*plain, **kwargs)) * 1e9


@pytest.mark.parametrize("kind", [Units, np.matrix])
@pytest.mark.parametrize("part", ["population", "channel"])
def test_arrays_that_compute_in_their_own_way_are_refused(part: str, kind: Any) -> None:
    class OfAKind(LatePopulation):
        def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
            good = Population(("laptop",), (1.0,), 1.0).sample(rng, n, num_devices)
            return good._replace(forward_flops_per_s=good.forward_flops_per_s.view(kind))

    class OfAnotherKind(Late):
        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Links:
            state = super().initial(rng, n, num_devices)
            return state._replace(gain=state.gain.view(kind))

    own = {"population": OfAKind(""), "channel": OfAnotherKind(1e-9, lambda values: values)}
    with pytest.raises(ScenarioError, match=f"is a {kind.__name__}, which computes in its own way"):
        SFLEnv(num_devices=3, **{part: cast(Any, own[part])})


def test_terms_whose_sum_is_beyond_all_numbers_are_refused() -> None:
    class Large:
        def terms(self, outcome: Outcome) -> Mapping[str, Any]:
            return dict.fromkeys("ab", np.full(outcome.latency_s.shape, 1.7e308))

    with pytest.raises(ScenarioError, match="have no finite sum"):
        SFLEnv(num_devices=3, reward=Large())


class Counting:
    """A learner that counts its rounds and writes into what it is given."""

    profile = catalogue.load("lenet5")
    rounds = 0

    def reset(self, seed: int) -> Score:
        return Score(0.1, 2.3)

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        self.rounds += 1
        cut[...], takes_part[...] = 0, False
        return Score(0.1, 2.3)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@pytest.mark.parametrize(("part", "value"), [("channel", 1e-9), ("availability", 1.0)])
def test_a_round_that_a_part_breaks_off_has_not_been_trained(part: str, value: float) -> None:
    learner = Counting()
    late: Any = Late(value, lambda values: values * np.nan)
    env = SFLEnv(num_devices=3, mode="accuracy", learner=learner, **{part: late})
    env.reset(seed=0)
    action = np.ones((3, 2), np.float32)
    for _ in range(2):
        info = env.step(action)[4]
        assert info["cut"].max() > 0
    with pytest.raises(SFLError, match=part):
        env.step(action)
    assert learner.rounds == 2


def test_an_observation_encoder_cannot_change_the_round() -> None:
    class Spoiling(LateRows):
        def per_round(self, view: View, rows: NDArray[np.float32]) -> Any:
            self.calls += 1
            if self.calls > 3:
                view.conditions.uplink_snr_hz[:] = 1.0
            return rows

    with pytest.raises(ValueError, match="read-only"):
        play(1, observation=Spoiling(lambda rows: rows))


def test_whole_numbers_do_not_cut_off_what_starts_afresh() -> None:
    channel = Late(1e-9, lambda gain: np.ones(gain.shape, dtype=np.int64))
    envs = SFLVectorEnv(2, num_devices=3, max_rounds=4, channel=channel)
    envs.reset(seed=0)
    for _ in range(5):
        envs.step(np.zeros((2, 3, 2), np.float32))
    assert (envs.episodes.now.state.channel.gain == 1e-9).all()


def test_a_problem_cannot_change_the_environment_that_it_is_of() -> None:
    env = SFLEnv(num_devices=3)
    env.reset(seed=0)
    for problem in (env.true_problem(), env.observed_problem()):
        for name in ("uplink_snr_hz", "downlink_full_rate_bps", "fixed_s", "uplink_bandwidth_hz"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(problem, name)[:] = 1.0


class Rounded(ContinuousAction):
    precision: type[np.floating[Any]] = np.float32

    def decode(self, action: Any, seen: Conditions) -> Decision:
        decided = super().decode(action, seen)
        return decided._replace(bandwidth_share=decided.bandwidth_share.astype(self.precision))


class Halved(Rounded):
    precision = np.float16


@pytest.mark.parametrize("kind", [Rounded, Halved])
@pytest.mark.parametrize("num_devices", [1, 3, 100])
def test_shares_that_rounding_alone_takes_beyond_the_band_are_the_band(
    kind: type[Rounded], num_devices: int
) -> None:
    num_cuts = SFLEnv().episodes.simulator.workload.num_cuts
    envs = SFLVectorEnv(50, num_devices=num_devices, action=kind(num_cuts))
    envs.reset(seed=0)
    envs.action_space.seed(0)
    exact = ContinuousAction(num_cuts)
    rounded = 0
    for _ in range(5):
        actions = envs.action_space.sample()
        asked = exact.decode(actions, envs.episodes.now.observed).bandwidth_share
        rounded += int((asked.astype(kind.precision).sum(-1, dtype=float) > 1.0 + 1e-9).sum())
        share = envs.step(actions)[4]["bandwidth_share"]
        assert (share.sum(axis=-1) <= 1.0 + 1e-12).all()
        np.testing.assert_allclose(share, asked, rtol=4.0 * float(np.finfo(kind.precision).eps), atol=1e-6)
    assert num_devices == 1 or rounded > 0


@pytest.mark.parametrize("part", ["channel", "availability"])
def test_a_process_cannot_write_into_the_state_that_it_is_shown(part: str) -> None:
    def spoil(values: NDArray[np.float64]) -> NDArray[np.float64]:
        values *= 0.5
        return values

    with pytest.raises(ValueError, match="read-only"):
        play(1, **{part: Late(1e-9 if part == "channel" else 1.0, spoil)})


def spawning(part: Any, after: int) -> Any:
    """Return a part of the package that spawns a generator in each call after so many."""

    class Spawning:
        calls = 0

        def __getattr__(self, name: str) -> Any:
            method = getattr(part, name)

            def asked(*arguments: Any) -> Any:
                self.calls += 1
                if self.calls > after:
                    next(each for each in arguments if isinstance(each, np.random.Generator)).spawn(1)
                return method(*arguments)

            return asked if name in ("initial", "step", "sample") else method

    return Spawning()


# Calls to let pass: none, or those in which the part is tried and the reference latency is found.
TRIED = {"channel": 4, "population": 2, "availability": 4}
SPAWNING = [(part, after) for part, tried in TRIED.items() for after in (0, tried)]


@pytest.mark.parametrize(("part", "after"), SPAWNING)
def test_generators_spawned_off_the_environments_are_refused(part: str, after: int) -> None:
    own = spawning(getattr(SFLEnv(num_devices=3).episodes.simulator, part), after)
    with pytest.raises(ScenarioError, match=rf"{part}\..* has spawned generators off rng"):
        play(1, max_rounds=2, **{part: own})


def test_objects_are_no_state() -> None:
    class Drawn(NamedTuple):
        gain: Any
        generators: Any

    class Own:
        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Drawn:
            return Drawn(np.full((n, num_devices), 1e-9), np.array([object()] * n))

        def step(self, state: Drawn, elapsed_s: np.ndarray, rng: np.random.Generator) -> Drawn:
            return state

    with pytest.raises(ScenarioError, match=r"channel\.initial\(rng, 2, 3\)\.generators holds objects"):
        play(1, channel=Own())


class Kinds:
    """Gives whole numbers for what stays through an episode at first, and fractions later."""

    calls = 0

    def space(self, num_devices: int) -> gym.spaces.Box:
        return gym.spaces.Box(-1.0, 1.0, (num_devices, 1), np.float64)

    def per_episode(self, view: View) -> Any:
        self.calls += 1
        values = np.full((*view.conditions.samples.shape, 1), 0.25)
        return values.astype(np.int64) if self.calls < 3 else values

    def per_round(self, view: View, episode_rows: Any) -> Any:
        return episode_rows.astype(np.float64)


def test_what_stays_through_an_episode_is_not_cut_to_the_type_of_the_one_before() -> None:
    envs = SFLVectorEnv(2, num_devices=3, observation=Kinds())
    assert (envs.reset(seed=0)[0] == 0.0).all()
    observations, _ = envs.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(observations[:, 0, 0], [0.25, 0.0])


SCORES: list[tuple[Any, Any]] = [(np.float16(0.9), np.float32(1.1)), (Fraction(9, 10), 10**200), (1, 0)]


@pytest.mark.parametrize(("accuracy", "loss"), SCORES, ids=["narrow", "exact", "whole"])
def test_scores_are_told_in_doubles(accuracy: Any, loss: Any) -> None:
    env = SFLEnv(
        num_devices=3, mode="accuracy", learner=LateLearner(Score(accuracy, loss), 2), target_accuracy=0.9
    )
    env.reset(seed=0)
    _, _, terminated, _, info = env.step(np.zeros((3, 2), np.float32))
    assert type(info["accuracy"]) is np.float64
    assert info["loss"] == float(loss)
    assert terminated == (float(accuracy) >= 0.9)
    env.load_state_dict(env.state_dict())


def test_a_loss_is_not_negative() -> None:
    with pytest.raises(ScenarioError, match=r"learner\.run_round.*loss.*at least 0"):
        play(1, mode="accuracy", learner=LateLearner(Score(0.5, -0.1), 2))


@pytest.mark.parametrize(("part", "value"), [("channel", 1e-9), ("availability", 0.5)])
@pytest.mark.parametrize("wrong", [0.0, -1.0, 5.0, np.nan, 1e-200])
def test_stored_states_of_own_parts_hold_what_they_may_give(part: str, value: float, wrong: float) -> None:
    own: dict[str, Any] = {part: Late(value, lambda values: values)}
    env = SFLEnv(num_devices=3, **own)
    env.reset(seed=0)
    stored = env.state_dict()
    episodes = stored["episodes"]["state"]
    process = episodes[1] if part == "channel" else episodes[3]
    for values in process[1:]:
        values[0][1] = wrong
    with pytest.raises(SFLError, match=rf"state\.{part}\.(gain|fraction)\[0, 1\] of the stored state is"):
        env.load_state_dict(stored)


def test_rewards_of_one_term_are_not_the_term() -> None:
    envs = SFLVectorEnv(2, num_devices=3)
    envs.reset(seed=0)
    _, rewards, _, _, infos = envs.step(np.zeros((2, 3, 2), np.float32))
    before = infos["reward_terms"]["latency"].copy()
    rewards *= 0.0
    np.testing.assert_array_equal(infos["reward_terms"]["latency"], before)


def test_a_term_is_not_called_like_a_mask() -> None:
    class Terms:
        def terms(self, outcome: Outcome) -> dict[str, Any]:
            return {"a": -outcome.latency_s, "_a": -outcome.latency_s}

    with pytest.raises(ScenarioError, match=r"reward\.terms\(outcome\) has the name '_a'"):
        play(1, reward=Terms())


class Masking(ContinuousAction):
    def decode(self, action: Any, seen: Conditions) -> Decision:
        decided = super().decode(action, seen)
        return Decision(np.ma.masked_array(decided.cut), np.ma.masked_array(decided.bandwidth_share))


def test_arrays_that_could_hold_masks_come_out_plain() -> None:
    class Terms:
        def terms(self, outcome: Outcome) -> dict[str, Any]:
            return {"a": np.ma.masked_array(-outcome.latency_s)}

    num_cuts = SFLEnv().episodes.simulator.workload.num_cuts
    envs = SFLVectorEnv(2, num_devices=3, action=Masking(num_cuts), reward=Terms())
    envs.reset(seed=0)
    _, rewards, _, _, infos = envs.step(np.zeros((2, 3, 2), np.float32))
    told = (rewards, infos["cut"], infos["bandwidth_share"], infos["reward_terms"]["a"])
    assert [type(values) for values in told] == [np.ndarray] * 4


def test_a_memory_in_half_precision_is_not_taken_for_an_endless_one() -> None:
    class Halves:
        def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
            good = Population(("laptop",), (1.0,), 1.0).sample(rng, n, num_devices)
            with np.errstate(over="ignore"):
                return good._replace(memory_bytes=good.memory_bytes.astype(np.float16))

    with pytest.raises(ScenarioError, match=r"memory_bytes is in half precision"):
        play(1, population=Halves())


class Noted(NamedTuple):
    gain: Any
    note: Any


LATER_NOTES: dict[str, Changed] = {
    "dates": lambda values: values.astype("datetime64[s]"),
    "texts": lambda values: values.astype(str),
    "wider": lambda values: np.stack([values, values], axis=-1),
    "a tuple": lambda values: Links(values, values, values),
}


@pytest.mark.parametrize("later", LATER_NOTES.values(), ids=LATER_NOTES)
def test_states_that_change_their_layout_later_are_named_where_an_episode_starts(later: Changed) -> None:
    class Own:
        rounds = 0

        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Noted:
            values = np.full((n, num_devices), 1e-9)
            return Noted(values, values.astype(np.float32))

        def step(self, state: Noted, elapsed_s: np.ndarray, rng: np.random.Generator) -> Noted:
            self.rounds += 1
            note = np.array(state.note) if self.rounds < 6 else later(np.full(state.gain.shape, 1.0))
            return Noted(np.array(state.gain), note)

    envs = SFLVectorEnv(3, num_devices=3, max_rounds=5, autoreset_mode="Disabled", channel=Own())
    envs.reset(seed=0)
    for _ in range(5):
        envs.step(np.zeros((3, 3, 2), np.float32))
    with pytest.raises(ScenarioError, match=r"state\.channel\.note of a fresh state"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})


def test_a_state_may_hold_texts_of_several_lengths() -> None:
    class Own:
        rounds = 0

        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Noted:
            return Noted(np.full((n, num_devices), 1e-9), np.array(["a"] * n))

        def step(self, state: Noted, elapsed_s: np.ndarray, rng: np.random.Generator) -> Noted:
            return Noted(np.array(state.gain), np.strings.add(state.note, "b"))

    envs = SFLVectorEnv(3, num_devices=3, max_rounds=2, channel=Own())
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.zeros((3, 3, 2), np.float32))
    envs.reset(options={"reset_mask": np.array([True, False, True])})
    assert envs.episodes.now.state.channel.note.tolist() == ["a", "abb", "a"]
