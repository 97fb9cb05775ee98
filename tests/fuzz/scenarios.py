"""Scenarios over the ends of all documented ranges: made, reset and stepped twice, or refused when made."""

import dataclasses
import re
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from sfl_env import Scenario
from sfl_env.devices import catalogue as devices
from sfl_env.dnn import catalogue
from sfl_env.errors import SFLError, TrainingError
from sfl_env.presets import PRESETS
from sfl_env.scenario import describe_fields
from tests.fuzz.cases import Kind, require
from tests.fuzz.numbers import require_finite, require_finite_infos

RANGES = {name: text for name, _, _, text, _ in describe_fields()}
"""Every field's range as documented."""

HINTS = typing.get_type_hints(Scenario)
NOT_OF_A_RANGE = (
    *("model", "dataset_path", "device_types", "device_weights", "availability_levels", "surrogate_rounds"),
)

MOST_DELAYED = 200_000
"""Devices times rounds of delay; more is memory, not a case of its own."""

LEARNT = {"num_devices": 6, "batch_size": 32, "local_iterations": 2, "shards_per_device": 200}
"""Where networks are trained, work is kept to what a case may take."""

CONTRADICTIONS = (
    r"min_distance_m is .* below cell_radius_m",
    r"barriers=.* goes with",
    r"min_sinr_db is .* below (up|down)link_max_sinr_db",
    r"is out: no device could ever be reached",
    r"of memory, too little for the first cut",
    r"device_types needs a type whose entry in device_weights is above 0",
    r"network cannot be trained on '.*', whose samples have shape",
    r"folder .* given for the data set .* is not there",
    r"Nobody has measured how many rounds this learning takes",
    r"beside learning_surrogate, whose constants are those of rounds in which all devices take part",
    r"surrogate_rounds has .* entries",
    r"surrogate_rounds is empty",
)
"""What may be wrong with values that are each in their documented range."""

TUPLES: dict[str, tuple[Any, ...]] = {
    "model": ("", "resnet", "../resnet18", "\x1b[2J", 5, None, ("lenet5",), "nothing.json", "a" * 5000),
    "device_types": (
        (), "laptop", ("phone",), ("laptop",), ("laptop", 3), None, {"laptop"},
        np.array(["laptop"]),
    ),
    "device_weights": (
        (), 1.0, (1.0,), (0.0,) * 5, (-1.0, 1.0, 1.0, 1.0, 1.0), (float("nan"),) * 5, (float("inf"),) * 5,
        ("1",) * 5, (1j,) * 5, ((1.0,),) * 5, (1.0,) * 6, None, iter((1.0,) * 5),
    ),
    "availability_levels": (
        (), 1.0, (0.0,), (1.0 + 1e-9,), (-0.5,), (float("nan"),), (0.5, float("inf")), ("1",), None, ((0.5,),),
        (1j,), (1e-7,), (10**400,), {0.5: 1.0},
    ),
    "surrogate_rounds": (1.0, (-1.0,), (float("nan"),), (2e6,), ("1",), None, ((0.5,),), (1j,)),
    "dataset_path": (5, b"x", ("a",), 1.5, [], {}),
}  # fmt: skip
"""Of the fields whose ranges are no interval, values that are wrong whatever the other fields are."""


@dataclass(frozen=True)
class Drawn:
    """A scenario to make."""

    env_id: str
    num_envs: int  # 0: a single environment
    action_mode: str
    fields: dict[str, Any]
    is_wrong: bool  # a field is out of its documented range
    seed: int


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a scenario; a few of them have a value out of its range."""
    env_id = str(rng.choice(list(PRESETS)))
    names = list(RANGES) if rng.random() < 0.03 else rng.choice(list(RANGES), rng.integers(1, 9), replace=False)
    fields = {str(name): _value(str(name), rng) for name in names if name not in NOT_OF_A_RANGE}
    fields |= _others(rng, [str(name) for name in names])
    if "mode" in fields and rng.random() < 0.8:
        del fields["mode"]
    _bound(fields, env_id, rng)
    if rng.random() < 0.8:
        _reconcile(fields)
    if rng.random() < 0.1:
        fields = {name: _of_numpy(value) for name, value in fields.items()}
    is_wrong = rng.random() < 0.1
    if is_wrong:
        name = str(rng.choice(list(RANGES)))
        fields[name] = _wrong(name, rng)
    modes = ("continuous", "residual", "cut", "discrete")
    learns = str(fields.get("mode", PRESETS[env_id].fields.get("mode"))) == "accuracy"
    num_envs = 0 if learns else int(rng.integers(0, 4))
    return Drawn(env_id, num_envs, str(rng.choice(modes)), fields, is_wrong, int(rng.integers(2**31)))


def check(drawn: Drawn, folder: Path) -> None:
    """Make, reset and step twice."""
    fields = {**drawn.fields}
    if fields.get("dataset_path") == "nothing":
        fields["dataset_path"] = str(folder / "nothing")
    try:
        if drawn.num_envs:
            env: Any = gym.make_vec(drawn.env_id, num_envs=drawn.num_envs, action_mode=drawn.action_mode, **fields)
        else:
            env = gym.make(drawn.env_id, action_mode=drawn.action_mode, **fields)
    except SFLError as error:
        require(str(error).isprintable(), f"the message is not one plain line: {str(error)!r}")
        understood = drawn.is_wrong or any(re.search(told, str(error)) for told in CONTRADICTIONS)
        require(understood, f"values of their documented ranges are refused: {error}")
        return
    require(not drawn.is_wrong, "a value out of its documented range is taken")
    try:
        _play(env, drawn.seed)
    finally:
        env.close()


def _play(env: Any, seed: int) -> None:
    observation, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(2):
        try:
            observation, reward, terminated, truncated, infos = env.step(env.action_space.sample())
        except TrainingError:  # step sizes up to 1000 are allowed, and may throw the weights out of all bounds
            return
        require(np.abs(observation).max() <= 1.0, "an observation leaves its space")
        require_finite("observation", observation)
        require_finite("reward", reward)
        require_finite_infos(infos)
        if np.any(terminated | truncated) and not hasattr(env, "num_envs"):
            env.reset()


def _value(name: str, rng: np.random.Generator) -> Any:
    text, hint = RANGES[name], HINTS[name]
    if hint is bool:
        return bool(rng.integers(2))
    if type(None) in typing.get_args(hint) and rng.random() < 0.15:
        return None
    ends = _ends(text)
    if ends is None:
        return str(rng.choice(text.split(", ")))
    low, high = ends
    at = rng.random()
    whole = int in (hint, *typing.get_args(hint))
    if at < 0.35:
        value = low
    elif at < 0.7:
        value = high
    elif at < 0.85 and low > 0.0:
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    else:
        value = float(rng.uniform(low, high))
    return round(value) if whole else value


def _ends(text: str) -> tuple[float, float] | None:
    """Return both ends of a documented range, if it is one of numbers."""
    if found := re.search(r"(\S+) to (\S+)", text):
        return float(found[1]), float(found[2])
    if found := re.search(r"at least (\S+)", text):
        return float(found[1]), 1e3
    return None


def _wrong(name: str, rng: np.random.Generator) -> Any:
    """Draw a value that is out of a field's documented range."""
    if name in TUPLES:
        return TUPLES[name][int(rng.integers(len(TUPLES[name])))]
    ends = _ends(RANGES[name])
    anything: list[Any] = ["", "fast", b"3", 1j, [], {}, (3,), float("nan"), object(), np.array([1, 2])]
    if ends is not None:
        low, high = ends
        if "to" in RANGES[name] and rng.random() < 0.5:  # just beyond an end
            return [low - abs(low) * 0.01 - 1e-9, high * 1.01 + 1e-9][int(rng.integers(2))]
        anything += [low - abs(low) * 0.01 - 1e-9, high * 1.01 + 1e-9, -np.inf, np.inf, True, 10**400, "3"]
        if int in (HINTS[name], *typing.get_args(HINTS[name])):
            anything += [low + 0.5]
    return anything[int(rng.integers(len(anything)))]


def _others(rng: np.random.Generator, names: list[str]) -> dict[str, Any]:
    """Draw values of the fields whose ranges are no interval."""
    fields: dict[str, Any] = {}
    if "model" in names:
        fields["model"] = str(rng.choice(["auto", *catalogue.names()]))
    if "device_types" in names or "device_weights" in names:
        types = rng.choice(list(devices.names()), rng.integers(1, 5), replace=False)
        fields["device_types"] = tuple(str(name) for name in types)
        fields["device_weights"] = tuple(rng.choice([0.0, 1e-300, 1e-9, 1.0, 1e9, 1e300], len(types)).tolist())
    if "availability_levels" in names:
        fields["availability_levels"] = tuple(
            rng.choice([1e-6, 1e-3, 0.5, 0.75, 1.0], rng.integers(1, 4)).tolist()
        )
    if "surrogate_rounds" in names or rng.random() < 0.05:
        network = fields.get("model", "auto").replace("auto", "resnet18")
        more = rng.choice([0.0, 1.0, 1e6], catalogue.load(network).num_cuts - 1)
        fields["surrogate_rounds"] = (float(rng.choice([1e-3, 8.0, 1e6])), *more.tolist())
        fields["learning_surrogate"] = True
    if "dataset_path" in names:
        fields["dataset_path"] = "nothing"
    return fields


def _bound(fields: dict[str, Any], env_id: str, rng: np.random.Generator) -> None:
    """Keep a case's memory and time within what 4,000 of them may take."""
    devices = fields.get("num_devices", 10)
    if devices > 2000 and rng.random() < 0.9:
        devices = fields["num_devices"] = 2000
    if fields.get("csi_delay_rounds", 0) * devices > MOST_DELAYED:
        fields["csi_delay_rounds"] = MOST_DELAYED // devices
    if fields.get("mode", PRESETS[env_id].fields.get("mode")) == "accuracy":
        for name, most in LEARNT.items():
            fields[name] = min(fields.get(name, most), most)
        fields["batch_size_spread"] = 1.0
        if fields.get("dataset", "digits") != "digits":
            fields["dataset_path"] = "nothing"  # nothing is downloaded
        if fields.get("model", "auto") not in ("auto", "digits-cnn", "lenet5"):
            fields["model"] = "auto"


def _reconcile(fields: dict[str, Any]) -> None:
    """Take back most of what values that are each in their range contradict each other in."""
    if fields.get("min_distance_m", 10.0) >= fields.get("cell_radius_m", 60.0) or "min_distance_m" in fields:
        fields["min_distance_m"] = min(fields.get("min_distance_m", 10.0), 0.5 * fields.get("cell_radius_m", 20.0))
    ceilings = [fields[name] for name in ("uplink_max_sinr_db", "downlink_max_sinr_db") if name in fields]
    if ceilings or "min_sinr_db" in fields:
        fields["min_sinr_db"] = min([fields.get("min_sinr_db", -10.0), 20.0, *(each - 1.0 for each in ceilings)])
        for name in ("uplink_max_sinr_db", "downlink_max_sinr_db"):
            if name in fields:
                fields[name] = max(fields[name], -99.0)
        fields["min_sinr_db"] = max(fields["min_sinr_db"], -100.0)
    if fields.get("barriers", "none") != "none":
        fields.pop("schedule", None)
        fields.pop("deadline_s", None)


def _of_numpy(value: Any) -> Any:
    """Return a number as NumPy's, as it comes out of an array."""
    if isinstance(value, int) and not isinstance(value, bool):
        return np.int64(value)
    return np.float64(value) if isinstance(value, float) else value


SCENARIOS = Kind("scenarios", 4000, draw, check)

assert {item.name for item in dataclasses.fields(Scenario)} == set(RANGES)
