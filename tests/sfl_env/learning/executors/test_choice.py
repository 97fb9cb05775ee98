"""Which ways of training are worth trying for which network, and on how many threads."""

import pytest

from sfl_env.learning.executors.choice import Choice, Method, Traits, by_speed, choose

SMALL = Traits(1e6, 1e5, 30_000, on_gpu=False)


@pytest.mark.parametrize(
    ("traits", "largest_batch", "can_be_grouped", "methods"),
    [
        (SMALL, 16, True, ("grouped", "vmap", "loop")),
        (SMALL, 16, False, ("vmap", "loop")),
        (SMALL, 64, True, ("grouped", "loop")),
        (SMALL._replace(num_parameters=2_000_000), 16, True, ("vmap", "loop")),
        (SMALL._replace(on_gpu=True), 16, False, ("loop",)),
        (SMALL._replace(sample_flops=1e9, num_parameters=2_000_000), 16, True, ("loop",)),
    ],
)
def test_the_fastest_way_comes_first_and_the_loop_last(
    traits: Traits, largest_batch: int, can_be_grouped: bool, methods: tuple[Method, ...]
) -> None:
    assert by_speed(traits, largest_batch, can_be_grouped=can_be_grouped) == methods


def test_worker_threads_are_for_the_loop_on_networks_that_draw_nothing_together() -> None:
    def chosen(method: Method, *, draws: bool) -> Choice:
        return choose(SMALL, (16,) * 4, 2, lambda: draws, method)

    assert chosen("loop", draws=False) == ("loop", 1, 2)
    assert chosen("loop", draws=True) == ("loop", 1, 1)
    assert chosen("grouped", draws=False) == ("grouped", 4, 1)
