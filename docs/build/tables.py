"""Write the generated pages of this folder: scenario.md, devices.md and networks.md.

Run ``python docs/build/tables.py`` after a scenario field, a device type or a stored network has changed; a test
compares the pages with what this script makes of the code.
"""

import ast
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from sfl_env.devices import DeviceType
from sfl_env.devices import catalogue as devices
from sfl_env.dnn import catalogue as networks
from sfl_env.dnn.networks import network
from sfl_env.dnn.profile import DNNProfile
from sfl_env.presets import PRESETS
from sfl_env.scenario import describe_fields

DOCS = Path(__file__).parents[1]
GENERATED = "<!-- Written by docs/build/tables.py: change the code and run it, not this page. -->\n"

_BOTTLENECKS = (
    "He et al., 2016. The stride of a stage lies in the 3x3 convolution of its first block, as torchvision has it "
    '("v1.5"), not in the first 1x1 convolution as in the paper.'
)
_VGG19 = "Simonyan & Zisserman, 2015, column E."
_SMALL_STEM = "The stem is one 3x3 convolution without pooling."

NOTES = {
    "resnet50": f"{_BOTTLENECKS} {_SMALL_STEM}",
    "resnet50-224": _BOTTLENECKS,
    "resnet101": f"{_BOTTLENECKS} {_SMALL_STEM}",
    "resnet101-224": _BOTTLENECKS,
    "vgg19": f"{_VGG19} The head is 512 wide.",
    "vgg19-224": _VGG19,
    "efficientnetb0-224": (
        "Tan & Le, 2019. Stochastic depth silences a residual branch for single samples of a batch, with a "
        "probability that grows to 0.2 with the depth. The branch is computed all the same, so it saves no FLOPs."
    ),
    "vitb16": (
        "Dosovitskiy et al., 2021, without dropout. The FLOPs hold the products of queries, keys and values: 0.72 "
        "of the 17.56 giga multiply-accumulates forward."
    ),
    "gpt2": (
        "GPT-2 small (Radford et al., 2019), with a classifier of 2 classes on the last token. Its language head "
        "would be tied to the token embedding, and a weight that lies on both sides of a cut cannot be split. Of "
        "the parameters 124,439,808 are GPT-2's own. Attention counts all pairs of tokens, also those that the "
        "causal mask hides. There is no padding mask. Up to 1,024 tokens are taken; 128 is the usual longest "
        "input of fine-tuning on GLUE."
    ),
    "llama-lora": (
        "A Llama of TinyLlama-1.1B's size (Zhang et al., 2024), frozen, with LoRA (Hu et al., 2022) of rank 8 on "
        "queries and values, and a classifier of 2 classes on the last token. TinyLlama has 1,100,048,384 "
        "parameters; its language head of 32,000 x 2,048 is not here. The adapters have 1,126,400 and the "
        "classifier 4,096, and only these train. Attention counts all pairs of tokens. There is no padding mask."
    ),
}
"""What a reader has to know about a network beside its numbers."""


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
    return "\n".join(
        (
            "# Devices\n",
            GENERATED,
            prose(
                "The device types that `device_types` of a scenario can name. A pass of training that takes F "
                "FLOPs and moves M bytes of activations takes F / peak + M / bandwidth seconds on a device, "
                "forward and backward each with a peak and a bandwidth of its own; a device whose speed is "
                "partly taken has all four in proportion. The bandwidth is that of training, with all that it "
                "does for each number, not that of the memory. The server, a graphics processor, is FLOP/s "
                "alone."
            ),
            table(
                ("type", "forward GFLOP/s", "forward GB/s", "backward GFLOP/s", "backward GB/s", "memory (GB)"),
                (speeds_row(kind) for kind in kinds),
            ),
            prose("What the whole device draws in each state, what its antenna radiates, and its full battery:"),
            table(
                (
                    "type",
                    "waiting (W)",
                    "computing (W)",
                    "sending (W)",
                    "receiving (W)",
                    "radiated (W)",
                    "battery (Wh)",
                ),
                (powers_row(kind) for kind in kinds),
            ),
            prose(
                "[Model against measurement](devices-measured.md) shows how well this describes layer times, "
                "and what decisions lose by it."
            ),
            "## Where the figures come from\n",
            rules + "\n",
            "".join(prose(f"- **`{kind.name}`**: {notes[kind.name]}", indent="  ") for kind in kinds),
        )
    )


def speeds_row(kind: DeviceType) -> tuple[str, ...]:
    """Return a device type's line among speeds and memories."""
    speeds = (
        kind.forward_flops_per_s,
        kind.forward_bytes_per_s,
        kind.backward_flops_per_s,
        kind.backward_bytes_per_s,
    )
    return (f"`{kind.name}`", *(f"{speed / 1e9:.3g}" for speed in speeds), f"{kind.memory_bytes / 1e9:g}")


def powers_row(kind: DeviceType) -> tuple[str, ...]:
    """Return a device type's line among powers and batteries."""
    drawn = (kind.idle_w, kind.computing_w, kind.transmitting_w, kind.receiving_w, kind.transmit_power_w)
    battery = "mains" if math.isinf(kind.battery_j) else f"{kind.battery_j / 3600.0:g}"
    return (f"`{kind.name}`", *(f"{watts:.3g}" for watts in drawn), battery)


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
            prose(
                "An input of tokens is a sequence of whole numbers, from 0 to the size of the vocabulary - 1. "
                "No weights are downloaded: costs do not depend on them."
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
        input_of(name, profile),
        figures(profile.device_forward_flops[-1]),
        figures(profile.device_backward_flops[-1]),
        parameters_of(profile),
        str(profile.num_cuts),
    )


def cuts_section(name: str, profile: DNNProfile) -> str:
    """Return a network's cuts."""
    columns = {
        "forward": profile.device_forward_flops,
        "backward": profile.device_backward_flops,
        "smashed elements": profile.smashed_elements,
        "device parameters": profile.device_parameters,
    }
    if profile.device_frozen_parameters.any():
        columns["of which train"] = profile.device_parameters - profile.device_frozen_parameters
    rows = [
        (str(index + 1), f"`{cut}`", *(figures(values[index]) for values in columns.values()))
        for index, cut in enumerate(profile.cut_names)
    ]
    note = f"\n{prose(NOTES[name])}" if name in NOTES else ""
    cuts = table(("cut", "last block on the device", *columns), rows)
    return f"### {name}\n\nInput {input_of(name, profile)}.\n{note}\n{cuts}"


def input_of(name: str, profile: DNNProfile) -> str:
    """Return a network's input as it is written: pixels, or the number of tokens.

    Examples
    --------
    >>> input_of("lenet5", networks.load("lenet5"))
    '1x28x28'
    """
    shape = "x".join(map(str, profile.input_shape))
    return f"{shape} tokens" if network(name).input_kind == "tokens" else shape


def parameters_of(profile: DNNProfile) -> str:
    """Return a network's parameters, and how many of them train where some do not."""
    count, frozen = profile.device_parameters[-1], profile.device_frozen_parameters[-1]
    return f"{count:,.0f}, of which {count - frozen:,.0f} train" if frozen else f"{count:,.0f}"


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
