"""What a link makes of its signal-to-noise ratio: rate curves, from Shannon's bound to a modem's modes."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sfl_env.arrays import Array, constant
from sfl_env.checks import is_number, require_range
from sfl_env.errors import ScenarioError

__all__ = ["Modes", "RateCurve", "Shannon", "TruncatedShannon"]

_BITS_PER_NAT, _NATS_PER_BIT = constant(1.0 / math.log(2.0)), constant(math.log(2.0))
_HALF, _ONE = constant(0.5), constant(1.0)


class RateCurve(Protocol):
    r"""What the link asks of a curve. Write one class with these three methods to bring your own.

    A sender with the power p on a link of the gain g that holds the band b has the ratio y = p g / (N0 b) there,
    with N0 the density of noise and interference. In the uplink it need not use all of the band it holds: where
    less of it carries more, its rate is :math:`\max_{b' \le b} b'\,e(p g / (N_0 b'))`.

    All methods take and return arrays of any shape. The times of a round have to fall, or stay, as a device's
    share grows, so :meth:`held_efficiency` may not fall as y grows, and over y it may not rise.
    """

    def efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz at a ratio that the sender does not choose, as in the downlink."""
        ...

    def held_efficiency(self, sinr: Array) -> Array:
        """Return bit/s for each Hz of the band held, of a sender that may leave some of it unused."""
        ...

    def elasticity(self, sinr: Array, held_efficiency: Array) -> Array:
        """Return d ln R / d ln b of the rate R on the band b that is held, 0 to 1, given its efficiency there."""
        ...


@dataclass(frozen=True)
class Shannon:
    r"""Shannon's bound, :math:`\log_2(1 + y)`: no ceiling, no loss. What most papers on the subject compute with.

    Examples
    --------
    >>> Shannon().efficiency(np.array([0.0, 3.0]))
    array([0., 2.])
    """

    def efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz."""
        rate = np.log1p(sinr)
        rate *= _BITS_PER_NAT
        return rate

    def held_efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz: all of the band is used, since more of it always carries more."""
        return self.efficiency(sinr)

    def elasticity(self, sinr: Array, held_efficiency: Array) -> Array:
        """Return d ln R / d ln b."""
        return shannon_elasticity(sinr, held_efficiency * _NATS_PER_BIT)


SHANNON = Shannon()
"""The bound itself, which has no parameters."""


@dataclass(frozen=True)
class TruncatedShannon:
    r"""Shannon's bound with an attenuation, a lowest ratio that can be decoded and a ceiling.

    .. math:: e(y) = 0 \; (y < y_{min}), \quad \alpha \log_2(1 + y), \quad
              \alpha \log_2(1 + y_{max}) \; (y > y_{max})

    It stands for adaptive modulation and coding. Sources: 3GPP TR 36.942, Annex A (LTE: attenuation 0.6 down, 0.4
    up; -10 dB to 22 and 15 dB) and 3GPP TR 38.803, clause 5.2.7 (NR: the same attenuations; -10 dB to 30 dB down
    and 22 dB up).

    Parameters
    ----------
    attenuation : float
        Alpha, above 0 to 1.
    min_sinr_db, max_sinr_db : float
        Where the curve starts and where it ends, dB, the lower first.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range, or the curve would end before it starts.

    Examples
    --------
    >>> uplink = TruncatedShannon(attenuation=0.4, min_sinr_db=-10.0, max_sinr_db=22.0)
    >>> uplink.efficiency(10.0 ** (np.array([-20.0, 10.0, 22.0, 40.0]) / 10.0)).round(3)
    array([0.   , 1.384, 2.927, 2.927])
    """

    attenuation: float = 0.4
    min_sinr_db: float = -10.0
    max_sinr_db: float = 22.0

    def __post_init__(self) -> None:
        require_range("attenuation", self.attenuation, 1e-6, 1.0)
        require_range("min_sinr_db", self.min_sinr_db, -100.0, 100.0)
        require_range("max_sinr_db", self.max_sinr_db, -100.0, 200.0)
        if self.min_sinr_db >= self.max_sinr_db:
            raise ScenarioError(
                f"min_sinr_db is {self.min_sinr_db} and max_sinr_db {self.max_sinr_db}; the curve has to start "
                "below its end."
            )

    @cached_property
    def _from(self) -> Array:
        return constant(10.0 ** (self.min_sinr_db / 10.0))

    @cached_property
    def _to(self) -> Array:
        return constant(10.0 ** (self.max_sinr_db / 10.0))

    @cached_property
    def _per_nat(self) -> Array:
        return np.array(self.attenuation * _BITS_PER_NAT)

    @cached_property
    def _nats(self) -> Array:
        return np.array(_ONE / self._per_nat)

    @cached_property
    def _used(self) -> Array:
        return np.array(_ONE / self._from)

    def efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz."""
        rate = np.log1p(np.minimum(sinr, self._to))
        rate *= self._per_nat
        rate *= sinr >= self._from
        return rate

    def held_efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz held; below the curve's start a sender uses what brings it there."""
        rate = np.minimum(np.maximum(sinr, self._from), self._to)
        np.log1p(rate, out=rate)
        rate *= self._per_nat
        rate *= np.minimum(sinr * self._used, _ONE)
        return rate

    def elasticity(self, sinr: Array, held_efficiency: Array) -> Array:
        """Return d ln R / d ln b: 1 at the ceiling, 0 where part of the band stays unused."""
        inside = shannon_elasticity(sinr, held_efficiency * self._nats)
        inside[sinr >= self._to] = 1.0
        inside[sinr <= self._from] = 0.0
        return inside


@dataclass(frozen=True)
class Modes:
    r"""A modem's modes of modulation and coding: a staircase.

    From each threshold on, the mode's efficiency can be decoded. A sender picks the mode that carries most, and
    uses no more of its band than brings it to that mode's threshold: :math:`\max_i e_i \min(b, p g / (N_0 y_i))`.

    Parameters
    ----------
    thresholds_db : tuple of float
        Lowest ratio of each mode, dB, rising.
    efficiencies : tuple of float
        Bit/s/Hz of each mode, above 0, rising.

    Raises
    ------
    ScenarioError
        If there is no mode, the two differ in length, a number is not finite, or one does not rise.

    Examples
    --------
    QPSK, 16-QAM and 64-QAM at half rate:

    >>> modes = Modes(thresholds_db=(1.0, 7.0, 13.0), efficiencies=(1.0, 2.0, 3.0))
    >>> modes.efficiency(10.0 ** (np.array([0.0, 1.0, 10.0, 30.0]) / 10.0))
    array([0., 1., 2., 3.])
    """

    thresholds_db: tuple[float, ...]
    efficiencies: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("thresholds_db", "efficiencies"):
            values = getattr(self, name)
            if not isinstance(values, tuple | list) or not all(is_number(x) and math.isfinite(x) for x in values):
                raise ScenarioError(f"{name} is {values!r}; it has to be a tuple of finite numbers.")
            object.__setattr__(self, name, tuple(map(float, values)))
            if any(later <= before for before, later in zip(getattr(self, name), values[1:], strict=False)):
                raise ScenarioError(f"{name} is {values}; each mode has to lie above the one before it.")
        if not self.efficiencies or len(self.efficiencies) != len(self.thresholds_db):
            raise ScenarioError(
                f"thresholds_db has {len(self.thresholds_db)} entries and efficiencies {len(self.efficiencies)}; "
                "give both for every mode, at least for one."
            )
        require_range("efficiencies[0]", self.efficiencies[0], 1e-6, 1e3)
        require_range("efficiencies[-1]", self.efficiencies[-1], 1e-6, 1e3)
        require_range("thresholds_db[0]", self.thresholds_db[0], -100.0, 200.0)
        require_range("thresholds_db[-1]", self.thresholds_db[-1], -100.0, 200.0)

    @cached_property
    def _starts(self) -> Array:
        return 10.0 ** (np.array(self.thresholds_db) / 10.0)

    @cached_property
    def _steps(self) -> Array:
        return np.array((0.0, *self.efficiencies))

    def efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz."""
        return self._steps.take(self._starts.searchsorted(sinr, side="right"))

    def held_efficiency(self, sinr: Array) -> Array:
        """Return bit/s/Hz held, of the mode that carries most."""
        return self._best(sinr)[0]

    def elasticity(self, sinr: Array, held_efficiency: Array) -> Array:
        """Return 1 where the best mode uses all of the band, else 0."""
        full: Array = (self._best(sinr)[1] <= sinr).astype(np.float64)
        return full

    def _best(self, sinr: Array) -> tuple[Array, Array]:
        """Efficiency and threshold of the mode that carries most."""
        best, start = np.zeros(np.shape(sinr)), np.full(np.shape(sinr), np.inf)
        for threshold, efficiency in zip(self._starts, self.efficiencies, strict=True):
            carried = efficiency * np.minimum(sinr / threshold, 1.0)
            better = carried >= best
            best, start = np.where(better, carried, best), np.where(better, threshold, start)
        return best, start


def shannon_elasticity(sinr: Array, nats: Array) -> Array:
    r"""Elasticity of Shannon's rate to the band held, d ln R / d ln b.

    It falls from 1 (band-limited: twice the band, twice the rate) to 0 (power-limited: more band brings
    nothing) as the ratio y falls:

    .. math:: 1 - \frac{y}{(1 + y) \ln(1 + y)}

    Parameters
    ----------
    sinr, nats : array
        The ratio y, and ln(1 + y), which callers have already.

    Examples
    --------
    >>> shannon_elasticity(np.array([3.0]), np.log(np.array([4.0]))).round(4)
    array([0.459])
    """
    saturation = sinr / (_ONE + sinr)
    # Half the saturation bounds the elasticity from below and is sharp for a tiny ratio, where the difference is
    # nothing but rounding.
    elasticity: Array = np.maximum(_ONE - saturation / nats, _HALF * saturation)
    return elasticity
