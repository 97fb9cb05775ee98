"""A scenario is checked field by field, and a mistake is named."""

import dataclasses
import json
import math
import pickle
import typing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sfl_env import Scenario, ScenarioError, SFLEnv
from sfl_env.checks import choices_of
from sfl_env.presets import PRESETS
from sfl_env.scenario import describe_fields
from sfl_env.simulation.simulator import Simulator
from tests.sfl_env.boards import ON_BATTERY

NUMBERS = [
    item
    for item in dataclasses.fields(Scenario)
    if item.metadata["range"] is not None and not str(item.type).startswith("tuple")
]


def names(items: list[Any]) -> list[str]:
    return [item.name for item in items]


def scenario_with(name: str, value: Any) -> Scenario:
    fields: dict[str, Any] = {name: value}
    return Scenario(**fields)


@pytest.mark.parametrize("item", NUMBERS, ids=names(NUMBERS))
def test_a_number_out_of_its_range_is_refused_with_field_value_and_range(item: Any) -> None:
    low, high = item.metadata["range"].low, item.metadata["range"].high
    for value in (low - 1, high * 2 + 1):
        with pytest.raises(ScenarioError) as error:
            Scenario(**{item.name: value})
        message = str(error.value)
        assert message.startswith(f"{item.name} is {value!r}; it has to be")
        assert f"from {low:.7g} to {high:.7g}" in message


@pytest.mark.parametrize("item", NUMBERS, ids=names(NUMBERS))
@pytest.mark.parametrize("value", [math.nan, math.inf, "3", True, [1], 1j])
def test_what_is_no_number_is_refused(item: Any, value: Any) -> None:
    with pytest.raises(ScenarioError, match=rf"^{item.name} is "):
        Scenario(**{item.name: value})


@pytest.mark.parametrize("name", ["num_devices", "max_rounds", "batch_size", "csi_delay_rounds"])
def test_a_fraction_is_no_count(name: str) -> None:
    with pytest.raises(ScenarioError, match="a whole number from"):
        scenario_with(name, 1.5)
    assert getattr(scenario_with(name, 3.0), name) == 3


CHOICES = {name: choices_of(kind) for name, kind in typing.get_type_hints(Scenario).items() if choices_of(kind)}


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_lists_the_known_ones(name: str) -> None:
    choices = CHOICES[name]
    for choice in choices:
        scenario_with(name, choice)
    with pytest.raises(ScenarioError) as error:
        scenario_with(name, choices[0] + "x")
    assert ", ".join(choices) in str(error.value)
    assert f"did you mean {choices[0]!r}" in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device_types": "laptop"}, "device_types is 'laptop'; it has to be a tuple or list"),
        ({"device_types": ["laptop"], "device_weights": [1, 2]}, "device_weights has 2 entries"),
        ({"device_types": [], "device_weights": []}, "needs a type"),
        ({"device_types": ["laptop"], "device_weights": [0.0]}, "above 0"),
        ({"device_types": ["laptop"], "device_weights": [-1.0]}, r"device_weights\[0\] is -1.0; .*at least 0"),
        ({"availability_levels": []}, "availability_levels is empty"),
        ({"availability_levels": [0.5, 1.5]}, r"availability_levels\[1\] is 1.5"),
        ({"frozen_weights_travel": 1}, "frozen_weights_travel is 1; it has to be True or False"),
        ({"barriers": "adaptsf"}, "did you mean 'adaptsfl'"),
        ({"model": 3}, "model is 3; it has to be a string"),
        ({"min_distance_m": 50.0, "cell_radius_m": 40.0}, "min_distance_m is 50.0; it has to be below"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Scenario(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_device": 3}, r"Unknown field or argument 'num_device' \(did you mean 'num_devices'\?\)"),
        ({"bandwith_hz": 1e6}, "did you mean 'bandwidth_hz'"),
        ({"lr": 0.1}, "did you mean 'learning_rate'"),
        ({"num_clients": 3}, "did you mean 'num_devices'"),
        ({"num_devices": 0}, "num_devices is 0; it has to be a whole number from 1 to 100000"),
        (
            {"action_mode": "cuts"},
            r"action_mode is 'cuts'; .*continuous, residual, cut, discrete.*did you mean 'cut'",
        ),
        ({"observation_mode": "problems"}, r"devices, problem.*did you mean 'problem'"),
        ({"device_types": ["raspberry"], "device_weights": [1]}, "did you mean 'raspberry-pi-4'"),
        ({"model": "resnet19"}, "did you mean 'resnet1"),
        ({"info_optimum": True, "barriers": "every-phase"}, "info_optimum is not available"),
    ],
)
def test_gym_make_passes_the_message_on(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make("SFL-v0", **fields)


def test_a_network_too_large_for_a_device_is_named_with_a_mend_when_the_environment_is_made() -> None:
    with pytest.raises(ScenarioError, match=r"Device type 'iot-gateway' has .* too little .*Take a smaller"):
        SFLEnv(model="vgg16-224", device_types=("iot-gateway",), device_weights=(1.0,), batch_size=256)


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ({}, 1),
        ({"momentum": 0.0}, 0),
        ({"optimizer": "adam"}, 2),
        ({"optimizer": "adam", "optimizer_slots": 0}, 0),
    ],
)
def test_a_devices_memory_holds_what_its_optimiser_keeps(fields: dict[str, Any], slots: int) -> None:
    work, told = (Simulator(Scenario(**each)).workload for each in (fields, {"optimizer_slots": slots}))
    np.testing.assert_array_equal(work.static_bytes, told.static_bytes)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_scenario_survives_json(preset: str) -> None:
    scenario = Scenario().replace(**PRESETS[preset].fields)
    assert Scenario(**json.loads(scenario.to_json())) == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert hash(scenario) == hash(scenario.replace())


def test_a_scenario_is_frozen_and_replace_leaves_it() -> None:
    scenario = Scenario()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.num_devices = 3  # type: ignore[misc]  # the mistake under test
    assert scenario.replace(num_devices=3).num_devices == 3
    assert scenario == Scenario()


def test_a_scenario_holds_no_seed() -> None:
    assert not [item.name for item in dataclasses.fields(Scenario) if "seed" in item.name]


def test_every_field_is_described_with_its_meaning() -> None:
    rows = describe_fields()
    assert [row[0] for row in rows] == [item.name for item in dataclasses.fields(Scenario)]
    for name, default, unit, span, about in rows:
        assert about, name
        assert default, name
        # Names that carry a unit and descriptions agree.
        for suffix, wanted in {"_hz": ("Hz", "dBm/Hz"), "_m": ("m",), "_j": ("J",), "_db": ("dB",)}.items():
            if name.endswith(suffix):
                assert unit in wanted, name
        assert "inf" not in span, name


def test_every_presets_fields_differ_from_the_defaults() -> None:
    for name, preset in PRESETS.items():
        changed = Scenario().replace(**preset.fields)
        for field in preset.fields:
            assert getattr(changed, field) != getattr(Scenario(), field), (name, field)


def test_by_default_whoever_has_run_empty_costs_four_reference_rounds_in_each() -> None:
    fields: dict[str, Any] = {"battery_share": 1e-12, "num_devices": 3, **ON_BATTERY}
    charged, free = SFLEnv(**fields), SFLEnv(**fields, dropout_weight=0.0)
    for env in (charged, free):
        env.reset(seed=0)
    rewards = [env.step(np.zeros((3, 2), np.float32))[1] for env in (charged, free)]
    assert rewards[0] == pytest.approx(rewards[1] - 4.0 * 3)


def test_the_default_charge_goes_with_the_devices_and_with_what_a_round_weighs() -> None:
    def charge(**fields: Any) -> float:
        return Scenario(**fields).charged_for_dropouts

    assert charge() == charge(battery_share=0.1, dropout_weight=0.0) == 0.0
    assert charge(battery_share=0.1, num_devices=20) == 2.0 * charge(battery_share=0.1, num_devices=10) > 0.0
    assert charge(battery_share=0.1, latency_weight=3.0) == 3.0 * charge(battery_share=0.1)
    assert charge(dropout_weight=2.5) == charge(battery_share=0.1, dropout_weight=2.5) == 2.5
