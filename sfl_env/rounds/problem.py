"""One round's joint problem of cuts and bandwidth, and a decision on it, as plain values."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, row_maxima, row_starts
from sfl_env.checks import require_choice
from sfl_env.errors import DecisionError, ProblemError
from sfl_env.rounds.curve_checks import check_curve
from sfl_env.rounds.curves import SHANNON, RateCurve
from sfl_env.rounds.fading_levels import fading_levels
from sfl_env.rounds.numbers import cut_indices, real_numbers, reject_devices
from sfl_env.rounds.problem_values import ARRAYS, FIELDS, check_values
from sfl_env.rounds.radio import uplink_rate_bps
from sfl_env.scenario import System

SHARE_SUM_TOLERANCE = 1e-9
"""By how much shares may sum above 1 from rounding alone."""

SYSTEMS: dict[System, str] = {
    "parallel": "all devices work at once",
    "sequence": "devices take turns",
    "staged": "devices wait for each other in every stage",
    "queued": "devices queue for the server",
    "deadline": "late devices are left out",
}
"""The systems that a round can be of, in words."""


_OWN_SOLVERS: dict[System, str] = {
    "sequence": " sfl_baselines.solve_in_turn has the optimum.",
    "staged": " sfl_baselines.staged has solvers of such rounds and a bound below all decisions, staged_bound.",
}
"""What messages add of systems with solvers elsewhere."""


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
    rician_k : (N, K) array, optional
        Rician factor, linear, of the small-scale fading over which the uplink's rate is averaged: 0 for Rayleigh
        fading, infinite, the default, for a link that does not fade within the round.
    uplink_curve : RateCurve
        What a ratio carries in the uplink, see :mod:`sfl_env.rounds.curves`; Shannon's bound by default.
    system : {"parallel", "sequence", "staged", "queued", "deadline"}
        What the length of the round is made of. The solvers are for devices that work at once; where the round is
        another system's, they refuse, since what they prove would not hold there. :meth:`as_parallel` is the
        surrogate that they solve.

    Raises
    ------
    ProblemError
        If shapes do not fit, a number is negative, NaN or out of range (:data:`SMALLEST` to :data:`LARGEST`), or a
        device has no cut that fits.

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
    rician_k: Array = field(default_factory=lambda: np.array(np.inf))  # (N, K), or one number for all
    uplink_curve: RateCurve = SHANNON
    system: System = "parallel"

    def __post_init__(self) -> None:
        require_choice("system", self.system, tuple(SYSTEMS), ProblemError)
        check_curve("uplink_curve", self.uplink_curve, ProblemError)
        for name in ARRAYS:
            values = real_numbers(name, getattr(self, name), ProblemError).view()
            if name == "rician_k" and values.ndim == 0:
                values = np.full(self.uplink_snr_hz.shape, values)
            # It may share memory with an environment's state, or with what has been derived of it already.
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        shape = self.fixed_s.shape
        if len(shape) != 3 or 0 in shape[1:]:
            raise ProblemError(f"fixed_s has shape {shape}; it has to be (N, K, C), K and C at least 1.")
        expected = {
            "uplink_bits": shape,
            "downlink_bits": shape,
            "uplink_snr_hz": shape[:2],
            "downlink_full_rate_bps": shape[:2],
            "uplink_bandwidth_hz": shape[:1],
            "rician_k": shape[:2],
        }
        for name, wanted in expected.items():
            if getattr(self, name).shape != wanted:
                raise ProblemError(
                    f"{name} has shape {getattr(self, name).shape}; beside fixed_s of shape {shape} it has "
                    f"to be {wanted}."
                )
        check_values({name: getattr(self, name) for name in ARRAYS})

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, K, C): environments, devices, cuts."""
        n, k, c = self.fixed_s.shape
        return n, k, c

    @cached_property
    def fading_levels(self) -> Array | None:
        """(Q, N, K): levels of power that the uplink's rate is averaged over; None where no link fades."""
        return fading_levels(self.rician_k)

    @cached_property
    def needs_band(self) -> NDArray[np.bool_]:
        """(N, K, C): whether a device at a cut sends or receives anything that takes time."""
        receives = (self.downlink_bits > 0.0) & np.isfinite(self.downlink_full_rate_bps)[..., None]
        return (self.uplink_bits > 0.0) | receives

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "RoundProblem":
        """Some of the N rounds."""
        part = object.__new__(RoundProblem)
        # Past __post_init__: what is part of a checked problem needs no second check.
        arrays = {name: getattr(self, name)[index] for name in ARRAYS}
        vars(part).update(arrays, uplink_curve=self.uplink_curve, system=self.system)
        return part

    def as_parallel(self) -> "RoundProblem":
        """Return the problem as if all devices worked at once: itself, or the surrogate of another system.

        What is proven of a surrogate says nothing about the round that it stands for.
        """
        if self.system == "parallel":
            return self
        return self._changed(system="parallel")

    def without_computing(self) -> "RoundProblem":
        """Return the problem with the same bits to send and nothing to compute."""
        return self._changed(fixed_s=np.zeros_like(self.fixed_s))

    def without_cuts(self, left_out: NDArray[np.bool_]) -> "RoundProblem":
        """Return the problem as if the cuts (N, K, C) that are left out did not fit; each device has to keep one.

        Raises
        ------
        ProblemError
            If all cuts of a device are left out.
        """
        fixed_s = np.where(left_out, np.inf, self.fixed_s)
        bare = ~np.isfinite(fixed_s).any(axis=-1)
        if bare.any():
            env, device = (int(i) for i in np.argwhere(bare)[0])
            raise ProblemError(
                f"All cuts of device {device} (environment {env}) are left out; leave it one that fits."
            )
        return self._changed(fixed_s=fixed_s)

    def longer_by(self, extra_s: Array) -> "RoundProblem":
        """Return the problem with seconds on top, (N, K, C), such as what a cut costs in rounds to come."""
        return self._changed(fixed_s=self.fixed_s + extra_s)

    def _changed(self, **fields: Any) -> "RoundProblem":
        changed = object.__new__(RoundProblem)
        vars(changed).update({name: getattr(self, name) for name in FIELDS} | fields)
        return changed

    def require_parallel(self, solver: str) -> None:
        """Raise :class:`ProblemError` where a solver for devices that work at once would prove what does not hold.

        Raises
        ------
        ProblemError
            If the problem is of another system.
        """
        if self.system != "parallel":
            raise ProblemError(
                f"{solver} solves rounds in which all devices work at once, and this one's system is "
                f"{self.system!r} ({SYSTEMS[self.system]}), where its decision need not be the best and its bound "
                "does not hold. Solve problem.as_parallel() if a surrogate will do."
                f"{_OWN_SOLVERS.get(self.system, '')}"
            )

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
        """(N, K): seconds until each device has finished; infinite where a needed band is missing.

        Devices are looked at one by one: shares may sum above 1, for questions such as how long each device
        would take with the whole band.

        Raises
        ------
        DecisionError
            For a wrong shape or a cut that is not there.
        """
        cut, share = self._taken(decision)
        fixed, up, down, needs = self.at_cut(cut)
        band_hz, levels = self.uplink_bandwidth_hz[:, None], self.fading_levels
        rate = uplink_rate_bps(share, band_hz, self.uplink_snr_hz, self.uplink_curve, levels)
        usable = np.where(share > 0.0, share, 1.0)
        latency: Array = fixed + up / rate + down / (usable * self.downlink_full_rate_bps)
        latency[(share == 0.0) & needs] = np.inf
        return latency

    def latency_s(self, decision: Decision) -> Array:
        """(N,): the round's length: its slowest device's seconds, or where devices take turns, all of theirs.

        In turn, each device has the whole band, whatever its share.

        Raises
        ------
        DecisionError
            If the decision cannot be carried out; see :meth:`check`.
        ProblemError
            For the other systems, whose rounds do not follow from these numbers.
        """
        if self.system == "sequence":
            cut = self.check_cut(self._taken(decision)[0])
            alone = self.device_latency_s(Decision(cut, np.ones(self.fixed_s.shape[:2])))
            return np.asarray(alone.sum(axis=-1))
        self.require_parallel("latency_s")
        self.check(decision)
        return row_maxima(self.device_latency_s(decision))

    def check_cut(self, cut: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the cuts as indices if every device can take its own.

        Raises
        ------
        DecisionError
            For a wrong shape or type, or a cut that is not there or does not fit into the device's memory.
        """
        known = self._checked_cut(cut)
        fits = np.isfinite(np.take_along_axis(self.fixed_s, known[..., None], axis=-1)[..., 0])
        reject_devices(~fits, known, "cut", "it does not fit into the device's memory; take a shallower one")
        return known

    def _taken(self, decision: Decision) -> tuple[NDArray[np.intp], Array]:
        """Return a decision's cuts and shares as arrays that devices can be looked at with."""
        if not isinstance(decision, Decision):
            raise DecisionError(f"{type(decision).__name__} is no decision; write Decision(cut, bandwidth_share).")
        return self._checked_cut(decision.cut), self._checked_share(decision.bandwidth_share)

    def _checked_cut(self, cut: NDArray[np.intp]) -> NDArray[np.intp]:
        known = cut_indices(cut)
        self._check_shape("cut", known)
        num_cuts = self.fixed_s.shape[-1]
        bad = (known < 0) | (known >= num_cuts)
        reject_devices(bad, known, "cut", f"it has to be an index from 0 to {num_cuts - 1}")
        return known.astype(np.intp, copy=False)

    def _checked_share(self, share: Array) -> Array:
        known = real_numbers("bandwidth_share", share, DecisionError)
        self._check_shape("bandwidth_share", known)
        reject_devices(~((known >= 0.0) & (known < np.inf)), known, "bandwidth_share", "it has to be from 0 to 1")
        return known

    def _check_shape(self, name: str, values: NDArray[Any]) -> None:
        wanted = self.fixed_s.shape[:2]
        if values.shape != wanted:
            raise DecisionError(f"{name} has shape {values.shape}; it has to be {wanted}.")

    def check(self, decision: Decision) -> None:
        """Raise :class:`DecisionError` unless the decision can be carried out.

        Raises
        ------
        DecisionError
            For a wrong shape or type, a cut that is not there or does not fit, a share that is negative or not
            finite, shares that sum above 1, or no share for a device whose cut needs the band.
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
        reject_devices(needs & (share == 0.0), share, "bandwidth_share", "but the device's cut needs the band")
