"""Checks of what users pass: look-ups by name, closed choices, ranges and their own parts, each with one wording.

Every check takes the class of the error to raise, so that each part of the package raises its own.
"""

from sfl_env.checks.declared import as_declared, choices_of
from sfl_env.checks.entries import require_entries, require_mapping
from sfl_env.checks.names import look_up, nearest_name, require_choice, require_known, shown
from sfl_env.checks.own_parts import called, read_only, require_array, require_instance, require_methods
from sfl_env.checks.ranges import Range, is_number, require_positive, require_range, require_whole

__all__ = [
    "Range",
    "as_declared",
    "called",
    "choices_of",
    "is_number",
    "look_up",
    "nearest_name",
    "read_only",
    "require_array",
    "require_choice",
    "require_entries",
    "require_instance",
    "require_known",
    "require_mapping",
    "require_methods",
    "require_positive",
    "require_range",
    "require_whole",
    "shown",
]
