"""The common gradient of a shared server's copies."""

import torch

from sfl_env.learning.executors.sharing import share_server_gradients

SAMPLES = torch.tensor([1.0, 3.0])


def test_what_only_devices_use_leaves_the_server_without_gradient() -> None:
    own = torch.tensor([[1.0]])
    shared = share_server_gradients([{"w": own}, {"w": None}], {"w": 1}, torch.tensor([1, 0]), SAMPLES)
    assert shared == [{"w": own}, {"w": None}]


def test_what_only_the_server_uses_leaves_the_device_without_gradient() -> None:
    own = torch.tensor([[1.0]])
    shared = share_server_gradients([{"w": None}, {"w": own}], {"w": 1}, torch.tensor([1, 0]), SAMPLES)
    assert shared == [{"w": None}, {"w": own}]


def test_a_device_that_does_not_use_it_pulls_the_servers_copies_nowhere() -> None:
    own = torch.tensor([[4.0]])
    shared = share_server_gradients([{"w": own}, {"w": None}], {"w": 1}, torch.tensor([0, 0]), SAMPLES)
    assert shared == [{"w": torch.tensor([[1.0]])}, {"w": torch.tensor([[1.0]])}]
