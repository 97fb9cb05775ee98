"""Layer times of the two networks of Tirana et al.'s testbed: measured here, or read from their spreadsheets.

``python docs/build/layer_times.py measure NAME "what the machine is"`` times every layer on one thread of this
machine, and ``python docs/build/layer_times.py read FOLDER`` takes over what the folder's ``vgg19_CIFAR.xlsx`` and
``resnet101_CIFAR.xlsx`` hold (``real_data`` of github.com/jtirana98/SFL-workflow-optimization). Both add to
docs/data/layer-times.json; ``python docs/build/measurement.py`` then writes the page.
"""

import json
import re
import statistics
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor, nn

DATA = Path(__file__).parents[1] / "data" / "layer-times.json"
BATCH = 128
INPUT = (3, 32, 32)
_REPEATS = 9

_SHEETS = {
    "d1": "raspberry-pi-4",
    "d2": "raspberry-pi-3",
    "jetson-cpu": "jetson-nano-cpu",
    "jetson-gpu": "jetson-nano-gpu",
    "laptop": "macbook-m1",
    "VM": "virtual-machine",
}
"""Sheets of the spreadsheets, and what was timed there."""


def vgg19() -> nn.Sequential:
    """Return the testbed's VGG-19, 25 layers: its pools pad by 1, so maps shrink to 17, 9, 5, 3 and 2."""
    layers: list[nn.Module] = []
    channels = 3
    for stage, repeats in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(repeats):
            layers.append(nn.Sequential(nn.Conv2d(channels, stage, 3, padding=1), nn.ReLU(inplace=True)))
            channels = stage
        layers.append(nn.MaxPool2d(2, 2, padding=1))
    layers.append(nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten()))
    layers.append(nn.Sequential(nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True)))
    layers.append(nn.Sequential(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True)))
    layers.append(nn.Sequential(nn.Dropout(), nn.Linear(4096, 10)))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """A residual block of three convolutions; the 3x3 one has the stride."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        middle = outside // 4
        self.body = nn.Sequential(
            nn.Conv2d(inside, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 3, stride, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, outside, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's maps."""
        result: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return result


def resnet101() -> nn.Sequential:
    """Return the testbed's ResNet-101, 37 layers, with the stem that is made for larger pictures."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3),
        nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(inplace=True)),
    ]
    channels = 64
    for stage, (repeats, width) in enumerate(((3, 256), (4, 512), (23, 1024), (3, 2048))):
        for block in range(repeats):
            layers.append(Bottleneck(channels, width, 2 if stage and not block else 1))
            channels = width
    layers += [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(2048, 10)]
    return nn.Sequential(*layers)


NETWORKS = {"vgg19": vgg19, "resnet101": resnet101}


def measured(network: nn.Sequential) -> list[list[float]]:
    """Return each layer's median seconds forward and backward for a batch, each layer with a graph of its own.

    The first layer's backward pass has no gradient of the pictures to compute, as on a device. The optimiser's
    step is left out.
    """
    runs = [list(_one_pass(network)) for _ in range(_REPEATS)][1:]
    return [
        [statistics.median(run[index][part] for run in runs) for part in range(2)] for index in range(len(network))
    ]


def _one_pass(network: nn.Sequential) -> Iterator[tuple[float, float]]:
    """Yield seconds of processor time, forward and backward, layer by layer."""
    x = torch.randn(BATCH, *INPUT)
    for layer in network:
        before = time.process_time()
        out = layer(x)
        between = time.process_time()
        gradient = torch.randn_like(out)
        start = time.process_time()
        if out.requires_grad:
            out.backward(gradient)
        yield between - before, time.process_time() - start
        x = out.detach().requires_grad_()


def read_sheets(path: Path) -> dict[str, list[list[float]]]:
    """Return each sheet's rows of numbers in an .xlsx file, which is a folder of XML."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    link = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
    with zipfile.ZipFile(path) as book:
        targets = {
            each.get("Id"): str(each.get("Target"))
            for each in ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
        }
        sheets = {}
        for sheet in ElementTree.fromstring(book.read("xl/workbook.xml")).iter(f"{main}sheet"):
            target = targets[sheet.get(link)].removeprefix("/xl/")
            rows = ElementTree.fromstring(book.read(f"xl/{target}")).iter(f"{main}row")
            cells = [
                [float(value.text or "nan") for value in row.iter(f"{main}v")]
                for row in rows
                if row.find(f"{main}c/{main}v") is not None
            ]
            sheets[str(sheet.get("name"))] = cells
    return sheets


def published(folder: Path) -> dict[str, Any]:
    """Return machines with the layer times of the testbed's spreadsheets, milliseconds turned into seconds.

    The third column, the optimiser's step, is left out.
    """
    machines: dict[str, Any] = {}
    for name, build in NETWORKS.items():
        for sheet, rows in read_sheets(folder / f"{name}_CIFAR.xlsx").items():
            if sheet not in _SHEETS:
                continue
            if len(rows) != len(build()):
                raise SystemExit(f"Sheet {sheet!r} of {name} has {len(rows)} rows for {len(build())} layers.")
            entry = machines.setdefault(
                _SHEETS[sheet],
                {"source": "Tirana et al., INFOCOM 2024: spreadsheets of their repository", "networks": {}},
            )
            entry["networks"][name] = [[row[0] / 1e3, row[1] / 1e3] for row in rows]
    return machines


def main() -> None:
    """Measure or read, and add to the file."""
    match sys.argv[1:]:
        case ["measure", name, about]:
            torch.set_num_threads(1)
            torch.manual_seed(0)
            source = f"measured with torch {torch.__version__}, one thread, processor time: {about}"
            networks = {key: _rounded(measured(build())) for key, build in NETWORKS.items()}
            found = {name: {"source": source, "networks": networks}}
        case ["read", folder]:
            found = published(Path(folder))
        case _:
            raise SystemExit(__doc__)
    stored = json.loads(DATA.read_text(encoding="utf-8"))
    stored["machines"].update(found)
    DATA.write_text(re.sub(r"\n\s+(?=[-\d]|\])", " ", json.dumps(stored, indent=1)) + "\n", encoding="utf-8")
    print(f"{DATA}: {', '.join(found)}")


def _rounded(times: list[list[float]]) -> list[list[float]]:
    return [[float(f"{seconds:.4g}") for seconds in layer] for layer in times]


if __name__ == "__main__":
    main()
