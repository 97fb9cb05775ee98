"""Networks of token sequences are profiled like others, from whole numbers."""

from functools import cache

import numpy as np
import pytest

from sfl_env.arrays import Array
from sfl_env.dnn import catalogue
from sfl_env.dnn.measure import catalogue_profile, profile
from sfl_env.dnn.networks import NETWORKS, build
from sfl_env.dnn.profile import DNNProfile
from tests.sfl_env.dnn import formulas

TOKENS = sorted(name for name, entry in NETWORKS.items() if entry.input_kind == "tokens")


@cache
def measured(name: str) -> DNNProfile:
    return catalogue_profile(name)


def at_layers(costs: DNNProfile, values: Array) -> list[float]:
    """Return the values at the cuts behind layers 1, 2, 3 and so on."""
    found = dict(zip(costs.cut_names, values.tolist(), strict=True))
    return [found[name] for name in found if name.startswith("layer")]


@pytest.mark.parametrize("name", ["gpt2", pytest.param("llama-lora", marks=pytest.mark.slow)])
def test_stored_table_is_what_is_measured(name: str) -> None:
    assert catalogue.load(name) == measured(name)


@pytest.mark.parametrize(("name", "layers", "width"), [("gpt2", 12, 768), ("llama-lora", 22, 2048)])
def test_every_layer_is_a_cut_that_sends_a_vector_for_each_token(name: str, layers: int, width: int) -> None:
    costs = measured(name)
    assert at_layers(costs, costs.smashed_elements) == [128 * width] * layers
    assert costs.input_shape == (128,)


def test_gpt2_costs_at_every_layer_what_its_dimensions_say() -> None:
    costs, blocks = measured("gpt2"), formulas.gpt2(length=128, classes=2)
    layer = 2 * blocks[1].macs
    assert at_layers(costs, costs.device_forward_flops) == [layer * number for number in range(1, 13)]
    assert costs.device_forward_flops[-1] == 2 * sum(block.macs for block in blocks)
    assert costs.device_parameters[-1] == 124_439_808 + 2 * 768
    np.testing.assert_array_equal(costs.server_backward_flops, 2 * costs.server_forward_flops)
    # A look-up has no product backward either, so the device saves nothing on its raw input.
    assert costs.device_backward_flops[-1] == 2 * costs.device_forward_flops[-1]


def test_frozen_layers_of_llama_cost_no_gradients_of_their_weights() -> None:
    costs, layer, head = measured("llama-lora"), formulas.llama_layer(), 2048 * 2
    behind = np.arange(21, -1, -1)
    assert at_layers(costs, costs.server_forward_flops) == (2 * (behind * layer.macs + head)).tolist()
    assert (
        at_layers(costs, costs.server_backward_flops) == (2 * (behind * layer.backward_macs + 2 * head)).tolist()
    )
    on_device = layer.first_backward_macs + np.arange(22) * layer.backward_macs
    assert at_layers(costs, costs.device_backward_flops) == (2 * on_device).tolist()
    assert costs.device_parameters[-1] == 1_100_048_384 - 32_000 * 2048 + 1_126_400 + head


@pytest.mark.parametrize("length", [1, 40])
def test_a_layer_costs_a_square_of_the_length_beside_what_grows_with_it(length: int) -> None:
    module = build("gpt2", vocabulary=30, positions=40, width=16, depth=3, heads=2)
    costs = profile(module, (length,))
    layer = length * 12 * 16**2 + 2 * length**2 * 16
    np.testing.assert_array_equal(np.diff(at_layers(costs, costs.device_forward_flops)), [2 * layer] * 2)
