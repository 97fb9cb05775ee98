"""``sfl profile``: what each cut of a network costs."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from sfl_env.checks import nearest_name, require_choice, require_known, shown
from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import MOST_INPUT_ELEMENTS, DNNProfile, checked_shape
from sfl_env.errors import ProfileError
from sfl_lab.cli.own_modules import imported, imports_from
from sfl_lab.text import printable

if TYPE_CHECKING:
    from torch import nn

_BYTES_PER_ELEMENT = 4
"""Smashed data are shown for activations of 32 bits."""

_INPUT_TYPES = (
    *("float32", "float64", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool", "complex64", "complex128"),
)
"""Names of torch's types of numbers that a network may take."""

_FEWEST_DIGITS = 3
"""Significant digits of a cost; three decimals suffice for it from a tenth of a unit on."""


@dataclass(frozen=True)
class Profile:
    """Show what each cut of a network costs, and write it to a file that a scenario takes as its model.

    Examples: 'sfl profile resnet18' or 'sfl profile my_pkg.my_mod:MyNet --input-shape 3,32,32 --out net.json'.
    """

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """Network of the catalogue, profile file ending in .json, or MODULE:NAME or FILE.py:NAME of a torch module, of
    a class or of a function that makes one without arguments; modules are looked up from the current directory
    too."""
    input_shape: Annotated[str | None, tyro.conf.arg(metavar="C,H,W")] = None
    """Shape of one sample without the batch, such as 3,32,32. Needed for a network of your own."""
    input_dtype: Annotated[str | None, tyro.conf.arg(metavar="TYPE")] = None
    """Type of the input's numbers, such as int64, for a network of your own; by default that of its parameters, or
    int64 (tokens) if it takes no such numbers."""
    out: Path | None = None
    """Write the profile to this JSON file."""
    overwrite: bool = False
    """Replace the file if it is there."""

    def run(self) -> None:
        """Print the table and write the file."""
        if self.out is not None and self.out.exists() and not self.overwrite:
            raise ProfileError(f"{self.out} is there already; give --overwrite to replace it.")
        # Before a network's own code runs, which may go to another folder.
        out = None if self.out is None else self.out.absolute()
        shape = None if self.input_shape is None else _shape(self.input_shape)
        if self.input_dtype is not None:
            require_choice("--input-dtype", self.input_dtype, _INPUT_TYPES, ProfileError)
        profile = _own_profile if ":" in self.model else _known_profile
        measured = profile(self.model, shape, self.input_dtype)
        _show(measured)
        if out is not None:
            measured.to_json(out)
            print(printable(f"Written to {self.out}"))


def _shape(text: str) -> tuple[int, ...]:
    try:
        return checked_shape([int(size) for size in text.split(",")])
    except ValueError as error:
        raise ProfileError(
            f"--input-shape is {shown(text)}; it has to be whole numbers of at least 1 with commas, such as "
            f"3,32,32, and at most {MOST_INPUT_ELEMENTS:,} elements together."
        ) from error


def _own_profile(model: str, input_shape: tuple[int, ...] | None, input_dtype: str | None) -> DNNProfile:
    if input_shape is None:
        raise ProfileError(f"{model} needs --input-shape, such as --input-shape 3,32,32.")
    import torch

    from sfl_env.dnn.measure import profile

    where, _, name = model.rpartition(":")
    dtype: torch.dtype | None = None if input_dtype is None else getattr(torch, input_dtype)
    with imports_from(where):
        return profile(_network(model), input_shape, name=name, input_dtype=dtype)


def _known_profile(model: str, input_shape: tuple[int, ...] | None, input_dtype: str | None) -> DNNProfile:
    if not model.endswith(".json"):
        own = "a profile file that ends in .json, or MODULE:NAME or FILE.py:NAME for a network of your own"
        require_known("network", model, catalogue.names(), ProfileError, own)
    if input_dtype is not None:
        raise ProfileError(f"--input-dtype is for networks of your own; {model} takes what it was measured with.")
    stored = catalogue.load(model)
    if input_shape is None or input_shape == stored.input_shape:
        return stored
    if model.endswith(".json"):
        raise ProfileError(
            f"{model} was measured for the input shape {','.join(map(str, stored.input_shape))}; profile the "
            "network itself for another."
        )
    from sfl_env.dnn.measure import catalogue_profile

    return catalogue_profile(model, input_shape)


def _network(target: str) -> "nn.Module":
    """Return the module that MODULE:NAME stands for, after calling it if it is a class or a function."""
    from torch import nn

    from sfl_env.dnn.foreign import foreign_code

    found = _found(target)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise ProfileError(
            f"{target} is of type {type(found).__name__}; it has to be a torch module or to make one."
        )
    _check_needs_no_arguments(target, found)
    with foreign_code(f"{target}() failed"):
        made = found()
    if not isinstance(made, nn.Module):
        raise ProfileError(f"{target}() makes a {type(made).__name__}; it has to make a torch module.")
    return made


def _found(target: str) -> Any:
    from sfl_env.dnn.foreign import foreign_code

    module_name, _, attribute = target.rpartition(":")
    with foreign_code(f"The module {module_name!r} of {target} cannot be imported from {Path.cwd()}"):
        found: Any = imported(module_name)
    for name in attribute.split("."):
        with foreign_code(f"{module_name} does not give {attribute!r}"):
            is_there = hasattr(found, name)
            inner = getattr(found, name, None)
        if not is_there:
            raise ProfileError(f"{module_name} has no {attribute!r}{nearest_name(name, dir(found))}.")
        found = inner
    return found


def _check_needs_no_arguments(target: str, maker: Any) -> None:
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (ValueError, TypeError):  # what is not written in Python may have none
        return
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise ProfileError(
            f"{target} needs arguments ({', '.join(needed)}); give a function without arguments that makes it, "
            "or a module that is made already."
        )


def _show(profile: DNNProfile) -> None:
    from rich.table import Table

    from sfl_lab.cli.terminal import console

    shape = "x".join(map(str, profile.input_shape))
    forward, backward = profile.device_forward_flops[-1], profile.device_backward_flops[-1]
    table = Table(
        title=f"{printable(profile.name)}, input {shape}, {profile.num_cuts} cuts: cost of one sample",
        caption=(
            f"Whole network: {_number(forward / 1e6)} MFLOP forward, {_number(backward / 1e6)} backward, "
            f"{profile.device_parameters[-1]:,.0f} parameters. FLOPs = 2 x MAC. Smashed data of "
            f"{8 * _BYTES_PER_ELEMENT} bits an element, 1 kB = 1000 bytes. Each cut is named after the last block "
            f"on the device.{''.join(_notes(profile))}"
        ),
    )
    table.add_column("cut", justify="right")
    table.add_column("after", no_wrap=True)
    for heading in (
        "device fwd\nMFLOP",
        "device bwd\nMFLOP",
        "server fwd\nMFLOP",
        "server bwd\nMFLOP",
        "smashed\nkB",
        "device\nparameters",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _rows(profile):
        table.add_row(*row)
    console().print(table)


def _notes(profile: DNNProfile) -> Iterator[str]:
    """Yield a sentence, after a blank, on each thing that only some networks have."""
    forward, backward = profile.device_forward_flops_per_batch[-1], profile.device_backward_flops_per_batch[-1]
    if forward or backward:
        yield (
            f" A mini-batch costs the whole network {_number(forward / 1e6)} MFLOP forward and "
            f"{_number(backward / 1e6)} backward on top, whatever its size."
        )
    if frozen := profile.device_frozen_parameters[-1]:
        yield f" {frozen:,.0f} of the parameters are frozen: they do not train."
    if constant := profile.device_constant_buffers[-1]:
        yield f" Training leaves {constant:,.0f} of {profile.device_buffers[-1]:,.0f} buffers as they are."
    unanswered = (profile.smashed_gradient_elements == 0.0) & (profile.smashed_elements > 0.0)
    if unanswered.any():
        cuts = ", ".join(str(index + 1) for index in np.flatnonzero(unanswered))
        yield f" No gradient comes back at cut {cuts}, where the device side trains nothing."


def _rows(profile: DNNProfile) -> Iterator[list[str]]:
    """Yield the cells of each cut."""
    flops = (
        profile.device_forward_flops,
        profile.device_backward_flops,
        profile.server_forward_flops,
        profile.server_backward_flops,
    )
    for index, name in enumerate(profile.cut_names):
        yield [
            str(index + 1),
            printable(name),
            *(_number(each[index] / 1e6) for each in flops),
            _number(profile.smashed_elements[index] * _BYTES_PER_ELEMENT / 1e3),
            f"{profile.device_parameters[index]:,.0f}",
        ]


def _number(value: float) -> str:
    """Return a cost with three decimals, or as many as three digits need where it is small; nothing is plain 0."""
    if value >= 0.1 or value == 0.0:
        return f"{value:,.3f}" if value else "0"
    return np.format_float_positional(value, precision=_FEWEST_DIGITS, fractional=False, trim="-")
