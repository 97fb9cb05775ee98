"""The page on networks says what they take and what of them trains."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sfl_env.dnn.networks import NETWORKS
from sfl_env.dnn.profile import DNNProfile


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    path = Path(__file__).parents[3] / "docs" / "build" / "tables.py"
    spec = importlib.util.spec_from_file_location("tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def costs(*frozen: float) -> DNNProfile:
    steps = np.array([5_000.0, 9_000.0])
    return DNNProfile(
        name="two-layers",
        input_shape=(128,),
        cut_names=("layer1", "head"),
        device_forward_flops=steps,
        device_backward_flops=steps,
        server_forward_flops=steps[-1] - steps,
        server_backward_flops=steps[-1] - steps,
        smashed_elements=np.array([70.0, 0.0]),
        device_parameters=np.array([3_000.0, 3_200.0]),
        device_buffers=np.zeros(2),
        device_activation_elements=np.zeros(2),
        device_frozen_parameters=np.array(frozen),
    )


def test_a_row_tells_tokens_and_what_trains(tables: ModuleType) -> None:
    _, takes, *_, parameters, cuts = tables.network_row("llama-lora", costs(2_900, 2_950))
    assert (takes, parameters, cuts) == ("128 tokens", "3,200, of which 250 train", "2")


def test_a_cut_tells_what_trains_on_the_device(tables: ModuleType) -> None:
    section = tables.cuts_section("llama-lora", costs(2_900, 2_950))
    assert "| device parameters | of which train |" in section
    assert "| 1 | `layer1` | 5 k | 5 k | 70 | 3 k | 100 |" in section
    assert "| 2 | `head` | 9 k | 9 k | 0 | 3.2 k | 250 |" in section


def test_nothing_is_told_of_training_where_everything_trains(tables: ModuleType) -> None:
    profile = costs(0, 0)
    assert tables.parameters_of(profile) == "3,200"
    assert "of which" not in tables.cuts_section("lenet5", profile)


def test_notes_are_on_networks_of_the_catalogue(tables: ModuleType) -> None:
    assert set(tables.NOTES) <= set(NETWORKS)
