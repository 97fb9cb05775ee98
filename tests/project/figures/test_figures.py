"""Published figures come out as before: the same seeds, the same rounds, to the last digit."""

import json
import math
from typing import Any

import pytest

from tests.project.figures import played

stored: dict[str, Any] = json.loads(played.STORED.read_text(encoding="utf-8"))
SAME_MACHINE = stored["machine"] == played.machine()

ELSEWHERE = {"latency": 1e-6, "learning": 5e-3}
"""By how much figures may differ on another processor or with other libraries, whose sums round differently."""


def same(found: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[name], wanted[name], tolerance) for name in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(
            same(one, other, tolerance) for one, other in zip(found, wanted, strict=True)
        )
    return found == wanted if SAME_MACHINE else math.isclose(found, wanted, rel_tol=tolerance, abs_tol=tolerance)


@pytest.mark.parametrize("kind", ["latency", "learning"])
def test_the_same_seeds_give_the_same_rounds(kind: str) -> None:
    found = json.loads(json.dumps(getattr(played, f"{kind}_figures")()))
    assert found.keys() == stored[kind].keys()
    different = [name for name in found if not same(found[name], stored[kind][name], ELSEWHERE[kind])]
    assert not different, f"{len(different)} of {len(found)} differ, the first: {different[0]}"
