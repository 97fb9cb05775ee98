"""A search is recorded, comes out the same each time, and goes on where it broke off."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sfl_agents.training import settings, space
from sfl_agents.training.search import BEST, KIND, STUDY, TRIALS, Outcome, Search, best_of, search
from sfl_env.errors import RunError, TrainingError
from sfl_env.storage import runs
from sfl_lab import cli
from tests.sfl_agents import tiny

pytest.importorskip("optuna")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:You have specified a mini-batch size"),  # of so few environments
]

BASE = tiny.SETTINGS.replace(
    total_steps=384, num_envs=2, reward="log", hyperparameters={"n_steps": 32, "batch_size": 256, "n_epochs": 2}
)


def work(trials: int = 5, **changes: Any) -> Search:
    return Search(tiny.job(settings=BASE, num_evaluations=6, **changes), trials)


def start(folder: Path, what: Search, **options: Any) -> runs.Run:
    return runs.start(folder, KIND, runs.to_plain(what), **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Outcome, ...]]:
    folder = tmp_path_factory.mktemp("tune") / "whole"
    return folder, search(work(), start(folder, work()))


def test_the_first_training_has_the_settings_that_there_are(done: tuple[Path, tuple[Outcome, ...]]) -> None:
    wanted = {
        "learning_rate": BASE.learning_rate,
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 2,
        "ent_coef": 0.0,
    }
    assert wanted.items() <= done[1][0].params.items()


def test_what_is_written_is_what_was_found(done: tuple[Path, tuple[Outcome, ...]]) -> None:
    folder, outcomes = done
    best = best_of(outcomes)
    assert best.mean_return == max(o.mean_return for o in outcomes if o.mean_return is not None)
    found = settings.load("ppo", "SFL-v0", folder / BEST)
    assert found == space.with_values(BASE, best.params)
    lines = (folder / TRIALS).read_text().splitlines()
    assert len(lines) == 1 + len(outcomes) == 6
    journal = [json.loads(line) for line in (folder / STUDY).read_text().splitlines()]
    assert journal
    summary = json.loads((folder / runs.SUMMARY).read_text())
    assert summary["best"]["number"] == best.number


def test_a_search_that_broke_off_goes_on_as_if_it_had_not(
    done: tuple[Path, tuple[Outcome, ...]], tmp_path: Path
) -> None:
    def stop(outcome: Outcome) -> None:
        if outcome.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(work(), start(tmp_path / "run", work()), on_trial=stop)
    again = search(work(), start(tmp_path / "run", work(), resume=True))
    assert [(o.state, o.mean_return, o.params) for o in again] == [
        (o.state, o.mean_return, o.params) for o in done[1]
    ]


def test_another_seed_proposes_other_settings(done: tuple[Path, tuple[Outcome, ...]], tmp_path: Path) -> None:
    other = work(2, seed=1)
    found = search(other, start(tmp_path / "run", other))
    assert found[1].params != done[1][1].params


def test_a_training_that_lags_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the later trainings made hopeless, one of them does not run to its end."""
    real = space.proposed

    def hopeless(trial: Any, algo: str, base: Any) -> Any:
        found = real(trial, algo, base)
        if trial.number < 4:
            return found
        return base.replace(learning_rate=0.9, final_learning_rate=0.9)

    monkeypatch.setattr(space, "proposed", hopeless)
    what = work(6)
    found = search(what, start(tmp_path / "run", what))
    assert [o.state for o in found[:4]] == ["complete"] * 4
    assert "pruned" in [o.state for o in found[4:]]
    assert best_of(found).mean_return == np.nanmax([o.mean_return or np.nan for o in found])


def test_proposals_stay_in_the_space_and_are_settings() -> None:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    base = settings.load("ppo", "SFL-v0")
    for _ in range(30):
        trial = study.ask()
        found = space.proposed(trial, "ppo", base)
        found.check_for("ppo")
        searched = space.searched_in("ppo", base)
        for name, value in trial.params.items():
            among = searched[name]
            inside = among.low <= value <= among.high if isinstance(among, space.Range) else value in among
            assert inside, name
        assert space.values_of("ppo", found) == trial.params


@pytest.mark.parametrize("algo", ["sac", "recurrent-ppo"])
def test_other_algorithms_are_refused(algo: str) -> None:
    with pytest.raises(TrainingError, match=f"settings of {algo} cannot be searched"):
        space.searched_in(algo, BASE)


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Battery-v0", "SFL-IoT-v0"])
def test_the_first_training_of_a_search_has_the_settings_that_there_are(env_id: str) -> None:
    """Published settings outside the space widen it; they are not left out."""
    import optuna

    base = settings.load("ppo", env_id)
    study = optuna.create_study()
    study.enqueue_trial(space.values_of("ppo", base))
    first = space.proposed(study.ask(), "ppo", base)
    assert space.values_of("ppo", first) == space.values_of("ppo", base)
    assert first == space.with_values(base, space.values_of("ppo", base))
    first.check_for("ppo")


def test_the_command_searches_and_its_settings_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = ["--fields", "num_devices=3", "max_rounds=5", "model=lenet5"]
    small = tmp_path / "small.yml"
    small.write_text(yaml.safe_dump(runs.to_plain(BASE.replace(total_steps=64))))
    size = ["--total-steps", "64", "--evaluations", "1", "--trials", "1", "--settings", str(small)]
    assert cli.main(["tune", *size, *fields, "--out", str(tmp_path / "tune")]) == 0
    assert "Best: training 0" in capsys.readouterr().out
    best = str(tmp_path / "tune" / BEST)
    assert cli.main(["train", "--settings", best, *fields, "--out", str(tmp_path / "run")]) == 0
    assert cli.main(["tune", *size, *fields, "--out", str(tmp_path / "tune")]) == 2


def test_without_the_extra_the_command_names_it_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(["tune", "--out", str(tmp_path / "tune")]) == 2
    assert "pip install 'sfl-env[tune]'" in capsys.readouterr().err
    assert not (tmp_path / "tune").exists()


def test_no_rollout_is_proposed_that_is_longer_than_the_training() -> None:
    assert space.searched_in("ppo", BASE.replace(total_steps=128))["n_steps"] == (16, 32, 64)
    assert space.searched_in("ppo", BASE.replace(total_steps=20))["n_steps"] == (32,)


def test_a_learning_rate_of_zero_is_no_place_to_start_from() -> None:
    with pytest.raises(TrainingError, match="learning_rate is 0"):
        space.searched_in("ppo", BASE.replace(learning_rate=0.0, final_learning_rate=0.0))


def test_a_journal_that_was_cut_goes_on_and_one_that_is_none_is_told_of(
    done: tuple[Path, tuple[Outcome, ...]], tmp_path: Path
) -> None:
    run = start(tmp_path / "run", work(1))
    lines = (done[0] / STUDY).read_bytes().splitlines(keepends=True)
    (run.path / STUDY).write_bytes(lines[0] + lines[1][:-9])
    assert [outcome.number for outcome in search(work(1), run)] == [0]
    other = start(tmp_path / "other", work(1))
    (other.path / STUDY).write_bytes(b"no journal\n" + lines[0])
    with pytest.raises(RunError, match=r"study\.jsonl is damaged .* anew"):
        search(work(1), other)
