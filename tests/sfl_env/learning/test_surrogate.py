"""The surrogate of learning: linear in who holds what, and no number for what has not been measured."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import Scenario, SFLEnv, SFLVectorEnv
from sfl_env.errors import ScenarioError
from sfl_env.learning import surrogate
from sfl_env.learning.surrogate import Learnt, Surrogate, circumstances, find, measured
from sfl_env.presets import PRESETS

ENV_ID = "SFL-TimeToAccuracy-v0"
OWN: dict[str, Any] = {"surrogate_rounds": (6.0, 3.0, 2.0, 0.0, 4.0)}
PRESET = Scenario(**PRESETS[ENV_ID].fields)

constants = st.lists(st.floats(0.0, 50.0), min_size=4, max_size=4)
cuts = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def of(more: list[float], spread: float = 0.0) -> Surrogate:
    return Surrogate(5.0, (0.0, *more[:3]), spread)


@given(constants, cuts)
def test_rounds_are_the_mean_over_devices_of_those_of_common_cuts(more: list[float], cut: list[int]) -> None:
    learning = of(more)
    common = [float(learning.rounds(np.array([one]))) for one in cut]
    assert float(learning.rounds(np.array(cut))) == pytest.approx(np.mean(common))


@given(constants, cuts, st.data())
def test_a_deeper_cut_never_takes_fewer_rounds(more: list[float], cut: list[int], data: st.DataObject) -> None:
    learning, deeper = of(more), np.array(cut)
    device = data.draw(st.integers(0, len(cut) - 1))
    deeper[device] = min(deeper[device] + 1, 3)
    assert learning.rounds(deeper) >= learning.rounds(np.array(cut)) - 1e-12


@given(constants, cuts)
def test_who_is_missing_changes_neither_mix_nor_more_than_its_share(more: list[float], cut: list[int]) -> None:
    learning, both = of(more), np.array([cut + cut])
    present = np.array([[True] * len(cut) + [False] * len(cut)])
    np.testing.assert_allclose(learning.progress(both, present), 0.5 * learning.progress(both, None))
    np.testing.assert_array_equal(learning.progress(both, ~(present | ~present)), 0.0)


def test_what_episodes_need_is_around_one_with_the_fitted_spread() -> None:
    needed = of([1.0, 1.0, 1.0], spread=0.2).initial(np.random.default_rng(0), 200_000).needed
    assert needed.mean() == pytest.approx(1.0, abs=3e-3)
    assert np.log(needed).std() == pytest.approx(0.2, rel=0.01)


def test_the_presets_constants_are_measured_ones() -> None:
    found = find(PRESET)
    assert found.least_rounds > 1.0
    assert found.rounds_per_block[0] == 0.0
    assert min(found.rounds_per_block) >= 0.0
    assert found.rounds(np.full(10, 4)) > 1.5 * found.rounds(np.zeros(10, int)), (
        "cuts have to matter on skewed data"
    )
    assert circumstances(PRESET) in [each["scenario"] for each in measured()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_devices", 9),
        ("learning_rate", 0.05),
        ("momentum", 0.9),
        ("optimizer", "adam"),
        ("local_iterations", 4),
        ("batch_size", 32),
        ("batch_size_spread", 2.0),
        ("target_accuracy", 0.9),
        ("target_accuracy", None),
        ("partition_concentration", 0.2),
        ("partition", "shards"),
        ("server", "splitfed-v1"),
        ("schedule", "sequence"),
        ("model", "lenet5"),
    ],
)
def test_what_has_not_been_measured_is_refused_with_the_command_that_measures_it(field: str, value: Any) -> None:
    told = "network" if field == "model" else field
    with pytest.raises(ScenarioError, match=rf"{told}=.*measured:.*`{surrogate.COMMAND}`"):
        SFLEnv(scenario=PRESET.replace(**{field: value}))


def test_fields_that_learning_does_not_depend_on_change_no_constants() -> None:
    assert find(PRESET.replace(bandwidth_hz=5e6, cell_radius_m=80.0, device_types=("laptop",) * 3)) == find(PRESET)
    assert find(PRESET.replace(partition="iid", partition_concentration=0.7)) == find(
        PRESET.replace(partition="iid", partition_concentration=0.1)
    )


@pytest.mark.parametrize("fields", [{"deadline_s": 5.0}, {"battery_share": 0.5}])
def test_rounds_that_devices_may_miss_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="rounds in which all devices take part"):
        gym.make(ENV_ID, **fields)


def test_constants_have_to_be_those_of_the_network() -> None:
    from sfl_env.dnn import catalogue

    with pytest.raises(ScenarioError, match="profile is that of 'lenet5'"):
        gym.make(ENV_ID, profile=catalogue.load("lenet5"))
    with pytest.raises(ScenarioError, match="surrogate_rounds has 2 entries; digits-cnn has 5 blocks"):
        gym.make(ENV_ID, surrogate_rounds=(3.0, 1.0))
    with pytest.raises(ScenarioError, match=r"least rounds .* are 0.0"):
        gym.make(ENV_ID, surrogate_rounds=(0.0, 1.0, 1.0, 1.0, 1.0))


def test_a_spread_without_constants_is_refused_as_it_would_change_nothing() -> None:
    with pytest.raises(ScenarioError, match=r"surrogate_spread is 0\.5 and surrogate_rounds is empty"):
        gym.make(ENV_ID, surrogate_spread=0.5)


def test_an_episode_ends_when_its_rounds_add_up_to_the_target() -> None:
    env = gym.make(ENV_ID, action_mode="cut", **OWN)
    _, info = env.reset(seed=3)
    env.action_space.seed(1)
    assert info["learnt"] == 0.0
    total, returned, seconds, terminated = 0.0, 0.0, 0.0, False
    while not terminated:
        assert total < 1.0
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        # Independently: 6 rounds, and 3, 2, 0 and 4 more for each block after the first that all devices hold.
        depth = info["cut"]
        rounds = 6.0 + 3.0 * (depth >= 1).mean() + 2.0 * (depth >= 2).mean() + 4.0 * (depth >= 4).mean()
        total += 1.0 / rounds
        assert info["learnt"] == pytest.approx(total)
        np.testing.assert_allclose(observation[:, -1], min(total - 1.0, 1.0), atol=1e-6)
        returned, seconds = returned + float(reward), seconds + float(info["latency_s"])
        assert not truncated
    assert total >= 1.0
    reference_s = cast(Any, env.unwrapped).episodes.reference_latency_s
    assert returned == pytest.approx(-seconds / reference_s), "the return is minus the time to the target"


def test_a_batch_starts_each_episode_of_its_own_at_nothing_learnt() -> None:
    envs = gym.make_vec(ENV_ID, num_envs=50, surrogate_spread=0.3, **OWN)
    assert isinstance(envs, SFLVectorEnv)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    ended, lengths, length = np.zeros(50, bool), [], np.zeros(50)
    for _ in range(60):
        infos = envs.step(envs.action_space.sample())
        learnt = infos[-1]["learnt"]
        np.testing.assert_array_equal(learnt[ended], 0.0)
        length = np.where(ended, 0.0, length + 1.0)
        now = envs.episodes.now.state.learnt
        assert isinstance(now, Learnt)
        np.testing.assert_array_equal(learnt >= now.needed, infos[2])
        ended = infos[2]
        lengths += length[ended].tolist()
    # With 8 typical rounds or more and a spread of 0.3 some episodes take longer than others, and all end.
    assert len(lengths) >= 150
    assert len(set(lengths)) > 5


def test_in_accuracy_mode_the_network_learns_and_no_surrogate() -> None:
    env = gym.make(ENV_ID, mode="accuracy", torch_device="cpu")
    observation, info = env.reset(seed=0)
    assert "learnt" not in info
    assert observation.shape == (10, 13)
    assert env.step(env.action_space.sample())[4]["loss"] < info["loss"]
