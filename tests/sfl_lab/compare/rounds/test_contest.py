"""A benchmark compares policies on identical conditions, honestly, and survives interruptions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from sfl_baselines.environments import HELD_OUT_SEED, held_out_seed, training_seed
from sfl_env.errors import PolicyError, RunError, ScenarioError
from sfl_env.storage import runs
from sfl_lab.compare.contest import CENTRALISED, compare
from sfl_lab.compare.rounds.contest import POLICIES, RoundContest, RoundResults
from tests.ids import BATCHED_IDS
from tests.sfl_lab.compare.watchers import Recorder, StopError, stopping_after

SMALL: dict[str, Any] = {"num_devices": 4, "max_rounds": 5}


def benchmark(env_id: str = "SFL-v0", **options: Any) -> RoundResults:
    contest = RoundContest(env_id=env_id, **{"episodes": 4, "fields": SMALL, **options})
    return compare(contest, contest.lineup())


@pytest.mark.parametrize("env_id", sorted(BATCHED_IDS))
def test_every_environment_can_be_benchmarked(env_id: str) -> None:
    results = benchmark(env_id, fields={"max_rounds": 3}, episodes=2)
    assert {entry.policy for entry in results.scores} == set(POLICIES)
    for entry in results.scores:
        assert np.isfinite(entry.ratio.value), entry
        assert entry.ratio.low <= entry.ratio.value <= entry.ratio.high, entry


def test_nothing_beats_exact_in_the_sanity_tier_and_alternating_equals_it() -> None:
    results = benchmark(episodes=8)
    ratio = {entry.policy: entry.ratio.value for entry in results.scores}
    assert [entry.policy for entry in results.scores][:3] == ["oracle", "exact", "alternating"]
    assert min(ratio.values()) >= 1.0 - 1e-9
    assert max(ratio[name] for name in ("exact", "oracle", "alternating")) < 1.0 + 1e-5
    assert min(ratio[name] for name in ("equal-bandwidth", "common-cut", "federated", "random")) > 1.01


def test_the_oracle_leads_where_the_observed_channel_is_old() -> None:
    results = benchmark("SFL-StaleCSI-v0")
    ratio = {entry.policy: entry.ratio for entry in results.scores}
    assert results.scores[0].policy == "oracle"
    assert ratio["oracle"].high < ratio["exact"].value


def test_devices_that_take_turns_are_compared_with_their_own_optimum() -> None:
    results = benchmark(policies=("exact", "sequential", "common-cut"), fields=SMALL | {"schedule": "sequence"})
    assert (results.yardstick, results.systems) == ("optimum", {})
    ratio = {entry.policy: entry.ratio.value for entry in results.scores}
    assert ratio["sequential"] == pytest.approx(1.0, abs=1e-5)
    assert ratio["common-cut"] >= 1.0 - 1e-9
    assert ratio["exact"] > 1.001  # splits a band that nobody has to share


def test_split_learning_takes_turns_wherever_it_competes() -> None:
    beside = benchmark(policies=("exact", "sequential"))
    among_its_kind = benchmark(policies=("sequential",), fields=SMALL | {"schedule": "sequence"})
    ours, theirs = beside.rollouts["sequential"], among_its_kind.rollouts["sequential"]
    np.testing.assert_array_equal(ours.latency_s, theirs.latency_s)
    # From the same channels and devices as the others, and beside the same optimum at first.
    np.testing.assert_array_equal(ours.conditions[0], beside.rollouts["exact"].conditions[0])
    np.testing.assert_array_equal(ours.yardstick[0], beside.rollouts["exact"].yardstick[0])
    assert beside.systems == beside.summary()["other_systems"] == {"sequential": {"schedule": "sequence"}}
    assert beside.notes()[0].startswith("* sequential plays with schedule='sequence', another system")


def test_the_return_of_split_learning_is_in_the_units_of_the_others() -> None:
    results = benchmark(policies=("exact", "sequential"), fields=SMALL | {"energy_weight": 0.0})
    exact, sequential = results.rollouts["exact"], results.rollouts["sequential"]
    np.testing.assert_allclose(
        sequential.reward / sequential.latency_s, exact.reward / exact.latency_s, rtol=1e-12
    )


def test_split_learning_may_be_faster_than_the_others_optimum() -> None:
    # A slow server, and mini-batches of all sizes: in its turn the largest has all of the server, not its part.
    uneven = SMALL | {"server_flops_per_s": 1e10, "batch_size": 16, "batch_size_spread": 16.0}
    results = benchmark(policies=("exact", "sequential"), fields=uneven)
    assert [entry.policy for entry in results.scores] == ["sequential", "exact"]
    assert results.scores[0].ratio.value < 0.9
    assert results.scores[1].ratio.value == pytest.approx(1.0, abs=1e-5)


def test_split_learning_does_not_compete_where_there_is_no_such_system() -> None:
    with pytest.raises(PolicyError, match=r"'sequential' plays with schedule='sequence', which is not possible"):
        RoundContest(env_id="SFL-Barrier-v0", policies=("sequential",)).lineup()


def test_centralised_training_has_no_rounds_to_be_compared() -> None:
    with pytest.raises(PolicyError, match=r"'centralised' is training at one place.*mode='accuracy'"):
        RoundContest(policies=("exact", CENTRALISED))


def test_rounds_that_leave_devices_out_are_compared_by_samples_in_time() -> None:
    few = ("equal-bandwidth", "exact", "fedcs", "selection")
    results = benchmark("SFL-Deadline-v0", policies=few, fields={"max_rounds": 5})
    assert (results.measure, results.yardstick) == ("samples", "most possible")
    assert [entry.policy for entry in results.scores][:2] == ["selection", "fedcs"]
    best, rollout = results.scores[0], results.rollouts["selection"]
    assert 0.99 < best.ratio.value <= best.ratio.high <= 1.0
    assert best.in_time is not None
    paces = rollout.samples_in_time.sum(axis=0) / rollout.latency_s.sum(axis=0)
    assert best.in_time.samples_per_s.value == pytest.approx(paces.mean())
    assert best.in_time.samples == pytest.approx(rollout.samples_in_time.sum() / rollout.samples.sum())
    assert best.in_time.devices == pytest.approx(rollout.in_average.mean())
    headings = [str(column.header) for column in results.table().columns]
    assert headings[1:4] == ["samples in time a second", "in time / most possible", "in time / all"]


def test_rounds_in_which_nobody_is_in_time_count_as_none() -> None:
    hopeless = benchmark("SFL-Deadline-v0", policies=("common-cut",), fields={"max_rounds": 2})
    (entry,) = hopeless.scores
    assert (entry.ratio.value, entry.ratio.low, entry.ratio.high) == (0.0, 0.0, 0.0)
    too_short = benchmark(
        "SFL-Deadline-v0", policies=("common-cut",), fields={"max_rounds": 2, "deadline_s": 1e-3}
    )
    assert too_short.scores[0].ratio.value == 1.0, "no decision has a sample in time"


def test_turns_beside_a_deadline_may_have_more_samples_than_all_at_once() -> None:
    results = benchmark("SFL-Deadline-v0", policies=("selection", "sequential"), fields={"max_rounds": 3})
    ratio = {entry.policy: entry.ratio for entry in results.scores}
    assert ratio["sequential"].value > 1.0
    assert ratio["sequential"].low <= ratio["sequential"].value <= ratio["sequential"].high
    assert results.notes()[0].endswith("compared to the most possible of the others' system and can be better.")


def test_turns_until_a_deadline_have_no_known_best() -> None:
    with pytest.raises(ScenarioError, match=r"deadline_s is 5\.0 with schedule='sequence'.*mode='accuracy'"):
        RoundContest(policies=("exact",), fields={"deadline_s": 5.0, "schedule": "sequence"}).lineup()


def test_time_to_accuracy_is_ranked_and_shown_by_the_seconds_to_the_target() -> None:
    few = ("exact", "shallow", "time-to-accuracy")
    results = benchmark("SFL-TimeToAccuracy-v0", policies=few, fields={}, episodes=6)
    assert results.measure == "time"
    seconds = {}
    for entry in results.scores:
        assert entry.to_target is not None
        rollout = results.rollouts[entry.policy]
        assert entry.to_target.reached == rollout.reached.mean() == 1.0
        assert entry.to_target.seconds.value == pytest.approx(rollout.total(rollout.latency_s).mean())
        seconds[entry.policy] = entry.to_target.seconds.value
    assert list(seconds) == sorted(seconds, key=lambda name: seconds[name])
    assert results.scores[0].policy == "time-to-accuracy"
    assert results.scores[0].ratio.value > 1.0, "its rounds are longer, and fewer"
    assert str(results.table().columns[1].header) == "seconds to the target"


@pytest.mark.parametrize("rounds", [1, 3])
def test_episodes_that_do_not_reach_the_target_say_so(rounds: int) -> None:
    """Not even where one round is all that there is, which ends its episode."""
    results = benchmark("SFL-TimeToAccuracy-v0", policies=("exact",), fields={"max_rounds": rounds}, episodes=3)
    (entry,) = results.scores
    assert entry.to_target is not None
    assert entry.to_target.reached == 0.0
    assert str(next(iter(results.table().columns[1].cells))).startswith(">= ")


def test_an_interrupted_benchmark_of_episodes_that_a_target_ends_goes_on(tmp_path: Path) -> None:
    fields = {"max_rounds": 60}
    contest = RoundContest(env_id="SFL-TimeToAccuracy-v0", policies=("shallow",), episodes=2, fields=fields)
    first = compare(contest, contest.lineup(), store=tmp_path)
    watcher = Recorder()
    again = compare(contest, contest.lineup(), store=tmp_path, watcher=watcher)
    assert (watcher.problems, watcher.rounds) == ([], 0)
    assert again.scores == first.scores


def test_equal_seeds_give_equal_results_and_other_seeds_others() -> None:
    first, again, other = benchmark(seed=3), benchmark(seed=3), benchmark(seed=4)
    assert first.scores == again.scores
    assert first.scores != other.scores


def test_held_out_seeds_are_no_training_seeds() -> None:
    assert held_out_seed(0) == HELD_OUT_SEED > training_seed(HELD_OUT_SEED - 1)
    for wrong in (-1, HELD_OUT_SEED):
        with pytest.raises(ScenarioError, match="seed is"):
            held_out_seed(wrong)


def test_an_interrupted_benchmark_goes_on_where_it_stopped(tmp_path: Path) -> None:
    contest = RoundContest(policies=("exact", "federated", "random"), episodes=3, fields=SMALL)
    with pytest.raises(StopError):
        compare(contest, contest.lineup(), store=tmp_path, watcher=stopping_after(SMALL["max_rounds"] + 2))
    assert [path.name for path in tmp_path.iterdir()] == [f"0-{HELD_OUT_SEED}.npz"]
    watcher = Recorder()
    resumed = compare(contest, contest.lineup(), store=tmp_path, watcher=watcher)
    assert watcher.rounds == 2 * SMALL["max_rounds"]
    assert watcher.problems == []
    assert resumed.scores == compare(contest, contest.lineup()).scores


def test_a_contest_knows_what_it_can_compare() -> None:
    with pytest.raises(PolicyError, match="Unknown baseline"):
        RoundContest(policies=("best",))
    with pytest.raises(RunError, match="at least 2"):
        RoundContest(episodes=1)
    with pytest.raises(PolicyError, match="Nothing is to be compared"):
        RoundContest(policies=())


def test_results_say_how_sure_their_intervals_are() -> None:
    few = benchmark(episodes=3, policies=("exact",))
    assert few.scores[0].latency_s.confidence == 0.75
    assert "75.0 % of such intervals of medians over 3 episodes hold the true one: compare at least 6" in str(
        few.table().caption
    )
    enough = benchmark(episodes=20, policies=("exact",), fields=SMALL | {"max_rounds": 1})
    assert enough.scores[0].latency_s.confidence > 0.95
    assert "95.9 % of such intervals of medians over 20 episodes hold the true one." in str(enough.table().caption)


def test_a_ratio_is_that_of_pairs_round_by_round_and_its_interval_is_over_episodes() -> None:
    results = benchmark(policies=("exact", "equal-bandwidth"), episodes=6)
    exact, equal = (results.rollouts[name] for name in ("exact", "equal-bandwidth"))
    # They start from the same channels; later ones depend on how long the rounds before have lasted.
    np.testing.assert_array_equal(exact.yardstick[0], equal.yardstick[0])
    by_episode = (equal.latency_s / equal.yardstick).mean(axis=0)
    found = results.scores[1].ratio
    assert (found.statistic, found.values) == ("geometric mean", 6)
    logarithms: Any = scipy.stats.ttest_1samp(np.log(by_episode), 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(logarithms)))
    assert found.value == pytest.approx(scipy.stats.gmean(by_episode))


def test_seconds_have_median_and_95th_percentile_beside_their_mean() -> None:
    results = benchmark(policies=("random",), episodes=7)
    (entry,), seconds = results.scores, results.rollouts["random"].latency_s
    assert entry.round_s.mean == pytest.approx(seconds.mean())
    assert entry.round_s.median == pytest.approx(np.median(seconds))
    assert entry.round_s.percentile_95 == pytest.approx(np.percentile(seconds, 95.0))
    assert entry.latency_s.value == pytest.approx(np.median(seconds.mean(axis=0)))
    assert entry.latency_s.high == seconds.mean(axis=0).max()  # of 7 values even these reach 98.4 % only
    assert list(runs.to_plain(results.summary()["policies"][0])["round_s"]) == ["mean", "median", "percentile_95"]
