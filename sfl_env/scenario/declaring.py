"""How fields are declared: with default, unit, range and meaning, from which checks and pages are made."""

from dataclasses import field
from typing import Any

from sfl_env.checks import Range


def number(default: float | None, low: float, high: float, unit: str, about: str) -> Any:
    """Declare a numeric field with its unit, its range (both ends allowed) and its meaning."""
    return field(default=default, metadata={"range": Range(low, high), "unit": unit, "about": about})


def plain(default: Any, about: str, each: Range | None = None) -> Any:
    """Declare any other field; for tuples of numbers the range is that of each entry."""
    return field(default=default, metadata={"about": about, "unit": "", "range": each})
