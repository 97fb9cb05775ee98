"""A network as a chain of blocks between its legal cuts."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sfl_env.dnn.choices import varying
from sfl_env.dnn.costs import DeviceCosts, device_costs, sent_per_sample
from sfl_env.dnn.cuts import (
    Cut,
    cheapest,
    crosses_alone,
    crossing,
    elements_sent,
    legal_candidates,
    representatives,
    sent_alike,
    uses,
    why_none,
)
from sfl_env.dnn.foreign import foreign_code
from sfl_env.dnn.names import best_named, children_in_turn, name_of, unlike_names
from sfl_env.dnn.outputs import logits_of
from sfl_env.dnn.places import Exchange, exchanged
from sfl_env.dnn.profile import checked_shape
from sfl_env.dnn.record import Candidate, Record
from sfl_env.dnn.runs import Runner, first_runs, state_of
from sfl_env.errors import ProfileError

_SEEDS = 8
"""Runs of a network that draws what it runs: its cuts have to be there in all of them."""

_LARGE_BATCHES = (64, 96, 160)
"""Batch sizes of a later call: what a network computes in large batches alone is seen, too."""

_ORDER_BATCHES = (64, 512)
"""Batches in which functions that choose by sizes have to compute as they do in small ones."""


@dataclass(frozen=True)
class SplitNetwork:
    """A network, exactly as its author wrote it, with its legal cuts.

    Parameters
    ----------
    network : nn.Module
        The user's own module; it is what runs on either side.
    cuts : tuple of Cut
        C of them; the last keeps the whole network on the device.
    block : dict of int
        Which of the C blocks each parameter and buffer belongs to, by its name in the network: the first that uses
        it, or, if none does, the one in which its module returns.
    changed : frozenset of str
        Buffers (and parameters without gradient) that a forward pass in training writes to or puts anew.
    trained : frozenset of str
        Parameters that get a gradient; others stay as they are, whether they ask for one or not.
    costs : DeviceCosts
        What the device side of each cut costs.
    """

    network: nn.Module
    cuts: tuple[Cut, ...]
    block: dict[str, int]
    changed: frozenset[str]
    trained: frozenset[str]
    costs: DeviceCosts

    @property
    def num_cuts(self) -> int:
        """C, the number of cuts, the whole network on the device included."""
        return len(self.cuts)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the network's logits of a batch."""
        return logits_of(self.network(x), type(self.network).__name__)

    def of(self, network: nn.Module) -> "SplitNetwork":
        """Return the same cuts of another copy of the network."""
        return replace(self, network=network)

    def handing_over(self, cut: int, exchange: Exchange) -> AbstractContextManager[None]:
        """Exchange the smashed data of a cut for what ``exchange`` makes of it whenever the network runs within.

        Parameters
        ----------
        cut : int
            Its index, from 0. At the last one nothing is handed over.
        exchange : callable
            Takes the smashed data and returns what the server gets.
        """
        place = self.cuts[cut].place
        return nullcontext() if place is None else exchanged(self.network, place, exchange)


def as_chain(
    module: nn.Module, input_shape: tuple[int, ...], input_dtype: torch.dtype | None = None
) -> SplitNetwork:
    """Find a network's legal cuts by watching it run, so that it is a chain of blocks between them.

    A place is a legal cut if exactly one floating-point tensor crosses it, besides parameters, constants and what
    is computed from these alone; so a residual block is never cut inside. Of an ``nn.Sequential`` only the places
    between its children are considered (if it has a single child, that child's own), unless there is no cut among
    them. Of these places the ones stay that

    - have nothing on both sides that training changes (tied weights belong to one side),
    - leave parameters on the device (else the raw input would be sent), and
    - send least among those that no counted FLOPs lie between, the last one if several send as little: an
      activation, normalisation or pooling stays with its convolution.

    Parameters
    ----------
    module : nn.Module
        The network, one tensor in, and one out (or an object with ``logits``). It is left as it is.
    input_shape : tuple of int
        Shape of one sample, without the batch.
    input_dtype : torch.dtype, optional
        Of the input; by default that of the network's parameters, and where it does not take such, ``int64``.

    Returns
    -------
    SplitNetwork
        The network itself with at least two blocks. A cut's name is that of the last module before it.

    Raises
    ------
    ProfileError
        If the network has no legal cut or does not take such an input, or what it costs cannot be told.

    Examples
    --------
    >>> layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [cut.name for cut in as_chain(layers, (2, 3)).cuts]
    ['2', '3']
    """
    if not isinstance(module, nn.Module):
        raise ProfileError(f"The network is a {type(module).__name__}; it has to be a torch.nn.Module.")
    ways, records = first_runs(module, checked_shape(input_shape), input_dtype)
    with foreign_code(f"{type(module).__name__} does not run again as it did before"):
        return _Search(module, ways, records).found()


class _Search:
    """Finds the cuts of one network."""

    def __init__(self, network: nn.Module, ways: Runner, alike: list[Record]) -> None:
        self._network = network
        self._ways = ways
        self._what = type(network).__name__
        self._parameters = frozenset(name for name, _ in network.named_parameters())
        self._children = children_in_turn(network)
        self._seed, self._alike, self._others = 0, alike, list[Record]()
        self._record = alike[0]
        self._is_fixed = all(each.is_fixed and each.form == alike[0].form for each in alike)
        later = ways._replace(calls_before=1)
        if self._is_fixed:
            self._compare(later)
        else:
            first = [alike[0], *(ways.run(ways.batches[0], seed=seed) for seed in range(1, _SEEDS))]
            self._seed, self._record = max(enumerate(first), key=lambda each: each[1].forward_flops)
            others = (*first, later.run(ways.batches[0]))
            self._others = [record for record in others if record is not self._record]
            # What is drawn does not depend on the batch: equal seeds run the same layers.
            self._alike = [self._record, *ways.of_all_sizes(self._seed)[1:]]

    def _compare(self, later: Runner) -> None:
        """Go by a later call, and a larger batch, if it is another: if it computes, sends or trains otherwise.

        Flags tell that weights are to be set, counts of calls what is trained, and sizes which branch is taken.
        """
        later, second = _second_run(later)
        differs = elements_sent(self._record).keys() - sent_alike(self._record, second)
        if (
            (second.form, second.trained) != (self._record.form, self._record.trained)
            # What is the same for all batches, such as a mean over one, is sent nowhere.
            or (differs and differs & sent_per_sample(self._alike))
        ):
            self._is_fixed = False
            self._others = [self._record]
            self._ways, self._alike = later, later.of_all_sizes()
            self._record = self._alike[0]

    def found(self) -> SplitNetwork:
        """Return the network with its cuts."""
        chosen = cheapest(self._kept_apart(self._legal()), self._record)
        if not chosen and self._children is not None:
            self._children = None  # what is worth a cut lies within one of them
            return self.found()
        if not chosen:
            raise ProfileError(why_none(self._record, self._network))
        self._require_one_order()
        places = [*(candidate.place for candidate in chosen), None]
        cuts = tuple(Cut(name, place) for name, place in zip(self._names(chosen), places, strict=True))
        block = self._blocks([candidate.moment for candidate in chosen])
        changed = self._record.changed.union(*(other.changed for other in self._others))
        return SplitNetwork(
            self._network,
            cuts,
            block,
            frozenset(changed & block.keys()),  # without buffers that only a call has filled
            self._trained(),
            device_costs(self._alike, self._others, cuts, self._what),
        )

    def _require_one_order(self) -> None:
        """Raise if a function that chooses by sizes in which order it computes does more work in large batches."""
        call = varying([record.choices for record in self._alike])
        if call is None:
            return
        (few, more, _), done = self._ways.batches, [record.forward_flops for record in self._alike]
        each = (done[1] - done[0]) / (more - few)
        for batch in _ORDER_BATCHES:
            large = self._ways.run(batch, backward=False, seed=self._seed).forward_flops
            if large != done[0] + (batch - few) * each:
                raise ProfileError(
                    f"{self._what} calls {call!r}, which chooses by the sizes of its arguments in which order it "
                    "computes, so that what a sample costs depends on how large the batch is. Write its products "
                    "one by one, in the order that you want."
                )

    def _trained(self) -> frozenset[str]:
        """Return the parameters that get a gradient; all that ask for one, where each run may train others."""
        if self._is_fixed:
            return frozenset(self._record.trained)
        return frozenset(name for name, tensor in self._network.named_parameters() if tensor.requires_grad)

    def _legal(self) -> list[Candidate]:
        """Return one legal candidate for each tensor, which is there in all runs."""
        legal = legal_candidates(self._record, self._parameters)
        for record in self._others:
            places = {candidate.place for candidate in legal_candidates(record, self._parameters)}
            same = places & sent_alike(self._record, record)
            legal = [candidate for candidate in legal if candidate.place in same]
        if self._children is not None:
            legal = [candidate for candidate in legal if self._children.end_with(candidate)]
        per_sample = sent_per_sample(self._alike)
        whole = [candidate for candidate in legal if candidate.place in per_sample]
        return representatives(whole, self._network, self._is_fixed)

    def _kept_apart(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return those at which a copy can be handed over: nothing goes on with what it is a copy of."""
        places = [candidate.place for candidate in candidates]
        handed = self._ways.run(self._ways.batches[0], backward=False, handed_over=places, seed=self._seed)
        alone = {
            candidate.place
            for candidate, alive in zip(handed.candidates, crossing(handed), strict=True)
            if crosses_alone(candidate, alive, handed)
        }
        return [candidate for candidate in candidates if candidate.place in alone]

    def _blocks(self, moments: list[int]) -> dict[str, int]:
        """Return the block that each parameter and buffer belongs to."""
        first, _ = uses(self._record)
        returned = self._record.returned
        block = {}
        for name in state_of(self._network):
            owner = name.rpartition(".")[0]
            while owner and owner not in returned:
                owner = owner.rpartition(".")[0]
            # What no call uses comes with the module that holds it.
            index = first.get(name, returned.get(owner, len(self._record.calls)) - 1)
            block[name] = sum(moment <= index for moment in moments)
        return block

    def _names(self, chosen: list[Candidate]) -> list[str]:
        """Return the names of the cuts, the last one, behind which nothing comes, included."""
        record = self._record
        ends = [each for each in record.candidates if each.tensor == record.logits and each.place.path]
        last = self._what
        if self._children is not None:
            last = self._children.names[-1]
        elif ends:
            end = best_named(ends, self._network)
            last = name_of(end, None)
        return unlike_names([*(name_of(each, self._children) for each in chosen), last])


def _second_run(later: Runner) -> tuple[Runner, Record]:
    """Return the record of a second call, and how it was run: in a large batch where that costs no time."""
    if later.is_hollow:
        large = later._replace(batches=_LARGE_BATCHES)
        try:
            return large, large.run(large.batches[0])
        except KeyboardInterrupt:
            raise
        except BaseException:  # the user's own code runs here; what it cannot do at all, the small batch tells
            return later, later.run(later.batches[0])
    return later, later.run(later.batches[0])
