"""Which systems rounds belong to: what is proven of one is not of another."""

from collections.abc import Mapping
from typing import Literal, get_args

System = Literal["parallel", "sequence", "synchronised", "deadline"]
"""What ends a round, and so which decision is fastest; :data:`ABOUT` says it of each."""

SYSTEMS: tuple[System, ...] = get_args(System)

ABOUT: Mapping[System, str] = {
    "parallel": "devices that work side by side, so that the round lasts as long as its slowest",
    "sequence": "devices that take turns, each with the whole band, so that their times add up",
    "synchronised": "devices that wait for each other in every phase",
    "deadline": "rounds that leave out late devices",
}
