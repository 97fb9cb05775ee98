"""A benchmark compares policies on identical conditions, honestly, and survives interruptions."""

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import sfl_baselines
from sfl_agents.vec_env import SFLVecEnv
from sfl_baselines.environments import HELD_OUT_SEED, held_out_seed, make_batch, training_seed
from sfl_env.errors import PolicyError, RunError, ScenarioError
from sfl_lab.cli import main
from sfl_lab.cli.fields import parse_fields
from sfl_lab.compare.rounds.comparison import POLICIES, Comparison, Results, compare, prepare
from sfl_lab.compare.rounds.rollout import ImpossibleResultError, check_paired, roll_out
from sfl_lab.compare.statistics import mean_interval
from sfl_lab.compare.yardstick import BarrierBound, Optimum, reference_of
from tests.ids import BATCHED_IDS

SMALL = {"num_devices": 4, "max_rounds": 5}


def benchmark(env_id: str = "SFL-v0", **options: Any) -> Results:
    comparison = Comparison(env_id=env_id, **{"episodes": 4, "fields": SMALL, **options})
    return compare(comparison, prepare(comparison))


@pytest.mark.parametrize("env_id", sorted(BATCHED_IDS))
def test_every_environment_can_be_benchmarked(env_id: str) -> None:
    results = benchmark(env_id, fields={"max_rounds": 3}, episodes=2)
    assert {entry.policy for entry in results.scores} == set(POLICIES)
    for entry in results.scores:
        assert np.isfinite(entry.ratio.mean), entry
        assert entry.ratio.low <= entry.ratio.mean <= entry.ratio.high, entry


def test_nothing_beats_exact_in_the_sanity_tier_and_alternating_equals_it() -> None:
    results = benchmark(episodes=8)
    ratio = {entry.policy: entry.ratio.mean for entry in results.scores}
    assert [entry.policy for entry in results.scores][:3] == ["oracle", "exact", "alternating"]
    assert min(ratio.values()) >= 1.0 - 1e-9
    assert max(ratio[name] for name in ("exact", "oracle", "alternating")) < 1.0 + 1e-5
    assert min(ratio[name] for name in ("equal-bandwidth", "common-cut", "federated", "random")) > 1.01


def test_the_oracle_leads_where_the_observed_channel_is_old() -> None:
    results = benchmark("SFL-StaleCSI-v0")
    ratio = {entry.policy: entry.ratio for entry in results.scores}
    assert results.scores[0].policy == "oracle"
    assert ratio["oracle"].high < ratio["exact"].low


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Phones-v0", "SFL-Battery-v0"])
def test_every_policy_meets_the_same_channels_and_devices(env_id: str) -> None:
    seen = []
    for name in ("exact", "federated", "random"):
        envs = make_batch(env_id, 3, {"max_rounds": 6})
        met: list[Any] = []

        def record(met: list[Any] = met, envs: Any = envs) -> None:
            true = envs.episodes.now.true
            met.append((true.uplink_snr_hz, true.compute_flops_per_s, true.samples))

        roll_out(sfl_baselines.make(name, envs), envs.episodes, Optimum(), seed=5, on_round=record)
        seen.append(met)
    for other in seen[1:]:
        for ours, theirs in zip(seen[0], other, strict=True):
            for left, right in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(left, right)


def test_an_episode_that_has_ended_is_not_counted_on() -> None:
    envs = make_batch("SFL-Battery-v0", 6, {"battery_j": 60.0, "max_rounds": 200})
    rollout = roll_out(sfl_baselines.make("federated", envs), envs.episodes, Optimum(), 0, lambda: None)
    assert (rollout.rounds < 200).all()
    assert (rollout.active_devices[rollout.running] > 0).all()
    # Once over, an episode stays over.
    assert (np.diff(rollout.running.astype(int), axis=0) <= 0).all()
    assert np.isfinite(rollout.ratio[rollout.running]).all()
    assert np.isnan(rollout.ratio[~rollout.running]).all()
    first = rollout.running[:, 0]
    assert rollout.total(rollout.reward)[0] == pytest.approx(rollout.reward[first, 0].sum())


def test_the_barrier_bound_is_below_every_round_and_says_what_it_is() -> None:
    envs = make_batch("SFL-Barrier-v0", 4, {"max_rounds": 5})
    reference = reference_of(envs.scenario)
    assert isinstance(reference, BarrierBound)
    assert reference.name == "lower bound"
    for name in sfl_baselines.names():
        rollout = roll_out(sfl_baselines.make(name, envs), envs.episodes, reference, 0, lambda: None)
        assert (rollout.ratio >= 1.0).all()
    assert reference_of(make_batch("SFL-v0", 1).scenario).name == "optimum"


def test_devices_that_take_turns_are_compared_with_their_own_optimum() -> None:
    results = benchmark(policies=("exact", "sequential", "common-cut"), fields=SMALL | {"schedule": "sequence"})
    assert results.reference == "optimum"
    ratio = {entry.policy: entry.ratio.mean for entry in results.scores}
    assert ratio["sequential"] == pytest.approx(1.0, abs=1e-5)
    assert ratio["common-cut"] >= 1.0 - 1e-9
    assert ratio["exact"] > 1.01  # splits a band that nobody has to share


def test_rounds_that_leave_devices_out_are_not_compared_by_their_length() -> None:
    with pytest.raises(ScenarioError, match=r"deadline_s is 5\.0.*--mode accuracy"):
        prepare(Comparison(fields={"deadline_s": 5.0}))


class TooHigh:
    """A reference that is no bound at all."""

    name = "optimum"

    def __call__(self, episodes: Any) -> Any:
        return 1.01 * Optimum()(episodes)


def test_a_result_better_than_the_optimum_is_a_bug_and_stops_the_evaluation() -> None:
    envs = make_batch("SFL-v0", 2, SMALL)
    with pytest.raises(ImpossibleResultError, match=r"Round \d of episode \d took .* 0\.990.* has a bug"):
        roll_out(sfl_baselines.make("exact", envs), envs.episodes, TooHigh(), 0, lambda: None)


def test_policies_that_met_different_conditions_are_not_compared() -> None:
    envs = make_batch("SFL-v0", 2, SMALL)
    policy = sfl_baselines.make("exact", envs)
    ours, theirs = (roll_out(policy, envs.episodes, Optimum(), seed, lambda: None) for seed in (0, 1))
    check_paired({"a": ours, "b": ours})
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' met different"):
        check_paired({"a": ours, "b": theirs})


def test_equal_seeds_give_equal_results_and_other_seeds_others() -> None:
    first, again, other = benchmark(seed=3), benchmark(seed=3), benchmark(seed=4)
    assert first.scores == again.scores
    assert first.scores != other.scores


def test_held_out_seeds_are_no_training_seeds() -> None:
    assert held_out_seed(0) == HELD_OUT_SEED > training_seed(HELD_OUT_SEED - 1)
    for wrong in (-1, HELD_OUT_SEED):
        with pytest.raises(ScenarioError, match="--seed is"):
            held_out_seed(wrong)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = [
        interval.low <= 1.0 <= interval.high
        for interval in (mean_interval(rng.exponential(size=50)) for _ in range(100))
    ]
    # 95 of 100, less what a percentile interval loses on 50 skewed values, within three standard deviations.
    assert 84 <= sum(covered) <= 100


class StopError(Exception):
    """Stands for whatever interrupts a benchmark."""


def test_an_interrupted_benchmark_goes_on_where_it_stopped(tmp_path: Path) -> None:
    comparison = Comparison(policies=("exact", "federated", "random"), episodes=3, fields=SMALL)
    rounds_left = iter(range(SMALL["max_rounds"] + 2))

    def stop_in_the_second_policy() -> None:
        if next(rounds_left, None) is None:
            raise StopError

    with pytest.raises(StopError):
        compare(comparison, prepare(comparison), store=tmp_path, on_round=stop_in_the_second_policy)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]
    rounds = []
    resumed = compare(comparison, prepare(comparison), store=tmp_path, on_round=lambda: rounds.append(0))
    assert len(rounds) == 2 * SMALL["max_rounds"]
    assert resumed.scores == compare(comparison, prepare(comparison)).scores


COMMAND = ["benchmark", "--episodes", "3", "--policies", "exact", "shallow", "random"]
COMMAND += ["--fields", "num_devices=4", "max_rounds=5"]


def test_the_command_writes_everything_and_never_over_an_old_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main([*COMMAND, "--out", str(out)]) == 0
    assert "round / optimum" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "results.csv", "episodes.csv", "results.png", "summary.json"}
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 5
    assert min(float(row["ratio"]) for row in rows) >= 1.0 - 1e-9
    with (out / "episodes.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 3
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["scenario"]["num_devices"] == 4
    assert summary["generator_seed"] == HELD_OUT_SEED
    assert [entry["policy"] for entry in summary["policies"]] == ["exact", "shallow", "random"]
    mean = np.mean([float(row["ratio"]) for row in rows if row["policy"] == "random"])
    assert summary["policies"][2]["ratio"]["mean"] == pytest.approx(mean)

    assert main([*COMMAND, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(out), "--resume"]) == 2
    assert "complete" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "exat"], "Unknown baseline 'exat' (did you mean 'exact'?)"),
        (["--env-id", "SFL-v7"], "Unknown environment id 'SFL-v7' (did you mean 'SFL-v0'?)"),
        (["--env-id", "CartPole-v1"], "CartPole-v1 cannot be made as an environment of sfl_env's"),
        (["--env-id", "no_such_module:SFL-v0"], "no_such_module:SFL-v0 cannot be made"),
        (["--fields", "num_device=3"], "did you mean 'num_devices'?"),
        (["--fields", "num_devices=0"], "num_devices is 0; it has to be a whole number from 1"),
        (["--fields", "num_devices"], "has to be written as name=value"),
        (["--fields", "num_devices=3", "num_devices=4"], "given twice"),
        (["--episodes", "1"], "--episodes is 1; intervals need at least 2"),
        (["--seed", "-1"], "--seed is -1"),
        (["--policies", "exact", "exact"], "'exact' is named twice"),
        (["--policies"], "Nothing is to be compared"),
        (["--agents", "no/such/run"], "no/such/run does not exist"),
    ],
)
def test_a_users_mistake_is_told_in_one_line_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(["benchmark", "--episodes", "2", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not out.exists()


def test_fields_are_read_as_json_or_python_or_text() -> None:
    assert parse_fields(["a=1", "b=1e6", "c=null", "d=None", "e=True", "f=[1, 2]", "g=('x',)", "h=umi"]) == {
        "a": 1,
        "b": 1e6,
        "c": None,
        "d": None,
        "e": True,
        "f": [1, 2],
        "g": ("x",),
        "h": "umi",
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that has barely been trained, in the discrete action mode."""
    out = tmp_path_factory.mktemp("runs") / "barely"
    size = ["--total-steps", "64", "--num-envs", "16", "--fields", "num_devices=4", "max_rounds=5"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a training does not fill the algorithm's mini-batches
        assert main(["train", *size, "--action-mode", "discrete", "--out", str(out)]) == 0
    return out


def test_agents_are_compared_beside_baselines_in_their_own_action_mode(trained: Path) -> None:
    results = benchmark(policies=("exact",), agents=(trained,))
    exact, agent = results.scores
    assert (exact.policy, agent.policy, agent.kind) == ("exact", "barely", "agent")
    assert agent.ratio.mean > 1.0


def test_two_agents_of_one_name_are_told_apart(trained: Path) -> None:
    results = benchmark(policies=("exact",), agents=(trained, trained / "agent.zip"))
    assert {str(trained), str(trained / "agent.zip")} < {entry.policy for entry in results.scores}


def test_evaluate_takes_the_agents_own_environment(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(trained), "--episodes", "2", "--out", str(out)]) == 0
    assert "barely" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["env_id"], summary["scenario"]["num_devices"]) == ("SFL-v0", 4)


def test_evaluate_refuses_what_is_no_training_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--out", str(tmp_path / "b")]) == 0
    assert main(["evaluate", str(tmp_path / "b")]) == 2
    assert "holds a run of kind 'benchmark'" in capsys.readouterr().err


def test_sb3s_evaluate_policy_runs_baselines_on_the_batch() -> None:
    envs = SFLVecEnv(make_batch("SFL-v0", 3, SMALL, autoreset_mode="SameStep"))
    envs.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the batch reports episodes itself, without SB3's Monitor
        returns = {
            name: evaluate_policy(sfl_baselines.make(name, envs), envs, n_eval_episodes=3)[0]
            for name in ("oracle", "federated")
        }
    assert 0.0 > returns["oracle"] > returns["federated"]


def test_a_comparison_knows_what_it_can_compare() -> None:
    with pytest.raises(PolicyError, match="Unknown baseline"):
        Comparison(policies=("best",))
    with pytest.raises(RunError, match="at least 2"):
        Comparison(episodes=1)
