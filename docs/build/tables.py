"""Write the generated pages of this folder: scenario.md, devices.md and networks.md.

Run ``python docs/build/tables.py`` after a scenario field, a device type or a stored network has changed; a test
compares the pages with what this script makes of the code.
"""

import ast
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from sfl_env.devices import catalogue as devices
from sfl_env.dnn import catalogue as networks
from sfl_env.dnn.profile import DNNProfile
from sfl_env.presets import PRESETS
from sfl_env.scenario import describe_fields

DOCS = Path(__file__).parents[1]
GENERATED = "<!-- Written by docs/build/tables.py: change the code and run it, not this page. -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


def prose(text: str, indent: str = "") -> str:
    """Return a paragraph in lines of the repository's width."""
    return (
        textwrap.fill(text, 115, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"
    )


def figures(value: float) -> str:
    """Return a number to three significant figures with its metric prefix, such as ``15.5 G``.

    Examples
    --------
    >>> figures(15.47e9), figures(61706), figures(12)
    ('15.5 G', '61.7 k', '12')
    """
    for scale, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= scale:
            return f"{value / scale:.3g}{prefix}"
    return f"{value:.3g}"


def scenario_page() -> str:
    """Return the page on scenario fields and presets."""
    python = {"null": "None", "true": "True", "false": "False"}
    rows = [
        (f"`{name}`", f"`{python.get(default, default)}`", unit, span, about)
        for name, default, unit, span, about in describe_fields()
    ]
    presets = [
        (f"`{name}`", preset.about, ", ".join(f"`{key}={value!r}`" for key, value in preset.fields.items()) or "-")
        for name, preset in PRESETS.items()
    ]
    example = (
        "```python\n"
        "import gymnasium as gym, sfl_env\n\n"
        'env = gym.make("SFL-v0", num_devices=30, model="resnet18", bandwidth_hz=50e6)\n'
        "```\n"
    )
    return "\n".join(
        (
            "# Scenario\n",
            GENERATED,
            prose(
                "A scenario is everything that defines the simulated system, as one frozen value. Every id is a "
                "preset of it, and `gym.make` overrides single fields:"
            ),
            example,
            prose(
                "An unknown field is an error that suggests the nearest known one; a value out of its range is an "
                "error that names field, value and range. Both ends of a range are allowed."
            ),
            "## Fields\n",
            table(("field", "default", "unit", "range or choices", "meaning"), rows),
            "## Ids\n",
            table(("id", "what it stands for", "fields"), presets),
        )
    )


def notes_on_devices() -> tuple[str, dict[str, str]]:
    """Return the catalogue's own words: the rules for all types, and on each type by its name."""
    tree = ast.parse(Path(devices.__file__).read_text(encoding="utf-8"))
    notes: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        match before, after:
            case (
                ast.Assign(value=ast.Call(args=[ast.Constant(value=str(name)), *_])),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                notes[name] = " ".join(text.split())
    _, _, rules = (ast.get_docstring(tree) or "").partition("\n\n")
    return rules, notes


def devices_page() -> str:
    """Return the page on device types and where their figures come from."""
    rules, notes = notes_on_devices()
    kinds = [devices.get(name) for name in devices.names()]
    rows = [
        (
            f"`{kind.name}`",
            f"{kind.compute_flops_per_s / 1e9:.3g}",
            f"{kind.backward_slowdown:.3g}",
            f"{kind.transmit_power_w:g}",
            f"{kind.energy_j_per_flop * 1e9:.3g}",
            f"{kind.memory_bytes / 1e9:g}",
        )
        for kind in kinds
    ]
    head = ("type", "GFLOP/s", "backward slowdown", "transmit power (W)", "energy (nJ/FLOP)", "memory (GB)")
    sources = [prose(f"- **`{kind.name}`**: {notes[kind.name]}", indent="  ") for kind in kinds]
    return "\n".join(
        (
            "# Devices\n",
            GENERATED,
            prose(
                "The device types that `device_types` of a scenario can name. GFLOP/s are sustained in a "
                "training's forward pass; a FLOP of the backward pass takes *backward slowdown* times as long."
            ),
            table(head, rows),
            "## Where the figures come from\n",
            rules.replace(":data:`SUSTAINED_OVER_PEAK`", f"{devices.SUSTAINED_OVER_PEAK:g}") + "\n",
            "".join(sources),
        )
    )


def networks_page() -> str:
    """Return the page on stored networks."""
    profiles = {name: networks.load(name) for name in networks.names()}
    head = ("network", "input", "forward FLOPs", "backward FLOPs", "parameters", "cuts")
    return "\n".join(
        (
            "# Networks\n",
            GENERATED,
            prose(
                "The networks whose profiles are stored in the package, to be named in a scenario's `model`. "
                "FLOPs are per sample, 1 multiply-accumulate counts as 2, measured on the real modules. "
                "`sfl_env.profile(module, input_shape)` profiles a network of your own."
            ),
            table(head, (network_row(name, profile) for name, profile in profiles.items())),
            "## Cuts\n",
            prose(
                "FLOPs and parameters are those of the device side; the last cut keeps the whole network there "
                "and sends no smashed data."
            ),
            "\n".join(cuts_section(name, profile) for name, profile in profiles.items()),
        )
    )


def network_row(name: str, profile: DNNProfile) -> tuple[str, ...]:
    """Return a network's line among all."""
    return (
        f"[`{name}`](#{name})",
        shape_of(profile),
        figures(profile.device_forward_flops[-1]),
        figures(profile.device_backward_flops[-1]),
        f"{profile.device_parameters[-1]:,.0f}",
        str(profile.num_cuts),
    )


def cuts_section(name: str, profile: DNNProfile) -> str:
    """Return a network's cuts."""
    rows = [
        (
            str(index + 1),
            f"`{cut}`",
            figures(profile.device_forward_flops[index]),
            figures(profile.device_backward_flops[index]),
            figures(profile.smashed_elements[index]),
            figures(profile.device_parameters[index]),
        )
        for index, cut in enumerate(profile.cut_names)
    ]
    head = ("cut", "last block on the device", "forward", "backward", "smashed elements", "device parameters")
    return f"### {name}\n\nInput {shape_of(profile)}.\n\n{table(head, rows)}"


def shape_of(profile: DNNProfile) -> str:
    """Return the shape of a network's input as it is written."""
    return "x".join(map(str, profile.input_shape))


def pages() -> dict[str, str]:
    """Return the generated pages by their file names."""
    return {"scenario.md": scenario_page(), "devices.md": devices_page(), "networks.md": networks_page()}


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
