"""Costs per cut: a profile's counts in the scenario's number formats, and what fits into a memory."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from sfl_env.dnn import catalogue
from sfl_env.rounds.workload import Workload, workload


def costs(name: str = "resnet18", **formats: int) -> Workload:
    given: dict[str, Any] = {"activation_bits": 32, "parameter_bits": 32, "label_bits": 32, "optimizer_slots": 1}
    return workload(catalogue.load(name), **(given | formats))


@pytest.mark.parametrize("name", catalogue.names())
def test_bits_are_counts_times_the_bits_of_one(name: str) -> None:
    profile, found = catalogue.load(name), costs(name, activation_bits=8, parameter_bits=16, label_bits=5)
    trained = profile.device_parameters - profile.device_frozen_parameters
    changed = profile.device_buffers - profile.device_constant_buffers
    np.testing.assert_array_equal(found.model_bits, 16 * (trained + changed))
    np.testing.assert_array_equal(found.gradient_bits, 8 * profile.smashed_elements)
    np.testing.assert_array_equal(found.smashed_bits[:-1], 8 * profile.smashed_elements[:-1] + 5)


@pytest.mark.parametrize("name", catalogue.names())
def test_the_last_cut_sends_nothing_but_the_model_and_leaves_the_server_nothing(name: str) -> None:
    found = costs(name)
    assert found.smashed_bits[-1] == found.gradient_bits[-1] == found.server_flops[-1] == 0.0
    assert found.model_bits[-1] == found.model_bits.max()


@pytest.mark.parametrize("name", catalogue.names())
def test_a_device_that_holds_a_cut_holds_every_shallower_one(name: str) -> None:
    found = costs(name)
    needed = found.static_bytes + 32 * found.sample_bytes
    assert (np.diff(needed) >= 0.0).all()


def test_the_deepest_cut_is_the_last_one_that_fits() -> None:
    found = costs()
    batch = np.array([[1, 8, 64]])
    for cut in range(found.num_cuts):
        needed = found.static_bytes[cut] + batch * found.sample_bytes[cut]
        # Exactly enough is enough; a byte less is not, unless a deeper cut needs no more.
        assert (found.deepest_cut(batch, needed) >= cut).all()
        assert (found.deepest_cut(batch, needed - 1.0) < cut).all()
    assert (found.deepest_cut(batch, np.full((1, 3), np.inf)) == found.num_cuts - 1).all()


def test_a_device_too_small_for_the_first_cut_has_none() -> None:
    assert costs().deepest_cut(np.array([[32]]), np.array([[1.0]])) == -1


def test_optimisers_that_keep_more_need_more_memory() -> None:
    plain, momentum, adam = (costs(optimizer_slots=slots).static_bytes for slots in (0, 1, 2))
    parameters = catalogue.load("resnet18").device_parameters
    np.testing.assert_allclose(momentum - plain, parameters * 4.0)
    np.testing.assert_allclose(adam - momentum, parameters * 4.0)


@pytest.mark.parametrize("name", ["resnet18", "llama-lora"])
def test_what_is_sent_and_what_is_held_have_widths_of_their_own(name: str) -> None:
    plain, sent, held = (
        costs(name),
        costs(name, activation_bits=8, parameter_bits=16),
        costs(name, training_bits=16),
    )
    for field in ("static_bytes", "sample_bytes", "traffic_bytes"):
        np.testing.assert_array_equal(getattr(sent, field), getattr(plain, field))
        np.testing.assert_array_equal(getattr(held, field), getattr(plain, field) / 2.0)
    for field in ("model_bits", "smashed_bits", "gradient_bits"):
        np.testing.assert_array_equal(getattr(held, field), getattr(plain, field))


def test_a_device_side_that_trains_nothing_has_no_backward_traffic() -> None:
    lenet = catalogue.load("lenet5")
    backward = np.where(np.arange(lenet.num_cuts) < 2, 0.0, lenet.device_backward_flops)
    server = lenet.device_backward_flops[-1] - backward
    frozen = dataclasses.replace(lenet, device_backward_flops=backward, server_backward_flops=server)
    found = workload(frozen, activation_bits=32, parameter_bits=32, label_bits=32, optimizer_slots=1)
    np.testing.assert_array_equal(found.traffic_bytes[0], 4.0 * lenet.device_activation_elements)
    np.testing.assert_array_equal(
        found.traffic_bytes[1], 4.0 * lenet.device_activation_elements * (backward > 0.0)
    )


@pytest.mark.parametrize("name", catalogue.names())
def test_bytes_are_an_eighth_of_bits(name: str) -> None:
    profile, found = catalogue.load(name), costs(name, training_bits=24, optimizer_slots=2)
    deepest_so_far = np.maximum.accumulate(profile.device_activation_elements)
    np.testing.assert_array_equal(found.sample_bytes, 3 * deepest_so_far)
    # Weights, and of those that train gradients and two slots of the optimiser, and the buffers once.
    trained = profile.device_parameters - profile.device_frozen_parameters
    held = profile.device_parameters + 3 * trained + profile.device_buffers
    np.testing.assert_array_equal(found.static_bytes, 3 * held)
