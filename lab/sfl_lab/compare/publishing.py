"""A trained agent made one that others can name: its file, and a card with what it was measured to do."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sfl_agents
from sfl_agents.files import published, run_folder
from sfl_agents.files.agent_file import AgentFile, lightened
from sfl_agents.training import checkpoints
from sfl_env.errors import PolicyError
from sfl_env.storage import runs
from sfl_lab.compare.contest import compare
from sfl_lab.compare.rounds.contest import RoundContest

EPISODES = 100
"""Held-out episodes behind a card's figures, as the protocol has them."""


def publish(run: Path, name: str, home: Path = published.HOME, episodes: int = EPISODES) -> Path:
    """Write a finished training run's agent into a folder of published agents, and return the agent's own.

    Parameters
    ----------
    run : pathlib.Path
        Folder of a finished run of ``sfl train``.
    name : str
        Under which it is named, after ``pretrained:``.
    home : pathlib.Path
        Where published agents are; by default the package's own.
    episodes : int
        Held-out episodes that the figures on the card are of; none of them was trained or chosen on.

    Raises
    ------
    RunError, PolicyError
        If the folder is no finished training run's, or its agent is too large.
    """
    if not run.is_dir():
        raise PolicyError(f"{run} is no folder; name that of a run, which tells how its agent was trained.")
    stored = AgentFile.open(run_folder.agent_file(run))
    told = {
        "env_id": stored.job.env_id,
        "about": sfl_agents.about(stored.job),
        **_made(runs.read_config(run)["invocations"]),
        "curve": _curve(run),
        "held_out": _held_out(run, stored, episodes),
    }
    return published.write(home, name, lightened(stored), told)


def _made(invocations: Sequence[Any]) -> dict[str, Any]:
    """Return the command that started a training, and what it ran on."""
    first = invocations[0]
    return {"command": first["command"], "versions": first["versions"]}


def _curve(run: Path) -> list[dict[str, Any]]:
    """Return the evaluations on the way: rounds trained for, seconds, and figures on validation episodes."""
    checkpoint = checkpoints.latest(run)
    if checkpoint is None:
        raise PolicyError(f"{run} has no checkpoint, which holds the evaluations on the way; copy the run again.")
    return [asdict(milestone) for milestone in checkpoints.milestones(checkpoint)]


def _held_out(run: Path, stored: AgentFile, episodes: int) -> dict[str, Any]:
    job = stored.job
    contest = RoundContest(env_id=job.env_id, policies=(), agents=(run,), episodes=episodes, fields=job.fields)
    results = compare(contest, contest.lineup())
    (score,) = results.scores
    figures = {"ratio": score.ratio, "episode_return": score.episode_return, "mean_return": score.mean_return}
    tiers = {"in_time": score.in_time, "to_target": score.to_target}
    figures |= {name: figure for name, figure in tiers.items() if figure is not None}
    told: dict[str, Any] = runs.to_plain(
        {
            "seed": contest.seed,
            "episodes": episodes,
            "fields": job.fields,
            "reference": results.yardstick,
            **figures,
        }
    )
    return told
