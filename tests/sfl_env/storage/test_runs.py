"""A run's folder is refused, resumed or replaced as asked, and never holds a half-written result."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfl_env.errors import RunError
from sfl_env.storage import runs


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    hidden: tuple[int, ...] = (64, 64)


SETTINGS = {"env_id": "SFL-v0", "train": Settings()}


def test_a_new_run_writes_down_how_it_was_made(tmp_path: Path) -> None:
    runs.start(tmp_path / "deep" / "run", "train", SETTINGS)
    config = json.loads((tmp_path / "deep" / "run" / "config.json").read_text())
    assert config["kind"] == "train"
    assert config["settings"] == {"env_id": "SFL-v0", "train": {"seed": 0, "hidden": [64, 64]}}
    (only,) = config["invocations"]
    assert only["command"]
    assert only["versions"].keys() >= {"python", "sfl-env", "numpy", "torch"}


def test_an_existing_run_is_refused_and_untouched(tmp_path: Path) -> None:
    runs.start(tmp_path, "train", SETTINGS)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(RunError, match=r"exists already.*resume=True.*overwrite=True.*another folder"):
        runs.start(tmp_path, "train", SETTINGS)
    assert (tmp_path / "config.json").read_bytes() == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert not runs.start(tmp_path, "train", SETTINGS).resumed


def test_resume_keeps_results_and_notes_the_second_start(tmp_path: Path) -> None:
    runs.start(tmp_path, "train", SETTINGS).write_json("part.json", [1, 2])
    again = runs.start(tmp_path, "train", SETTINGS, resume=True)
    assert again.resumed
    assert json.loads(again.file("part.json").read_text()) == [1, 2]
    assert len(runs.read_config(tmp_path)["invocations"]) == 2


def test_resume_where_nothing_is_starts(tmp_path: Path) -> None:
    assert not runs.start(tmp_path / "new", "train", SETTINGS, resume=True).resumed


def test_resume_with_other_settings_names_them(tmp_path: Path) -> None:
    runs.start(tmp_path, "train", {"seed": 0, "steps": 10})
    with pytest.raises(RunError, match="steps was 10 and is 20"):
        runs.start(tmp_path, "train", {"seed": 0, "steps": 20}, resume=True)


def test_resume_of_another_kind_or_of_a_complete_run_is_refused(tmp_path: Path) -> None:
    run = runs.start(tmp_path, "train", SETTINGS)
    with pytest.raises(RunError, match="'train', not 'benchmark'"):
        runs.start(tmp_path, "benchmark", SETTINGS, resume=True)
    assert not runs.is_complete(tmp_path)
    run.finish({"score": 1.0})
    assert runs.is_complete(tmp_path)
    with pytest.raises(RunError, match="is complete"):
        runs.start(tmp_path, "train", SETTINGS, resume=True)


def test_overwrite_deletes_the_old_run_only(tmp_path: Path) -> None:
    runs.start(tmp_path / "a", "train", SETTINGS).finish({"score": 1.0})
    (tmp_path / "beside").mkdir()
    runs.start(tmp_path / "a", "train", SETTINGS, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "beside"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["config.json"]


def test_folders_that_are_no_runs_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not overwritten"):
        runs.start(tmp_path, "train", SETTINGS, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(RunError, match="cannot be read"):
        runs.start(tmp_path, "train", SETTINGS, resume=True)


def test_both_flags_and_a_file_in_the_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exclude each other"):
        runs.start(tmp_path, "train", SETTINGS, resume=True, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        runs.start(tmp_path / "file", "train", SETTINGS)


def test_an_interrupted_write_leaves_the_old_result(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("whole")

    def write_and_stop() -> None:
        with runs.atomic_output(path) as partial:  # type: ignore[attr-defined]  # the name that the module imported
            partial.write_text("hal")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_a_number_that_is_not_finite_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(tmp_path / "summary.json", {"score": float("nan")})
    assert not runs.is_complete(tmp_path)


def test_a_broken_configuration_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        runs.read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(RunError, match="not a run's configuration"):
        runs.read_config(tmp_path)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    run = runs.start(tmp_path / "run", "train", SETTINGS)
    run.file("summary.json").mkdir()
    with pytest.raises(RunError, match=r"summary\.json cannot be written: Is a directory"):
        run.finish({})
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        runs.start(tmp_path / "file" / "run", "train", SETTINGS)
    assert [path.name for path in run.path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 3}, "its kind is 3"),
        ({"settings": []}, r"its settings is \[\]"),
        ({"settings": None}, "its settings is None"),
        ({"invocations": {}}, r"its invocations is \{\}"),
        ({"format": True}, "its format is True"),
        ({"format": 0}, "format 0, of another version"),
        ({"format": 3}, "update sfl-env"),
    ],
)
def test_a_configuration_with_a_wrong_entry_says_which(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    runs.start(tmp_path, "train", SETTINGS)
    runs.write_json(tmp_path / "config.json", {**runs.read_config(tmp_path), **change})
    with pytest.raises(RunError, match=message):
        runs.read_config(tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"kind": 1, "kind": 2}', '{"a": NaN}', " " * 2**21 + "{}", "\x00"], ids=range(5)
)
def test_a_hostile_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=r"config\.json"):
        runs.read_config(tmp_path)


def test_a_run_of_version_0_1_is_not_gone_on_with(tmp_path: Path) -> None:
    runs.start(tmp_path, "train", SETTINGS)
    config = runs.read_config(tmp_path)
    del config["format"]
    config["invocations"][0]["versions"]["sfl-env"] = "0.1.0"
    runs.write_json(tmp_path / "config.json", config)
    with pytest.raises(RunError, match=r"started by sfl-env 0\.1\.0.*overwrite=True"):
        runs.start(tmp_path, "train", SETTINGS, resume=True)
    runs.start(tmp_path, "train", SETTINGS, overwrite=True)
    assert runs.read_config(tmp_path)["format"] == runs.FORMAT


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"udcff.*is no text"):
        runs.start(tmp_path / "\udcff", "demo", {})
    assert not any(tmp_path.iterdir())
