"""Where a network can be cut: places that exactly one tensor crosses, found in records of its runs."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import nn

from sfl_env.dnn.names import best_named
from sfl_env.dnn.places import Place
from sfl_env.dnn.record import Candidate, Record, Shown


class Cut(NamedTuple):
    """A legal cut."""

    name: str  # of the last module, or function, of the device side
    place: Place | None  # of the smashed data; None: the whole network is on the device


def legal_candidates(record: Record, parameters: frozenset[str]) -> list[Candidate]:
    """Return the candidates of a run that a cut can be made at, in order.

    A floating-point tensor is the only one that crosses, besides masks that the device computes from the input
    without parameters, and numbers made of such; parameters lie before it; nothing that training changes
    is used on both sides; its gradient comes back if anything before it is trained; and it is not computed anew in
    the backward pass, which would have to go on over the cut.

    Parameters
    ----------
    record : Record
        Of the run.
    parameters : frozenset of str
        Names of the network's parameters.
    """
    tied = tied_moments(record)
    trained_from = _first_use(record, record.trained)
    parameters_from = _first_use(record, parameters)
    return [
        candidate
        for candidate, alive in zip(record.candidates, crossing(record), strict=True)
        if crosses_alone(candidate, alive, record)
        and candidate.is_floating_point
        and candidate.moment > parameters_from
        and candidate.moment not in tied
        and (candidate.wants_gradient or candidate.moment <= trained_from)
        and not candidate.is_computed_anew
    ]


def crosses_alone(candidate: Candidate, alive: frozenset[int], record: Record) -> bool:
    """Whether nothing crosses with a candidate but what accompanies it."""
    return {key for key in alive if record.lives[key].accompanies is None} == {candidate.tensor}


def elements_sent(record: Record) -> dict[Place, tuple[int, int]]:
    """Return for each place the elements of the candidate, and of what accompanies it."""
    return {
        candidate.place: (
            candidate.elements,
            _numbers_shown(
                frozenset(view for key in alive if (view := record.lives[key].accompanies) is not None)
            ),
        )
        for candidate, alive in zip(record.candidates, crossing(record), strict=True)
    }


def sent_alike(record: Record, other: Record) -> set[Place]:
    """Return the places at which two runs, on batches of any sizes, send as many elements of a sample."""
    there = elements_sent(other)
    return {
        place
        for place, sent in elements_sent(record).items()
        if place in there
        and all(n * other.samples == m * record.samples for n, m in zip(sent, there[place], strict=True))
    }


@lru_cache(maxsize=256)
def _numbers_shown(views: frozenset[Shown]) -> int:
    """Return how many numbers views show together; those of one memory that several show count once."""
    by_memory: dict[tuple[int, int], list[Shown]] = {}
    for view in views:
        by_memory.setdefault((view.memory, view.size), []).append(view)
    return sum(_union(own) for own in by_memory.values())


def _union(views: list[Shown]) -> int:
    most = max(view.elements for view in views)
    if len(views) == 1 or most == views[0].size:
        return most
    is_shown = np.zeros(views[0].size, dtype=np.bool_)
    for view in views:
        if view.elements:
            steps = tuple(
                1 if stride == 0 else size for size, stride in zip(view.shape, view.strides, strict=True)
            )
            as_strided(is_shown[view.offset :], steps, view.strides)[...] = True
    return int(is_shown.sum())


def crossing(record: Record) -> list[frozenset[int]]:
    """Return for each candidate the keys of the tensors that are made before it and read after it."""
    starting = sorted((life.since, key) for key, life in record.lives.items())
    alive: set[int] = set()
    found = []
    started = 0
    for candidate in record.candidates:
        while started < len(starting) and starting[started][0] < candidate.moment:
            alive.add(starting[started][1])
            started += 1
        alive = {key for key in alive if record.lives[key].last_read >= candidate.moment}
        found.append(frozenset(alive))
    return found


def tied_moments(record: Record) -> set[int]:
    """Return the moments between two uses of what training changes: one side has to hold it."""
    first, last = uses(record)
    return {
        moment
        for name in record.trained | record.changed
        if name in first
        for moment in range(first[name] + 1, last[name] + 1)
    }


def uses(record: Record) -> tuple[dict[str, int], dict[str, int]]:
    """Return the first and the last call that uses each parameter and buffer."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, call in enumerate(record.calls):
        for name in call.uses:
            first.setdefault(name, index)
            last[name] = index
    return first, last


def _first_use(record: Record, names: Iterable[str]) -> int:
    first, _ = uses(record)
    return min((first[name] for name in names if name in first), default=len(record.calls))


def representatives(candidates: Sequence[Candidate], network: nn.Module, is_fixed: bool) -> list[Candidate]:
    """Return one candidate for each tensor and moment, the one with the plainest name.

    Parameters
    ----------
    candidates : sequence of Candidate
        In order.
    network : nn.Module
        Whose modules they name.
    is_fixed : bool
        Whether every run calls the same functions; if not, only what modules return is found again.
    """
    groups: dict[tuple[int, int], list[Candidate]] = {}
    for candidate in candidates:
        is_own_end = candidate.place.path == "" and candidate.place.step is None
        if not is_own_end and (is_fixed or candidate.place.step is None):
            groups.setdefault((candidate.moment, candidate.tensor), []).append(candidate)
    chosen = (best_named(group, network) for group in groups.values())
    return sorted(chosen, key=lambda each: each.moment)


def cheapest(candidates: Sequence[Candidate], record: Record) -> list[Candidate]:
    """Return those that send least among the ones that no counted FLOPs lie between, the last if several do.

    FLOPs lie before the first one and behind the last.
    """
    costly = [index for index, call in enumerate(record.calls) if call.forward_flops]
    best: dict[int, Candidate] = {}
    sent = {place: sum(elements) for place, elements in elements_sent(record).items()}
    for candidate in candidates:
        before = sum(index < candidate.moment for index in costly)
        known = best.get(before)
        if 0 < before < len(costly) and (
            known is None
            or sent[candidate.place] < sent[known.place]
            or (sent[candidate.place] == sent[known.place] and not _only_looks_at(candidate, known))
        ):
            best[before] = candidate
    return list(best.values())


def _only_looks_at(candidate: Candidate, known: Candidate) -> bool:
    """Whether a function's result is what a module returned, in another form: the module tells more."""
    return candidate.place.step is not None and candidate.memory is not None and candidate.memory == known.memory


def why_none(record: Record, network: nn.Module) -> str:
    """Return why a network has no legal cut: what crosses at its best place, what is tied, or what runs unseen."""
    what = type(network).__name__
    costly = [index for index, call in enumerate(record.calls) if call.forward_flops]
    if len(costly) < 2:
        return (
            f"{what} has no legal cut: it has {len(costly)} layer(s) with matrix products or convolutions, and a "
            "network to split needs at least two, one on either side."
        )
    inner = [
        (candidate, alive)
        for candidate, alive in zip(record.candidates, crossing(record), strict=True)
        if costly[0] < candidate.moment <= costly[-1]
    ]
    tied = tied_moments(record)
    if any(len(alive) == 1 and candidate.moment in tied for candidate, alive in inner):
        return (
            f"{what} has no legal cut: parameters are shared (tied) across each place where it could be cut. Give "
            "the layers parameters of their own, tie them within one block, or freeze them."
        )
    advice = "Pass an nn.Sequential of its blocks, or let its blocks hand on one floating-point tensor each."
    if not inner:
        scripted = [path for path, part in network.named_modules() if isinstance(part, torch.jit.ScriptModule)]
        if scripted:
            which = f"its module {scripted[0]!r}" if scripted[0] else "it"
            return (
                f"{what} has no legal cut: {which} is scripted or traced, so the modules within run unseen. Pass "
                "the network as it was before torch.jit.script or torch.jit.trace."
            )
        return f"{what} has no legal cut: nothing that it computes can be handed over. {advice}"
    candidate, alive = min(inner, key=lambda each: (len(each[1]), each[0].place.step is not None))
    tensors = ", ".join(sorted(record.lives[key].name for key in alive))
    where = candidate.place.path if candidate.place.step is None else candidate.function
    return (
        f"{what} has no legal cut: no place inside it is crossed by exactly one floating-point tensor that has "
        f"parameters before it. At its best place, after {where!r}, {len(alive)} cross: {tensors}. {advice}"
    )
