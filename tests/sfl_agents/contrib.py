"""What tests of sb3-contrib's algorithms need: they are left out where the extra is not installed."""

from importlib.util import find_spec
from typing import Any

import pytest

from sfl_agents.training.algorithms import ALGORITHMS

needs_contrib = pytest.mark.skipif(find_spec("sb3_contrib") is None, reason="needs the extra 'contrib'")


def algorithms() -> list[Any]:
    """Every algorithm's name, as parameters of a test."""
    return [
        pytest.param(name, marks=needs_contrib if home.startswith("sb3_contrib") else ())
        for name, home in ALGORITHMS.items()
    ]
