"""A user's own part that breaks its protocol is refused when the environment is made, by part and reason."""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env import Decision, DecisionError, Scenario, ScenarioError, SFLEnv, SFLError, SFLVectorEnv
from sfl_env.devices import AlwaysAvailable, DeviceBatch, Population
from sfl_env.dnn import catalogue
from sfl_env.learning.protocol import Score
from sfl_env.simulation.simulator import Simulator
from sfl_env.spaces.action import ContinuousAction
from sfl_env.spaces.observation import DeviceRows
from sfl_env.spaces.reward import WeightedReward
from tests.sfl_env.boards import PLAIN

C = catalogue.load("resnet18").device_parameters.size


class Gains(NamedTuple):
    gain: np.ndarray


class Losses(NamedTuple):
    loss_db: np.ndarray


class Fractions(NamedTuple):
    fraction: np.ndarray


class OwnChannel:
    """The same for all, unless something is broken."""

    def __init__(self, value: Any = 1e-9, state: Any = Gains, shape: Any = None, later: Any = None) -> None:
        self.value, self.state, self.shape, self.later = value, state, shape, later

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        return self.state(np.full(self.shape or (n, num_devices), self.value))

    def step(self, state: Any, elapsed_s: np.ndarray, rng: np.random.Generator) -> Any:
        return state if self.later is None else self.later(state)


class HalfAChannel:
    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Gains:
        return Gains(np.full((n, num_devices), 1e-9))


class Overwriting(OwnChannel):
    def step(self, state: Any, elapsed_s: np.ndarray, rng: np.random.Generator) -> Any:
        state.gain[:] *= 0.5
        return state


class OfBefore(OwnChannel):
    """Takes no time."""

    def step(self, state: Any, rng: np.random.Generator) -> Any:  # type: ignore[override]  # the mistake under test
        return state


class Fading(NamedTuple):
    gain: np.ndarray
    rician_k: np.ndarray


class Averages(NamedTuple):
    gain: np.ndarray
    large_scale_gain: np.ndarray


class Failing(OwnChannel):
    def step(self, state: Any, elapsed_s: np.ndarray, rng: np.random.Generator) -> Any:
        raise IndexError("no such round in the trace")


class OneForAll(OwnChannel):
    """Keeps an array whose first axis is not the environment."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        class State(NamedTuple):
            trace: np.ndarray
            gain: np.ndarray

        return State(np.zeros(7), np.full((n, num_devices), 1e-9))


CHANNELS: list[tuple[Any, str]] = [
    (OwnChannel, r"channel is the class OwnChannel; pass an object of it, OwnChannel\(...\)"),
    (len, "channel is of type builtin_function_or_method, without a method initial; .*ChannelModel"),
    ("macro", "channel is of type str, without a method initial"),
    (HalfAChannel(), "channel is of type HalfAChannel, without a method step; it has to have initial, step"),
    (OwnChannel(shape=(2, 8)), r"channel\.initial\(rng, 2, 10\)\.gain has shape \(2, 8\); it has to be \(2, 10\)"),
    (OwnChannel(shape=(10, 2)), r"gain has shape \(10, 2\); the first axis .* has to be the environment, here 2"),
    (OwnChannel(shape=(10,)), r"has shape \(10,\); the first axis"),
    (OwnChannel(100.0), r"gain holds 100\.0; .* from 1e-50 to 1: .*linear power gain.*a loss in dB is none"),
    (OwnChannel(-1e-9), r"gain holds -1e-09; each entry has to be a number from 1e-50 to 1"),
    (OwnChannel(0.0), r"gain holds 0\.0; each entry has to be a number from 1e-50"),
    (OwnChannel(np.nan), "gain holds nan; each entry has to be a number from 1e-50"),
    (OwnChannel(1e-9 + 1e-9j), "gain holds entries of type complex128; it has to hold numbers"),
    (OwnChannel(5e-324), r"gain holds 5e-324; each entry has to be a number from 1e-50"),
    (OwnChannel("1e-9"), "gain holds entries of type <U4; it has to hold numbers"),
    (OwnChannel(state=Losses), r"channel\.initial\(rng, 2, 10\) has no gain; the state has to have it, \(2, 10\)"),
    (OwnChannel(state=dict), "channel.initial.* raised "),
    (
        OwnChannel(state=lambda gain: {"gain": gain}),
        "is of type dict; a state has to be a NamedTuple",
    ),
    (OwnChannel(state=lambda gain: Gains(gain.tolist())), "gain is of type list; a state has to be a NamedTuple"),
    (
        OwnChannel(later=lambda state: Gains(state.gain[:, :3])),
        r"step\(state, elapsed_s, rng\)\.gain has shape \(2, 3\)",
    ),
    (
        OwnChannel(later=lambda state: Gains(state.gain * 1e10)),
        r"channel\.step\(state, elapsed_s, rng\)\.gain holds 10\.0",
    ),
    (OwnChannel(later=lambda state: None), r"channel\.step\(state, elapsed_s, rng\) is of type NoneType"),
    (Overwriting(), "read-only.* not its to change; return another array"),
    (Failing(), r"channel\.step\(state, elapsed_s, rng\) raised IndexError: no such round in the trace"),
    (
        OfBefore(),
        r"channel\.step takes \(state.*, rng.*\).*; it has to take \(state, elapsed_s, rng\), where elapsed_s",
    ),
    (
        OwnChannel(state=lambda gain: Fading(gain, gain - 1.0)),
        r"rician_k holds -0\.99.*; each entry has to be a number of at least 0: each link's Rician factor, linear",
    ),
    (OwnChannel(state=lambda gain: Fading(gain, gain[:, :3])), r"rician_k has shape \(2, 3\)"),
    (OwnChannel(state=lambda gain: Fading(gain, gain * np.nan)), "rician_k holds nan"),
    (OwnChannel(state=lambda gain: Averages(gain, gain[:, :3])), r"large_scale_gain has shape \(2, 3\)"),
    (OwnChannel(state=lambda gain: Averages(gain, -gain)), "large_scale_gain holds -.*without small-scale fading"),
    (OneForAll(), r"trace has shape \(7,\); the first axis of every array of a state has to be the environment"),
]


class Refilling:
    """Fills one array in every round, or in every episode."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.kept: dict[tuple[int, ...], NDArray[np.float64]] = {}

    def filled(self, method: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Gains:
        gain = 1e-9 * rng.random(shape)
        if method != self.method:
            return Gains(gain)
        kept = self.kept.setdefault(shape, gain)
        kept[...] = gain
        return Gains(kept)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Gains:
        return self.filled("initial", rng, (n, num_devices))

    def step(self, state: Gains, elapsed_s: np.ndarray, rng: np.random.Generator) -> Gains:
        return self.filled("step", rng, state.gain.shape)


CHANNELS += [
    (Refilling("step"), r"channel\.step\(state, elapsed_s, rng\) has filled arrays of the round before again"),
    (Refilling("initial"), r"channel\.initial\(.*\) has filled arrays of an episode before again"),
]


@pytest.mark.parametrize(("channel", "message"), CHANNELS)
@pytest.mark.parametrize("make", [SFLEnv, SFLVectorEnv], ids=["single", "batched"])
def test_a_broken_channel_is_named_when_the_environment_is_made(make: Any, channel: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make(channel=channel)


def test_a_channel_of_two_devices_may_not_swap_its_axes() -> None:
    with pytest.raises(ScenarioError, match="has to be the environment, here 3"):
        SFLEnv(channel=OwnChannel(shape=(2, 3)), num_devices=2)


SPEEDS = ("forward_flops_per_s", "forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s")
POWERS = ("idle_w", "computing_w", "transmitting_w", "receiving_w")


class OwnDevices:
    def __init__(self, **broken: Any) -> None:
        self.broken = broken

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        shape = (n, num_devices)
        fields: dict[str, Any] = {
            "type_index": np.zeros(shape, np.intp),
            **{name: np.full(shape, value) for name, value in PLAIN.items()},
        }
        for name, change in self.broken.items():
            fields[name] = change(fields[name])
        return DeviceBatch(**fields)


class Dictionaries(OwnDevices):
    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        return super().sample(rng, n, num_devices)._asdict()


POPULATIONS: list[tuple[Any, str]] = [
    (Population, "population is the class Population"),
    (("laptop",), "population is of type tuple, without a method sample; .*DeviceSampler"),
    (
        Dictionaries(),
        r"population\.sample\(rng, 2, 10\) is of type dict; .*devices\.DeviceBatch",
    ),
    (OwnDevices(forward_flops_per_s=np.negative), r"forward_flops_per_s holds -1.*each entry .* from 1 to 1e\+30"),
    (OwnDevices(forward_flops_per_s=lambda x: x[:, :4]), r"forward_flops_per_s has shape \(2, 4\); .*\(2, 10\)"),
    (OwnDevices(forward_flops_per_s=list), "forward_flops_per_s is of type list; it has to be a NumPy array"),
    (OwnDevices(forward_flops_per_s=lambda x: x * np.inf), "forward_flops_per_s holds inf"),
    (OwnDevices(memory_bytes=lambda x: x * np.nan), "memory_bytes holds nan"),
    (OwnDevices(memory_bytes=lambda x: x * 1e-9), "Device 0 has 4 bytes of memory, too little"),
    *(
        (OwnDevices(**{name: lambda x: x * 0.0}), rf"{name} holds 0\.0")
        for name in (*SPEEDS, "transmit_power_w", *POWERS, "battery_j")
    ),
    *(
        (OwnDevices(**{name: lambda x: x * np.nan}), f"{name} holds nan")
        for name in (*SPEEDS, *POWERS, "battery_j")
    ),
    *((OwnDevices(**{name: np.negative}), f"{name} holds -") for name in (*SPEEDS, *POWERS, "battery_j")),
    (OwnDevices(transmitting_w=lambda x: x / 40.0), r"transmitting_w\[0, 0\] is 0\.05; .* above what it radiates"),
    (OwnDevices(backward_flops_per_s=lambda x: x.astype(str)), "backward_flops_per_s holds entries of type <U32"),
    (OwnDevices(type_index=lambda x: x + 0.5), "type_index holds entries of type float64; .* whole numbers"),
    (OwnDevices(type_index=lambda x: x - 1), "type_index holds -1"),
]


@pytest.mark.parametrize(("population", "message"), POPULATIONS)
def test_a_broken_population_is_named(population: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        SFLEnv(population=population)


def test_memory_without_end_is_memory_enough() -> None:
    env = SFLEnv(population=OwnDevices(memory_bytes=lambda x: x * np.inf))
    env.reset(seed=0)
    assert (env.episodes.now.true.deepest_cut == C - 1).all()


class OwnAvailability(OwnChannel):
    def __init__(self, value: float) -> None:
        super().__init__(value, Fractions)


@pytest.mark.parametrize("fraction", [0.0, 1.5, np.nan, -0.5])
def test_a_broken_availability_is_named(fraction: float) -> None:
    with pytest.raises(ScenarioError, match=rf"availability\.initial\(rng, 2, 10\)\.fraction holds {fraction}"):
        SFLEnv(availability=OwnAvailability(fraction))


def test_an_own_availability_slows_the_devices() -> None:
    env = SFLEnv(availability=OwnAvailability(0.25))
    env.reset(seed=0)
    nominal = env.episodes.now.state.setup.devices.forward_flops_per_s
    np.testing.assert_array_equal(env.episodes.now.true.forward_flops_per_s, 0.25 * nominal)


def test_what_is_no_profile_is_told_with_the_way_to_one() -> None:
    from torch import nn

    for profile, mend in (
        (nn.Linear(3, 2), r"profile is of type Linear; .*sfl_env\.profile\(module, input_shape\)"),
        ("vgg11", "profile is of type str; .*model='vgg11'"),
        ({"cut_names": []}, r"profile is of type dict; .*DNNProfile\.from_json"),
    ):
        with pytest.raises(ScenarioError, match=mend):
            SFLEnv(profile=profile)


class OwnLearner:
    profile: Any = catalogue.load("lenet5")

    def __init__(self, score: Any = None) -> None:
        self.score = Score(0.1, 2.3) if score is None else score

    def reset(self, seed: int) -> Any:
        return self.score

    def run_round(self, cut: Any, takes_part: Any) -> Any:
        return self.score

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_a_learner_is_tried_with_a_seed_as_it_will_get_them() -> None:
    seeds = []

    class Seeded(OwnLearner):
        def reset(self, seed: int) -> Any:
            seeds.append(seed)
            return self.score

    SFLEnv(mode="accuracy", learner=Seeded()).reset(seed=0)
    assert [type(seed) for seed in seeds] == [int, int]


class Unprofiled(OwnLearner):
    profile = "lenet5"


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (OwnLearner, "learner is the class OwnLearner"),
        (print, "learner is of type builtin_function_or_method, without a method reset"),
        (Unprofiled(), r"learner\.profile is of type str; it has to be an sfl_env\.DNNProfile"),
        (OwnLearner((0.1, 2.3)), r"learner\.reset\(0\) is of type tuple; it has to be an sfl_env.learning.Score"),
        (OwnLearner(Score(95.0, 1.0)), r"learner\.reset\(0\)\.accuracy is 95\.0; .* from 0 to 1"),
        (OwnLearner(Score(0.1, np.nan)), r"learner\.reset\(0\)\.loss is nan"),
    ],
)
def test_a_broken_learner_is_named(learner: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        SFLEnv(mode="accuracy", learner=learner)


class Terms:
    def __init__(self, terms: Any) -> None:
        self.told = terms

    def terms(self, outcome: Any) -> Any:
        return self.told(outcome)


REWARDS: list[tuple[Any, str]] = [
    (
        lambda outcome: -outcome.latency_s,
        "reward is of type function, without a method terms; .*Reward",
    ),
    (WeightedReward, "reward is the class WeightedReward; pass an object"),
    (1, "reward is of type int, without a method terms"),
    (Terms(lambda o: -o.latency_s), r"reward\.terms\(outcome\) is of type ndarray; it has to be a mapping"),
    (
        Terms(lambda o: {"x": -o.device_latency_s}),
        r"\['x'\] has shape \(2, 10\); it has to be \(2,\)",
    ),
    (Terms(lambda o: {"x": -1.0}), r"\['x'\] is of type float; it has to be a NumPy array of shape \(2,\)"),
    (Terms(lambda o: {"x": o.latency_s * np.nan}), r"\['x'\] holds nan"),
    (Terms(lambda o: {"x": o.latency_s > 1.0}), r"\['x'\] holds entries of type bool"),
    (Terms(lambda o: {0: -o.latency_s}), "has the name 0; names have to be strings"),
    (Terms(lambda o: o.no_such_thing), "raised AttributeError: .*no_such_thing"),
]


@pytest.mark.parametrize(("reward", "message"), REWARDS)
def test_a_broken_reward_is_named(reward: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        SFLEnv(reward=reward)


class OwnRows(DeviceRows):
    broken: dict[str, Any]
    """The default encoder with something broken."""

    def __init__(self, **broken: Any) -> None:
        super().__init__(C, False)
        object.__setattr__(self, "broken", broken)

    def space(self, num_devices: int) -> Any:
        return self.broken.get("space", lambda space: space)(super().space(num_devices))

    def per_episode(self, view: Any) -> Any:
        return self.broken.get("per_episode", lambda rows: rows)(super().per_episode(view))

    def per_round(self, view: Any, episode_rows: Any) -> Any:
        return self.broken.get("per_round", lambda rows: rows)(super().per_round(view, episode_rows))

    def decode(self, observation: Any) -> Any:
        return self.broken.get("decode", lambda told: told)(super().decode(observation))


def cannot(told: Any) -> Any:
    raise NotImplementedError("these features do not tell")


OBSERVATIONS: list[tuple[Any, str]] = [
    (DeviceRows, "observation is the class DeviceRows"),
    (object(), "observation is of type object, without a method space"),
    (OwnRows(space=lambda s: spaces.Discrete(3)), r"observation\.space\(10\) is of type Discrete; .*Box"),
    (OwnRows(space=lambda s: spaces.Box(-1, 1, (10, 8), np.float32)), r"per_episode.* has shape \(2, 10, 10\)"),
    (OwnRows(per_episode=lambda r: r[0]), r"per_episode\(view\) has shape \(10, 10\); it has to be \(2, 10, 10\)"),
    (OwnRows(per_round=lambda r: r[..., :3]), r"per_round\(view, rows\) has shape \(2, 10, 3\)"),
    (OwnRows(per_round=lambda r: r * 5), r"per_round\(view, rows\).* is not in observation\.space\(num_devices\)"),
    (OwnRows(per_round=lambda r: r.astype(np.float64)), "of type float64, .* is not in"),
    (OwnRows(per_round=lambda r: r * np.float32(np.nan)), "is not in"),
    (OwnRows(decode=lambda c: tuple(c)), "decode.* is of type tuple; it has to be Conditions"),
    (OwnRows(decode=lambda c: c._replace(samples=-c.samples)), r"decode\(rows\)\.samples holds -128"),
    (OwnRows(decode=lambda c: c._replace(uplink_snr_hz=c.uplink_snr_hz[0])), r"uplink_snr_hz has shape \(10,\)"),
]


@pytest.mark.parametrize(("observation", "message"), OBSERVATIONS)
def test_a_broken_observation_encoder_is_named(observation: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        SFLEnv(observation=observation)


def test_an_observation_encoder_need_not_decode() -> None:
    env = gym.make("SFL-v0", observation=OwnRows(decode=cannot))
    env.reset(seed=0)


class OwnAction(ContinuousAction):
    broken: dict[str, Any]
    """The default encoder with something broken."""

    def __init__(self, **broken: Any) -> None:
        super().__init__(C)
        object.__setattr__(self, "broken", broken)

    def space(self, num_devices: int) -> Any:
        return self.broken.get("space", lambda space: space)(super().space(num_devices))

    def decode(self, action: Any, seen: Any) -> Any:
        return self.broken.get("decode", lambda decision: decision)(super().decode(action, seen))

    def encode(self, decision: Any, seen: Any) -> Any:
        return self.broken.get("encode", lambda action: action)(super().encode(decision, seen))


ACTIONS: list[tuple[Any, str]] = [
    (ContinuousAction, "action is the class ContinuousAction"),
    (np.tanh, "action is of type ufunc, without a method space"),
    (OwnAction(space=lambda s: spaces.Dict()), r"action\.space\(10\) is of type Dict; it has to be a Box"),
    (OwnAction(space=lambda s: (10, 2)), r"action\.space\(10\) is of type tuple"),
    (
        OwnAction(encode=lambda a: a[0]),
        r"encode\(decision, seen\) has shape \(10, 2\); it has to be \(2, 10, 2\)",
    ),
    (OwnAction(encode=lambda a: a * 9), "which is not in Box"),
    (OwnAction(encode=lambda a: a.tolist()), r"encode\(decision, seen\) is of type list"),
    (OwnAction(decode=lambda d: tuple(d)), "is of type tuple; it has to be an sfl_env.Decision"),
    (OwnAction(decode=lambda d: d.cut), "is of type ndarray; it has to be an sfl_env.Decision"),
    (OwnAction(decode=lambda d: Decision(d.cut + C, d.bandwidth_share)), f"cut holds {C}; .* from 0 to {C - 1}"),
    (OwnAction(decode=lambda d: Decision(d.cut * 1.0, d.bandwidth_share)), "cut holds entries of type float64"),
    (OwnAction(decode=lambda d: Decision(d.cut[:1], d.bandwidth_share)), r"cut has shape \(1, 10\)"),
    (OwnAction(decode=lambda d: Decision(d.cut, d.bandwidth_share[..., 0])), r"bandwidth_share has shape \(2,\)"),
    (OwnAction(decode=lambda d: Decision(d.cut, d.bandwidth_share * 2)), "cannot be carried out: .* sum to 2"),
]


@pytest.mark.parametrize(("action", "message"), ACTIONS)
def test_a_broken_action_encoder_is_named(action: Any, message: str) -> None:
    with pytest.raises((ScenarioError, DecisionError), match=message):
        SFLEnv(action=action)


class OneWayAction:
    """An action encoder that agents can use and solvers cannot."""

    def __init__(self) -> None:
        inner = ContinuousAction(C)
        self.space, self.decode = inner.space, inner.decode


def test_an_action_encoder_need_not_encode_in_a_single_environment() -> None:
    env = gym.make("SFL-v0", action=OneWayAction())
    env.reset(seed=0)
    env.step(env.action_space.sample())
    with pytest.raises(ScenarioError, match="action is of type OneWayAction, without a method encode"):
        SFLVectorEnv(2, action=OneWayAction())


class OneNumber(OneWayAction):
    """The same cut for every device, as one number."""

    def __init__(self) -> None:
        self.space = lambda num_devices: spaces.Discrete(C)  # type: ignore[assignment, return-value]  # another kind

    def decode(self, action: Any, seen: Any) -> Decision:
        shape = seen.samples.shape
        return Decision(np.broadcast_to(action[:, None], shape).astype(np.intp), np.full(shape, 1.0 / shape[1]))

    def encode(self, decision: Decision, seen: Any) -> Any:
        raise NotImplementedError("decisions may differ between devices")


def test_batches_start_afresh_whatever_is_passed_where_no_way_leads_back_to_actions() -> None:
    envs = SFLVectorEnv(2, action=OneNumber(), max_rounds=2)
    envs.reset(seed=0)
    for _ in range(2):
        _, _, _, truncated, _ = envs.step(envs.action_space.sample())
    assert truncated.all()
    out_of_the_space = np.full(envs.action_space.shape or (), 99, envs.action_space.dtype)
    _, reward, _, truncated, _ = envs.step(out_of_the_space)
    assert not reward.any()
    assert not truncated.any()


def test_an_action_may_be_one_number() -> None:
    env = gym.make("SFL-v0", action=OneNumber())
    env.reset(seed=0)
    env.step(env.action_space.sample())


# Numbers that no simulation can bear


BEYOND_ALL_MEASURE = [
    *(
        (name, value)
        for name in (*SPEEDS, *POWERS, "transmit_power_w", "battery_j")
        for value in (5e-324, 1e-100, 1e308)
    ),
]

ENDS = [
    *((name, (1.0, 1e30)) for name in SPEEDS),
    *((name, (np.inf,)) for name in ("forward_bytes_per_s", "backward_bytes_per_s", "battery_j")),
    ("transmit_power_w", (1e-12, 1.9)),
    *((name, (1e-12, 1e12)) for name in ("idle_w", "computing_w", "receiving_w")),
    ("transmitting_w", (0.2, 1e12)),
    ("battery_j", (1e-12, 1e30)),
]


@pytest.mark.parametrize(("name", "value"), [(name, end) for name, ends in ENDS for end in ends])
def test_devices_at_the_ends_of_what_is_allowed_give_finite_rounds(name: str, value: float) -> None:
    def extreme(values: np.ndarray) -> np.ndarray:
        return np.full(values.shape, value)

    env = SFLEnv(population=OwnDevices(**{name: extreme}))
    env.reset(seed=0)
    _, reward, _, _, infos = env.step(np.zeros((10, 2), np.float32))
    assert np.isfinite(reward)
    assert np.isfinite(infos["energy_j"]).all()
    env.true_problem()


@pytest.mark.parametrize(("name", "value"), BEYOND_ALL_MEASURE)
def test_devices_beyond_all_measure_are_refused(name: str, value: float) -> None:
    def extreme(values: np.ndarray) -> np.ndarray:
        return np.full(values.shape, value)

    with pytest.raises(ScenarioError, match=f"{name} holds {value!r}".replace("+", r"\+")):
        SFLEnv(population=OwnDevices(**{name: extreme}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.int64, np.longdouble])
def test_devices_may_be_told_in_any_type_of_numbers(dtype: Any) -> None:
    def told(values: np.ndarray) -> np.ndarray:
        return np.ones(values.shape, dtype)

    rounds = []
    for broken in ({}, {"idle_w": told, "backward_flops_per_s": told}):
        fields = {"idle_w": np.ones_like, "backward_flops_per_s": np.ones_like} | broken
        env = SFLEnv(population=OwnDevices(**fields))
        env.reset(seed=0)
        rounds.append(env.step(np.zeros((10, 2), np.float32))[-1]["device_latency_s"])
    np.testing.assert_array_equal(*rounds)


def test_a_device_with_hardly_any_speed_free_is_refused() -> None:
    class Hardly(AlwaysAvailable):
        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
            return Fractions(np.full((n, num_devices), 5e-324))

    with pytest.raises(ScenarioError, match=r"fraction holds 5e-324; .* a number from 1e-09 to 1"):
        SFLEnv(availability=Hardly())


def test_what_a_part_raises_is_told_on_one_line_without_control_characters() -> None:
    class Rude(OwnChannel):
        def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
            raise ValueError("first\n\x1b[2Jsecond\u202e")

    with pytest.raises(ScenarioError) as caught:
        SFLEnv(channel=Rude())
    assert str(caught.value).isprintable()
    assert "second" in str(caught.value)


# What a probe leaves behind


class Counting(OwnChannel):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        self.asked += 1
        return Gains(rng.uniform(1e-9, 2e-9, (n, num_devices)))


def test_a_probe_draws_from_a_generator_of_its_own() -> None:
    plain = Simulator(Scenario())
    own = Simulator(
        Scenario(), channel=plain.channel, population=plain.population, availability=plain.availability
    )
    one, other = (simulator.initial(np.random.default_rng(3), 2) for simulator in (plain, own))
    np.testing.assert_array_equal(one.channel.gain, other.channel.gain)
    np.testing.assert_array_equal(one.setup.samples, other.setup.samples)


def test_the_packages_own_parts_are_not_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*args: Any) -> None:
        raise AssertionError("probed")

    for name in ("channel", "population", "availability", "profile"):
        monkeypatch.setattr(f"sfl_env.simulation.simulator.probe_{name}", unwanted)
    for name in ("observation", "action", "reward", "learner"):
        monkeypatch.setattr(f"sfl_env.episodes.making.probe_{name}", unwanted)
    SFLEnv()
    with pytest.raises(AssertionError, match="probed"):
        SFLEnv(availability=AlwaysAvailable())


def test_a_part_that_is_empty_is_a_part_all_the_same() -> None:
    class Empty(Counting):
        def __len__(self) -> int:
            return 0

    own = Empty()
    env = SFLEnv(channel=own)
    assert env.episodes.simulator.channel is own


def test_all_refusals_are_errors_of_this_package() -> None:
    parts = {
        "channel": CHANNELS,
        "population": POPULATIONS,
        "reward": REWARDS,
        "observation": OBSERVATIONS,
        "action": ACTIONS,
    }
    for part, cases in parts.items():
        for value, _ in cases:
            with pytest.raises(SFLError) as error:
                SFLEnv(**{part: value})
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("factor", [0.0, 7.9, np.inf])
def test_an_own_channel_may_tell_of_fading_within_the_round(factor: float) -> None:
    env = SFLEnv(channel=OwnChannel(state=lambda gain: Fading(gain, np.full_like(gain, factor))))
    env.reset(seed=0)
    rician_k = env.episodes.now.true.fading.rician_k
    assert (rician_k == factor).all()


def test_a_channel_that_says_nothing_of_fading_has_none_within_the_round() -> None:
    env = SFLEnv(channel=OwnChannel())
    env.reset(seed=0)
    rician_k = env.episodes.now.true.fading.rician_k
    assert (rician_k == np.inf).all()
