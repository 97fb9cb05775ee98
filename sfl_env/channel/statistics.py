"""How links of one kind of cell differ from their mean path loss, and over how many metres they stay alike.

Sources: 3GPP TR 38.901, Table 7.4.1-1 (deviation of the shadowing), Table 7.5-6 (correlation distances of
shadowing and Rician factor, mean and deviation of the Rician factor) and Table 7.6.3.1-2 (correlation distance of
the line of sight).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import Range, require_positive, require_range

_RANGE_DB = Range(-200.0, 200.0)


class ByView(NamedTuple):
    """A figure of links with and without line of sight."""

    with_los: float
    without: float

    def of(self, los: NDArray[np.bool_]) -> Array:
        """Return the figure of each link, in the shape of ``los``.

        Examples
        --------
        >>> ByView(10.0, 13.0).of(np.array([True, False]))
        array([10., 13.])
        """
        return np.where(los, self.with_los, self.without)


@dataclass(frozen=True)
class LinkStatistics:
    """Deviations in dB and correlation distances in metres of the links of one kind of cell.

    Everything decays exponentially with the distance walked, exp(-distance / correlation distance).

    Parameters
    ----------
    shadowing_std_db : ByView
        Deviation of the log-normal shadowing, dB, at least 0.
    shadowing_correlation_m : ByView
        Its correlation distance, m, above 0.
    los_correlation_m : float
        Correlation distance of the line of sight, m, above 0; infinite where no line of sight is ever free.
    k_mean_db, k_std_db : float
        Mean and deviation of the Rician factor K of links with line of sight, dB. Without, K is 0.
    k_correlation_m : float
        Its correlation distance, m, above 0.

    Raises
    ------
    ScenarioError
        If a figure is out of its range.

    Examples
    --------
    >>> UMI.shadowing_correlation_m
    ByView(with_los=10.0, without=13.0)
    >>> UMA.with_shadowing_correlation(20.0).shadowing_correlation_m
    ByView(with_los=20.0, without=20.0)
    """

    shadowing_std_db: ByView
    shadowing_correlation_m: ByView
    los_correlation_m: float
    k_mean_db: float
    k_std_db: float
    k_correlation_m: float

    def __post_init__(self) -> None:
        for name, std in zip(ByView._fields, self.shadowing_std_db, strict=True):
            require_range(f"shadowing_std_db.{name}", std, 0.0)
        for name, metres in zip(ByView._fields, self.shadowing_correlation_m, strict=True):
            require_positive(f"shadowing_correlation_m.{name}", metres)
        if self.has_line_of_sight:
            require_positive("los_correlation_m", self.los_correlation_m)
        _RANGE_DB.require("k_mean_db", self.k_mean_db)
        require_range("k_std_db", self.k_std_db, 0.0)
        require_positive("k_correlation_m", self.k_correlation_m)

    @property
    def has_line_of_sight(self) -> bool:
        """Whether a line of sight may be free at all."""
        return self.los_correlation_m != np.inf

    def without_shadowing(self) -> "LinkStatistics":
        """Return the same with the mean path loss everywhere."""
        return replace(self, shadowing_std_db=ByView(0.0, 0.0))

    def with_shadowing_correlation(self, distance_m: float | None) -> "LinkStatistics":
        """Return the same with one correlation distance of all shadowing; ``None`` keeps this one's."""
        if distance_m is None:
            return self
        return replace(self, shadowing_correlation_m=ByView(distance_m, distance_m))

    def with_k_factor(self, k_db: float | None) -> "LinkStatistics":
        """Return the same with one Rician factor of all links with line of sight; ``None`` keeps this one's."""
        return self if k_db is None else replace(self, k_mean_db=k_db, k_std_db=0.0)


UMI = LinkStatistics(
    shadowing_std_db=ByView(4.0, 7.82),
    shadowing_correlation_m=ByView(10.0, 13.0),
    los_correlation_m=50.0,
    k_mean_db=9.0,
    k_std_db=5.0,
    k_correlation_m=15.0,
)
"""UMi - Street Canyon."""

UMA = LinkStatistics(
    shadowing_std_db=ByView(4.0, 6.0),
    shadowing_correlation_m=ByView(37.0, 50.0),
    los_correlation_m=50.0,
    k_mean_db=9.0,
    k_std_db=3.5,
    k_correlation_m=12.0,
)
"""UMa."""


def without_line_of_sight(shadowing_std_db: float, shadowing_correlation_m: float) -> LinkStatistics:
    """Return the statistics of a cell in which no line of sight is ever free.

    Examples
    --------
    >>> without_line_of_sight(8.0, 50.0).shadowing_std_db
    ByView(with_los=8.0, without=8.0)
    """
    return LinkStatistics(
        ByView(shadowing_std_db, shadowing_std_db),
        ByView(shadowing_correlation_m, shadowing_correlation_m),
        los_correlation_m=np.inf,
        k_mean_db=0.0,
        k_std_db=0.0,
        k_correlation_m=1.0,
    )
