"""Parts of a user's own that break their protocol, when the environment is made or in a later round."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from sfl_env import SFLEnv
from sfl_env.channel import Annulus, BlockFading, Channel, GaussMarkov, UrbanMicro
from sfl_env.devices import MarkovAvailability, Population
from sfl_env.dnn import catalogue
from sfl_env.errors import ProfileError, SFLError
from sfl_env.learning import Score
from tests.fuzz.cases import Kind, require
from tests.fuzz.numbers import require_finite, require_finite_infos

ROUNDS = 3
METHODS: dict[str, tuple[str, ...]] = {
    "channel": ("initial", "step"),
    "availability": ("initial", "step"),
    "population": ("sample",),
    "observation": ("space", "per_episode", "per_round", "decode"),
    "action": ("space", "decode", "encode"),
    "reward": ("terms",),
    "learner": ("profile", "reset", "run_round", "state_dict", "load_state_dict"),
}
"""Of each part that can be replaced."""

ARRAYS = (
    "nan", "infinite", "negative", "zero", "huge", "tiny", "complex", "text", "object", "list", "none", "flat",
    "turned", "shorter", "longer", "deeper", "empty", "masked", "half", "int8", "boolean", "date", "locked",
    "strided",
)  # fmt: skip
"""What becomes of an array."""

OTHERS: tuple[Any, ...] = (None, "x", -1, 0, 10**400, float("nan"), float("inf"), [], {}, 1j, b"x", True, object())
"""What takes the place of any other value."""

ERRORS = (
    IndexError("of\nmany\nlines"),
    ZeroDivisionError(),
    AssertionError("[red]\x1b[2J"),
    MemoryError("no room"),
)
"""What a part may raise."""

CONSTANT = ("space", "encode", "profile")
"""Methods that are asked when the environment is made, for what stays."""


@dataclass(frozen=True)
class Drawn:
    """A part, the method that goes wrong, and in which of its calls."""

    part: str
    method: str
    call: int
    raises: bool
    num_envs: int  # 0: a single environment
    seed: int


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a part and what goes wrong with it."""
    part = str(rng.choice(list(METHODS)))
    num_envs = 0 if part == "learner" else int(rng.integers(0, 3))
    method = str(rng.choice(METHODS[part]))
    call = 0 if method in CONSTANT else int(rng.choice([0, 0, 1, 2, 3, 5]))
    return Drawn(part, method, call, bool(rng.random() < 0.15), num_envs, int(rng.integers(2**31)))


def check(drawn: Drawn, folder: Path) -> None:
    """Make an environment with the part and play an episode and a half; what is refused names the part."""
    rng = np.random.default_rng(drawn.seed)
    part = Saboteur(_whole(drawn.part), drawn, rng)
    given: dict[str, Any] = {"num_devices": 3, "max_rounds": ROUNDS, drawn.part: part}
    if drawn.part == "learner":
        given["mode"] = "accuracy"
    try:
        made: Any = (
            gym.make_vec("SFL-v0", num_envs=drawn.num_envs, **given)
            if drawn.num_envs
            else gym.make("SFL-v0", **given)
        )
        _play(made.unwrapped)
    except ProfileError:  # the saboteur's: a broken profile cannot be made at all
        require(drawn.method == "profile", "a profile is broken")
    except SFLError as error:
        message = str(error)
        require(message.isprintable(), f"the message is not one plain line: {message!r}")
        named = (drawn.part, "Device ")  # whose memory may be too small in any population
        require(any(name in message for name in named), f"the message does not name the part: {message}")
    except Exception as error:
        if error is not part.raised:  # in a later round what a part raises itself is its author's to see
            raise


def _play(env: Any) -> None:
    observation, _ = env.reset(seed=1)
    for _ in range(ROUNDS + 2):
        observation, reward, terminated, truncated, infos = env.step(env.action_space.sample())
        require(env.observation_space.contains(observation), "an observation is not of its space")
        require_finite("observation", observation)
        require_finite("reward", reward)
        require_finite_infos(infos)
        if np.any(terminated | truncated) and not hasattr(env, "num_envs"):
            env.reset()
    require_finite("observation", env.load_state_dict(env.state_dict()))
    for problem in (env.observed_problem(), env.true_problem()):
        require_finite("uplink_snr_hz", problem.uplink_snr_hz)


class Saboteur:
    """Behaves as another part does, but for one call of one method."""

    def __init__(self, whole: Any, drawn: Drawn, rng: np.random.Generator) -> None:
        self._whole, self._drawn, self._rng, self._calls = whole, drawn, rng, 0
        self.raised: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._whole, name)
        changed = self._passed if name == self._drawn.method else lambda value: value
        if not callable(found):
            return changed(found)

        def method(*given: Any, **named: Any) -> Any:
            try:
                return changed(found(*given, **named))
            except Exception as error:
                self.raised = error
                raise

        return method

    def _passed(self, value: Any) -> Any:
        self._calls += 1
        if self._calls - 1 != self._drawn.call:
            return value
        if self._drawn.raises:
            raise ERRORS[int(self._rng.integers(len(ERRORS)))]
        return spoilt(value, self._rng)


def spoilt(value: Any, rng: np.random.Generator) -> Any:
    """Return what a careless part may have given in a value's place."""
    if rng.random() < 0.1:
        return OTHERS[int(rng.integers(len(OTHERS)))]
    if isinstance(value, np.ndarray):
        return _spoilt_array(value, str(rng.choice(ARRAYS)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        name = str(rng.choice(value._fields))
        named_tuple: Any = value
        return named_tuple._replace(**{name: spoilt(getattr(value, name), rng)})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = str(rng.choice([item.name for item in dataclasses.fields(value)]))
        return dataclasses.replace(value, **{name: spoilt(getattr(value, name), rng)})
    if isinstance(value, dict) and value:
        name = list(value)[int(rng.integers(len(value)))]
        return {**value, name: spoilt(value[name], rng)}
    return OTHERS[int(rng.integers(len(OTHERS)))]


def _spoilt_array(array: Any, how: str) -> Any:
    numbers: dict[str, float] = {
        "nan": np.nan, "infinite": np.inf, "negative": -1.0, "zero": 0.0, "huge": 1e308, "tiny": 5e-324,
    }  # fmt: skip
    if how in numbers:
        changed = array.astype(np.float64)
        changed[..., -1:] = numbers[how]
        return changed
    dtypes: dict[str, Any] = {
        "complex": np.complex128, "text": np.str_, "object": np.object_, "half": np.float16, "int8": np.int8,
        "boolean": np.bool_, "date": "M8[s]",
    }  # fmt: skip
    if how in dtypes:
        with np.errstate(all="ignore"):
            return array.astype(np.int64).astype("M8[s]") if how == "date" else array.astype(dtypes[how])
    if how == "locked":
        locked = array.copy()
        locked.flags.writeable = False
        return locked
    shaped: dict[str, Any] = {
        "list": array.tolist(),
        "none": None,
        "flat": array.ravel(),
        "turned": array.T,
        "shorter": array[..., :-1],
        "longer": np.concatenate([array, array]),
        "deeper": array[None],
        "empty": array[:0],
        "masked": np.ma.masked_array(array, mask=True),
        "strided": np.repeat(array, 2, axis=0)[::2],
    }
    return shaped[how]


def _whole(part: str) -> Any:
    episodes = SFLEnv(num_devices=3).episodes
    wholes: dict[str, Any] = {
        "channel": Channel(UrbanMicro(), BlockFading(0.5), GaussMarkov(Annulus(10.0, 60.0))),
        "availability": MarkovAvailability((0.5, 1.0), hold_s=20.0),
        "population": Population(("laptop", "jetson-nano"), (1.0, 1.0), 1.5),
        "observation": episodes.observation_encoder,
        "action": episodes.action_encoder,
        "reward": Seconds(),
        "learner": Curve(),
    }
    return wholes[part]


class Seconds:
    """A reward of two terms."""

    def terms(self, outcome: Any) -> dict[str, Any]:
        return {"latency": -outcome.latency_s, "worst": -outcome.device_latency_s.max(axis=-1)}


class Curve:
    """A learner that learns along a given curve."""

    profile = catalogue.load("lenet5")

    def __init__(self) -> None:
        self.rounds = 0

    def reset(self, seed: int) -> Score:
        self.rounds = 0
        return self._score()

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        self.rounds += 1
        return self._score()

    def state_dict(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rounds = state["rounds"]

    def _score(self) -> Score:
        return Score(accuracy=1.0 - 0.9 * 0.8**self.rounds, loss=2.3 * 0.8**self.rounds)


OWN_PARTS = Kind("own-parts", 600, draw, check)
