"""Scenario fields as the command line takes them."""

import ast
import dataclasses
import json
import warnings
from collections.abc import Sequence
from typing import Any

from sfl_env.checks import require_known, shown
from sfl_env.errors import ScenarioError
from sfl_env.scenario import Scenario

NAMES = tuple(item.name for item in dataclasses.fields(Scenario))

_LONGEST_VALUE = 10_000
"""Characters of a value; no field needs so many."""


def parse_fields(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn ``name=value`` texts into scenario fields; values are JSON or Python literals, else plain text.

    Other arguments of environments (parts, learners, ways to run) are no fields and are refused here, in every
    command alike. Whether a value is in its field's range is up to the scenario.

    Raises
    ------
    ScenarioError
        For a text without ``=``, a name that is no field's or is given twice, or a value that is far too long or
        nested too deeply.

    Examples
    --------
    >>> parse_fields(["num_devices=30", "bandwidth_hz=50e6", "model=resnet18", "battery_share=None"])
    {'num_devices': 30, 'bandwidth_hz': 50000000.0, 'model': 'resnet18', 'battery_share': None}
    >>> parse_fields(['device_types=["laptop"]', "frozen_weights_travel=true"])
    {'device_types': ['laptop'], 'frozen_weights_travel': True}
    >>> parse_fields(["num_device=30"])
    Traceback (most recent call last):
        ...
    sfl_env.errors.ScenarioError: Unknown scenario field 'num_device' (did you mean 'num_devices'?).
    """
    fields: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ScenarioError(f"The scenario field {shown(text)} has to be written as name=value.")
        require_known("scenario field", name, NAMES)
        if name in fields:
            raise ScenarioError(f"The scenario field {name!r} is given twice.")
        fields[name] = _value(name, value)
    return fields


def _value(name: str, text: str) -> Any:
    if len(text) > _LONGEST_VALUE:
        raise ScenarioError(f"{name} has {len(text)} characters; the longest value has {_LONGEST_VALUE}.")
    for read in (json.loads, _python_literal):
        try:
            return read(text)
        except (RecursionError, MemoryError) as error:
            raise ScenarioError(f"{name} is {shown(text)}, which is nested too deeply.") from error
        except (ValueError, SyntaxError, TypeError):
            continue
    return text


def _python_literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what looks like code, such as 1if, or unknown escapes
        return ast.literal_eval(text)
