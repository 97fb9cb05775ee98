"""A recorded search for settings: trainings that Optuna proposes, breaks off early where they lag, and ranks."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sfl_agents.training import space
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.job import Job
from sfl_agents.training.train import train
from sfl_env.errors import RunError, TrainingError
from sfl_env.storage import runs
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.runs import Run

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

KIND = "tune"
"""Kind of a search's folder."""

STUDY = "study.jsonl"
"""Optuna's journal: every proposal, evaluation and outcome, a line of JSON each."""

TRIALS = "trials.csv"
BEST = "best.yml"
_WARM_UP = 4
"""Trainings that run to their end before any is broken off, and the evaluations that each gets at least."""


@dataclasses.dataclass(frozen=True)
class Search:
    """What to search.

    Parameters
    ----------
    job : Job
        A training with the settings to start from; all trainings have its seed, environment and evaluations.
    trials : int
        Trainings, those that are broken off included.

    Raises
    ------
    TrainingError
        If the algorithm's settings cannot be searched, or for less than one training.
    """

    job: Job
    trials: int

    def __post_init__(self) -> None:
        space.searched_in(self.job.algo, self.job.settings)
        if type(self.trials) is not int or self.trials < 1:
            raise TrainingError(f"trials is {self.trials!r}; it has to be a whole number of at least 1.")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One training of a search."""

    number: int
    state: str  # "complete" or "pruned"
    mean_return: float | None  # on validation episodes; None where it was broken off
    params: dict[str, Any]


class _BrokenOffError(TrainingError):
    """A training lags behind the others."""


def search(
    work: Search, run: Run, *, on_trial: Callable[[Outcome], None] = lambda outcome: None
) -> tuple[Outcome, ...]:
    """Search in a run's folder, or go on with the search in it, and write the best settings.

    Trainings are judged by their mean return on the validation episodes that choose among an agent's checkpoints,
    never by the held-out ones of comparisons. The first has the settings that there are. The same seed gives the
    same proposals on one platform, broken off or not.

    Parameters
    ----------
    work : Search
        What to search.
    run : Run
        The folder. What comes of it: ``study.jsonl``, ``trials.csv``, the settings ``best.yml`` for ``sfl train
        --settings``, and a folder for each training.
    on_trial : callable
        Told of each training that has ended.

    Returns
    -------
    tuple of Outcome
        All trainings, in their order.

    Raises
    ------
    TrainingError
        If a training fails.
    RunError
        If the journal of a search to go on with is damaged.
    ImportError
        Without the extra ``tune``.
    """
    study = _study(run)
    for number in range(_ended(study, work), work.trials):
        # A sampler of its own for every trial, so that a search that broke off goes on as if it had not.
        study.sampler = _sampler(work.job.seed, number)
        trial = study.ask()
        _train_one(work.job, run, study, trial)
        on_trial(_outcome(study.trials[trial.number]))
    outcomes = tuple(_outcome(entry) for entry in _kept(study))
    _write(work, run, outcomes)
    return outcomes


def _study(run: Run) -> "Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = run.file(STUDY)
    _end_at_whole_line(journal)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
    except (ValueError, KeyError) as error:  # of its lines' JSON, and of what is in them
        raise RunError(
            f"{journal} is damaged ({type(error).__name__}: {error}); copy the search's folder again, or begin "
            "the search anew."
        ) from error
    return optuna.create_study(
        storage=storage,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_WARM_UP, n_warmup_steps=_WARM_UP),
        study_name=KIND,
        direction="maximize",
        load_if_exists=True,
    )


def _end_at_whole_line(journal: Path) -> None:
    """Drop a last line that was not written to its end, so that the next one does not go on in it."""
    content = journal.read_bytes() if journal.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        journal.write_bytes(whole)


def _sampler(seed: int, number: int) -> Any:
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return TPESampler(seed=own, n_startup_trials=_WARM_UP, multivariate=False)


def _ended(study: "Study", work: Search) -> int:
    """Return how many trainings there are, once those that broke off in the middle are to be done again."""
    from optuna.trial import TrialState

    if not study.trials:
        study.enqueue_trial(space.values_of(work.job.algo, work.job.settings))
    for entry in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(entry.number, state=TrialState.FAIL)
        study.enqueue_trial(entry.params)
    return len(_kept(study))


def _kept(study: "Study") -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])


def _train_one(job: Job, run: Run, study: "Study", trial: "Trial") -> None:
    from optuna.trial import TrialState

    settings = space.proposed(trial, job.algo, job.settings)
    evaluations = 0

    def judge(milestone: Milestone) -> None:
        nonlocal evaluations
        trial.report(milestone.mean_return, evaluations)
        evaluations += 1
        if trial.should_prune():
            raise _BrokenOffError(f"Training {trial.number} lags behind after {milestone.steps} steps.")

    own = dataclasses.replace(job, settings=settings)
    folder = own.open_run(trial_folder(run.path, trial.number))
    try:
        chosen = train(own, folder, on_milestone=judge)
    except _BrokenOffError:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, chosen.mean_return)


def _outcome(entry: "FrozenTrial") -> Outcome:
    value = entry.value if entry.state.name == "COMPLETE" else None
    return Outcome(entry.number, entry.state.name.lower(), value, dict(entry.params))


def best_of(outcomes: tuple[Outcome, ...]) -> Outcome:
    """Return the training with the highest mean return among those that ran to their end, the first of equals."""
    whole = [outcome for outcome in outcomes if outcome.mean_return is not None]
    return max(whole, key=lambda outcome: outcome.mean_return or -np.inf)


def _write(work: Search, run: Run, outcomes: tuple[Outcome, ...]) -> None:
    best = best_of(outcomes)
    names = list(space.searched_in(work.job.algo, work.job.settings))
    with atomic_output(run.file(TRIALS)) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", "mean_return", *names])
        for outcome in outcomes:
            row = [outcome.params.get(name) for name in names]
            writer.writerow([outcome.number, outcome.state, outcome.mean_return, *row])
    with atomic_output(run.file(BEST)) as partial:
        partial.write_text(_as_yaml(work, best), encoding="utf-8")
    run.finish({"best": best, "trainings": len(outcomes), "base": work.job.settings})


def _as_yaml(work: Search, best: Outcome) -> str:
    import yaml

    found = space.with_values(work.job.settings, best.params)
    head = (
        f"# {work.job.algo} on {work.job.env_id}: the best of {work.trials} trainings, number {best.number}, "
        f"with a mean return of {best.mean_return:.6g} on validation episodes.\n"
    )
    return head + yaml.safe_dump(runs.to_plain(found), sort_keys=False)


def trial_folder(run: Path, number: int) -> Path:
    """Return the folder of one of a search's trainings."""
    return run / f"trial-{number:03d}"
