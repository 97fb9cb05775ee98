"""A fitted surrogate of learning: how many rounds a target accuracy takes, by where devices cut the network.

Bounds on split federated learning's convergence [1]_ grow with what devices hold, since those blocks drift apart
in the local iterations of a round and are averaged at its end alone, while the server's take common steps. Here
rounds to the target are linear in the share of devices that hold each block::

    rounds(c) = least_rounds + sum over blocks l of rounds_per_block[l] * mean over devices k of [c_k >= l]

The constants are not those of the bound: ``python docs/build/surrogate.py`` fits them to trained networks, for
each way to train and each kind of skew, and ``docs/tiers/time-to-accuracy.md`` has how far they are off.

References
----------
.. [1] Z. Lin et al., "AdaptSFL: Adaptive Split Federated Learning in Resource-constrained Edge Networks",
   arXiv:2403.13101.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.scenario import Scenario

STORED = Path(__file__).parent / "surrogate.json"
"""The fitted constants, written by :data:`COMMAND`."""

COMMAND = "python docs/build/surrogate.py"

LAST_ROUND = 0.5
"""Rounds are whole, and the target is met within the last one: by so much they are more than the crossing."""

_ALWAYS = (
    *("network", "dataset", "target_accuracy", "partition", "num_devices", "server", "schedule"),
    *("local_iterations", "batch_size", "optimizer", "learning_rate"),
)
_SOMETIMES = {
    "partition_concentration": ("partition", ("dirichlet", "quantity-skew")),
    "shards_per_device": ("partition", ("shards",)),
    "momentum": ("optimizer", ("sgd",)),
}
"""Fields that matter where another one has one of some values."""
_UNLESS = {"batch_size_spread": 1.0}
"""Fields that matter unless they have a value, the one of all that was measured."""


class Learnt(NamedTuple):
    """How far the learning of N episodes has come, in units of what the target typically takes."""

    done: Array  # (N,) from 0
    needed: Array  # (N,) what this episode takes, around 1; agents do not see it


class NothingLearnt(NamedTuple):
    """In the place of :class:`Learnt` where there is no surrogate."""


@dataclass(frozen=True)
class Surrogate:
    """The fitted constants of one way to train.

    Parameters
    ----------
    least_rounds : float
        Rounds until the target is crossed where devices hold the first block alone.
    rounds_per_block : tuple of C floats
        By how many more it is where all devices hold the block; 0 for the first, which all devices always hold.
    spread : float
        Standard deviation of the logarithm of a run's rounds around these.

    Examples
    --------
    >>> surrogate = Surrogate(least_rounds=8.0, rounds_per_block=(0.0, 6.0, 2.0), spread=0.0)
    >>> surrogate.rounds(np.array([[0, 0], [0, 2], [2, 2]]))
    array([ 8., 12., 16.])
    >>> learnt = surrogate.initial(np.random.default_rng(0), 3)
    >>> learnt.done + surrogate.progress(np.array([[0, 0], [0, 2], [2, 2]]), None)
    array([0.125     , 0.08333333, 0.0625    ])
    """

    least_rounds: float
    rounds_per_block: tuple[float, ...]
    spread: float

    def __post_init__(self) -> None:
        if not self.least_rounds > 0.0:
            raise ScenarioError(
                f"The least rounds of a surrogate of learning are {self.least_rounds}; they have to be above 0."
            )

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the constants of an entry of :data:`STORED`."""
        return cls(float(stored["least_rounds"]), tuple(stored["rounds_per_block"]), float(stored["spread"]))

    def require_blocks(self, profile: DNNProfile) -> None:
        """Raise unless there is a constant for each block of a network.

        Raises
        ------
        ScenarioError
            If there are more or fewer.
        """
        if len(self.rounds_per_block) != profile.num_cuts:
            raise ScenarioError(
                f"surrogate_rounds has {len(self.rounds_per_block)} entries; {profile.name} has {profile.num_cuts}"
                " blocks: give the rounds with the first block alone on the devices, then one number for each "
                "further block."
            )

    @cached_property
    def rounds_per_cut(self) -> Array:
        """(C,): by how many rounds more the target takes where all devices have the cut."""
        return np.cumsum(self.rounds_per_block)

    def rounds(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_] | None = None) -> Array:
        """Return after how many rounds with such cuts the target is typically crossed.

        Parameters
        ----------
        cut : (..., K) integer array
            Of every device, counted from 0.
        takes_part : (..., K) boolean array, optional
            Whose cuts count: those that are in the round's average; all, if left out. Nobody's count for none.

        Returns
        -------
        (...) array
        """
        more = self.rounds_per_cut[cut]
        if takes_part is None:
            return np.asarray(self.least_rounds + more.mean(axis=-1))
        present = np.maximum(takes_part.sum(axis=-1), 1)
        return np.asarray(self.least_rounds + (more * takes_part).sum(axis=-1) / present)

    def progress(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_] | None) -> Array:
        """Return how far a round brings the learning, (N,), in units of what the target typically takes.

        A round is taken to bring as much less as devices are missing in it, which is not measured.

        Parameters
        ----------
        cut, takes_part
            As for :meth:`rounds`.
        """
        progress: Array = 1.0 / self.rounds(cut, takes_part)
        return progress if takes_part is None else progress * takes_part.mean(axis=-1)

    def initial(self, rng: np.random.Generator, n: int) -> Learnt:
        """Draw what n episodes need; runs scatter log-normally around a mean of 1."""
        needed = np.exp(self.spread * rng.standard_normal(n) - 0.5 * self.spread**2)
        return Learnt(np.zeros(n), needed)


def measured() -> list[dict[str, Any]]:
    """Return what there are constants for, with the constants, their runs and checks."""
    return list(_stored()["measured"])


@cache
def _stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return found


def circumstances(scenario: Scenario) -> dict[str, Any]:
    """Return the fields that the learning of a scenario depends on.

    Examples
    --------
    >>> sorted({*circumstances(Scenario(partition="dirichlet"))} - {*circumstances(Scenario())})
    ['partition_concentration']
    """
    names = (
        *_ALWAYS,
        *(name for name, (by, values) in _SOMETIMES.items() if getattr(scenario, by) in values),
        *(name for name, usual in _UNLESS.items() if getattr(scenario, name) != usual),
    )
    return {name: getattr(scenario, name) for name in names}


def constants_of(found: Surrogate) -> dict[str, Any]:
    """Return the scenario fields that bring such constants along.

    Examples
    --------
    >>> fields = constants_of(Surrogate(8.0, (0.0, 6.0, 2.0), spread=0.1))
    >>> fields
    {'surrogate_rounds': (8.0, 6.0, 2.0), 'surrogate_spread': 0.1}
    >>> find(Scenario(**fields)).rounds_per_block
    (0.0, 6.0, 2.0)
    """
    return {
        "surrogate_rounds": (found.least_rounds, *found.rounds_per_block[1:]),
        "surrogate_spread": found.spread,
    }


def find(scenario: Scenario) -> Surrogate:
    """Return the constants of a scenario's learning: those that it brings, or those that were measured for it.

    Raises
    ------
    ScenarioError
        If there are none. It says in which fields the nearest ones differ, and which command measures them.

    Examples
    --------
    >>> find(Scenario(model="lenet5"))
    Traceback (most recent call last):
        ...
    sfl_env.errors.ScenarioError: Nobody has measured how many rounds this learning takes: ...
    """
    if scenario.surrogate_rounds:
        least, *more = scenario.surrogate_rounds
        return Surrogate(least, (0.0, *more), scenario.surrogate_spread)
    here = circumstances(scenario)
    unlike = []
    for each in measured():
        there = each["scenario"]
        unlike.append([name for name in {**there, **here} if there.get(name) != here.get(name)])
        if not unlike[-1]:
            return Surrogate.of(each)
    nearest = int(np.argmin([len(names) for names in unlike]))
    there = measured()[nearest]["scenario"]
    told = ", ".join(
        f"{name}={here.get(name)!r} (measured: {there.get(name, _UNLESS.get(name))!r})" for name in unlike[nearest]
    )
    raise ScenarioError(
        f"Nobody has measured how many rounds this learning takes: {told}. Take the fields that were measured, "
        f"add yours to SETTINGS in docs/build/surrogate.py and run `{COMMAND}`, or give constants of your own as "
        "surrogate_rounds."
    )
