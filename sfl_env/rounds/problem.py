"""One round's joint problem of cuts and bandwidth, and a decision on it, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, row_maxima, row_starts
from sfl_env.errors import DecisionError, ProblemError
from sfl_env.rounds.given import as_indices, as_numbers
from sfl_env.rounds.radio import uplink_rate_bps
from sfl_env.rounds.system import ABOUT, SYSTEMS, System

SHARE_SUM_TOLERANCE = 1e-9
"""By how much shares may sum above 1 from rounding alone."""

SMALLEST, LARGEST = 1e-40, 1e40
"""The numbers of a problem lie between, where nothing that solvers compute leaves the range of floats: the least
share that a device may need is then around 1e-163."""


class Decision(NamedTuple):
    """A cut and a share of the band for every device.

    Parameters
    ----------
    cut : (N, K) integer array
        Index of the cut, counted from 0: index 0 leaves one block on the device, index C - 1 leaves the
        whole network there.
    bandwidth_share : (N, K) array
        Share of the band, at least 0, summing to at most 1 over the devices.
    """

    cut: NDArray[np.intp]  # (N, K)
    bandwidth_share: Array  # (N, K)


class _Limits(NamedTuple):
    """What an array of a problem may hold besides numbers from :data:`SMALLEST` to :data:`LARGEST`."""

    ndim: int
    zero: bool = False
    infinite: bool = False

    def check(self, name: str, values: Array) -> None:
        """Raise :class:`ProblemError`, naming the first entry that is out of range."""
        good = (values >= SMALLEST) & (values <= LARGEST)
        if np.count_nonzero(good) == values.size:  # nearly always
            return
        if self.zero:
            good |= values == 0.0
        if self.infinite:
            good |= values == np.inf
        if np.count_nonzero(good) == values.size:
            return
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        axes = ", ".join(("environment", "device", "cut")[: len(where)])
        wanted = f"{'0 or ' * self.zero}from {SMALLEST:g} to {LARGEST:g}{' or infinite' * self.infinite}"
        raise ProblemError(
            f"{name}[{', '.join(map(str, where))}] ({axes}) is {values[where]}; it has to be {wanted}."
        )


ARRAYS: Mapping[str, _Limits] = {
    "fixed_s": _Limits(3, zero=True, infinite=True),
    "uplink_bits": _Limits(3, zero=True),
    "downlink_bits": _Limits(3, zero=True),
    "uplink_snr_hz": _Limits(2),
    "downlink_full_rate_bps": _Limits(2, infinite=True),
    "uplink_bandwidth_hz": _Limits(1),
}
"""The arrays of a problem, and what each may hold."""


@dataclass(frozen=True)
class RoundProblem:
    r"""Which cuts and which shares of the band finish the round first.

    Device k at cut c with share s of the band needs

    .. math:: T_k(c, s) = \mathrm{fixed}_{kc} + \frac{U_{kc}}{R_k(s)} + \frac{D_{kc}}{s\,R^{down}_k}

    seconds and the round lasts as long as its slowest device (the straggler).

    Parameters
    ----------
    fixed_s : (N, K, C) array
        Seconds that do not depend on the band (computation); infinite where the cut does not fit into the
        device's memory.
    uplink_bits, downlink_bits : (N, K, C) array
        Bits that cross the air in each direction.
    uplink_snr_hz : (N, K) array
        Received power over the noise density, p g / N0, Hz.
    downlink_full_rate_bps : (N, K) array
        Downlink rate with the whole band, bit/s; infinite where the downlink is neglected.
    uplink_bandwidth_hz : (N,) array
        The whole uplink band, Hz.
    system : {"parallel", "sequence", "synchronised", "deadline"}
        Which system's rounds these are; see :data:`sfl_env.rounds.system.ABOUT`. Only for ``"parallel"`` is the
        round its straggler's, as above.

    Raises
    ------
    ProblemError
        If something is no array of real numbers, shapes do not fit, a device has no cut that fits, or a number is
        out of range: all lie from 1e-40 to 1e40, far beyond anything that is built. Besides, seconds and bits may
        be 0, and what the description calls infinite may be that.

    Examples
    --------
    Two devices, two cuts; the second cut sends half the bits but computes a second longer.

    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 2.0]]],
    ...     uplink_bits=[[[2e6, 1e6], [2e6, 1e6]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> decision = Decision(cut=np.array([[0, 1]]), bandwidth_share=np.array([[0.5, 0.5]]))
    >>> problem.device_latency_s(decision)
    array([[2. , 2.5]])
    >>> problem.latency_s(decision)
    array([2.5])
    """

    fixed_s: Array  # (N, K, C)
    uplink_bits: Array  # (N, K, C)
    downlink_bits: Array  # (N, K, C)
    uplink_snr_hz: Array  # (N, K)
    downlink_full_rate_bps: Array  # (N, K)
    uplink_bandwidth_hz: Array  # (N,)
    system: System = "parallel"

    def __post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise ProblemError(f"system is {self.system!r}; it has to be one of {', '.join(SYSTEMS)}.")
        for name in ARRAYS:
            values = as_numbers(getattr(self, name), name, ProblemError)
            object.__setattr__(self, name, np.asarray(values, order="C"))
        shape = self.fixed_s.shape
        if len(shape) != 3 or 0 in shape[1:]:
            raise ProblemError(f"fixed_s has shape {shape}; it has to be (N, K, C), K and C at least 1.")
        for name, limits in ARRAYS.items():
            values, wanted = getattr(self, name), shape[: limits.ndim]
            if values.shape != wanted:
                raise ProblemError(
                    f"{name} has shape {values.shape}; beside fixed_s of shape {shape} it has to be {wanted}."
                )
            limits.check(name, values)
        hopeless = np.isinf(self.fixed_s).all(axis=-1)
        if hopeless.any():
            env, device = (int(i) for i in np.argwhere(hopeless)[0])
            raise ProblemError(
                f"Device {device} of environment {env} has fixed_s = inf at every cut: none fits its memory. "
                "Give it more memory or a smaller network."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, K, C): environments, devices, cuts."""
        n, k, c = self.fixed_s.shape
        return n, k, c

    @cached_property
    def needs_band(self) -> NDArray[np.bool_]:
        """(N, K, C): whether a device at a cut sends or receives anything that takes time."""
        receives = (self.downlink_bits > 0.0) & np.isfinite(self.downlink_full_rate_bps)[..., None]
        return (self.uplink_bits > 0.0) | receives

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "RoundProblem":
        """Some of the N rounds."""
        return _checked({name: getattr(self, name)[index] for name in ARRAYS}, self.system)

    def as_parallel(self) -> "RoundProblem":
        """Return the surrogate: the same devices, channels and costs, but devices that work side by side.

        What solvers prove of it they prove of it alone, not of the system that this problem stands for.

        Examples
        --------
        >>> problem = RoundProblem([[[1.0]]], [[[1e6]]], [[[0.0]]], [[3e6]], [[np.inf]], [1e6], "synchronised")
        >>> problem.as_parallel().system
        'parallel'
        """
        if self.system == "parallel":
            return self
        return _checked({name: getattr(self, name) for name in ARRAYS}, "parallel")

    def at_cut(self, cut: NDArray[np.intp]) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
        """Each device's (N, K) entries of ``fixed_s``, ``uplink_bits``, ``downlink_bits`` and ``needs_band``."""
        n, k, c = self.fixed_s.shape
        entry = row_starts(n * k, c).reshape(n, k) + cut
        return (
            self.fixed_s.take(entry),
            self.uplink_bits.take(entry),
            self.downlink_bits.take(entry),
            self.needs_band.take(entry),
        )

    def device_latency_s(self, decision: Decision) -> Array:
        """(N, K): the seconds that each device takes itself; infinite where a needed band is missing.

        Devices are looked at one by one, in every system: shares may sum above 1, for questions such as how long
        each device would take with the whole band.

        Raises
        ------
        DecisionError
            For something that is no decision, a wrong shape, a cut that is not there, or a share that is negative
            or not finite.
        """
        cut, share = self._taken(decision)
        fixed, up, down, needs = self.at_cut(cut)
        rate = uplink_rate_bps(share, self.uplink_bandwidth_hz[:, None], self.uplink_snr_hz)
        usable = np.where(share > 0.0, share, 1.0)
        latency: Array = fixed + up / rate + down / (usable * self.downlink_full_rate_bps)
        latency[(share == 0.0) & needs] = np.inf
        return latency

    def latency_s(self, decision: Decision) -> Array:
        """(N,): the round's length: its slowest device's seconds, or in sequence all devices' with the whole band.

        Raises
        ------
        DecisionError
            If the decision cannot be carried out; see :meth:`check`.
        ProblemError
            In the other systems, where it takes more than a problem holds to tell.
        """
        self.check(decision)
        if self.system == "parallel":
            return row_maxima(self.device_latency_s(decision))
        if self.system == "sequence":
            whole = Decision(decision.cut, np.ones(self.shape[:2]))
            seconds: Array = self.device_latency_s(whole).sum(axis=-1)
            return seconds
        raise ProblemError(
            f"This problem stands for {ABOUT[self.system]}, and it does not hold what their length depends on; "
            "step the environment to see it. How long the round would be if devices worked side by side, "
            "problem.as_parallel() tells."
        )

    def check_cut(self, cut: object) -> NDArray[np.intp]:
        """Return the cuts as indices if every device can take its cut.

        Raises
        ------
        DecisionError
            For a wrong shape or type, or a cut that is not there or does not fit into the device's memory.
        """
        index = self._index(cut)
        fits = np.isfinite(np.take_along_axis(self.fixed_s, index[..., None], axis=-1)[..., 0])
        _reject(~fits, index, "cut", "it does not fit into the device's memory; take a shallower one")
        return index

    def check(self, decision: Decision) -> None:
        """Raise :class:`DecisionError` unless the decision can be carried out.

        Raises
        ------
        DecisionError
            For something that is no decision, a wrong shape or type, a cut that is not there or does not fit, a
            share that is negative or not finite, shares that sum above 1, or no share for a device whose cut needs
            the band.
        """
        cut, share = self._taken(decision)
        self.check_cut(cut)
        total = share.sum(axis=-1)
        if (total > 1.0 + SHARE_SUM_TOLERANCE).any():
            env = int(np.argmax(total))
            raise DecisionError(
                f"The bandwidth shares of environment {env} sum to {total[env]:.9g}; they may sum to 1 at "
                "most. Divide them by their sum."
            )
        _, _, _, needs = self.at_cut(cut)
        _reject(needs & (share == 0.0), share, "bandwidth_share", "but the device's cut needs the band")

    def _taken(self, decision: Decision) -> tuple[NDArray[np.intp], Array]:
        """Return a decision's cuts and shares as arrays that devices can be looked at with."""
        if not isinstance(decision, Decision):
            raise DecisionError(f"{type(decision).__name__} is no decision; write Decision(cut, bandwidth_share).")
        cut = self._index(decision.cut)
        share = as_numbers(decision.bandwidth_share, "bandwidth_share", DecisionError)
        self._check_shape("bandwidth_share", share)
        _reject(~((share >= 0.0) & (share < np.inf)), share, "bandwidth_share", "it has to be from 0 to 1")
        return cut, share

    def _index(self, cut: object) -> NDArray[np.intp]:
        given = as_indices(cut, "cut", DecisionError)
        self._check_shape("cut", given)
        num_cuts = self.fixed_s.shape[-1]
        _reject((given < 0) | (given >= num_cuts), given, "cut", f"it has to be an index from 0 to {num_cuts - 1}")
        return given.astype(np.intp, copy=False)

    def _check_shape(self, name: str, values: NDArray[Any]) -> None:
        wanted = self.fixed_s.shape[:2]
        if values.shape != wanted:
            raise DecisionError(f"{name} has shape {values.shape}; it has to be {wanted}.")


def _checked(arrays: Mapping[str, Array], system: System) -> RoundProblem:
    """Return a problem past ``__post_init__``: what is part of a checked one needs no second check."""
    problem = object.__new__(RoundProblem)
    vars(problem).update(arrays, system=system)
    return problem


def _reject(bad: NDArray[np.bool_], values: NDArray[Any], name: str, why: str) -> None:
    if bad.any():
        env, device = (int(i) for i in np.argwhere(bad)[0])
        raise DecisionError(f"{name} of device {device} (environment {env}) is {values[env, device]}; {why}.")
