"""The stored tables are what the networks cost, and the networks are those of the literature."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sfl_env.dnn import catalogue
from sfl_env.dnn.measure import catalogue_profile
from sfl_env.dnn.networks import NETWORKS
from sfl_env.errors import ProfileError

# name, parameters (None: known to a thousand only), multiply-accumulates in millions; counted independently
LITERATURE = [
    ("lenet5", 61_706, 0.416520),
    ("alexnet", 61_100_840, 714.2),
    ("vgg16-224", 138_357_544, 15_470.0),
    ("vgg11-224", 132_863_336, 7_609.0),
    ("vgg16", 15_245_130, 313.7),
    ("vgg11", 9_750_922, 153.3),
    ("resnet18-224", 11_689_512, 1_814.0),
    ("resnet18", 11_173_962, 555.4),
    ("resnet34-224", 21_797_672, 3_664.0),
    ("resnet50-224", 25_557_032, 4_089.0),
    ("resnet101-224", 44_549_160, 7_801.0),
    ("resnet50", 23_520_842, 1_298.0),
    ("resnet101", 42_512_970, 2_510.0),
    ("vgg19-224", 143_667_240, 19_632.0),
    ("efficientnetb0-224", 5_288_548, 386.0),
    ("vitb16", 86_567_656, 17_564.0),
    ("mobilenetv2-224", 3_504_872, 300.8),
]

PICTURES = sorted(name for name, entry in NETWORKS.items() if entry.input_kind == "numbers")


def test_every_network_of_pictures_has_a_table() -> None:
    assert set(PICTURES) <= set(catalogue.names()) <= set(NETWORKS)


LONG = {"efficientnetb0-224", "mobilenetv2-224", "resnet101", "resnet101-224", "resnet50-224"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in PICTURES]
)
def test_stored_table_is_what_is_measured(name: str) -> None:
    assert catalogue.load(name) == catalogue_profile(name)


@pytest.mark.parametrize(("name", "parameters", "mega_macs"), LITERATURE)
def test_network_is_that_of_the_literature(name: str, parameters: int, mega_macs: float) -> None:
    profile = catalogue.load(name)
    assert profile.device_parameters[-1] == parameters
    assert profile.device_forward_flops[-1] == pytest.approx(2e6 * mega_macs, rel=0.01)


def test_resnet18_sends_what_its_stages_put_out() -> None:
    profile = catalogue.load("resnet18")
    sent = dict(zip(profile.cut_names, profile.smashed_elements.tolist(), strict=True))
    ends = ("stem", "stage1_block2", "stage2_block2", "stage3_block2", "stage4_block2")
    assert [sent[end] for end in ends] == [65536, 65536, 32768, 16384, 8192]


def test_batch_normalisation_buffers_are_counted() -> None:
    # Mean and variance for each of 4800 normalised channels, and one batch counter for each of 20 layers.
    assert catalogue.load("resnet18").device_buffers[-1] == 2 * 4800 + 20
    assert catalogue.load("vgg16").device_buffers[-1] == 0


@pytest.mark.parametrize("name", PICTURES)
def test_backward_pass_costs_twice_the_forward_pass_but_for_the_raw_input(name: str) -> None:
    profile = catalogue.load(name)
    np.testing.assert_array_equal(profile.server_backward_flops, 2 * profile.server_forward_flops)
    first = profile.device_forward_flops[0]
    saved = 2 * profile.device_forward_flops - profile.device_backward_flops
    assert (saved > 0).all()
    assert (saved <= first).all()


@pytest.mark.parametrize("name", PICTURES)
def test_every_cut_moves_work_to_the_device(name: str) -> None:
    profile = catalogue.load(name)
    assert profile.num_cuts >= 4
    assert (np.diff(profile.device_forward_flops) > 0).all()
    assert (np.diff(profile.device_activation_elements) >= 0).all()


def test_loading_imports_no_torch() -> None:
    code = (
        "import sys; from sfl_env.dnn import catalogue; catalogue.load('resnet18'); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError, match=r"'resnet81' \(did you mean 'resnet18'\?\).*vgg16-224"):
        catalogue.load("resnet81")


def test_loading_takes_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "mine.json")
    catalogue.load("lenet5").to_json(path)
    assert catalogue.load(path) == catalogue.load("lenet5")
    with pytest.raises(ProfileError, match="cannot be read"):
        catalogue.load(str(tmp_path / "none.json"))
