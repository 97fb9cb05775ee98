"""What an entry of the leaderboard has to be: the protocol's rules on its names, texts, kinds and figures."""

import math
import re
from collections.abc import Mapping
from typing import Any

from sfl_env.checks import shown
from sfl_env.errors import RunError
from sfl_lab.text import printable

KINDS = {
    "baseline": "nothing is learnt",
    "reward": "learnt from the reward alone",
    "structure": "learnt from the reward, with physics in the policy class",
    "imitation": "learnt from a solver's decisions",
    "gradient": "learnt by gradients through the known physics",
}
"""What a policy may have been made from; tables keep them apart."""

WITH_PHYSICS = re.compile(r"CutPointer\w*Policy")
"""Policy classes of this package that contain how rounds' lengths come about; no entry with them is of the reward
alone."""

NAMES = (
    "protocol",
    "name",
    "kind",
    "env_id",
    "about",
    "authors",
    "date",
    "command",
    "versions",
    "steps",
    "episodes",
)
_LONGEST_TEXT = 2000

Entry = Mapping[str, Any]


def checked(entry: Any, where: str, law: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry once it is known to be one that the protocol allows.

    Parameters
    ----------
    entry : mapping
        What a file holds.
    where : str
        The file, for messages.
    law : mapping
        The protocol's numbers, as docs/data/protocol.json has them.

    Raises
    ------
    RunError
        For what is missing, unknown or out of its range, naming it and what is wanted.
    """
    if not isinstance(entry, dict) or set(entry) != set(NAMES):
        raise RunError(f"{where} has to map {', '.join(NAMES)} to values and nothing else.")
    if entry["protocol"] != law["version"]:
        raise RunError(f"{where} is of protocol {shown(entry['protocol'])}; this table is of {law['version']}.")
    if entry["kind"] not in KINDS:
        raise RunError(f"kind in {where} is {shown(entry['kind'])}; it has to be one of {', '.join(KINDS)}.")
    if entry["env_id"] not in law["measures"]:
        raise RunError(
            f"env_id in {where} is {shown(entry['env_id'])}; the protocol has {', '.join(law['measures'])}."
        )
    for name in ("name", "about", "authors", "date", "command"):
        _check_text(name, entry[name], where)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,59}", entry["name"]):
        raise RunError(
            f"name in {where} is {shown(entry['name'])}; take letters, digits, spaces, dots and dashes."
        )
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"]):
        raise RunError(f"date in {where} is {shown(entry['date'])}; write it as 2026-01-31.")
    _check_structure(entry, where)
    _check_versions(entry["versions"], where)
    _check_steps(entry, where, law)
    _check_episodes(entry, where, law)
    return entry


def _check_text(name: str, value: Any, where: str) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or printable(value) != value:
        raise RunError(f"{name} in {where} is {shown(value)}; it has to be a line of text.")


def _check_structure(entry: Entry, where: str) -> None:
    found = WITH_PHYSICS.search(entry["about"])
    if found and entry["kind"] == "reward":
        raise RunError(
            f"kind in {where} is 'reward', and {found[0]}, which it is about, contains physics of the round; take "
            "'structure'."
        )


def _check_versions(value: Any, where: str) -> None:
    texts = isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)
    if not texts or not {"python", "sfl-env", "numpy", "scipy"} <= set(value):
        raise RunError(f"versions in {where} has to name those of python, sfl-env, numpy and scipy at least.")


def _check_steps(entry: Entry, where: str, law: Mapping[str, Any]) -> None:
    steps, most = entry["steps"], law["budget_steps"]
    learnt = entry["kind"] != "baseline"
    if type(steps) is not int or not (0 < steps <= most if learnt else steps == 0):
        wanted = f"from 1 to the budget of {most:,}" if learnt else "0, as nothing is learnt"
        raise RunError(f"steps in {where} is {shown(steps)}; it has to be {wanted}.")


def _check_episodes(entry: Entry, where: str, law: Mapping[str, Any]) -> None:
    seeds = entry["episodes"]
    if not isinstance(seeds, dict) or not all(re.fullmatch(r"\d{1,6}", str(seed)) for seed in seeds):
        raise RunError(f"episodes in {where} has to map each training seed to its episodes' figures.")
    fewest = 1 if entry["kind"] == "baseline" else law["training_seeds"]
    if len(seeds) < fewest:
        raise RunError(
            f"episodes in {where} has {len(seeds)} training seeds; the protocol wants {fewest} at least."
        )
    least = law["measures"][entry["env_id"]]["least"]
    for seed, values in seeds.items():
        if not isinstance(values, list) or len(values) != law["episodes"]:
            raise RunError(f"Training seed {seed} in {where} has to have {law['episodes']} episodes.")
        if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
            raise RunError(f"Training seed {seed} in {where} has figures that are no finite numbers.")
        if least is not None and min(values) < least - 1e-6:
            raise RunError(
                f"Training seed {seed} in {where} has {min(values)}, which is better than what is proven to be "
                "the best. Nothing is better than the optimum: the evaluation has a bug."
            )
