"""Path loss over distance: the urban models of 3GPP TR 38.901 and the classic macro cell.

Sources: 3GPP TR 38.901, "Study on channel model for frequencies from 0.5 to 100 GHz", Table 7.4.1-1 (path loss)
and Table 7.4.2-1 (probability of line of sight); 3GPP TR 36.814, Table A.2.1.1-2 for the classic macro cell.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.channel.statistics import UMA, UMI, LinkStatistics, without_line_of_sight
from sfl_env.checks import require_positive, require_range

_PROPAGATION_M_PER_S = 3.0e8
"""Velocity of light as TR 38.901 rounds it in the breakpoint distance (note 1 of Table 7.4.1-1)."""

_EFFECTIVE_ENVIRONMENT_HEIGHT_M = 1.0
"""h_E of note 1: 1 m in UMi, and in UMa with probability one for terminals below 13 m."""

_CLOSEST_M = 10.0
"""The models start at a horizontal distance of 10 m; anything closer is computed as 10 m."""

_SURELY_VISIBLE_M = 18.0
"""Up to this horizontal distance the line of sight is always free (Table 7.4.2-1)."""


class PathLoss(Protocol):
    """What the composite channel asks of a path-loss model. Write one class with these two methods and a property.

    Distances are horizontal (ground) distances between the base station and the device, in metres, of any
    shape; ``los`` is a boolean array of the same shape, true where the line of sight is free.
    """

    def loss_db(self, distance_2d_m: Array, los: NDArray[np.bool_]) -> Array:
        """Mean path loss, dB, without shadowing."""
        ...

    def los_probability(self, distance_2d_m: Array) -> Array:
        """Probability of a free line of sight, 0 to 1."""
        ...

    @property
    def statistics(self) -> LinkStatistics:
        """Deviations and correlation distances; :data:`~sfl_env.channel.statistics.UMI`, ``UMA`` or one's own."""
        ...


@dataclass(frozen=True)
class _Urban:
    """What UMi and UMa share: two slopes in line of sight, the larger of two curves without it."""

    carrier_hz: float = 3.5e9
    base_station_height_m: float = math.nan
    terminal_height_m: float = 1.5

    # LOS below the breakpoint: offset + slope log10(d_3D) + 20 log10(f_c)
    _LOS_OFFSET_DB: ClassVar[float]
    _LOS_SLOPE_DB: ClassVar[float]
    # LOS above: offset + 40 log10(d_3D) + 20 log10(f_c) - correction log10(d_BP^2 + (h_BS - h_UT)^2)
    _BREAKPOINT_CORRECTION_DB: ClassVar[float]
    # NLOS': offset + slope log10(d_3D) + carrier slope log10(f_c) - height slope (h_UT - 1.5)
    _NLOS_OFFSET_DB: ClassVar[float]
    _NLOS_SLOPE_DB: ClassVar[float]
    _NLOS_CARRIER_SLOPE_DB: ClassVar[float]
    _NLOS_HEIGHT_SLOPE_DB: ClassVar[float]
    _LOS_DECAY_M: ClassVar[float]
    _HIGHEST_TERMINAL_M: ClassVar[float]

    def __post_init__(self) -> None:
        require_range("carrier_hz", self.carrier_hz, 0.5e9, 100e9)
        require_range("terminal_height_m", self.terminal_height_m, 1.5, self._HIGHEST_TERMINAL_M)
        require_range("base_station_height_m", self.base_station_height_m, 2.0, 150.0)

    @property
    def breakpoint_m(self) -> float:
        """Horizontal distance at which the line-of-sight slope steepens, m: 4 h'_BS h'_UT f_c / c."""
        effective_m2 = (self.base_station_height_m - _EFFECTIVE_ENVIRONMENT_HEIGHT_M) * (
            self.terminal_height_m - _EFFECTIVE_ENVIRONMENT_HEIGHT_M
        )
        return 4.0 * effective_m2 * self.carrier_hz / _PROPAGATION_M_PER_S

    @cached_property
    def _height_difference_m(self) -> float:
        return self.base_station_height_m - self.terminal_height_m

    @cached_property
    def _constants_db(self) -> tuple[float, float, float]:
        """All that does not depend on the distance: LOS near, LOS far, NLOS'."""
        carrier = math.log10(self.carrier_hz / 1e9)
        near = self._LOS_OFFSET_DB + 20.0 * carrier
        bend_m2 = self.breakpoint_m**2 + self._height_difference_m**2
        far = near - self._BREAKPOINT_CORRECTION_DB * math.log10(bend_m2)
        nlos = self._NLOS_OFFSET_DB + self._NLOS_CARRIER_SLOPE_DB * carrier
        nlos -= self._NLOS_HEIGHT_SLOPE_DB * (self.terminal_height_m - 1.5)
        return near, far, nlos

    def loss_db(self, distance_2d_m: Array, los: NDArray[np.bool_]) -> Array:
        """Mean path loss, dB. Closer than 10 m counts as 10 m; beyond 5 km the formula is extrapolated."""
        near_db, far_db, nlos_db = self._constants_db
        distance = np.maximum(distance_2d_m, _CLOSEST_M)
        log_3d = 0.5 * np.log10(distance * distance + self._height_difference_m**2)
        line = np.where(
            distance <= self.breakpoint_m, near_db + self._LOS_SLOPE_DB * log_3d, far_db + 40.0 * log_3d
        )
        blocked = np.maximum(line, nlos_db + self._NLOS_SLOPE_DB * log_3d)
        return np.where(los, line, blocked)

    def los_probability(self, distance_2d_m: Array) -> Array:
        """Probability of a free line of sight: 1 up to 18 m, then falling with the distance."""
        distance = np.maximum(distance_2d_m, _SURELY_VISIBLE_M)
        visible = _SURELY_VISIBLE_M / distance
        probability: Array = visible + np.exp(distance * (-1.0 / self._LOS_DECAY_M)) * (1.0 - visible)
        return probability


@dataclass(frozen=True)
class UrbanMicro(_Urban):
    r"""Small cell below the roofs: UMi - Street Canyon of 3GPP TR 38.901 (Tables 7.4.1-1, 7.4.2-1).

    With d the 3D distance in metres, f the carrier in GHz, h the heights,

    .. math::
        PL_{LOS} &= 32.4 + 21 \log_{10} d + 20 \log_{10} f \quad (d_{2D} \le d_{BP}) \\
        PL_{LOS} &= 32.4 + 40 \log_{10} d + 20 \log_{10} f
                    - 9.5 \log_{10}(d_{BP}^2 + (h_{BS} - h_{UT})^2) \quad (d_{2D} > d_{BP}) \\
        PL_{NLOS} &= \max(PL_{LOS},\; 35.3 \log_{10} d + 22.4 + 21.3 \log_{10} f - 0.3 (h_{UT} - 1.5)) \\
        P_{LOS} &= 18/d_{2D} + e^{-d_{2D}/36} (1 - 18/d_{2D}), \text{ 1 up to 18 m}

    Shadowing deviation 4 dB with and 7.82 dB without line of sight; the rest of its ``statistics`` are
    :data:`~sfl_env.channel.statistics.UMI`.

    Parameters
    ----------
    carrier_hz : float
        Carrier frequency, 0.5 to 100 GHz.
    base_station_height_m, terminal_height_m : float
        Antenna heights, m; the standard's are 10 and 1.5 to 22.5.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> model = UrbanMicro(carrier_hz=3.5e9)
    >>> model.breakpoint_m
    210.0
    >>> model.loss_db(np.array([100.0, 100.0]), np.array([True, False])).round(2)
    array([ 85.31, 104.64])
    """

    base_station_height_m: float = 10.0

    _LOS_OFFSET_DB = 32.4
    _LOS_SLOPE_DB = 21.0
    _BREAKPOINT_CORRECTION_DB = 9.5
    _NLOS_OFFSET_DB = 22.4
    _NLOS_SLOPE_DB = 35.3
    _NLOS_CARRIER_SLOPE_DB = 21.3
    _NLOS_HEIGHT_SLOPE_DB = 0.3
    _LOS_DECAY_M = 36.0
    _HIGHEST_TERMINAL_M = 22.5

    @property
    def statistics(self) -> LinkStatistics:
        """Those of UMi - Street Canyon."""
        return UMI


@dataclass(frozen=True)
class UrbanMacro(_Urban):
    r"""Large cell above the roofs: UMa of 3GPP TR 38.901 (Tables 7.4.1-1, 7.4.2-1).

    .. math::
        PL_{LOS} &= 28.0 + 22 \log_{10} d + 20 \log_{10} f \quad (d_{2D} \le d_{BP}) \\
        PL_{LOS} &= 28.0 + 40 \log_{10} d + 20 \log_{10} f
                    - 9 \log_{10}(d_{BP}^2 + (h_{BS} - h_{UT})^2) \quad (d_{2D} > d_{BP}) \\
        PL_{NLOS} &= \max(PL_{LOS},\; 13.54 + 39.08 \log_{10} d + 20 \log_{10} f - 0.6 (h_{UT} - 1.5)) \\
        P_{LOS} &= 18/d_{2D} + e^{-d_{2D}/63} (1 - 18/d_{2D}), \text{ 1 up to 18 m}

    Terminals are at 13 m at most: up to there the standard's C'(h_UT), which raises the probability of a line of
    sight, is 0 and the effective environment height is 1 m for sure. Shadowing deviation 4 dB with and 6 dB
    without line of sight; the rest of its ``statistics`` are :data:`~sfl_env.channel.statistics.UMA`.

    Parameters
    ----------
    carrier_hz : float
        Carrier frequency, 0.5 to 100 GHz.
    base_station_height_m, terminal_height_m : float
        Antenna heights, m; the standard's are 25 and 1.5 to 22.5, of which up to 13 are offered.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> UrbanMacro(carrier_hz=2e9).los_probability(np.array([10.0, 36.0])).round(4)
    array([1.    , 0.7824])
    """

    base_station_height_m: float = 25.0

    _LOS_OFFSET_DB = 28.0
    _LOS_SLOPE_DB = 22.0
    _BREAKPOINT_CORRECTION_DB = 9.0
    _NLOS_OFFSET_DB = 13.54
    _NLOS_SLOPE_DB = 39.08
    _NLOS_CARRIER_SLOPE_DB = 20.0
    _NLOS_HEIGHT_SLOPE_DB = 0.6
    _LOS_DECAY_M = 63.0
    _HIGHEST_TERMINAL_M = 13.0

    @property
    def statistics(self) -> LinkStatistics:
        """Those of UMa."""
        return UMA


@dataclass(frozen=True)
class ClassicMacro:
    r"""The macro cell that most papers use: 128.1 + 37.6 log10(d in km) dB, at a carrier of 2 GHz.

    It knows no line of sight: none is ever free, and the loss does not ask; fading is Rayleigh (K = 0). Horizontal
    distances below 10 m count as 10 m. Source, of the two figures of shadowing, too: 3GPP TR 36.814, Table
    A.2.1.1-2.

    Parameters
    ----------
    shadowing_std : float
        Standard deviation of the shadowing, dB, at least 0.
    shadowing_correlation_m : float
        Its correlation distance, m, above 0.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> ClassicMacro().loss_db(np.array([100.0, 1000.0]), np.array([False, False]))
    array([ 90.5, 128.1])
    """

    shadowing_std: float = 8.0
    shadowing_correlation_m: float = 50.0

    def __post_init__(self) -> None:
        require_range("shadowing_std", self.shadowing_std, 0.0)
        require_positive("shadowing_correlation_m", self.shadowing_correlation_m)

    @cached_property
    def statistics(self) -> LinkStatistics:
        """Alike for all links."""
        return without_line_of_sight(self.shadowing_std, self.shadowing_correlation_m)

    def loss_db(self, distance_2d_m: Array, los: NDArray[np.bool_]) -> Array:
        """Mean path loss, dB."""
        loss: Array = 128.1 + 37.6 * (np.log10(np.maximum(distance_2d_m, _CLOSEST_M)) - 3.0)
        return loss

    def los_probability(self, distance_2d_m: Array) -> Array:
        """Zero everywhere."""
        return np.zeros(np.shape(distance_2d_m))
