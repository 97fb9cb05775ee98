"""What the NumPy idioms of :mod:`sfl_env.arrays` gain: ``python -m speed.idioms``.

Each is timed against what one would write without it, in turn, on arrays of N environments of 10 devices. A gain
of 1 is none. The table in :mod:`sfl_env.arrays` is what this prints.
"""

import statistics
import timeit
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sfl_env.arrays import constant, row_maxima, row_sums
from sfl_env.rounds.conditions import Conditions

SIZES = (1, 1024)
NUM_DEVICES = 10
REPEATS = 41

Call = Callable[[], Any]


def draws(n: int) -> Any:
    """Return (N, K) uniform numbers."""
    return np.random.default_rng(0).random((n, NUM_DEVICES))


def _constants(n: int) -> tuple[Call, Call]:
    values, number, array = draws(n), 0.5, constant(0.5)
    return lambda: values * number, lambda: values * array


def _row_sums(n: int) -> tuple[Call, Call]:
    values, ones = draws(n), row_sums(NUM_DEVICES)
    return lambda: values.sum(axis=-1, keepdims=True), lambda: values.dot(ones)


def _shares(n: int) -> tuple[Call, Call]:
    values, ones = draws(n), row_sums(NUM_DEVICES)
    return lambda: values / values.sum(axis=-1, keepdims=True), lambda: values / values.dot(ones)


def _row_maxima(n: int) -> tuple[Call, Call]:
    values = draws(n)
    return lambda: values.max(axis=-1), lambda: row_maxima(values)


def _any(n: int) -> tuple[Call, Call]:
    flags = draws(n) > 2.0
    return lambda: flags.any(), lambda: np.count_nonzero(flags)


def _take(n: int) -> tuple[Call, Call]:
    table, index = np.random.default_rng(1).random((7, 12)), (draws(n) * 12).astype(np.intp)
    return lambda: table[:, index], lambda: table.take(index, axis=1)


def _in_place(n: int) -> tuple[Call, Call]:
    left, right = draws(n), draws(n)

    def ours() -> Any:
        result = left * right
        result += left
        return result

    return lambda: left * right + left, ours


def _positional_out(n: int) -> tuple[Call, Call]:
    left, right, out = draws(n), draws(n), np.empty((n, NUM_DEVICES))
    return lambda: np.divide(left, right, out=out), lambda: np.divide(left, right, out)


def _positional_fields(n: int) -> tuple[Call, Call]:
    v = draws(n)
    make: Any = Conditions  # what the fields hold makes no difference

    def plain() -> Any:
        return make(
            uplink_snr_hz=v,
            downlink_full_rate_bps=v,
            forward_flops_per_s=v,
            forward_bytes_per_s=v,
            backward_flops_per_s=v,
            backward_bytes_per_s=v,
            samples=v,
            deepest_cut=v,
            takes_part=v,
            fading=v,
        )

    return plain, lambda: make(v, v, v, v, v, v, v, v, v, v)


IDIOMS: Mapping[str, Callable[[int], tuple[Call, Call]]] = {
    "constant(x) for a Python number": _constants,
    "dot(row_sums(K)) for sum(axis=-1)": _row_sums,
    "the same, with a division by the sums": _shares,
    "row_maxima for max(axis=-1)": _row_maxima,
    "count_nonzero for any": _any,
    "take(axis=1) for an index array": _take,
    "in place for a new array": _in_place,
    "out by position": _positional_out,
    "a named tuple's fields by position": _positional_fields,
}


def gain(plain: Call, ours: Call) -> tuple[float, float, float]:
    """Return the median and the quartiles of how many times as long the plain way takes, in turns."""
    number = max(1, int(2e-3 / max(timeit.timeit(plain, number=20) / 20, 1e-8)))
    ratios = [timeit.timeit(plain, number=number) / timeit.timeit(ours, number=number) for _ in range(REPEATS)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def main() -> None:
    """Print the table."""
    print(f"{'idiom':<40}" + "".join(f"{'N = ' + str(n):>22}" for n in SIZES))
    for name, make in IDIOMS.items():
        cells = []
        for n in SIZES:
            middle, low, high = gain(*make(n))
            cells.append(f"{middle:8.2f} ({low:.2f}-{high:.2f})")
        print(f"{name:<40}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
