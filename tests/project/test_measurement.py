"""The page on devices against measurements tells of stored layer times; the catalogue follows from them."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_env
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


def test_whole_passes_have_the_published_rates_and_the_fastest_layer_what_the_catalogue_says() -> None:
    for name, layer, published, found in FIGURES["rates"]:
        if layer == "all layers":
            assert found == pytest.approx(published, rel=0.02), name
        if layer == "fastest layer":
            assert f"published at {published:g}, then reaches {found:.1f}" in " ".join(
                (catalogue.__doc__ or "").split()
            )


def test_decisions_of_the_fit_lose_less_than_half_of_what_flops_alone_lose_and_little_by_cuts() -> None:
    losses = FIGURES["machines"]["epyc-core"]["losses"]
    for network in ("vgg19", "resnet101"):
        of = {(row["form"], *row["on"]): row for row in losses if row["network"] == network}
        both = of["sum", "vgg19", "resnet101"]
        assert both["whole"][0] < 0.5 * of["flops", "vgg19", "resnet101"]["whole"][0]
        assert both["cuts"][0] < 0.1 * both["whole"][0]  # the rest is a band out of balance


def test_the_boards_cumulative_times_are_a_compromise_between_the_published_ones(model: Any) -> None:
    blocks, kind = model.blocks_of("vgg19")[0], catalogue.get("raspberry-pi-4")
    flops, traffic = blocks.flops[0][:2], blocks.saved_bytes[0][:2]
    published = np.cumsum(flops / (1e9 * np.array([1.0, 14.5])))

    def errors(flops_per_byte: float) -> Any:
        whole = (float(blocks.flops[0].sum()), float(blocks.saved_bytes[0].sum()))
        peak, bandwidth = model.at_level(*whole, flops_per_byte, whole[0] / 18.3e9)
        return np.log(np.cumsum(flops / peak + traffic / bandwidth) / published)

    balance = kind.forward_flops_per_s / kind.forward_bytes_per_s
    chosen = errors(balance)
    assert np.abs(chosen).max() < 0.2
    assert chosen.prod() < 0.0  # one cut too slow, the other too fast
    for other in (0.9 * balance, 1.1 * balance):
        assert (chosen**2).sum() < (errors(other) ** 2).sum()


def test_a_fit_finds_the_speeds_that_times_were_made_with(model: Any) -> None:
    rng = np.random.default_rng(0)
    flops, traffic = 10.0 ** rng.uniform(8, 10, (2, 12)), 10.0 ** rng.uniform(6, 8, (2, 12))
    blocks = model.Blocks(("",) * 12, flops, traffic, traffic, traffic, rng.random(12) < 0.7)
    made = np.array([3e10, 2e8])
    for key in ("sum", "larger"):
        form = model.FORMS[key]
        seconds = np.stack([model.predicted(form, made, blocks, which) for which in range(2)])
        np.testing.assert_allclose(model.fitted(form, [blocks], [seconds], 0), made, rtol=1e-3)


@pytest.mark.parametrize(("name", "count"), [("vgg19", 7), pytest.param("resnet101", 3, marks=pytest.mark.slow)])
def test_each_cut_of_a_fit_sends_less_than_all_shallower_ones(model: Any, name: str, count: int) -> None:
    blocks, _ = model.blocks_of(name)
    profile = sfl_env.profile(model.NETWORKS[name](), model.INPUT, name)
    sent = profile.smashed_elements
    better = [all(sent[c] < sent[before] for before in range(c)) for c in range(profile.num_cuts)]
    assert blocks.narrow.tolist() == better
    assert sum(better) == count
    assert better[-1]  # the whole network on the device sends nothing


@pytest.mark.parametrize("name", ["vgg19", pytest.param("resnet101", marks=pytest.mark.slow)])
def test_operations_of_both_passes_move_at_least_what_is_saved(model: Any, name: str) -> None:
    blocks, _ = model.blocks_of(name)
    assert (blocks.touched_bytes >= 0.0).all()
    assert (blocks.touched_bytes.sum(axis=0) >= blocks.saved_bytes[0]).all()
    assert (blocks.weighed_bytes >= blocks.saved_bytes).all()


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(path: Path, sheets: dict[str, list[list[float]]]) -> Path:
    """Write the parts of an .xlsx file that hold numbers."""
    links = "".join(f'<Relationship Id="r{i}" Target="worksheets/s{i}.xml"/>' for i in range(len(sheets)))
    named = "".join(f'<sheet name="{name}" sheetId="{i + 1}" r:id="r{i}"/>' for i, name in enumerate(sheets))
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{links}</Relationships>")
        book.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>{named}</sheets></workbook>'
        )
        for i, rows in enumerate(sheets.values()):
            cells = "".join(f"<row>{''.join(f'<c><v>{value}</v></c>' for value in row)}</row>" for row in rows)
            book.writestr(
                f"xl/worksheets/s{i}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{cells}<row/></sheetData></worksheet>',
            )
    return path


def test_the_testbeds_spreadsheets_are_read(tmp_path: Path) -> None:
    layer_times = script("layer_times")
    for name, count in (("vgg19", 25), ("resnet101", 37)):
        times = [[1.5 + layer, 2.25, 9.0] for layer in range(count)]
        workbook(tmp_path / f"{name}_CIFAR.xlsx", {"d1": times, "memory": [[1.0, 2.0]]})
    found = layer_times.published(tmp_path)
    assert list(found) == ["raspberry-pi-4"]
    assert found["raspberry-pi-4"]["networks"]["vgg19"][:2] == [[0.0015, 0.00225], [0.0025, 0.00225]]
    assert len(found["raspberry-pi-4"]["networks"]["resnet101"]) == 37
