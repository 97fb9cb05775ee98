"""A stored state is adopted whole or not at all: after one wrong entry the environment goes on as before."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.errors import SFLError, StateError
from sfl_env.simulation.stored import require_same_scenario, restored_generator
from tests.ids import with_constants

MAY_BE_INFINITE = frozenset({"memory_bytes", "forward_bytes_per_s", "backward_bytes_per_s", "battery_j"})

SMALL: dict[str, Any] = {"num_devices": 3, "max_rounds": 6, "local_iterations": 1}
SIGNED = {"position_m", "waypoint_m", "velocity_m_per_s", "latent", "scatter"}
SURROGATE = "SFL-TimeToAccuracy-v0"
Env = SFLEnv | SFLVectorEnv

MAKE: dict[str, Callable[[], Any]] = {
    "latency": lambda: gym.make("SFL-v0", **SMALL).unwrapped,
    "battery": lambda: gym.make("SFL-Battery-v0", **SMALL).unwrapped,
    "old channel, drifting": lambda: SFLEnv(csi_delay_rounds=2, mobility="gauss-markov", **SMALL),
    "walking, no fading": lambda: SFLEnv(fading="none", mobility="random-waypoint", speed_m_per_s=2.0, **SMALL),
    "staying, block fading": lambda: SFLEnv(fading="block", mobility="static", path_loss="macro", **SMALL),
    "batch": lambda: gym.make_vec("SFL-v0", 2, **SMALL).unwrapped,
    "surrogate of learning": lambda: gym.make(SURROGATE, **with_constants(SURROGATE, SMALL)).unwrapped,
    "accuracy": lambda: gym.make("SFL-Accuracy-v0", **SMALL).unwrapped,
}

Path = tuple[Any, ...]
OTHER_KINDS: tuple[Any, ...] = (None, "text", [], {}, [[1.0]], float("nan"), -7, object())
NO_PARTS: tuple[Any, ...] = (None, "text", {}, 1.5)
NO_STATES: tuple[Any, ...] = (None, [], "text", 1, {})
Mutation = tuple[str, Any]  # what was done, and the state that it was done to


def changed(stored: Any, path: Path, value: Any) -> Any:
    result = copy.deepcopy(stored)
    at = result
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return result


def without(stored: Any, path: Path) -> Any:
    result = copy.deepcopy(stored)
    at = result
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return result


def mutated_entries(stored: Any, path: Path, part: Any) -> Iterator[Mutation]:
    """Dictionaries: every entry gone, or another kind of thing, and one that does not belong there."""
    yield f"foreign {path}", changed(stored, (*path, "foreign"), 1)
    for key, value in part.items():
        here = (*path, key)
        yield f"without {here}", without(stored, here)
        for other in OTHER_KINDS:
            if type(other) is not type(value) or other != value:
                yield f"{here} = {other!r}", changed(stored, here, other)
        if isinstance(value, dict) and key != "learner":
            yield from mutated_entries(stored, here, value)


def mutated_arrays(stored: Any, path: Path, part: Any) -> Iterator[Mutation]:
    """States: every part gone or another, every array of another shape or with numbers that cannot be."""
    for index, (name, value) in enumerate(zip(part._fields, part, strict=True)):
        here = (*path, index)
        yield f"without {name}", without(stored, here)
        for other in NO_PARTS:
            yield f"{name} = {other!r}", changed(stored, here, other)
        if isinstance(value, tuple):
            yield from mutated_arrays(stored, here, value)
        elif value.size:
            nested = value.tolist()
            yield f"{name} longer", changed(stored, here, nested + nested[:1])
            yield f"{name} ragged", changed(stored, here, [*nested, [[]]])
            yield f"{name} flat", changed(stored, here, [*np.asarray(value).ravel().tolist(), 0])
            infinite = () if name in MAY_BE_INFINITE else (float("inf"),)
            negative = () if name in SIGNED else (-1,)
            for wrong in (float("nan"), "1", None, 1j, *infinite, *negative):
                first = (*here, *(0,) * value.ndim)
                yield f"{name} with {wrong!r}", changed(stored, first, wrong)


def mutations(env: Env) -> Iterator[Mutation]:
    stored = env.state_dict()
    for whole in NO_STATES:
        yield f"{whole!r}", whole
    yield from mutated_entries(stored, (), stored)
    yield from mutated_arrays(stored, ("episodes", "state"), env.episodes.now.state)
    if env.episodes.now.learning is not None:
        yield from mutated_arrays(stored, ("episodes", "learning"), env.episodes.now.learning)
    for path, value in (
        (("rng", "bit_generator"), "MT19937"),
        (("rng", "state", "inc"), stored["rng"]["state"]["inc"] - 1),
        (("rng", "state", "state"), 2**128),
        (("rng", "has_uint32"), 2),
        (("rng", "has_uint32"), 0.5),
        (("rng", "uinteger"), 2**32),
        (("episodes", "num_envs"), True),
        (("episodes", "num_envs"), env.episodes.n + 1),
        (("episodes", "state", 5, 0), 7),
        (("episodes", "state", 5, 0), 2**70),
        (("episodes", "state", 4, 0, 0), 1.01),
        (("episodes", "state", 3, 0, 0, 0), 0.0),
        (("episodes", "state", 0, 2, 0, 0), 10**6),
        (("episodes", "state", 0, 0, 0, 0, 0), 99),
    ):
        yield f"{path} = {value!r}", changed(stored, path, value)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool(np.array_equal(one, other, equal_nan=isinstance(one, np.ndarray) and one.dtype.kind == "f"))


def refusal(env: Env, stored: Any) -> str:
    """What is said against a state; nothing where it is taken."""
    try:
        env.load_state_dict(stored)
    except SFLError as error:
        return str(error)
    return ""


def played(env: Env, rounds: int) -> list[Any]:
    env.action_space.seed(0)
    return [env.step(env.action_space.sample()) for _ in range(rounds)]


@pytest.mark.parametrize("kind", MAKE)
def test_a_state_with_one_wrong_entry_is_refused_and_the_environment_goes_on(kind: str) -> None:
    env, untouched, source = (MAKE[kind]() for _ in range(3))
    for each in (env, untouched):
        each.reset(seed=1)
        played(each, 1)
    source.reset(seed=2)
    played(source, 2)
    before = env.state_dict()
    count = 0
    for what, mutated in mutations(source):
        assert "stored" in refusal(env, mutated), what
        assert same(env.state_dict(), before), what
        count += 1
    assert count > 150
    assert same(played(env, 2), played(untouched, 2))
    # And what has not been changed is taken.
    env.load_state_dict(source.state_dict())
    assert same(env.state_dict(), source.state_dict())


@pytest.mark.parametrize("kind", MAKE)
def test_a_wrong_state_starts_no_episode(kind: str) -> None:
    env, source = MAKE[kind](), MAKE[kind]()
    source.reset(seed=2)
    wrong = changed(source.state_dict(), ("episodes", "state", 5), None)
    with pytest.raises(StateError, match=r"state\.round of the stored state"):
        env.load_state_dict(wrong)
    with pytest.raises(StateError, match="call reset first"):
        env.state_dict()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("state", 1, 4, 0, 1), -1e-9, r"state.channel.gain\[0, 1\] of the stored state is -1e-09; .* above 0"),
        (("state", 5, 0), 7, r"state.round\[0\] of the stored state is 7; it has to be from 0 to 6"),
        (("state", 4, 0, 2), 1.5, r"state.charge\[0, 2\] .* is 1.5; it has to be from 0.0 to 1.0"),
        (("state", 1, 1, 0, 0, 0, 0), float("nan"), r"state.channel.place.latent\[0, 0, 0\] .* is nan; .* finite"),
        (("state", 0, 2, 0, 0), 1.5, r"state.setup.deepest_cut of the stored state is of type float64"),
        (("num_envs",), 2, "is of 2 environments, and here they are 1"),
        (("scenario", "bandwidth_hz"), 1.0, r"bandwidth_hz is 1.0 there, 1\d+.0 here"),
    ],
)
def test_the_entry_that_is_wrong_is_named(path: Path, value: Any, message: str) -> None:
    env = MAKE["latency"]()
    env.reset(seed=0)
    with pytest.raises(StateError, match=message):
        env.load_state_dict(changed(env.state_dict(), ("episodes", *path), value))


@pytest.mark.parametrize("kind", [kind for kind in MAKE if kind != "accuracy"])
def test_a_state_survives_json_to_the_last_bit(kind: str) -> None:
    env, other = MAKE[kind](), MAKE[kind]()
    env.reset(seed=3)
    played(env, 2)
    other.load_state_dict(json.loads(json.dumps(env.state_dict(), allow_nan=False)))
    assert same(other.state_dict(), env.state_dict())
    assert same(played(env, 3), played(other, 3))


def test_every_state_that_an_environment_is_in_can_be_gone_on_from() -> None:
    for kind, make in MAKE.items():
        env, other = make(), make()
        env.reset(seed=4)
        for _ in range(6):
            other.load_state_dict(env.state_dict())
            played(env, 1)
        other.load_state_dict(env.state_dict())
        assert same(other.state_dict(), env.state_dict()), kind


def test_a_generators_state_comes_back() -> None:
    rng = np.random.default_rng(7)
    rng.integers(2**32, dtype=np.uint32)  # half of a draw is left over
    again = restored_generator(json.loads(json.dumps(rng.bit_generator.state)))
    assert again.random() == rng.random()
    with pytest.raises(StateError, match="no state of a PCG64 generator"):
        restored_generator(np.random.Generator(np.random.MT19937(0)).bit_generator.state)


def test_a_scenario_of_numbers_that_are_equal_is_the_same() -> None:
    require_same_scenario({"num_devices": 3.0, "name": "x"}, {"num_devices": 3, "name": "x"})
    with pytest.raises(StateError, match="num_devices is array"):
        require_same_scenario({"num_devices": np.array([3, 3])}, {"num_devices": 3})


@pytest.mark.parametrize("inner", [3, np.float64(3.0), [], "a", None])
def test_a_generator_whose_inner_state_is_none_is_refused(inner: object) -> None:
    env = SFLEnv(num_devices=2)
    env.reset(seed=0)
    stored = env.state_dict()
    stored["rng"] = stored["rng"] | {"state": inner}
    with pytest.raises(StateError, match="rng"):
        env.load_state_dict(stored)
