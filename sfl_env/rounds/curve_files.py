"""Rate curves as plain values, for files."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sfl_env.checks import require_known, shown
from sfl_env.errors import ProblemError, ScenarioError
from sfl_env.rounds.curves import Modes, RateCurve, Shannon, TruncatedShannon

_CURVES: Mapping[str, Any] = {"shannon": Shannon, "truncated-shannon": TruncatedShannon, "modes": Modes}


def curve_to_plain(curve: RateCurve) -> dict[str, Any]:
    """Return a curve of the package as a JSON-able dictionary: its name and its parameters.

    Raises
    ------
    ProblemError
        For a curve of the user's own, of which nothing is known but its methods.

    Examples
    --------
    >>> curve_to_plain(Shannon())
    {'curve': 'shannon'}
    """
    for name, kind in _CURVES.items():
        if type(curve) is kind:
            return {"curve": name, **dataclasses.asdict(curve)}  # type: ignore[call-overload]  # it is a dataclass
    raise ProblemError(
        f"A {type(curve).__name__} cannot be written as uplink_curve: files hold the package's own curves, "
        f"{', '.join(_CURVES)}."
    )


def curve_from_plain(plain: object) -> RateCurve:
    """Return the curve that :func:`curve_to_plain` wrote.

    Raises
    ------
    ProblemError
        If it is none: an unknown name, a parameter that is missing, unknown or out of range.

    Examples
    --------
    >>> curve_from_plain({"curve": "truncated-shannon", "max_sinr_db": 30.0})
    TruncatedShannon(attenuation=0.4, min_sinr_db=-10.0, max_sinr_db=30.0)
    """
    if not isinstance(plain, Mapping) or not isinstance(plain.get("curve"), str):
        raise ProblemError(
            f"uplink_curve is {shown(str(plain))}; it has to be an object with a curve's name under 'curve' and "
            "its parameters."
        )
    parameters = {name: value for name, value in plain.items() if name != "curve"}
    require_known("curve", plain["curve"], _CURVES, ProblemError)
    kind = _CURVES[plain["curve"]]
    for name in parameters:
        require_known(
            f"parameter of {plain['curve']}:", name, [f.name for f in dataclasses.fields(kind)], ProblemError
        )
    try:
        curve: RateCurve = kind(**parameters)
    except (ScenarioError, TypeError) as error:
        raise ProblemError(f"uplink_curve is no curve: {error}") from error
    return curve
