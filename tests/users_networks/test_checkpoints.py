"""Checkpoints: what they compute anew is work of one side, so no cut lies inside of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from sfl_env.dnn.measure import profile
from tests.users_networks.plain_loop import User, assert_trains_like_the_plain_loop

pytestmark = pytest.mark.usefixtures("one_thread")

FIRST, LAYER, LAST = 2 * 6 * 8, 2 * 8 * 8, 2 * 8 * 3
"""FLOPs of the layers, forward."""


class Saves(nn.Module):
    """A block that is computed anew in the backward pass."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self.inner, self.run = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh()), run

    def forward(self, x: Tensor) -> Any:
        return self.run(self.inner, x)


class Blocks(nn.Module):
    """Two blocks of two layers, the first or both of which are saved."""

    def __init__(self, run: Callable[..., Any], both: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList([Saves(run), Saves(run if both else plainly)])

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        for block in self.blocks:
            h = block(h)
        return self.last(h)


def plainly(block: nn.Module, h: Tensor) -> Any:
    return block(h)


KINDS: dict[str, Callable[..., Any]] = {
    "without reentry": partial(checkpoint, use_reentrant=False),
    "with reentry": partial(checkpoint, use_reentrant=True),
    "without the generators": partial(checkpoint, use_reentrant=False, preserve_rng_state=False),
    "in two segments": lambda block, h: checkpoint_sequential(block, 2, h, use_reentrant=False),
}


@pytest.mark.parametrize("name", KINDS)
def test_both_blocks_saved_are_cut_between_only(name: str) -> None:
    costs = profile(Blocks(KINDS[name], both=True), (6,))
    inside = [each for each in costs.cut_names if ".inner" in each]
    assert not inside
    forward = dict(zip(costs.cut_names, costs.device_forward_flops, strict=True))
    assert forward["blocks.0"] == FIRST + 2 * LAYER
    assert forward["blocks.1"] == FIRST + 4 * LAYER


@pytest.mark.parametrize("name", ["without reentry", "with reentry", "without the generators"])
def test_what_is_computed_anew_is_backward_work_of_its_side(name: str) -> None:
    costs = profile(Blocks(KINDS[name], both=False), (6,))
    backward = dict(zip(costs.cut_names, costs.device_backward_flops, strict=True))
    # The first layer's weight; the block again, and its weights' and inputs' gradients.
    saved = FIRST + 2 * LAYER + 4 * LAYER
    assert backward["blocks.0"] == saved
    assert backward[costs.cut_names[-1]] == saved + 4 * LAYER + 2 * LAST


@pytest.mark.parametrize("name", ["without reentry", "with reentry"])
def test_blocks_without_checkpoints_in_the_same_network_are_cut(name: str) -> None:
    names = profile(Blocks(KINDS[name], both=False), (6,)).cut_names
    assert not any(each.startswith("blocks.0.inner") for each in names), names
    assert any(each.startswith("blocks.1.inner") for each in names), names


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("both", [True, False])
def test_checkpoints_train_like_the_plain_loop(name: str, both: bool) -> None:
    user = User(lambda: Blocks(KINDS[name], both))
    assert_trains_like_the_plain_loop(user, user.split())


def test_a_checkpoint_saves_the_memory_that_it_is_for() -> None:
    saving = profile(Blocks(KINDS["without reentry"], both=True), (6,))
    plain = profile(Blocks(plainly, both=True), (6,))
    assert saving.device_activation_elements[-1] < plain.device_activation_elements[-1]
    assert saving.device_forward_flops[-1] == plain.device_forward_flops[-1]


class CallsThem(Blocks):
    """Calls the checkpoints in its own forward, as most networks do."""

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        for block in self.blocks:
            h = checkpoint(block.inner, h, use_reentrant=False)
        return self.last(h)


class Draws(Blocks):
    """What chance decides in a checkpoint has to be decided alike when it is computed anew."""

    def forward(self, x: Tensor) -> Any:
        return self.last(checkpoint(self.mixed, torch.tanh(self.first(x)), use_reentrant=False))

    def mixed(self, h: Tensor) -> Any:
        return self.blocks[1](h * (torch.rand_like(h) > -1.0))


def test_draws_in_a_checkpoint_are_drawn_again() -> None:
    user = User(lambda: Draws(plainly, both=True))
    assert_trains_like_the_plain_loop(user, user.split())
