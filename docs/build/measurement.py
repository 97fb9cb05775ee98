"""Write docs/devices-measured.md: ``python docs/build/measurement.py [--page]``.

Fits the devices' model of time to docs/data/layer-times.json, says how far it is off and what decisions lose by
it, and writes docs/data/devices-measured.json and, from that, the page. Takes a minute; with ``--page`` the
page alone is written. ``docs/build/layer_times.py`` adds machines.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfl_env.devices import catalogue

sys.path.insert(0, str(Path(__file__).parent))
from decisions import compared, parts_of_loss
from layer_model import (
    FORMS,
    PASSES,
    PI_LAYERS,
    RATES,
    Blocks,
    Machine,
    derived,
    load,
    predicted,
    rates,
    short,
    up_to_cuts,
)
from layer_times import DATA, NETWORKS
from tables import prose, table

DOCS = DATA.parents[1]
FIGURES, PAGE = DATA.parent / "devices-measured.json", DOCS / "devices-measured.md"
BOTH = tuple(NETWORKS)
CHOICES = (
    ("flops", BOTH),
    ("sum", BOTH),
    ("sum", ("vgg19",)),
    ("sum", ("resnet101",)),
    ("larger", BOTH),
    ("weights", BOTH),
    ("touched", BOTH),
)
"""Forms of the model, and the networks that each is fitted on."""


def fits(machine: Machine) -> list[dict[str, Any]]:
    """Return for each form, choice of networks and pass the speeds, and how far off each network's times are."""
    found = []
    for key, on in CHOICES:
        form, speeds = FORMS[key], machine.fit(FORMS[key], on)
        for which, name in enumerate(PASSES):
            entry: dict[str, Any] = {"form": key, "on": list(on), "pass": name, "speeds": short(speeds[which])}
            for network in NETWORKS:
                wanted = machine.seconds[network][which]
                blocks = machine.blocks[network]
                model = predicted(form, speeds[which], blocks, which)
                of_blocks = np.abs(model / wanted - 1.0)
                of_cuts = np.abs(up_to_cuts(model, blocks) / up_to_cuts(wanted, blocks) - 1.0)
                errors = [stage(each) for each in (of_blocks, of_cuts) for stage in (np.median, np.max)]
                entry[network] = short([*errors, model.sum() / wanted.sum()])
            found.append(entry)
    return found


def by_block(machine: Machine, network: str) -> list[dict[str, Any]]:
    """Return each block's rate, and its seconds as measured and as the model has them, for both passes."""
    blocks, seconds, fit = machine.blocks[network], machine.seconds[network], machine.fit(FORMS["sum"], BOTH)
    model = np.stack([predicted(FORMS["sum"], fit[which], blocks, which) for which in range(2)])
    return [
        {
            "name": name,
            "rates": short(blocks.flops[:, c] / seconds[:, c]),
            "measured": short(seconds[:, c]),
            "model": short(model[:, c]),
        }
        for c, name in enumerate(blocks.names)
    ]


def against_rates(blocks: Blocks) -> list[tuple[str, str, float, float]]:
    """Return type, layer, published and modelled GFLOP/s of VGG-19's forward pass."""
    rows = []
    for name, wanted in RATES.items():
        kind = catalogue.get(name)
        whole, layers = rates(kind.forward_flops_per_s, kind.forward_bytes_per_s, blocks)
        rows.append((name, "all layers", wanted, *short([whole])))
        if name == "raspberry-pi-4":
            found = (layers[0], layers[1], layers.max())
            rows += [
                (name, layer, rate, *short([model]))
                for (layer, rate), model in zip(PI_LAYERS.items(), found, strict=True)
            ]
    return rows


def figures() -> dict[str, Any]:
    """Return all that the page tells of."""
    machines = load()
    stored = json.loads(DATA.read_text(encoding="utf-8"))["machines"]
    first = next(iter(machines.values()))
    return {
        "rates": against_rates(first.blocks["vgg19"]),
        "derived": {name: short(speeds) for name, speeds in derived(machines["epyc-core"]).items()},
        "machines": {
            name: {
                "source": stored[name]["source"],
                "fits": fits(machine),
                "losses": compared(machine),
                "blocks": {network: by_block(machine, network) for network in NETWORKS},
            }
            for name, machine in machines.items()
        },
    }


ABOUT = """# Model against measurement

<!-- Written by docs/build/measurement.py from docs/data/devices-measured.json: no figure of a table was typed. -->

On a [device](devices.md), a pass of training takes FLOPs / peak + bytes / bandwidth seconds: two figures for
the forward and two for the backward pass. Bytes are those of the activations that the backward pass needs, as a
profile counts them (`device_activation_elements`), in the width of `training_bits`. Weights are left out, which
are moved once for each mini-batch, and so are the optimiser's step and the time to start an operation.
"""

PROVENANCE = """## Published rates

Tirana et al. (INFOCOM 2024) timed the layers of VGG-19 and ResNet-101 on a testbed, and offer the times as
spreadsheets beside their code. The rates in this table were computed from those spreadsheets in a review of
this project, with the testbed's own network (681.6 million multiply-accumulates). The spreadsheets themselves
were not at hand for this page: `python docs/build/layer_times.py read FOLDER` takes them over, and the machines
that are in them then appear below. The model's second convolution holds the pool behind it.
"""

MEASURED = """## Measured layer times

Layers of the same two networks, timed one by one on batches of 128 (`docs/build/layer_times.py measure`).
Blocks are the layers between two cuts. Fits are least squares on the logarithms of cumulative times up to the cuts
that send less smashed data than every shallower one: seven of VGG-19, three of ResNet-101. A decision weighs such
a time, not a block's, against the time to send, and another cut computes more without sending less.

For each network the tables show the median and the largest error of a block and of the time up to such a cut, and
the whole pass's time over the measured one. A star marks a network that the fit has not seen.
"""

FOLLOWS = """## What follows

* FLOPs alone are wrong by more than a factor of two for most of VGG-19's blocks: the first convolution runs at a
  small part of the later ones' rate. Decisions lose far less by the roofline's sum, though FLOPs alone fit
  ResNet-101's backward pass better. The larger of both is no better up to VGG-19's cuts.
* Decisions are to lose at most 1 % under the measured times. They do for ResNet-101, also with a fit that has seen
  only VGG-19. They do not for VGG-19, and no two figures a pass were found with which both networks do, even where
  these are searched for by the loss itself. For VGG-19 alone there are such figures, but with them the whole pass
  takes half of the measured time.
* With a count of all that operations read and write there are figures with which both networks lose less than 1 %,
  but a fit to times does not find them. The count would be one more column of profiles; it is not worth it.
* Weights' traffic brings both passes of VGG-19, with its large fully connected layers, nearer to the measured
  time. Decisions do not gain by it: they cut the network long before these layers.
* The two passes need figures of their own: their peaks differ, and not in the same proportion as their bandwidths.
* Two figures a pass do not carry from one network to another without loss. Of ResNet-101's three cuts two are
  deep, so its own fit barely tells FLOPs from traffic.
* Cuts chosen with the model are nearly the best. What is lost is lost by shares: an error of a device's time is
  one of its need for the band.
"""

DECISIONS = """Cuts and shares are chosen by `solve_exact` from a model's times, and the round is then computed
with the measured ones. Cells are those of the default scenario with ten such machines, each slowed by a factor
between 1 and 16 (log-uniform); one mini-batch of 128 samples. The loss is by how much longer the round is than the
best: means over 300 cells, and 95th percentiles. *Of cuts* splits the band anew for the chosen cuts, with the
measured times. *Of shares* takes the best cuts, and splits the band for the model's times. *Both passes*
is the model's time of all the network over the measured one. Rows fitted on *the loss*
have the figures with which a search found the smallest loss, of the network that loses more: about what this form
can reach at all, not a fit to use.
"""


def page(found: dict[str, Any]) -> str:
    """Return the page from the figures."""
    parts = [ABOUT, PROVENANCE, _rates_table(found["rates"]), MEASURED]
    for name, machine in found["machines"].items():
        parts += [
            f"### {name}\n",
            prose(machine["source"][:1].upper() + machine["source"][1:] + "."),
            *(part for network in NETWORKS for part in _fits_section(machine["fits"], network)),
        ]
        parts += [
            "#### What decisions lose\n",
            prose(" ".join(DECISIONS.split())),
            _losses_table(machine["losses"]),
            prose(parts_of_loss(machine["losses"])),
        ]
        for network, rows in machine["blocks"].items():
            parts += [f"#### Blocks of {network}\n", "The sum, fitted on both networks.\n", _blocks_table(rows)]
    return "\n".join([*parts, FOLLOWS])


def _percent(share: float, digits: int = 0) -> str:
    return f"{100.0 * share:.{digits}f} %"


def _rates_table(rows: Sequence[Sequence[Any]]) -> str:
    head = ("type", "forward pass of VGG-19", "published GFLOP/s", "model", "error")
    return table(
        head,
        (
            (f"`{name}`", layer, f"{wanted:g}", f"{model:.3g}", f"{100.0 * (model / wanted - 1.0):+.0f} %")
            for name, layer, wanted, model in rows
        ),
    )


def _fits_section(rows: Sequence[dict[str, Any]], network: str) -> tuple[str, str]:
    head = (
        "model",
        "fitted on",
        "pass",
        "GFLOP/s",
        "GB/s",
        "block: median / worst",
        "cut: median / worst",
        "whole",
    )
    lines = []
    for row in rows:
        *errors, whole = row[network]
        star = "" if network in row["on"] else " *"
        block, cut = (
            f"{_percent(median)} / {_percent(worst)}{star}" for median, worst in (errors[:2], errors[2:])
        )
        peak, bandwidth = (f"{speed / 1e9:.3g}" if speed < 1e14 else "-" for speed in row["speeds"])
        speeds = (peak, bandwidth if row["form"] != "flops" else "-")  # beyond, FLOPs or traffic cost nothing
        model = (FORMS[row["form"]].about, " and ".join(row["on"]), row["pass"])
        lines.append((*model, *speeds, block, cut, f"{whole:.2f}{star}"))
    return f"#### Errors in {network}\n", table(head, lines)


def _losses_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["network", "model", "fitted on"]
    for part in ("loss", "of cuts", "of shares"):
        head += [part, "95th"]
    head.append("both passes")
    return table(
        head,
        (
            (
                row["network"],
                FORMS[row["form"]].about,
                " and ".join(row["on"]),
                *(_percent(max(share, 0.0), 2) for part in ("whole", "cuts", "shares") for share in row[part]),
                f"{row['both passes'][0]:.2f}",
            )
            for row in rows
        ),
    )


def _blocks_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["block", "last layer"]
    for name in PASSES:
        head += [f"{name} GFLOP/s", "measured (ms)", "model (ms)"]
    return table(
        head,
        (
            (
                str(index),
                row["name"],
                *(
                    cell
                    for rate, measured, model in zip(row["rates"], row["measured"], row["model"], strict=True)
                    for cell in (f"{rate / 1e9:.3g}", f"{1e3 * measured:.3g}", f"{1e3 * model:.3g}")
                ),
            )
            for index, row in enumerate(rows, 1)
        ),
    )


def main() -> None:
    """Compute the figures, unless they are there, and write the page."""
    if "--page" not in sys.argv[1:]:
        FIGURES.write_text(json.dumps(figures(), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
