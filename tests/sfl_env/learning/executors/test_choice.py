"""Which executor trains which network: the fastest that computes the same."""

import pytest

from sfl_env.learning.executors.choice import Choice, Traits, choose

SMALL = Traits(1e6, 1e5, 30_000, mixes_samples=False, can_be_grouped=True, on_gpu=False)
NORMALISED = SMALL._replace(mixes_samples=True)


def chosen(traits: Traits, *sizes: int) -> Choice:
    return choose(traits, sizes, torch_threads=1, draws_elsewhere=lambda: False)


@pytest.mark.parametrize(
    ("traits", "sizes", "method"),
    [
        (SMALL, (16, 16), "grouped"),
        (SMALL, (16, 8), "grouped"),
        (NORMALISED, (16, 16), "grouped"),
        # Padding a mini-batch would enter its statistics.
        (NORMALISED, (16, 8), "loop"),
    ],
)
def test_padded_batches_are_for_networks_whose_samples_do_not_meet(
    traits: Traits, sizes: tuple[int, ...], method: str
) -> None:
    assert chosen(traits, *sizes).method == method
