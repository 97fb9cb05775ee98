"""The check of the field's networks calls a network wrong as soon as one of its numbers is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import sfl_env
from sfl_env import DNNProfile
from sfl_env.learning import TensorData
from sfl_env.learning.plan import RoundPlan
from tests.networks import __main__ as command
from tests.networks import checks, plain, report
from tests.networks.checks import Result
from tests.networks.libraries import NUM_CLASSES, Network, without_zeros

TAMPERED: dict[str, tuple[Callable[[DNNProfile], DNNProfile], str]] = {
    "multiply-accumulates instead of FLOPs": (
        lambda given: replace(
            given,
            device_forward_flops=given.device_forward_flops / 2,
            server_forward_flops=given.server_forward_flops / 2,
        ),
        "forward FLOPs, torch counts",
    ),
    "one FLOP of a batch too many": (
        lambda given: replace(given, device_forward_flops_per_batch=given.device_forward_flops_per_batch + 1),
        "forward FLOPs, torch counts",
    ),
    "one parameter left out": (
        lambda given: replace(given, device_parameters=given.device_parameters - 1),
        "parameters of",
    ),
}


def made() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, NUM_CLASSES))
    return nn.Sequential(*layers)


NETWORK = Network("timm", "small", made, (1, 8, 8))


def compared(tamper: Callable[[DNNProfile], DNNProfile] = lambda profile: profile) -> Result:
    profile = tamper(sfl_env.profile(made(), NETWORK.input_shape))
    return checks.compare(Result(NETWORK.package, NETWORK.name), NETWORK, made(), profile)


def test_a_network_whose_numbers_are_those_of_torch_is_right() -> None:
    result = compared()
    assert (result.verdict, result.reason) == ("right", "")
    assert result.forward_flops == 2 * 2 * (36 * 4 * 9 + 144 * NUM_CLASSES)  # two samples, two FLOPs a product
    assert result.step_error < checks.LARGEST_ERROR


@pytest.mark.parametrize("case", TAMPERED)
def test_a_network_whose_profile_is_tampered_with_is_wrong(case: str) -> None:
    tamper, told = TAMPERED[case]
    result = compared(tamper)
    assert result.verdict == "wrong"
    assert told in result.reason


def test_a_step_that_is_a_millionth_too_long_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    train = plain.train

    def longer(network: nn.Module, data: TensorData, plan: RoundPlan, learning_rate: float) -> plain.State:
        return train(network, data, plan, learning_rate * (1 + 1e-6))

    monkeypatch.setattr(plain, "train", longer)
    result = compared()
    assert result.verdict == "wrong"
    assert result.reason.startswith("a step at cuts")


def test_weights_that_training_does_not_give_back_are_an_infinite_error() -> None:
    network = made()
    state = {name: tensor.double() for name, tensor in network.state_dict().items()}
    stepped = {name: tensor + 1 for name, tensor in state.items()}
    assert plain.largest_error(network, stepped, stepped) == 0.0
    without = {name: tensor for name, tensor in stepped.items() if name != "4.bias"}
    assert plain.largest_error(network, without, stepped) == float("inf")
    assert plain.largest_error(network, state, stepped) == 1.0


def test_a_last_layer_that_starts_at_zero_does_not_hide_the_gradients_before_it() -> None:
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    network = nn.Sequential(first, last)
    nn.init.zeros_(last.weight)
    (hidden,) = torch.autograd.grad(network(torch.ones(1, 4)).sum(), first.weight)
    assert not hidden.any()
    kept = first.weight.clone()
    (seen,) = torch.autograd.grad(without_zeros(network)(torch.ones(1, 4)).sum(), first.weight)
    assert seen.all()
    assert torch.equal(first.weight, kept)


@pytest.mark.parametrize("verdict", ["wrong", "refused"])
def test_the_command_fails_and_names_the_network(
    verdict: checks.Verdict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(
        command, "check", lambda library, name: Result(library, name, verdict=verdict, reason="off by one")
    )
    assert command.main(["--package", "transformers", "--only", "ViT", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert f"ViT: {verdict}: off by one" in told
    assert "All as it should be." not in told


def test_as_many_may_be_refused_as_the_whole_list_may_lack() -> None:
    refused = [Result("timm", f"network{number}", "refused") for number in range(5)]
    assert report.failures(refused[:4]) == []
    assert report.failures(refused) == ["timm: 0 of 5 accepted; at most 4 may be refused"]
    assert report.failures([Result("timm", "network", "wrong", "off")]) == ["timm/network: off"]
