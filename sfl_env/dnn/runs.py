"""Runs of copies of a network: without values where it can do without, else with real ones."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfl_env.checks import shown
from sfl_env.dnn.constants import Constants
from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.foreign import reason, tells_of_types
from sfl_env.dnn.hollow import QUICKER, hollow_copy, hollow_tensors
from sfl_env.dnn.modes import training_modes
from sfl_env.dnn.places import Place
from sfl_env.dnn.process import seeded
from sfl_env.dnn.record import Record
from sfl_env.dnn.watch import watch
from sfl_env.errors import ProfileError

BATCHES = ((2, 3, 5), (4, 6, 10), (16, 24, 40))
"""Batch sizes to run with, three at a time, the smallest that a network takes. Not 1, which batch normalisation
refuses."""


class Runner(NamedTuple):
    """How a network is run: on which input, in batches of which sizes, and whether with values.

    Without values nothing is computed, and a large network is watched in a moment. A network that asks for values
    (Python code that decides by numbers, or hands them to NumPy) is run on random ones.
    """

    network: nn.Module
    input_shape: tuple[int, ...]
    dtype: torch.dtype
    batches: tuple[int, int, int]
    is_hollow: bool
    calls_before: int = 0  # which may leave something that the one that is watched finds

    def run(
        self, batch: int, *, backward: bool = True, handed_over: Iterable[Place] = (), seed: int = 0
    ) -> Record:
        """Watch a copy of the network run on a batch.

        Parameters
        ----------
        batch : int
            Samples.
        backward : bool
            Run the backward pass, too.
        handed_over : iterable of Place
            Where to hand on copies, as a cut does.
        seed : int
            Of what the network draws.
        """
        # What is drawn, and what attention is computed by, is the whole process's.
        with training_modes(), seeded(seed, torch.device("cpu")):
            if not self.is_hollow:
                copy = own_copy(self.network).train()
                x = self._values(batch, next((p.device for p in copy.parameters()), torch.device("cpu")))
                self._call_before(copy, x)
                return watch(copy, state_of(copy), x, backward=backward, handed_over=handed_over)
            constants = Constants()
            try:
                record = self._run_hollow(constants, batch, backward, handed_over)
            finally:
                left = constants.fill()
            record.leaves_constants = left
            return record

    def _run_hollow(
        self, constants: Constants, batch: int, backward: bool, handed_over: Iterable[Place]
    ) -> Record:
        with hollow_tensors():
            copy = hollow_copy(self.network, constants).train()
            x = torch.empty((batch, *self.input_shape), dtype=self.dtype, device="cpu")
            with constants:
                self._call_before(copy, x)
                return watch(
                    copy,
                    state_of(copy),
                    x,
                    backward=backward,
                    handed_over=handed_over,
                    quicker=QUICKER,
                )

    def of_all_sizes(self, seed: int = 0) -> list[Record]:
        """Watch it run with each batch size, the last one forward only."""
        return [self.run(batch, backward=batch != self.batches[-1], seed=seed) for batch in self.batches]

    def _call_before(self, network: nn.Module, x: Tensor) -> None:
        for _ in range(self.calls_before):
            network(x.clone())

    def _values(self, batch: int, device: torch.device) -> Tensor:
        shape = (batch, *self.input_shape)
        if not self.dtype.is_floating_point:
            return torch.zeros(shape, dtype=self.dtype, device=device)  # the one token that all vocabularies have
        # A generator of its own: what the network draws does not depend on the batch.
        own = torch.Generator("cpu").manual_seed(0)
        return torch.randn(shape, generator=own, dtype=torch.float32, device="cpu").to(device, self.dtype)


def first_runs(
    network: nn.Module, input_shape: tuple[int, ...], input_dtype: torch.dtype | None
) -> tuple[Runner, list[Record]]:
    """Return a way to run the network that works, and the records of its runs with all batch sizes.

    Parameters
    ----------
    network : nn.Module
        The network.
    input_shape : tuple of int
        Shape of one sample.
    input_dtype : torch.dtype, optional
        Of the input. By default that of the network's parameters, and where it does not take such numbers,
        ``int64`` (tokens).

    Raises
    ------
    ProfileError
        If the network cannot run on such an input, has operations whose FLOPs are not known, or holds a sparse
        tensor that cannot be copied.
    """
    if input_dtype is not None and not isinstance(input_dtype, torch.dtype):
        raise ProfileError(
            f"input_dtype is {shown(input_dtype)}; it has to be a torch.dtype, such as torch.int64."
        )
    _refuse_compressed(network)
    own = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
    kinds = [input_dtype] if input_dtype is not None else [own, torch.int64]
    has_values = not any(parameter.is_meta for parameter in network.parameters())
    failures: list[tuple[torch.dtype, BaseException]] = []
    for is_hollow in (True, False) if has_values else (True,):
        for batches, dtype in product(BATCHES, kinds):
            ways = Runner(network, input_shape, dtype, batches, is_hollow)
            try:
                records = ways.of_all_sizes()
                if any(record.leaves_constants or record.form != records[0].form for record in records):
                    # Later calls find what these have made and keep outside of the copies: they run other code.
                    records = ways.of_all_sizes()
                    for record in records:
                        record.is_fixed = False
                return ways, records
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the user's own code runs here, which may raise anything at all
                failures.append((dtype, error))
    # A run with values fails at nothing that only hollow tensors cannot do.
    dtype, told = _most_telling(failures[len(BATCHES) * len(kinds) if has_values else 0 :])
    if isinstance(told, ProfileError):
        raise told
    may_be_the_type = input_dtype is None and tells_of_types(told)
    hint = " If it takes numbers of another type, name it as input_dtype." if may_be_the_type else ""
    raise ProfileError(
        f"{type(network).__name__} does not take a {dtype} input of shape "
        f"(batch, {', '.join(map(str, input_shape))}), tried with batches of {BATCHES[0][0]} to {BATCHES[-1][-1]} "
        f"({reason(told)}).{hint}"
    ) from told


def _most_telling(failures: list[tuple[torch.dtype, BaseException]]) -> tuple[torch.dtype, BaseException]:
    """Return the first failure that is not about the input's type, for which there is another try; else the first.

    A network that takes tokens fails on real numbers whatever their shape.
    """
    return next((each for each in failures if not tells_of_types(each[1])), failures[0])


def _refuse_compressed(network: nn.Module) -> None:
    for path, part in network.named_modules():
        for name, tensor in {**vars(part), **part._buffers, **part._parameters}.items():
            if isinstance(tensor, Tensor) and tensor.layout in _COMPRESSED:
                whole = f"{path}.{name}".lstrip(".")
                raise ProfileError(
                    f"{whole} of {type(network).__name__} has the layout {tensor.layout}, which torch cannot "
                    "copy. Keep it dense, or by coordinates (to_sparse_coo()); forward may convert it."
                )


_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
"""Layouts of sparse tensors with rows or columns one behind the other."""


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's parameters and buffers by name, each once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
