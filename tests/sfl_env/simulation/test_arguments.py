"""What a user says is heard: parts do not silently take the place of fields, and misspelt words are found."""

import dataclasses
import inspect
import json
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from sfl_env import Scenario, ScenarioError, SFLEnv, SFLVectorEnv
from sfl_env.channel import Annulus, Channel, NoFading, Static, UrbanMicro
from sfl_env.devices import AlwaysAvailable, DeviceBatch, Population
from sfl_env.dnn import catalogue
from sfl_env.episodes import OPTIONS
from sfl_env.presets import PRESETS
from sfl_env.rounds.curves import Modes
from sfl_env.simulation import parts
from sfl_env.simulation.arguments import FIELDS, SHELL_OPTIONS, sort
from sfl_env.spaces import parts as agent_parts
from sfl_env.spaces.action import ContinuousAction
from sfl_env.spaces.reward import WeightedReward
from tests.ids import BATCHED_IDS, with_constants
from tests.sfl_env.boards import boards

OWN: dict[str, Any] = {
    "profile": catalogue.load("lenet5"),
    "channel": Channel(UrbanMicro(), NoFading(), Static(Annulus(10.0, 20.0))),
    "population": Population(("laptop",)),
    "availability": AlwaysAvailable(),
    "action": ContinuousAction(5),
    "reward": WeightedReward(1.0, 0.0, 0.0),
}
REPLACED = {**parts.REPLACED, **agent_parts.REPLACED}
PAIRS = [(part, field) for part in OWN for field in REPLACED[part]]
OTHER = {
    "model": "vgg11",
    "path_loss": "uma",
    "fading": "none",
    "mobility": "gauss-markov",
    "device_types": ("laptop",),
    "device_weights": (1.0,),
    "availability_levels": (1.0,),
    "action_mode": "cut",
}


def value_of(field: str) -> Any:
    return OTHER.get(field) or getattr(Scenario(), field) or 1.0


@pytest.mark.parametrize(("part", "field"), PAIRS, ids=lambda value: value)
@pytest.mark.parametrize("make", [SFLEnv, SFLVectorEnv], ids=["single", "batched"])
def test_a_part_beside_a_field_that_it_replaces_is_an_error(make: Any, part: str, field: str) -> None:
    with pytest.raises(ScenarioError, match=f"^{field} is given beside {part}, which replaces it"):
        make(**{part: OWN[part], field: value_of(field)})


@pytest.mark.parametrize("field", [{"rate_curve": "shannon"}, {"min_sinr_db": 3.0}], ids=str)
def test_a_field_of_both_curves_is_heard_until_both_are_the_users(field: dict[str, Any]) -> None:
    curve = Modes((3.0,), (1.0,))
    SFLEnv(uplink_curve=curve, **field)
    SFLEnv(downlink_curve=curve, **field)
    with pytest.raises(ScenarioError, match=f"^{next(iter(field))} is given beside uplink_curve"):
        SFLEnv(uplink_curve=curve, downlink_curve=curve, **field)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("profile", "model", "vgg11"),
        ("channel", "fading", "none"),
        ("population", "compute_spread", 3.0),
        ("availability", "availability_levels", (0.5,)),
        ("reward", "energy_weight", 3.0),
    ],
)
def test_a_part_beside_a_scenario_that_says_otherwise_is_an_error(part: str, field: str, value: Any) -> None:
    told = Scenario(num_devices=3, **{field: value})
    with pytest.raises(ScenarioError, match=f"^{field} is given beside {part}"):
        SFLEnv(scenario=told, **{part: OWN[part]})
    assert SFLEnv(scenario=Scenario(num_devices=3), **{part: OWN[part]}).scenario.num_devices == 3


def test_what_an_id_stands_for_is_not_said_by_a_scenario_of_it() -> None:
    told = Scenario(**PRESETS["SFL-SmallCell-v0"].fields)
    channel = OWN["channel"]
    env: Any = gym.make("SFL-SmallCell-v0", scenario=told, channel=channel)
    assert env.unwrapped.episodes.simulator.channel is channel
    with pytest.raises(ScenarioError, match=r"^fading is given beside channel"):
        gym.make("SFL-SmallCell-v0", scenario=told.replace(fading="none"), channel=channel)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("profile", "model"),
        ("action", "action_mode"),
        ("network", "model"),
        ("data", "dataset"),
        ("data", "dataset_path"),
        ("learner", "executor"),
    ],
)
def test_the_table_of_what_parts_replace_names_what_they_replace(part: str, field: str) -> None:
    assert field in REPLACED[part]


@pytest.mark.parametrize("part", OWN)
@pytest.mark.parametrize("env_id", BATCHED_IDS)
def test_a_part_replaces_what_an_id_stands_for(env_id: str, part: str) -> None:
    own = with_constants(env_id, {part: OWN[part]})
    env = gym.make(env_id, **own, **({"profile": OWN["profile"]} if part == "action" else {}))
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert isinstance(gym.make_vec(env_id, num_envs=2, **own), SFLVectorEnv) or part == "action"


class Watched:
    """A scenario that remembers which of its fields are read."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in (*FIELDS, "charged_for_dropouts"):
            self.read.add(name)
        return getattr(self._scenario, name)


CHOICES = [
    {"path_loss": path_loss, "fading": fading, "mobility": mobility}
    for path_loss in ("umi", "uma", "macro")
    for fading in ("averaged", "block", "none")
    for mobility in ("static", "random-waypoint", "gauss-markov")
]


@pytest.mark.parametrize("part", ["channel", "population", "availability"])
def test_every_field_that_makes_a_part_is_in_the_table_of_what_the_part_replaces(part: str) -> None:
    read: set[str] = set()
    for fields in CHOICES:
        watched: Any = Watched(Scenario(**cast(dict[str, Any], fields)))
        getattr(parts, part)(watched)
        read |= watched.read
    assert read == set(parts.REPLACED[part])


def test_what_an_own_reward_replaces_is_what_the_weighted_one_reads() -> None:
    watched: Any = Watched(Scenario())
    WeightedReward.of(watched, 1.0)
    # The weight of dropouts is read through what it comes to by default.
    read = {"dropout_weight" if name == "charged_for_dropouts" else name for name in watched.read}
    assert read | {"reference_latency_s"} == set(agent_parts.REPLACED["reward"])


@pytest.mark.parametrize("name", [*FIELDS, *REPLACED, *OPTIONS, "render_mode", "scenario", "num_envs"])
def test_a_misspelt_word_finds_the_nearest_of_all(name: str) -> None:
    misspelt = name + name[-1]
    with pytest.raises(
        ScenarioError, match=rf"Unknown field or argument '{misspelt}' \(did you mean '{name}'\?\)"
    ):
        gym.make("SFL-v0", **cast(dict[str, Any], {misspelt: 1}))


@pytest.mark.parametrize(("misspelt", "name"), [("rewrad", "reward"), ("exectuor", "executor")])
def test_swapped_letters_are_found(misspelt: str, name: str) -> None:
    with pytest.raises(ScenarioError, match=f"did you mean '{name}'"):
        gym.make("SFL-v0", **cast(dict[str, Any], {misspelt: 1}))


def test_the_words_of_the_shells_are_known() -> None:
    words = {
        name
        for shell in (SFLEnv, SFLVectorEnv)
        for name, parameter in inspect.signature(shell.__init__).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert words <= set(SHELL_OPTIONS)


def test_a_word_of_another_shell_is_unknown() -> None:
    with pytest.raises(ScenarioError, match="Unknown field or argument 'num_envs'"):
        SFLEnv(num_envs=2)


def test_a_misspelt_field_of_a_preset_is_told() -> None:
    with pytest.raises(ScenarioError, match="Unknown field of the preset 'modle'"):
        SFLEnv(preset={"modle": "vgg11"})


# Whole scenarios


def test_a_scenario_that_is_none_is_told() -> None:
    with pytest.raises(ScenarioError, match=r"scenario is of type dict; it has to be an sfl_env\.Scenario"):
        SFLEnv(scenario={"num_devices": 3})


def test_a_scenario_beside_an_id_of_another_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="scenario has model='auto', and the id stands for model='resnet34'"):
        gym.make("SFL-MacroCell-v0", scenario=Scenario())
    same = Scenario(**PRESETS["SFL-MacroCell-v0"].fields).replace(num_devices=3)
    env = gym.make("SFL-MacroCell-v0", scenario=same).unwrapped
    assert isinstance(env, SFLEnv)
    assert env.scenario == same


# Specifications


@pytest.mark.parametrize("env_id", PRESETS)
def test_a_spec_keeps_the_ids_fields_apart_and_survives_json(env_id: str) -> None:
    spec = gym.make(env_id, **with_constants(env_id, {"num_devices": 3})).spec
    assert spec is not None
    stored = json.loads(spec.to_json())
    assert stored["kwargs"]["num_devices"] == 3
    preset = json.loads(json.dumps({**PRESETS[env_id].fields, **PRESETS[env_id].modes}))
    assert stored["kwargs"].get("preset", {}) == preset
    again = gym.make(EnvSpec.from_json(spec.to_json())).unwrapped
    assert isinstance(again, SFLEnv)
    said = with_constants(env_id, {"num_devices": 3})
    assert again.scenario == Scenario(**PRESETS[env_id].fields).replace(**said)


def test_every_id_has_a_batch_also_where_networks_are_trained() -> None:
    for env_id, fields in (("SFL-Accuracy-v0", {}), ("SFL-v0", {"mode": "accuracy"})):
        envs = gym.make_vec(
            env_id,
            num_envs=2,
            num_devices=3,
            max_episode_steps=1,
            local_iterations=1,
            **cast(dict[str, Any], fields),
        )
        assert isinstance(envs, gym.vector.SyncVectorEnv)
        envs.reset(seed=0)
        assert envs.step(envs.action_space.sample())[2].all()
        spec = envs.spec
        assert spec is not None
        spec.to_json()


def test_an_id_of_accuracy_mode_can_simulate_lengths_alone_in_one_batch() -> None:
    envs = gym.make_vec("SFL-Accuracy-v0", num_envs=2, mode="latency", model="lenet5", target_accuracy=None)
    assert isinstance(envs, SFLVectorEnv)


# An own population's speeds


class Measured:
    """Devices whose speeds were measured."""

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        return boards(n, num_devices, forward_flops_per_s=1.23e10)


def speeds(**options: Any) -> set[float]:
    envs = SFLVectorEnv(20, population=Measured(), **options)
    envs.reset(seed=0)
    return set(np.unique(envs.episodes.now.true.forward_flops_per_s))


def test_measured_speeds_are_what_they_are() -> None:
    assert speeds() == {1.23e10}
    assert speeds(scenario=Scenario(num_devices=4)) == {1.23e10}
    assert SFLEnv(population=Measured()).scenario.availability_levels == (1.0,)


@pytest.mark.parametrize(
    "options",
    [
        {"availability_levels": (0.5, 1.0)},
        {"availability_hold_s": 60.0},
        {"scenario": Scenario(availability_levels=(0.5, 1.0))},
    ],
)
def test_measured_speeds_vary_where_the_user_says_so(options: dict[str, Any]) -> None:
    assert {0.5 * 1.23e10, 1.23e10} <= speeds(**options)


def test_the_ids_speeds_still_vary() -> None:
    assert SFLEnv().scenario.availability_levels == Scenario().availability_levels
    assert dataclasses.asdict(SFLEnv(population=Measured()).scenario) | {
        "availability_levels": (0.5, 0.75, 1.0)
    } == dataclasses.asdict(Scenario())


def test_what_is_none_is_not_given() -> None:
    said = sort(None, None, {"model": "vgg16", "profile": None, "num_devices": 3}, {"profile": ("model",)}, ())
    assert said.given == {}
    assert (said.scenario.model, said.scenario.num_devices) == ("vgg16", 3)


def test_an_own_population_is_at_its_whole_speed_unless_an_own_availability_says_otherwise() -> None:
    parts_of_ones_own: dict[str, Any] = {"population": OWN["population"], "availability": OWN["availability"]}
    known = {"population": (), "availability": ("availability_levels",)}
    alone = sort(None, None, {"population": OWN["population"]}, known, ())
    assert alone.scenario.availability_levels == (1.0,)
    both = sort(None, None, parts_of_ones_own, known, ())
    assert both.scenario.availability_levels == Scenario().availability_levels


def test_a_preset_that_is_none_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"^preset is of type list; it has to be a mapping"):
        sort(None, cast(Any, ["num_devices"]), {}, {}, ())
