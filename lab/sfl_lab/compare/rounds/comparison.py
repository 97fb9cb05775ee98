"""Baselines and trained agents on the same held-out episodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sfl_baselines
from sfl_baselines import Policy
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_env import Scenario, SFLVectorEnv
from sfl_env.checks import nearest_name
from sfl_env.errors import PolicyError, RunError
from sfl_env.storage import runs
from sfl_env.storage.runs import Run
from sfl_lab.compare.rounds import figure, tables
from sfl_lab.compare.rounds.rollout import Rollout, check_paired, roll_out
from sfl_lab.compare.statistics import CONFIDENCE, Score, score
from sfl_lab.compare.yardstick import reference_of

POLICIES = tuple(name for name in sfl_baselines.names() if name != "sequential")
"""Baselines that are compared by default; ``sequential`` is for devices that take turns."""

ROLLOUTS = "rollouts"
"""Folder of the policies that are done, which an interrupted benchmark goes on from."""


@dataclass(frozen=True)
class Comparison:
    """What to compare.

    Parameters
    ----------
    env_id : str
        Registered id.
    policies : tuple of str
        Names of baselines.
    agents : tuple of path
        Folders of training runs, or model files in them.
    episodes : int
        Held-out episodes, at least 2.
    seed : int
        Which held-out episodes.
    fields : mapping
        Scenario fields that override the id's.
    action_mode : str
        Action space that the baselines act through; agents act through the one they were trained with.

    Raises
    ------
    PolicyError
        If a baseline is not known or nothing is to be compared.
    RunError
        For less than 2 episodes.
    """

    env_id: str = "SFL-v0"
    policies: tuple[str, ...] = POLICIES
    agents: tuple[Path, ...] = ()
    episodes: int = 20
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    action_mode: str = "continuous"

    def __post_init__(self) -> None:
        check_contest(self.policies, self.agents, self.episodes, known=sfl_baselines.names())
        held_out_seed(self.seed)

    def batch(self, action_mode: str) -> SFLVectorEnv:
        """Return the environments of all episodes."""
        return make_batch(self.env_id, self.episodes, self.fields, action_mode=action_mode)


def check_contest(policies: Sequence[str], agents: Sequence[Path], episodes: int, *, known: Sequence[str]) -> None:
    """Raise unless known policies or some agents are to be compared over enough episodes.

    Raises
    ------
    PolicyError
        If a baseline is not known or nothing is to be compared.
    RunError
        For less than 2 episodes.
    """
    for name in policies:
        if name not in known:
            raise PolicyError(
                f"Unknown baseline {name!r}{nearest_name(name, known)}; known are {', '.join(known)}."
            )
    if not (policies or agents):
        raise PolicyError("Nothing is to be compared; name baselines with --policies or agents with --agents.")
    if episodes < 2:
        raise RunError(f"--episodes is {episodes}; intervals need at least 2.")


def labels_of(policies: Sequence[str], agents: Sequence[Path]) -> tuple[str, ...]:
    """Return a label of its own for every policy and then for every agent.

    Raises
    ------
    PolicyError
        If one is named twice.
    """
    # Two agents of one name, or of a baseline's, are told apart by their paths.
    names = [path.parent.name if path.suffix == ".zip" else path.name for path in agents]
    taken = [*policies, *names]
    told_apart = (str(path) if taken.count(name) > 1 else name for name, path in zip(names, agents, strict=True))
    labels = (*policies, *told_apart)
    for label in labels:
        if labels.count(label) > 1:
            raise PolicyError(f"{label!r} is named twice; name every policy once.")
    return labels


@dataclass(frozen=True)
class Entrant:
    """One of those compared, ready to act in its environments."""

    label: str
    kind: str  # "baseline" or "agent"
    policy: Policy
    envs: SFLVectorEnv  # all episodes, in the entrant's action mode


@dataclass(frozen=True)
class Results:
    """What came out, with the best policy first in ``scores``."""

    comparison: Comparison
    scenario: Scenario
    reference: str  # what rounds are compared to
    rollouts: Mapping[str, Rollout]
    scores: tuple[Score, ...]

    @property
    def by_return(self) -> bool:
        """Whether the return ranks the policies, see :func:`ranks_by_return`."""
        return ranks_by_return(self.scenario)

    @property
    def title(self) -> str:
        """Say what was run."""
        comparison = self.comparison
        fields = "".join(f", {name}={value}" for name, value in comparison.fields.items())
        return (
            f"{comparison.env_id}{fields}: {comparison.episodes} held-out episodes of "
            f"{self.scenario.max_rounds} rounds, seed {comparison.seed}"
        )


def prepare(comparison: Comparison) -> list[Entrant]:
    """Make the environments, baselines and agents, each under a label of its own.

    Raises
    ------
    SFLError
        For an environment, baseline or agent that is not there or does not fit, or that is named twice.
    """
    labels = labels_of(comparison.policies, comparison.agents)
    modes = {path: agent_action_mode(path) for path in comparison.agents}
    envs = {mode: comparison.batch(mode) for mode in {comparison.action_mode, *modes.values()}}
    reference_of(envs[comparison.action_mode].scenario)  # tells of systems that cannot be compared
    lineup = []
    for name in comparison.policies:
        batch = envs[comparison.action_mode]
        lineup.append(Entrant(name, "baseline", sfl_baselines.make(name, batch), batch))
    for label, path in zip(labels[len(comparison.policies) :], comparison.agents, strict=True):
        batch = envs[modes[path]]
        lineup.append(Entrant(label, "agent", load_agent(path, batch), batch))
    return lineup


def compare(
    comparison: Comparison,
    lineup: Sequence[Entrant],
    *,
    store: Path | None = None,
    on_policy: Callable[[str, int], object] = lambda label, number: None,
    on_round: Callable[[], object] = lambda: None,
) -> Results:
    """Roll out every policy on the same episodes and score it.

    Parameters
    ----------
    comparison : Comparison
        What to compare.
    lineup : sequence of Entrant
        What :func:`prepare` made of it.
    store : pathlib.Path, optional
        Folder for the policies that are done; what is in it already is not done again.
    on_policy, on_round : callable
        Told of progress: each policy's name and its number; and every round.

    Raises
    ------
    ImpossibleResultError
        If a policy beats what is proven to be the optimum, or policies met different conditions.
    """
    scenario = lineup[0].envs.scenario
    reference = reference_of(scenario)
    if store is not None:
        store.mkdir(exist_ok=True)
    rollouts = {}
    for number, entrant in enumerate(lineup):
        on_policy(entrant.label, number)
        done = None if store is None else store / f"{number}.npz"
        if done is not None and done.is_file():
            rollouts[entrant.label] = Rollout.load(done)
            continue
        rollout = roll_out(
            entrant.policy, entrant.envs.episodes, reference, held_out_seed(comparison.seed), on_round
        )
        rollouts[entrant.label] = rollout
        if done is not None:
            rollout.save(done)
    if scenario.battery_j is None:
        check_paired(rollouts)
    scores = [score(entrant.label, entrant.kind, rollouts[entrant.label]) for entrant in lineup]
    scores.sort(key=lambda entry: _rank(entry, ranks_by_return(scenario)))
    return Results(comparison, scenario, reference.name, rollouts, tuple(scores))


def ranks_by_return(scenario: Scenario) -> bool:
    """Whether more than the round's length counts, so that the return ranks the policies."""
    return scenario.battery_j is not None or scenario.energy_weight > 0.0 or scenario.dropout_weight > 0.0


def _rank(entry: Score, by_return: bool) -> float:
    # Rounded, so that policies that are equal but for rounding keep the order in which they were named.
    return -round(entry.episode_return.mean, 3) if by_return else round(entry.ratio.mean, 5)


def agent_settings(path: Path) -> dict[str, Any]:
    """Return the settings of the training run that an agent, a run's folder or a file in it, comes from.

    Raises
    ------
    RunError
        If there is no training run.
    """
    if not path.exists():
        raise RunError(f"{path} does not exist; name a folder that `sfl train` wrote.")
    folder = path if path.is_dir() else path.parent
    config = runs.read_config(folder)
    if config["kind"] != "train":
        raise RunError(f"{folder} holds a run of kind {config['kind']!r}; name one of `sfl train`.")
    settings: dict[str, Any] = config["settings"]
    return settings


def agent_action_mode(path: Path) -> str:
    """Return the action mode that an agent was trained with."""
    return str(agent_settings(path)["settings"]["action_mode"])


def load_agent(path: Path, env: SFLVectorEnv) -> Policy:
    """Load a trained agent; imports torch."""
    from sfl_agents import agent

    return agent.load(path, env)


def write_results(run: Run, results: Results) -> None:
    """Write tables, picture and, last, the summary into a run's folder."""
    tables.write_rounds(run.file("results.csv"), results.rollouts)
    tables.write_episodes(run.file("episodes.csv"), results.rollouts)
    figure.write_figure(
        run.file("results.png"),
        results.scores,
        results.rollouts,
        results.title,
        results.reference,
        results.by_return,
    )
    comparison = results.comparison
    run.finish(
        {
            "env_id": comparison.env_id,
            "scenario": results.scenario.to_dict(),
            "episodes": comparison.episodes,
            "seed": comparison.seed,
            "generator_seed": held_out_seed(comparison.seed),
            "reference": results.reference,
            "confidence": CONFIDENCE,
            "command": runs.command(),
            "versions": runs.versions(),
            "policies": results.scores,
        }
    )
