"""Names are no markup: what a folder is called is what tables, figures and progress show."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import TextColumn

from sfl_env.storage import runs
from sfl_lab.cli.display import contest_progress, say
from sfl_lab.compare.contest import compare, write_results
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.lineup import Contestant, Lineup
from sfl_lab.compare.rounds.contest import RoundContest, RoundResults

NAMES = ["lr[red]1", "a$$b", "[/bold]", "$\\frac{1}$", "x:smile:y", "back\\slash[", "per%cent {brace}"]


def under(name: str) -> RoundResults:
    """A contest whose only agent has this name."""
    contest = RoundContest(policies=("exact",), episodes=2, fields={"num_devices": 2, "max_rounds": 1})
    lineup = contest.lineup()
    (exact,) = lineup.contestants
    agent = Contestant(name, "agent", exact.play, {"a[b]": "$$"})
    return compare(contest, Lineup(lineup.scenario, (exact, agent)))


def shown(results: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(results.table())
    return stream.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_figures_of_rounds_show_names_as_they_are(name: str, tmp_path: Path) -> None:
    results = under(name)
    assert f" {name}* " in shown(results)
    write_results(runs.start(tmp_path / "run", "benchmark", {}), results)  # draws the name, too
    assert f"{name}," in (tmp_path / "run" / "episodes.csv").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_figures_of_curves_show_names_as_they_are(name: str, tmp_path: Path, one_thread: None) -> None:
    learnt = {"num_devices": 2, "max_rounds": 1, "local_iterations": 1, "target_accuracy": 0.0}
    contest = CurveContest(policies=("federated",), episodes=2, fields=learnt)
    lineup = contest.lineup()
    (federated,) = lineup.contestants
    first = Contestant(name, "agent", federated.play)
    results = compare(contest, Lineup(lineup.scenario, (first, federated)))
    assert f" {name} " in shown(results)
    assert f"over {name}" in shown(results)
    write_results(runs.start(tmp_path / "run", "benchmark", {}), results)


@pytest.mark.parametrize("name", NAMES)
def test_the_progress_bar_shows_names_as_they_are(name: str) -> None:
    with contest_progress(1, 1) as bar:
        bar.on_record(name, 0)
        (task,), column = bar._progress.tasks, bar._progress.columns[0]
        assert isinstance(column, TextColumn)
        assert column.render(task).plain.strip() == name


def test_a_name_carries_nothing_out_on_the_terminal() -> None:
    name = "a\x1b[31mb\nc"
    results = under(name)
    assert "a\\x1b[31mb\\nc*" in shown(results)
    assert "\x1b[31m" not in shown(results)


def test_titles_and_paths_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say("Written to runs/lr[red]1: :smile:")
    assert capsys.readouterr().out == "Written to runs/lr[red]1: :smile:\n"
