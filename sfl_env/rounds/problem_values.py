"""What numbers a round's joint problem may hold."""

from collections.abc import Mapping

import numpy as np

from sfl_env.arrays import Array
from sfl_env.errors import ProblemError

SMALLEST, LARGEST = 1e-40, 1e40
"""Between these lies every number of a problem that is not 0 or infinite: then nothing that solvers compute leaves
the range of floats, and the least share that a device may need, around 1e-163, does not vanish."""

ARRAYS = (
    "fixed_s",
    "uplink_bits",
    "downlink_bits",
    "uplink_snr_hz",
    "downlink_full_rate_bps",
    "uplink_bandwidth_hz",
    "rician_k",
)
"""The fields of a problem that are arrays."""

FIELDS = (*ARRAYS, "uplink_curve", "system")

_MAY_BE_ZERO = frozenset({"fixed_s", "uplink_bits", "downlink_bits", "rician_k"})
MAY_BE_INFINITE = frozenset({"fixed_s", "downlink_full_rate_bps", "rician_k"})


def check_values(arrays: Mapping[str, Array]) -> None:
    """Raise :class:`ProblemError` unless every number is one that a problem may hold, and every device has a cut.

    Parameters
    ----------
    arrays : mapping
        Those of :data:`ARRAYS`, in their shapes.

    Examples
    --------
    >>> check_values({"uplink_bits": np.array([[[-1.0]]])})
    Traceback (most recent call last):
        ...
    sfl_env.errors.ProblemError: uplink_bits[0, 0, 0] (environment, device, cut) is -1.0; it has to be 0, ...
    """
    for name, values in arrays.items():
        good = (values >= SMALLEST) & (values <= LARGEST)
        if np.count_nonzero(good) == good.size:  # nearly always
            continue
        if name in _MAY_BE_ZERO:
            good |= values == 0.0
        if name in MAY_BE_INFINITE:
            good |= values == np.inf
        if not good.all():
            where = tuple(int(i) for i in np.argwhere(~good)[0])
            axes = ", ".join(("environment", "device", "cut")[: len(where)])
            wanted = "0, or " * (name in _MAY_BE_ZERO) + f"from {SMALLEST:g} to {LARGEST:g}"
            wanted += ", or infinite" * (name in MAY_BE_INFINITE)
            raise ProblemError(
                f"{name}[{', '.join(map(str, where))}] ({axes}) is {values[where]}; it has to be {wanted}."
            )
    hopeless = np.isinf(arrays["fixed_s"]).all(axis=-1)
    if hopeless.any():
        env, device = (int(i) for i in np.argwhere(hopeless)[0])
        raise ProblemError(
            f"Device {device} of environment {env} has fixed_s = inf at every cut: none fits its memory. "
            "Give it more memory or a smaller network."
        )
