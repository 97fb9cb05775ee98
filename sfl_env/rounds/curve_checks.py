"""A user's own rate curve, tried over all ratios: what falls where it has to rise is refused."""

from typing import Any

import numpy as np

from sfl_env.arrays import Array
from sfl_env.checks import Range, called, read_only, require_array, require_methods
from sfl_env.errors import ScenarioError, SFLError
from sfl_env.rounds.curves import Modes, Shannon, TruncatedShannon

_RATIOS = np.geomspace(1e-20, 1e20, 1601)
"""Four a decibel, over more ratios than links have. A curve that rounds to 0 or in steps in between, as
log2(1 + y) does, would make times endless and certificates wrong."""

_ROUNDING = 1e-9


def check_curve(name: str, curve: Any, error: type[SFLError] = ScenarioError) -> None:
    """Raise unless an object is a rate curve under which a round's times fall, or stay, as shares grow.

    The package's own curves are known to be.

    Parameters
    ----------
    name : str
        What the curve is called, for messages.
    curve : RateCurve
        The user's.
    error : type of SFLError
        What to raise.

    Raises
    ------
    SFLError
        Naming method, ratio and what is wrong there.

    Examples
    --------
    >>> class Hump(Shannon):
    ...     def held_efficiency(self, sinr):
    ...         return np.exp(-((np.log(sinr) - 3.0) ** 2))
    >>> check_curve("uplink_curve", Hump())
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: uplink_curve.held_efficiency falls as the ratio grows beyond 1...
    """
    if type(curve) in (Shannon, TruncatedShannon, Modes):
        return
    try:
        methods = ["efficiency", "held_efficiency", "elasticity"]
        require_methods(name, curve, methods, "sfl_env.rounds.curves.RateCurve")
        efficiency, held = (_tried(name, curve, method, _RATIOS) for method in methods[:2])
        _require_rising(f"{name}.efficiency", efficiency, "grows", "a better link cannot carry less")
        _require_rising(f"{name}.held_efficiency", held, "grows", "more power cannot carry less")
        fall = "more of the band cannot carry less: the sender leaves some of it unused"
        if not (held > 0.0).all():
            worst = 10.0 * np.log10(_RATIOS[held <= 0.0].max())
            raise ScenarioError(
                f"{name}.held_efficiency is 0 at {worst:.1f} dB; a sender uses so little of its band that it "
                "carries something. If it is 0 by rounding alone, write log1p(y) for log(1 + y)."
            )
        _require_rising(f"{name}.held_efficiency times the band", (held / _RATIOS)[::-1], "falls", fall)
        _tried(name, curve, "elasticity", _RATIOS, held)
    except ScenarioError as reason:
        raise error(str(reason)) from reason


def _tried(name: str, curve: Any, method: str, *arguments: Array) -> Array:
    where = f"{name}.{method}"
    values: Array = called(f"{where}(...)", getattr(curve, method), *map(read_only, arguments))
    require_array(f"{where}(...)", values, _RATIOS.shape, Range(0.0, 1.0 if method == "elasticity" else 1e6))
    return values


def _require_rising(where: str, values: Array, moves: str, why: str) -> None:
    falls = values[1:] < values[:-1] * (1.0 - _ROUNDING)
    if falls.any():
        ratios = _RATIOS if moves == "grows" else _RATIOS[::-1]
        at = 10.0 * np.log10(ratios[int(falls.argmax())])
        beyond = "beyond" if moves == "grows" else "below"
        raise ScenarioError(f"{where} falls as the ratio {moves} {beyond} {at:.1f} dB; {why}.")
