"""What the device side of each cut costs, from records of runs on batches of several sizes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.dnn.cuts import Cut, elements_sent, sent_alike
from sfl_env.dnn.places import Place
from sfl_env.dnn.record import Candidate, Record
from sfl_env.errors import ProfileError


class Affine(NamedTuple):
    """A cost of n samples: ``per_batch + n * per_sample``."""

    per_sample: Array  # (C,)
    per_batch: Array  # (C,)


class DeviceCosts(NamedTuple):
    """Costs of the device side of each cut; the last one holds the whole network."""

    forward_flops: Affine
    backward_flops: Affine
    smashed_elements: Array  # (C,) of a sample
    accompanying_elements: Array  # (C,) of a sample: masks that are sent with the smashed data
    wants_gradient: tuple[bool, ...]  # (C,) whether the gradient of the smashed data comes back
    saved_elements: Array  # (C,) of a sample, that the backward pass needs


def candidates_by_place(record: Record) -> dict[Place, Candidate]:
    """Return a run's candidates by their places."""
    return {candidate.place: candidate for candidate in record.candidates}


def sent_per_sample(records: Sequence[Record]) -> set[Place]:
    """Return the places that the runs with all batch sizes have, and at which what is sent grows as they do."""
    first, *others = records
    return set.intersection(*(sent_alike(first, other) for other in others))


def device_costs(
    records: Sequence[Record], others: Sequence[Record], cuts: Sequence[Cut], what: str
) -> DeviceCosts:
    """Return what the device side of each cut costs.

    Parameters
    ----------
    records : sequence of Record
        One run for each batch size: two tell what grows with the batch and what does not, a third, forward only,
        that nothing else does.
    others : sequence of Record
        Runs that went otherwise: where the gradient of the smashed data comes back in any, it is charged.
    cuts : sequence of Cut
        The last one keeps the whole network on the device.
    what : str
        The network, for messages.

    Raises
    ------
    ProfileError
        If a cost grows otherwise than in proportion to the batch, plus a part that is the same for all.
    """
    found = [candidates_by_place(record) for record in (*records, *others)]
    batches = [record.samples for record in records]
    inner = [cut.place for cut in cuts if cut.place is not None]
    moments = [[places[place].moment for place in inner] for places in found[: len(records)]]
    forward, backward, saved = (
        [_until(record, ends, cost) for record, ends in zip(records, moments, strict=True)]
        for cost in ("forward_flops", "backward_flops", "saved_elements")
    )
    sent = elements_sent(records[0])
    elements, accompanying = np.array([*(sent[place] for place in inner), (0, 0)]).T / batches[0]
    return DeviceCosts(
        _affine("forward FLOPs", forward, batches, cuts, what),
        _affine("backward FLOPs", backward[:2], batches[:2], cuts, what),
        elements,
        accompanying,
        (*(any(places[place].wants_gradient for places in found) for place in inner), False),
        # Statistics of a batch are saved too; the difference leaves out what does not grow with it.
        (saved[1] - saved[0]) / (batches[1] - batches[0]),
    )


def _until(record: Record, ends: Sequence[int], cost: str) -> Array:
    """Return a cost of all calls up to each cut, and of all."""
    total = np.cumsum([0.0, *(getattr(call, cost) for call in record.calls)])
    return total[[*ends, -1]]


def _affine(name: str, costs: Sequence[Array], batches: Sequence[int], cuts: Sequence[Cut], what: str) -> Affine:
    per_sample = (costs[1] - costs[0]) / (batches[1] - batches[0])
    per_batch = costs[0] - batches[0] * per_sample
    differs = (per_batch < 0.0) | (per_sample < 0.0)
    for cost, batch in zip(costs, batches, strict=True):
        differs |= cost != per_batch + batch * per_sample
    if differs.any():
        index = int(np.argmax(differs))
        told = ", ".join(f"{cost[index]:g} for {batch}" for cost, batch in zip(costs, batches, strict=True))
        raise ProfileError(
            f"The {name} of {what} up to {cuts[index].name!r} are no sum of a part for each sample and one for "
            f"the batch ({told} samples), so there is no cost per sample. Keep the batch as the first dimension "
            "and treat each sample on its own."
        )
    return Affine(per_sample, per_batch)
