"""Scenario fields as the command line takes them."""

import ast
import json
from collections.abc import Sequence
from typing import Any

from sfl_env.errors import ScenarioError


def parse_fields(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn ``name=value`` texts into scenario fields; values are JSON or Python literals, else plain text.

    Raises
    ------
    ScenarioError
        For a text without ``=`` or a name given twice.

    Examples
    --------
    >>> parse_fields(["num_devices=30", "bandwidth_hz=50e6", "model=resnet18", "battery_j=None"])
    {'num_devices': 30, 'bandwidth_hz': 50000000.0, 'model': 'resnet18', 'battery_j': None}
    >>> parse_fields(['device_types=["laptop"]', "synchronised_phases=true"])
    {'device_types': ['laptop'], 'synchronised_phases': True}
    """
    fields: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ScenarioError(f"The scenario field {text!r} has to be written as name=value.")
        if name in fields:
            raise ScenarioError(f"The scenario field {name!r} is given twice.")
        fields[name] = _literal(value)
    return fields


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
