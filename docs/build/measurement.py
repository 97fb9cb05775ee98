"""Write docs/devices-measured.md: ``python docs/build/measurement.py [--page]``.

Fits the devices' model of time to docs/data/layer-times.json, says how far it is off and what decisions lose by
it, and writes docs/data/devices-measured.json and, from that, the page. Takes half a minute; with ``--page`` the
page alone is written. ``docs/build/layer_times.py`` adds machines.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sfl_env
from sfl_env.devices import catalogue
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import ARRAYS
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator

sys.path.insert(0, str(Path(__file__).parent))
from layer_model import FORMS, PASSES, PI_LAYERS, RATES, Array, Blocks, Machine, derived, load, predicted, rates
from layer_times import BATCH, DATA, INPUT, NETWORKS
from tables import prose, table

DOCS = DATA.parents[1]
FIGURES, PAGE = DATA.parent / "devices-measured.json", DOCS / "devices-measured.md"
CELLS, DEVICES, SLOWEST = 300, 10, 16.0
"""Cells in which decisions are compared, devices in each, and how much slower than the machine the slowest is."""

BOTH = tuple(NETWORKS)
CHOICES = (
    ("flops", BOTH),
    ("sum", BOTH),
    ("sum", ("vgg19",)),
    ("sum", ("resnet101",)),
    ("larger", BOTH),
    ("touched", BOTH),
)
"""Forms of the model, and the networks that each is fitted on."""


def fits(machine: Machine) -> list[dict[str, Any]]:
    """Return for each form, choice of networks and pass the speeds, and how far each network's blocks are off."""
    found = []
    for key, on in CHOICES:
        form, speeds = FORMS[key], machine.fit(FORMS[key], on)
        for which, name in enumerate(PASSES):
            entry: dict[str, Any] = {"form": key, "on": list(on), "pass": name, "speeds": _short(speeds[which])}
            for network in NETWORKS:
                wanted = machine.seconds[network][which]
                model = predicted(form, speeds[which], machine.blocks[network], which)
                error = np.abs(model / wanted - 1.0)
                entry[network] = _short([np.median(error), error.max(), model.sum() / wanted.sum()])
            found.append(entry)
    return found


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in np.asarray(values, dtype=np.float64).ravel()]


def losses(machine: Machine, network: str) -> list[dict[str, Any]]:
    """Return by how much decisions from each model are longer than the best, under the measured times."""
    scenario = Scenario(num_devices=DEVICES, batch_size=BATCH, local_iterations=1)
    simulator = Simulator(scenario, profile=sfl_env.profile(NETWORKS[network](), INPUT, network))
    rng = np.random.default_rng(0)
    now = simulator.conditions(simulator.initial(rng, CELLS))
    slower = SLOWEST ** rng.random((CELLS, DEVICES, 1))
    endless = np.full((CELLS, DEVICES), np.inf)  # what the devices compute is put in below
    now = now._replace(
        forward_flops_per_s=endless,
        forward_bytes_per_s=endless,
        backward_flops_per_s=endless,
        backward_bytes_per_s=endless,
        deepest_cut=np.full((CELLS, DEVICES), simulator.workload.num_cuts - 1),
    )
    without = round_problem(simulator.workload, simulator.resources, now)

    def problem(block_s: Array) -> sfl_env.RoundProblem:
        arrays = {name: getattr(without, name) for name in ARRAYS}
        return sfl_env.RoundProblem(**arrays | {"fixed_s": without.fixed_s + slower * np.cumsum(block_s)})

    true = problem(machine.seconds[network].sum(axis=0))
    best_s, found = solve_exact(true).latency_s, []
    for key, on in (("flops", BOTH), ("sum", BOTH), ("sum", tuple(each for each in BOTH if each != network))):
        fit, form = machine.fit(FORMS[key], on), FORMS[key]
        block_s = np.sum([predicted(form, fit[i], machine.blocks[network], i) for i in range(2)], axis=0)
        decision = solve_exact(problem(block_s)).decision
        whole = true.latency_s(decision) / best_s - 1.0
        cuts = allocate_bandwidth(true, decision.cut).latency_s / best_s - 1.0
        found.append(
            {
                "network": network,
                "form": key,
                "on": list(on),
                "loss": _short([whole.mean(), np.quantile(whole, 0.95)]),
                "loss of cuts": _short([cuts.mean(), np.quantile(cuts, 0.95)]),
            }
        )
    return found


def by_block(machine: Machine, network: str) -> list[dict[str, Any]]:
    """Return each block's rate, and its seconds as measured and as the model has them, for both passes."""
    blocks, seconds, fit = machine.blocks[network], machine.seconds[network], machine.fit(FORMS["sum"], BOTH)
    model = np.stack([predicted(FORMS["sum"], fit[which], blocks, which) for which in range(2)])
    return [
        {
            "name": name,
            "rates": _short(blocks.flops[:, c] / seconds[:, c]),
            "measured": _short(seconds[:, c]),
            "model": _short(model[:, c]),
        }
        for c, name in enumerate(blocks.names)
    ]


def against_rates(blocks: Blocks) -> list[tuple[str, str, float, float]]:
    """Return type, layer, published and modelled GFLOP/s of VGG-19's forward pass."""
    rows = []
    for name, wanted in RATES.items():
        kind = catalogue.get(name)
        whole, layers = rates(kind.forward_flops_per_s, kind.forward_bytes_per_s, blocks)
        rows.append((name, "all layers", wanted, *_short([whole])))
        if name == "raspberry-pi-4":
            found = (layers[0], layers[1], layers.max())
            rows += [
                (name, layer, rate, *_short([model]))
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
        "derived": {name: _short(speeds) for name, speeds in derived(machines["epyc-core"]).items()},
        "machines": {
            name: {
                "source": stored[name]["source"],
                "fits": fits(machine),
                "losses": [row for network in NETWORKS for row in losses(machine, network)],
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
that are in them then appear below.
"""

MEASURED = """## Measured layer times

Layers of the same two networks, timed one by one on batches of 128 (`docs/build/layer_times.py measure`).
Blocks are the layers between two cuts. Fits are least squares on the logarithms of blocks' times. Each pair of
columns shows the median and the largest error of a block, and the whole pass's time over the measured one; a
star marks a network that the fit has not seen.
"""

FOLLOWS = """## What follows

* FLOPs alone are wrong by nearly a factor of two for many blocks: the first convolution runs at a small part of
  the later ones' rate. The roofline's sum is far better for the forward pass, less so for the backward pass,
  and keeps a cut's time a sum over layers. The larger of both is no better.
* Bytes of saved activations do about as well as a count of all that operations read and write, so a profile
  needs no further column.
* The two passes need figures of their own: their peaks differ, and not in the same proportion as their
  bandwidths.
* Two figures a pass do not carry from one network to another without loss: a fit that has not seen a network is
  off by up to nearly half for the whole of it. A large fully connected layer is the worst, whose weights the
  model leaves out.
* Cuts chosen with the model are nearly the best. Shares suffer more where computing is most of the round, since
  an error of a device's time is one of its need for the band: there, decisions lose more than 1 %.
"""

DECISIONS = """Cuts and shares are chosen by `solve_exact` from a model's times, and the round is then computed
with the measured ones. Cells are those of the default scenario with ten such machines, each slowed by a factor
between 1 and 16 (log-uniform); one mini-batch of 128 samples. *Loss of cuts* splits the band anew for the
chosen cuts, with the measured times.
"""


def page(found: dict[str, Any]) -> str:
    """Return the page from the figures."""
    parts = [ABOUT, PROVENANCE, _rates_table(found["rates"]), MEASURED]
    for name, machine in found["machines"].items():
        parts += [
            f"### {name}\n",
            prose(machine["source"][:1].upper() + machine["source"][1:] + "."),
            _fits_table(machine["fits"]),
        ]
        parts += [
            "#### What decisions lose\n",
            prose(" ".join(DECISIONS.split())),
            _losses_table(machine["losses"]),
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


def _fits_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["model", "fitted on", "pass", "GFLOP/s", "GB/s"]
    for network in NETWORKS:
        head += [f"{network}: error", "whole"]
    lines = []
    for row in rows:
        cells = []
        for network in NETWORKS:
            median, worst, whole = row[network]
            star = "" if network in row["on"] else " *"
            cells += [f"{_percent(median)} / {_percent(worst)}{star}", f"{whole:.2f}{star}"]
        peak, bandwidth = row["speeds"]
        counts = row["form"] != "flops" and bandwidth < 1e13  # beyond, traffic costs nothing
        speeds = (f"{peak / 1e9:.3g}", f"{bandwidth / 1e9:.3g}" if counts else "-")
        lines.append((FORMS[row["form"]].about, " and ".join(row["on"]), row["pass"], *speeds, *cells))
    return table(head, lines)


def _losses_table(rows: Sequence[dict[str, Any]]) -> str:
    head = ("network", "model", "fitted on", "loss", "95th percentile", "loss of cuts", "95th percentile")
    return table(
        head,
        (
            (
                row["network"],
                FORMS[row["form"]].about,
                " and ".join(row["on"]),
                *(_percent(share, 2) for share in (*row["loss"], *row["loss of cuts"])),
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
