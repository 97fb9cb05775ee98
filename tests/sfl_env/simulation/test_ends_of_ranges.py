"""Whatever the documented ranges allow is simulated, or refused by its fields when the environment is made."""

import dataclasses
import time
import typing
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import Scenario, ScenarioError, SFLEnv, SFLVectorEnv
from sfl_env.checks import choices_of
from sfl_env.devices.catalogue import names as device_names
from sfl_env.dnn.catalogue import names as network_names
from sfl_env.simulation.arguments import FIELDS

OF_TRAINING = {"mode", "dataset", "dataset_path", "partition", "server", "target_accuracy"}
LARGEST = {"num_devices": 12, "max_rounds": 4, "csi_delay_rounds": 20}
"""Ends that cost time and memory alone."""

TYPES = typing.get_type_hints(Scenario)


def values_of(item: Any) -> st.SearchStrategy[Any]:
    """Both ends of a field's range, its default, and something in between."""
    declared = TYPES[item.name]
    if choices := choices_of(declared):
        return st.sampled_from(choices)
    if declared is bool:
        return st.booleans()
    low, high = item.metadata["range"].low, LARGEST.get(item.name, item.metadata["range"].high)
    kind = int if "int" in str(declared) else float
    between = st.integers(low, high) if kind is int else st.floats(low, high)
    return st.one_of(st.sampled_from([kind(low), kind(high), item.default]), between)


NUMBERS = {
    item.name: values_of(item)
    for item in dataclasses.fields(Scenario)
    if item.name not in OF_TRAINING and (item.metadata["range"] is not None or choices_of(TYPES[item.name]))
    if not str(TYPES[item.name]).startswith("tuple")
}
MIXTURE = st.lists(
    st.tuples(st.sampled_from(device_names()), st.sampled_from([0.0, 1.0, 1e-9, 5e-324, 1e308])),
    min_size=1,
    max_size=4,
).map(lambda rows: {"device_types": [row[0] for row in rows], "device_weights": [row[1] for row in rows]})
SCENARIOS = st.tuples(
    st.fixed_dictionaries({}, optional=NUMBERS | {"model": st.sampled_from(network_names())}),
    st.one_of(st.just({}), MIXTURE),
    st.fixed_dictionaries(
        {}, optional={"availability_levels": st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=4)}
    ),
).map(lambda parts: parts[0] | parts[1] | parts[2])


@settings(deadline=None, max_examples=250)
@given(
    fields=SCENARIOS,
    action_mode=st.sampled_from(["continuous", "residual", "cut", "discrete"]),
    seed=st.integers(0, 99),
)
def test_a_scenario_runs_or_is_refused_by_its_fields(fields: dict[str, Any], action_mode: str, seed: int) -> None:
    try:
        envs = SFLVectorEnv(2, action_mode=action_mode, **fields)
    except ScenarioError as error:
        refusal = str(error)
        envs = None
    if envs is None:
        assert any(name in refusal for name in FIELDS), refusal
        return
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    for _ in range(6):
        observation, reward, _, _, infos = envs.step(envs.action_space.sample())
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        played = infos["_latency_s"]
        assert np.isfinite(infos["latency_s"][played]).all()
        assert np.isfinite(infos["energy_j"][played]).all()


@pytest.mark.parametrize("mobility", ["random-waypoint", "gauss-markov"])
@pytest.mark.parametrize("value", [0.0, 5e-324])
def test_without_speed_nobody_moves(mobility: str, value: float) -> None:
    env = SFLEnv(mobility=cast(Any, mobility), speed_m_per_s=value)
    env.reset(seed=0)
    before = env.episodes.now.state.channel
    env.step(env.action_space.sample())
    np.testing.assert_array_equal(env.episodes.now.state.channel.mobility.position_m, before.mobility.position_m)
    after = env.episodes.now.state.channel
    np.testing.assert_array_equal(after.place.large_scale_gain, before.place.large_scale_gain)


def test_free_fractions_may_come_in_any_order() -> None:
    env = gym.make("SFL-v0", availability_levels=(1.0, 0.5, 1.0))
    env.reset(seed=0)


def test_weights_beyond_all_numbers_are_refused_by_their_field() -> None:
    with pytest.raises(ScenarioError, match="device_weights sum to more"):
        Scenario(device_types=("laptop",) * 2, device_weights=(1e308, 1e308))


def test_a_long_delay_of_many_devices_costs_their_past_in_no_reference() -> None:
    start = time.process_time()
    env = SFLEnv(csi_delay_rounds=1000, num_devices=10_000)
    assert time.process_time() - start < 5.0
    assert env.episodes.reference_latency_s > 0.0


def test_the_reference_is_hardly_another_with_a_longer_past() -> None:
    short, long = (SFLEnv(csi_delay_rounds=rounds).episodes.reference_latency_s for rounds in (10, 300))
    assert long == short
    assert SFLEnv().episodes.reference_latency_s == pytest.approx(short, rel=0.2)
