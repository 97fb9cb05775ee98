"""Step size and momentum that were tuned for each scheme, where a scenario is the one they were tuned for."""

import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sfl_env import Scenario

FIELDS = ("learning_rate", "momentum")
"""What is tuned."""


def setting(scheme: str, scenario: Scenario, given: Collection[str] = ()) -> dict[str, float]:
    """Return the step size and momentum to train a scheme with.

    Parameters
    ----------
    scheme : str
        ``"federated"``, ``"sequential"`` or a kind of server.
    scenario : Scenario
        Its network and data decide whether the values of ``tuned.json`` are for it; else its own are taken.
    given : collection of str
        Fields that the user has set. If one of the two is among them, the scenario's own are taken for all.

    Examples
    --------
    >>> slow = Scenario(mode="accuracy", learning_rate=0.01)
    >>> setting("sequential", slow, given=["learning_rate"])
    {'learning_rate': 0.01, 'momentum': 0.9}
    """
    own = {name: getattr(scenario, name) for name in FIELDS}
    spread = None if set(FIELDS) & set(given) else _spread_of(scenario)
    return own if spread is None else {**own, **spread.get(scheme, {})}


def _spread_of(scenario: Scenario) -> Mapping[str, dict[str, float]] | None:
    """Return the settings for a scenario's data, if there are such."""
    fields = {**scenario.to_dict(), "network": scenario.network}
    for tuned in _table()["tuned"]:
        if all(fields[name] == value for name, value in tuned["scenario"].items()):
            found: Mapping[str, dict[str, float]] = tuned["settings"]
            return found
    return None


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(__package__).joinpath("tuned.json").read_text(encoding="utf-8"))
    return found
