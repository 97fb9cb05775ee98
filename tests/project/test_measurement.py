"""The page on devices against measurements tells of stored layer times; the catalogue follows from them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.devices import catalogue
from tests.project.test_pages import DOCS, script
from tests.sfl_env.devices.test_catalogue import BACKWARD_FLOPS, FORWARD_FLOPS, TRAFFIC_BYTES

FIGURES = json.loads((DOCS / "data" / "devices-measured.json").read_text(encoding="utf-8"))
SPEEDS = ("forward_flops_per_s", "forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s")


@pytest.fixture(scope="module")
def model() -> Any:
    sys.path.insert(0, str(DOCS / "build"))
    return script("layer_model")


def test_the_page_shows_the_stored_figures() -> None:
    found = (DOCS / "devices-measured.md").read_text(encoding="utf-8")
    assert found == script("measurement").page(FIGURES), "run `python docs/build/measurement.py --page`."


def test_the_testbeds_network_has_the_work_that_the_catalogue_counts_on(model: Any) -> None:
    blocks, layers = model.blocks_of("vgg19")
    assert blocks.flops.sum(axis=1).tolist() == [FORWARD_FLOPS, BACKWARD_FLOPS]
    assert blocks.saved_bytes.sum(axis=1).tolist() == [TRAFFIC_BYTES] * 2
    assert pytest.approx(681.6e6, rel=1e-4) == FORWARD_FLOPS / 128 / 2
    assert [part.stop for part in layers][-1] == 25


@pytest.mark.parametrize("name", ["raspberry-pi-4", "jetson-nano", "laptop", "cloud-vm"])
def test_measured_types_have_the_speeds_that_follow_from_the_rates(name: str) -> None:
    kind = catalogue.get(name)
    for speed, wanted in zip(SPEEDS, FIGURES["derived"][name], strict=True):
        assert getattr(kind, speed) == pytest.approx(wanted, rel=0.006), speed


def test_a_fit_finds_the_speeds_that_times_were_made_with(model: Any) -> None:
    rng = np.random.default_rng(0)
    flops, traffic = 10.0 ** rng.uniform(8, 10, (2, 12)), 10.0 ** rng.uniform(6, 8, (2, 12))
    blocks = model.Blocks(("",) * 12, flops, traffic, traffic)
    made = np.array([3e10, 2e8])
    for key in ("sum", "larger"):
        form = model.FORMS[key]
        seconds = np.stack([model.predicted(form, made, blocks, which) for which in range(2)])
        np.testing.assert_allclose(model.fitted(form, [blocks], [seconds], 0), made, rtol=1e-3)


def test_sheets_of_a_workbook_are_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "d1"
    for row in ([1.5, 2.0, 3.0], [4.0, 5.25, 6.0]):
        book.active.append(row)
    book.save(tmp_path / "book.xlsx")
    sheets = script("layer_times").read_sheets(tmp_path / "book.xlsx")
    assert sheets == {"d1": [[1.5, 2.0, 3.0], [4.0, 5.25, 6.0]]}
