"""Whatever is handed in as an action or an observation: what its numbers mean, or an error that names it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import DecisionError, SFLEnv, SFLVectorEnv
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.spaces.action import ContinuousAction
from sfl_env.spaces.parts import ACTION_MODES

MODES = tuple(ACTION_MODES)
K = 3
F = 10
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "float16": lambda values: values.astype(np.float16),
    "float32": lambda values: values.astype(np.float32),
    "long double": lambda values: values.astype(np.longdouble),
    "swapped bytes": lambda values: values.astype(values.dtype.newbyteorder()),
    **{name: partial(np.asarray, dtype=name) for name in INTEGERS},
    "list": lambda values: values.tolist(),
    "tuple": lambda values: tuple(values.tolist()),
    "list of arrays": list,
    "tensor": torch.as_tensor,
    "half tensor": lambda values: torch.as_tensor(values).half(),
    "byte tensor": lambda values: torch.as_tensor(values).to(torch.uint8),
    "nothing masked": np.ma.array,
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape),
    "Fortran order": np.asfortranarray,
    "with gaps": lambda values: np.repeat(values, 2, axis=-1)[..., ::2],
    "turned round": lambda values: np.ascontiguousarray(values[..., ::-1])[..., ::-1],
    "other subclass": lambda values: values.view(np.recarray),
}
FOR_INDICES = set(SAME) - {"float16", "float32", "long double", "half tensor"}

REFUSED: dict[str, Callable[[np.ndarray], Any]] = {
    "complex": lambda values: values + 0j,
    "complex with a part": lambda values: values + 0.5j,
    "texts": lambda values: values.astype(str),
    "bytes": lambda values: values.astype("S"),
    "objects": lambda values: values.astype(object),
    "truth values": lambda values: values > 0,
    "dates": lambda values: values.astype("datetime64[s]"),
    "spans": lambda values: values.astype("timedelta64[s]"),
    "records": lambda values: np.zeros(values.shape, [("a", "f4")]),
    "ragged": lambda values: [[0.5], [0.5, 0.5]],
    "nothing": lambda values: None,
    "a word": lambda values: "left",
    "a dictionary": lambda values: {"cut": 1},
    "a number": lambda values: 0,
    "a generator": lambda values: (value for value in values),
    "too large": lambda values: [[10**400, 0.5]] * K,
    "empty": lambda values: np.zeros((0,)),
    "wants gradients": lambda values: torch.as_tensor(values, dtype=torch.float32).requires_grad_(),
    "brain floats": lambda values: torch.as_tensor(values).to(torch.bfloat16),
    "nowhere": lambda values: torch.zeros(values.shape, device="meta"),
    "masked": lambda values: np.ma.array(values, mask=values > 0),
    "one axis more": lambda values: values[None],
    "one device less": lambda values: values[:-1],
}


REAL = ("continuous", "residual")
"""Modes whose actions are real numbers."""


def env_of(mode: str) -> SFLEnv:
    env = SFLEnv(num_devices=K, action_mode=mode)
    env.reset(seed=0)
    return env


def action_of(mode: str) -> np.ndarray:
    """An action of zeros and ones, which every type of number holds."""
    values = np.arange(2 * K).reshape(K, 2) % 2
    return values.astype(np.float64) if mode in REAL else values.ravel()[: K if mode == "cut" else 2 * K]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_are_the_same_decision(mode: str, kind: str) -> None:
    if mode not in REAL and kind not in FOR_INDICES:
        return
    expected = env_of(mode).step(action_of(mode))[-1]
    found = env_of(mode).step(SAME[kind](action_of(mode)))[-1]
    np.testing.assert_array_equal(found["cut"], expected["cut"])
    np.testing.assert_array_equal(found["bandwidth_share"], expected["bandwidth_share"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_are_the_same_decisions_in_a_batch(mode: str, kind: str) -> None:
    if mode not in REAL and kind not in FOR_INDICES:
        return
    actions = np.stack([action_of(mode), np.roll(action_of(mode), 1, axis=0)])
    infos = []
    for given_actions in (actions, SAME[kind](actions)):
        envs = SFLVectorEnv(2, num_devices=K, action_mode=mode)
        envs.reset(seed=0)
        infos.append(envs.step(given_actions)[-1])
    np.testing.assert_array_equal(infos[1]["cut"], infos[0]["cut"])
    np.testing.assert_array_equal(infos[1]["bandwidth_share"], infos[0]["bandwidth_share"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_action_is_refused_and_changes_nothing(mode: str, kind: str) -> None:
    env = env_of(mode)
    before = env.episodes.now
    with pytest.raises(DecisionError, match=r"^The action"):
        env.step(REFUSED[kind](action_of(mode)))
    assert env.episodes.now is before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("over", [False, True])
def test_what_is_no_batch_of_actions_is_refused(mode: str, kind: str, over: bool) -> None:
    envs = SFLVectorEnv(2, num_devices=K, action_mode=mode, max_rounds=1)
    envs.reset(seed=0)
    actions = np.stack([action_of(mode)] * 2)
    if over:
        envs.step(actions)
    before = envs.episodes.now
    with pytest.raises(DecisionError, match=r"^The action"):
        envs.step(REFUSED[kind](actions))
    assert envs.episodes.now is before


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*INTEGERS, "float16", "float32", "float64"]), st.data())
def test_extremes_of_every_type_are_what_their_values_are(name: str, data: st.DataObject) -> None:
    dtype = np.dtype(name)
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    some = [limits.min, limits.max, 0, 1, *([-1] if limits.min < 0 else [])]
    if dtype.kind == "f":
        some += [np.nan, np.inf, -np.inf, limits.tiny, float(np.nextafter(dtype.type(1), dtype.type(0)))]
    values = np.array(data.draw(st.lists(st.sampled_from(some), min_size=4, max_size=4)), dtype).reshape(1, 2, 2)
    encoder, ones = ContinuousAction(5), np.ones((1, 2))
    seen = Conditions(ones, ones, ones, ones, ones, ones, ones, np.full((1, 2), 4), None, SmallScaleFading(ones))
    exact = values.astype(np.float64)
    if (np.abs(exact) <= 1.0).all():
        expected, found = encoder.decode(exact, seen), encoder.decode(values, seen)
        np.testing.assert_array_equal(found.cut, expected.cut)
        np.testing.assert_array_equal(found.bandwidth_share, expected.bandwidth_share)
    else:
        with pytest.raises(DecisionError, match=r"Action of device \d \(environment 0\) is .* from -1 to 1"):
            encoder.decode(values, seen)


@pytest.mark.parametrize("mode", ["cut", "discrete"])
@pytest.mark.parametrize("name", INTEGERS)
def test_the_ends_of_a_type_are_no_indices(mode: str, name: str) -> None:
    limits = np.iinfo(name)
    for value in (limits.max, *([limits.min] if limits.min < 0 else [])):
        action = action_of(mode).astype(name)
        action[-1] = value
        with pytest.raises(
            DecisionError, match=rf"device {K - 1} \(environment 0\) is {value}; it has to be from 0"
        ):
            env_of(mode).step(action)


def test_an_action_is_left_as_it_was_given() -> None:
    for mode in MODES:
        action = action_of(mode)
        kept = action.copy()
        env_of(mode).step(action)
        np.testing.assert_array_equal(action, kept)
    envs = SFLVectorEnv(2, num_devices=K, max_rounds=1)
    envs.reset(seed=0)
    actions = np.ones((2, K, 2), np.float32)
    for _ in range(2):
        envs.step(actions)
    assert (actions == 1.0).all()


# Observations


@pytest.mark.parametrize("kind", [kind for kind in SAME if "int" not in kind and "byte tensor" not in kind])
def test_the_same_numbers_are_the_same_observation(kind: str) -> None:
    env = env_of("continuous")
    rows = np.full((1, K, F), 0.5)
    expected = env.episodes.problem_of(rows)
    found = env.episodes.problem_of(SAME[kind](rows))
    # A long double is decoded with its own digits.
    np.testing.assert_allclose(found.fixed_s, expected.fixed_s, rtol=1e-15)
    np.testing.assert_allclose(found.uplink_snr_hz, expected.uplink_snr_hz, rtol=1e-15)


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind != "one device less"])
def test_what_is_no_observation_is_refused(kind: str) -> None:
    env = env_of("continuous")
    with pytest.raises(DecisionError, match=r"^The observation"):
        env.episodes.problem_of(REFUSED[kind](np.full((1, K, F), 0.5)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.001, -1e30, 1e30])
def test_a_feature_that_no_encoder_has_scaled_is_named(value: float) -> None:
    env = env_of("continuous")
    rows = np.full((1, K, F), 0.5, np.float32)
    rows[0, 1, 4] = value
    with pytest.raises(DecisionError, match=r"Column 4 of device 1 \(environment 0\) is .* from -1 to 1"):
        env.episodes.problem_of(rows)


@pytest.mark.parametrize("shape", [(1, K, F + 1), (1, K, F - 1), (K, F), (F,), (), (1, 1, K, F)])
def test_an_observation_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DecisionError, match=rf"has to be \(N, K, {F}\)"):
        env_of("continuous").episodes.problem_of(np.zeros(shape, np.float32))


def test_an_observation_of_other_devices_is_refused() -> None:
    with pytest.raises(DecisionError, match="of 4 devices, and here they are 3"):
        env_of("continuous").episodes.problem_of(np.zeros((1, 4, F), np.float32))
