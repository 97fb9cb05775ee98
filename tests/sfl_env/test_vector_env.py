"""The batched environment is many single ones: same numbers, same distributions, Gymnasium's vector semantics."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from sfl_env import Decision, DecisionError, Scenario, ScenarioError, SFLEnv, SFLVectorEnv
from sfl_env.episodes import Episodes
from sfl_env.presets import PRESETS
from sfl_env.simulation.states import replace_rows
from tests.ids import BATCHED_IDS
from tests.sfl_env.boards import ON_BATTERY, end_when_all_are_empty

IDS = BATCHED_IDS


def make(env_id: str = "SFL-v0", num_envs: int = 4, **options: Any) -> SFLVectorEnv:
    envs = gym.make_vec(env_id, num_envs=num_envs, **options)
    assert isinstance(envs, SFLVectorEnv)
    envs.action_space.seed(0)
    return envs


# The same numbers


class Tape:
    """A generator that keeps what it draws, environment axis first."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.draws: list[np.ndarray] = []

    def random(self, size: int | tuple[int, ...]) -> np.ndarray:
        return self._keep(self._rng.random(size))

    def standard_normal(self, size: tuple[int, ...]) -> np.ndarray:
        return self._keep(self._rng.standard_normal(size))

    def _keep(self, values: np.ndarray) -> np.ndarray:
        self.draws.append(values.copy())
        return values


class Playback:
    """Gives one environment its part of what was drawn for n of them."""

    def __init__(self, tape: Tape, env: int, n: int) -> None:
        self._parts = iter([draw.reshape(n, -1)[env] for draw in tape.draws])

    def random(self, size: int | tuple[int, ...]) -> np.ndarray:
        part: NDArray[Any] = next(self._parts).reshape(size)
        return part

    standard_normal = random


def only(state: Any, env: int) -> Any:
    """Return the state of one environment as a batch of one."""
    if isinstance(state, tuple):
        return type(state)(*(only(part, env) for part in state))
    return state[env : env + 1]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_a_step_from_the_same_state_with_the_same_draws_gives_the_same_numbers(
    env_id: str, action_mode: str
) -> None:
    n, fields = 3, dict(PRESETS[env_id].fields) | {"mobility": "static"}
    batch = Episodes(n, action_mode=action_mode, **fields)
    batch.reset(np.random.default_rng(0))
    space = batch.action_encoder.space(batch.scenario.num_devices)
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(n)])
    start, tape = batch.now.state, Tape(1)
    together = batch.step(actions, tape)  # type: ignore[arg-type]  # draws as a generator does
    for env in range(n):
        alone = Episodes(1, action_mode=action_mode, **fields)
        alone.begin(only(start, env))
        single = alone.step(actions[env : env + 1], Playback(tape, env, n))  # type: ignore[arg-type]  # draws as a generator does
        for name in ("observation", "reward", "terminated", "truncated"):
            np.testing.assert_allclose(
                getattr(single, name)[0], getattr(together, name)[env], rtol=1e-12, atol=0.0, err_msg=name
            )
        for name, values in single.infos.items():
            if name != "reward_terms":
                np.testing.assert_allclose(values[0], together.infos[name][env], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(alone.now.state.channel.gain[0], batch.now.state.channel.gain[env], rtol=1e-12)


@pytest.mark.parametrize("env_id", IDS)
def test_a_batch_of_one_is_the_single_environment_through_several_episodes(env_id: str) -> None:
    fields: dict[str, Any] = {"max_rounds": 4}
    envs = make(env_id, num_envs=1, autoreset_mode="SameStep", **fields)
    env = gym.make(env_id, **fields)
    expected, _ = env.reset(seed=5)
    found, _ = envs.reset(seed=5)
    np.testing.assert_array_equal(found[0], expected)
    for _ in range(11):
        actions = envs.action_space.sample()
        found, rewards, terminated, truncated, infos = envs.step(actions)
        expected, reward, end, cut_off, info = env.step(actions[0])
        assert (rewards[0], terminated[0], truncated[0]) == (reward, end, cut_off)
        np.testing.assert_array_equal(infos["phase_latency_s"][0], info["phase_latency_s"])
        if end or cut_off:
            np.testing.assert_array_equal(infos["final_obs"][0], expected)
            expected, _ = env.reset()
        np.testing.assert_array_equal(found[0], expected)


def test_rounds_of_the_batch_are_distributed_as_those_of_single_environments() -> None:
    fields: dict[str, Any] = {"num_devices": 4}
    batched = make(num_envs=600, **fields)
    batched.reset(seed=0)
    action = np.zeros((4, 2), np.float32)
    together: list[np.ndarray] = [
        batched.step(np.broadcast_to(action, (600, 4, 2)))[4]["latency_s"] for _ in range(6)
    ]
    env = SFLEnv(**fields)
    alone = np.empty((6, 600))
    for episode in range(600):
        env.reset(seed=10_000 + episode)
        for step in range(6):
            alone[step, episode] = env.step(action)[-1]["latency_s"]
    # Two samples of one distribution fall below 0.001 once in a thousand seeds; these seeds are fixed.
    for step in (0, 5):
        assert ks_2samp(together[step], alone[step]).pvalue > 0.001
    # And the test can tell: it sees a quarter more latency.
    assert ks_2samp(together[0], alone[0] * 1.25).pvalue < 0.05


def test_problems_of_the_batch_give_its_latencies() -> None:
    envs = make()
    envs.reset(seed=0)
    problem = envs.true_problem()
    *_, infos = envs.step(envs.action_space.sample())
    decision = Decision(infos["cut"], infos["bandwidth_share"])
    np.testing.assert_allclose(problem.device_latency_s(decision), infos["device_latency_s"], rtol=1e-12)
    np.testing.assert_array_equal(envs.observed_problem().uplink_snr_hz, envs.true_problem().uplink_snr_hz)


def test_environments_of_a_batch_differ() -> None:
    observation, _ = make(num_envs=8).reset(seed=0)
    assert len(np.unique(observation[:, 0, 0])) == 8


# Autoreset, as Gymnasium's own SyncVectorEnv has it


def both(mode: AutoresetMode, **fields: Any) -> tuple[SFLVectorEnv, SyncVectorEnv]:
    """Our batch and Gymnasium's, their episodes of different lengths."""
    ours = make(num_envs=2, autoreset_mode=mode, **fields)
    theirs = SyncVectorEnv([lambda: SFLEnv(**fields)] * 2, autoreset_mode=mode)
    for envs in (ours, theirs):
        envs.reset(seed=0)
    # The first environment starts one round late, so that they end one after the other.
    late = np.array([0, 1])
    ours.episodes.begin(ours.episodes.now.state._replace(round=late))
    for env, done in zip(theirs.envs, late, strict=True):
        unwrapped: Any = env.unwrapped
        episodes = unwrapped.episodes
        episodes.begin(episodes.now.state._replace(round=np.array([done])))
    return ours, theirs


def masks(infos: dict[str, Any]) -> dict[str, Any]:
    """Which entries a round has given, for which environments; left out where they hold for none.

    Gymnasium's batch marks whatever an environment's reset has said, of which only a round is missing: its NaN.
    """
    return _masks(infos, ~np.isnan(infos["latency_s"]))


def _masks(infos: dict[str, Any], had_round: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in infos.items():
        if name.startswith("_final"):
            found[name] = values.tolist()
        elif name.startswith("_") and (values & had_round).any():
            found[name] = (values & had_round).tolist()
        elif isinstance(values, dict):
            inner = _masks(values, ~np.isnan(values["latency_s"]) if "latency_s" in values else had_round)
            if inner:
                found[name] = inner
    return found


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_ends_rewards_and_info_masks_come_when_gymnasiums_own_batch_has_them(mode: AutoresetMode) -> None:
    ours, theirs = both(mode, max_rounds=3, num_devices=2)
    action = np.zeros((2, 2, 2), np.float32)
    for step in range(9):
        mine, other = ours.step(action), theirs.step(action)
        for index in (2, 3):
            np.testing.assert_array_equal(mine[index], other[index], err_msg=f"step {step}")
        # A step that only starts an episode is no round: no reward.
        np.testing.assert_array_equal(mine[1] == 0.0, other[1] == 0.0)
        assert masks(mine[4]) == masks(other[4]), f"step {step}"
        assert mine[0].shape == other[0].shape
        np.testing.assert_array_equal(mine[0][:, 0, 4], other[0][:, 0, 4])
        for name in other[4]:
            if not name.startswith("_") and not isinstance(other[4][name], dict) and name != "final_obs":
                assert mine[4][name].shape == other[4][name].shape


def test_next_step_ignores_the_action_of_an_episode_that_is_over() -> None:
    envs = make(num_envs=2, max_rounds=1)
    envs.reset(seed=0)
    *_, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert terminated.all(), "an episode of one round is over, and nothing is cut off"
    assert not truncated.any()
    observation, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
    np.testing.assert_array_equal(rewards, 0.0)
    assert not terminated.any()
    assert not truncated.any()
    assert not infos["_latency_s"].any()
    # Column 4 is the episode's progress: at its start.
    np.testing.assert_array_equal(observation[:, :, 4], -1.0)


@pytest.mark.parametrize(("mode", "nonsense"), [("continuous", np.nan), ("cut", 1000), ("discrete", -1)])
def test_next_step_takes_anything_for_an_episode_that_is_over_and_nothing_else(mode: str, nonsense: float) -> None:
    envs = make(num_envs=3, autoreset_mode="NextStep", action_mode=mode, max_rounds=2)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    state = envs.episodes.now.state
    # Only the middle environment's episode is nearly over.
    envs.episodes.begin(state._replace(round=np.array([0, 1, 0])))
    *_, truncated, _ = envs.step(envs.action_space.sample())
    assert truncated.tolist() == [False, True, False]
    actions = envs.action_space.sample()
    actions[1] = nonsense
    given = actions.copy()
    _, rewards, *_ = envs.step(actions)
    assert (rewards < 0.0).tolist() == [True, False, True]
    np.testing.assert_array_equal(actions, given)
    with pytest.raises(DecisionError):
        envs.step(actions)


def test_same_step_returns_the_old_episodes_end_beside_the_new_ones_start() -> None:
    envs = make(num_envs=2, autoreset_mode="SameStep", max_rounds=2)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    observation, rewards, _, truncated, infos = envs.step(envs.action_space.sample())
    assert truncated.all()
    assert (rewards < 0.0).all()
    np.testing.assert_array_equal(observation[:, :, 4], -1.0)
    np.testing.assert_array_equal(infos["final_obs"][:, :, 4], 1.0)
    assert infos["_final_obs"].all()
    assert (infos["final_info"]["latency_s"] > 0.0).all()


def test_disabled_autoreset_restarts_those_of_the_mask_and_no_others() -> None:
    envs = make(num_envs=3, autoreset_mode="Disabled", max_rounds=5)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    before = envs.episodes.now.state
    observation, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    after = envs.episodes.now.state
    assert after.round.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(after.channel.gain[[0, 2]], before.channel.gain[[0, 2]])
    assert not np.array_equal(after.channel.gain[1], before.channel.gain[1])
    np.testing.assert_allclose(observation[:, 0, 4], [-0.6, -1.0, -0.6], rtol=1e-6)


def test_disabled_autoreset_refuses_to_step_an_episode_that_is_over() -> None:
    envs = make(num_envs=2, autoreset_mode="Disabled", max_rounds=1)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    state = envs.episodes.now.state
    with pytest.raises(ScenarioError, match="stepped after its episode's end"):
        envs.step(envs.action_space.sample())
    assert envs.episodes.now.state is state
    envs.reset(options={"reset_mask": np.array([True, True])})
    envs.step(envs.action_space.sample())


@pytest.mark.parametrize(
    "mask",
    [[True, False], np.array([1, 0]), np.array([True]), np.array([False, False]), np.ones((2, 2), np.bool_)],
)
def test_a_wrong_reset_mask_is_refused(mask: Any) -> None:
    envs = make(num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(ScenarioError, match="reset_mask") as refused:
        envs.reset(options={"reset_mask": mask})
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
def test_every_id_runs_on_through_its_episodes_ends(env_id: str, mode: AutoresetMode) -> None:
    fields = {"battery_share": 0.003} if env_id == "SFL-Battery-v0" else {}
    envs = make(env_id, num_envs=3, autoreset_mode=mode, max_rounds=6, **fields)
    observation, _ = envs.reset(seed=1)
    for _ in range(20):
        assert envs.observation_space.contains(observation)
        observation, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert np.isfinite(rewards).all()
        assert rewards.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_


def test_an_optimum_is_known_in_the_step_that_starts_an_episode_whose_devices_had_all_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end_when_all_are_empty(monkeypatch)
    envs = make("SFL-Battery-v0", num_envs=2, battery_share=1e-12, info_optimum=True, **ON_BATTERY)
    envs.reset(seed=1)
    *_, terminated, _, _ = envs.step(envs.action_space.sample())
    assert terminated.all()
    envs.step(envs.action_space.sample())
    *_, infos = envs.step(envs.action_space.sample())
    assert (infos["regret_s"] >= -1e-9 * infos["optimal_latency_s"]).all()


# Around it


def test_episode_statistics_are_those_of_the_rewards() -> None:
    envs = RecordEpisodeStatistics(gym.make_vec("SFL-v0", num_envs=3, max_rounds=4))
    envs.action_space.seed(0)
    envs.reset(seed=0)
    total = np.zeros(3)
    for _ in range(4):
        _, rewards, _, _, infos = envs.step(envs.action_space.sample())
        total += rewards
    np.testing.assert_allclose(infos["episode"]["r"], total, rtol=1e-6)
    assert infos["episode"]["l"].tolist() == [4, 4, 4]
    assert infos["_episode"].all()


def test_the_same_seed_gives_the_same_batch() -> None:
    for seed in (7, [7, 8, 9, 10]):
        one, other = make(), make()
        np.testing.assert_array_equal(one.reset(seed=seed)[0], other.reset(seed=seed)[0])  # type: ignore[arg-type]  # list is invariant
        actions = one.action_space.sample()
        np.testing.assert_array_equal(one.step(actions)[0], other.step(actions)[0])


def test_make_vec_passes_fields_and_options_on() -> None:
    envs = make("SFL-StaleCSI-v0", num_envs=2, num_devices=3, model="lenet5", action_mode="cut", info_optimum=True)
    preset = PRESETS["SFL-StaleCSI-v0"].fields
    assert envs.scenario == Scenario(num_devices=3, model="lenet5", **preset)
    assert envs.action_space.shape == (2, 3)
    envs.reset(seed=0)
    assert "optimal_latency_s" in envs.step(envs.action_space.sample())[4]


def test_a_step_limit_of_make_vec_is_the_round_limit() -> None:
    envs = make(num_envs=2, max_episode_steps=2)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    assert envs.step(envs.action_space.sample())[3].all()


def test_a_mistake_in_make_vec_is_named() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'num_devices'"):
        gym.make_vec("SFL-v0", num_envs=2, num_device=3)
    with pytest.raises(ScenarioError, match="num_envs is 0"):
        SFLVectorEnv(0)
    with pytest.raises(ScenarioError, match="render_mode is 'human'"):
        SFLVectorEnv(2, render_mode="human")  # type: ignore[arg-type]  # the mistake under test


def test_replacing_an_environments_rows_leaves_the_others() -> None:
    envs = make(num_envs=3)
    envs.reset(seed=0)
    fresh = envs.episodes.simulator.initial(np.random.default_rng(9), 1)
    mixed = replace_rows(envs.episodes.now.state, np.array([False, False, True]), fresh)
    np.testing.assert_array_equal(mixed.channel.gain[:2], envs.episodes.now.state.channel.gain[:2])
    np.testing.assert_array_equal(mixed.channel.gain[2], fresh.channel.gain[0])


@pytest.mark.parametrize("num_envs", [0, -1, 2.5, "3", None, True])
def test_a_number_of_environments_that_is_none_is_named(num_envs: Any) -> None:
    with pytest.raises(ScenarioError, match="num_envs is"):
        SFLVectorEnv(num_envs)


@pytest.mark.parametrize("mode", ["zz", "next_step", 3, None])
def test_an_unknown_autoreset_mode_is_named(mode: Any) -> None:
    with pytest.raises(ScenarioError, match="autoreset_mode is"):
        SFLVectorEnv(2, autoreset_mode=mode)


def test_two_lengths_of_an_episode_contradict_each_other() -> None:
    with pytest.raises(ScenarioError, match="max_episode_steps is 5 beside max_rounds=7"):
        SFLVectorEnv(2, max_episode_steps=5, max_rounds=7)
    assert SFLVectorEnv(2, max_episode_steps=5, max_rounds=5).episodes.scenario.max_rounds == 5


@pytest.mark.parametrize("seed", [[1], [1, 2, 3], [None, 1], ["a", 1], [-1, 1], [1.5, 1], [True, 1]])
def test_seeds_that_do_not_fix_the_batch_are_refused(seed: Any) -> None:
    with pytest.raises(ScenarioError, match="seed is"):
        SFLVectorEnv(2).reset(seed=seed)


@pytest.mark.parametrize("options", [{"mask": 1}, {"reset_maks": 1}, [1], 3])
def test_options_of_reset_that_nothing_heeds_are_refused(options: Any) -> None:
    envs = SFLVectorEnv(2)
    with pytest.raises(ScenarioError, match="option"):
        envs.reset(seed=0, options=options)


@pytest.mark.parametrize("options", [{"info_optimum": "no"}, {"info_optimum": 1}, {"preset": 3}])
def test_arguments_of_another_type_are_named(options: Any) -> None:
    with pytest.raises(ScenarioError, match=next(iter(options))):
        SFLVectorEnv(2, **options)
