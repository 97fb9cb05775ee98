"""Whether the numbers of a profile can belong to one network."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import shown
from sfl_env.errors import ProfileError

_NONE_AT_THE_LAST = (
    "smashed_elements",
    "server_forward_flops",
    "server_backward_flops",
    "server_forward_flops_per_batch",
    "server_backward_flops_per_batch",
)

_GROWING = (
    "device_forward_flops",
    "device_backward_flops",
    "device_forward_flops_per_batch",
    "device_backward_flops_per_batch",
    "device_parameters",
    "device_buffers",
    "device_frozen_parameters",
    "device_constant_buffers",
)
_SHRINKING = (
    "server_forward_flops",
    "server_backward_flops",
    "server_forward_flops_per_batch",
    "server_backward_flops_per_batch",
)

_MOVED = (
    ("device_forward_flops", "server_forward_flops"),
    ("device_forward_flops_per_batch", "server_forward_flops_per_batch"),
)
"""Work that a cut moves from one side to the other."""

_PARTS = (
    ("device_frozen_parameters", "device_parameters"),
    ("device_constant_buffers", "device_buffers"),
)
"""What stays as it is in training, and all of which it is a part."""


class Contradictions:
    """The checks of a profile's numbers against each other.

    Parameters
    ----------
    cut_names : tuple of str
        The C cuts.
    arrays : mapping
        The profile's (C,) arrays by field.
    """

    def __init__(self, cut_names: tuple[str, ...], arrays: Mapping[str, Array]) -> None:
        self._cut_names = cut_names
        self._arrays = arrays

    def require_none(self) -> None:
        """Raise unless all numbers can belong to one network.

        Raises
        ------
        ProfileError
            Naming the field, the cut and what speaks against its number.
        """
        self._check_last_cut()
        self._check_gradient()
        for field in _GROWING:
            self._check_steps(field, self._arrays[field], "fall")
        for field in _SHRINKING:
            self._check_steps(field, -self._arrays[field], "rise")
        for part, whole in _PARTS:
            self._check_part(part, whole)
        for device, server in _MOVED:
            self._check_total(device, server)

    def _check_last_cut(self) -> None:
        last_cut = len(self._cut_names) - 1
        for field in _NONE_AT_THE_LAST:
            last = self._arrays[field][-1]
            if last != 0.0:
                raise ProfileError(
                    f"{field}[{last_cut}] is {last:g}; the last cut keeps the whole network on the device, so it "
                    "has to be 0."
                )
        silent = self._arrays["smashed_elements"][:-1] == 0.0
        if silent.any():
            place = self._place("smashed_elements", silent)[1]
            raise ProfileError(f"{place} is 0; only the last cut sends nothing.")

    def _check_gradient(self) -> None:
        sent, returned = self._arrays["smashed_elements"], self._arrays["smashed_gradient_elements"]
        other = returned > sent
        if other.any():
            index, place = self._place("smashed_gradient_elements", other)
            raise ProfileError(
                f"{place} is {returned[index]:g}; it can be at most smashed_elements[{index}], {sent[index]:g}, "
                "less where masks are sent, and 0 where no gradient is wanted."
            )

    def _check_steps(self, field: str, growing: Array, verb: str) -> None:
        wrong = np.diff(growing) < 0.0
        if wrong.any():
            index, place = self._place(field, np.append(False, wrong))
            values = self._arrays[field]
            raise ProfileError(
                f"{place} is {values[index]:g} after {values[index - 1]:g}; it cannot {verb} as the cut gets "
                "deeper."
            )

    def _check_part(self, part: str, whole: str) -> None:
        rest = self._arrays[whole] - self._arrays[part]
        too_many = rest < 0.0
        if too_many.any():
            index, place = self._place(part, too_many)
            raise ProfileError(
                f"{place} is {self._arrays[part][index]:g}, but {whole}[{index}] is "
                f"{self._arrays[whole][index]:g}; it counts some of these and cannot be more."
            )
        fewer = np.diff(rest) < 0.0
        if fewer.any():
            index, place = self._place(part, np.append(False, fewer))
            raise ProfileError(
                f"{place} leaves {rest[index]:g} of {whole} that change in training, after {rest[index - 1]:g}; "
                "they cannot become fewer as the cut gets deeper."
            )

    def _check_total(self, device: str, server: str) -> None:
        total = self._arrays[device] + self._arrays[server]
        differs = ~np.isclose(total, total[-1], rtol=1e-9, atol=0.0)
        if differs.any():
            index = int(np.argmax(differs))
            raise ProfileError(
                f"{device}[{index}] + {server}[{index}] (cut {shown(self._cut_names[index])}) is "
                f"{total[index]:g}, but the whole network has {total[-1]:g}; a cut moves work and changes none."
            )

    def _place(self, field: str, wrong: NDArray[np.bool_]) -> tuple[int, str]:
        """Return the first cut at which something is wrong, as an index and in words."""
        index = int(np.argmax(wrong))
        return index, f"{field}[{index}] (cut {shown(self._cut_names[index])})"
