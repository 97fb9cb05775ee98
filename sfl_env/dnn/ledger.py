"""Which tensors of a run depend on the input, on parameters and on chance, and how long each is needed."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sfl_env.dnn.record import Life, Shown


@dataclass(slots=True)
class _Memory:
    """What is known of a storage; views of a tensor share theirs, and a sparse tensor is its own."""

    storage: object  # held, so that its address is not given out a second time
    depends_since: int | None = None  # moment from which it holds what depends on the input
    names: set[str] = field(default_factory=set)  # parameters and buffers that it holds or was computed from
    is_random: bool = False
    is_input: bool = False  # the network's input itself
    is_made_of_input: bool = False  # a mask, directly
    is_mask: bool = False  # truth values of the input, computed without parameters, or numbers made of them


class Ledger:
    """Follows tensors by identity and by memory.

    Identity tells what a network's Python code has in hands, memory what it depends on: views, results written in
    place and tensors that were handed on unseen have the same one.
    """

    def __init__(self, parameters: Iterable[str]) -> None:
        self._parameters = frozenset(parameters)
        self._memories: dict[int, _Memory] = {}
        self._made: dict[int, tuple[Tensor, int, str]] = {}
        self._lives: dict[int, Life] = {}
        self._held: list[Tensor] = []  # kept, so that no other tensor has the identity of one

    def hold(self, tensor: Tensor, name: str) -> None:
        """Note a parameter or buffer."""
        self._held.append(tensor)
        memory = self._memory(tensor, is_new=True)
        if memory is not None:
            memory.names.add(name)

    def hold_input(self, tensor: Tensor) -> None:
        """Note the network's input."""
        memory = self._memory(tensor)
        if memory is not None:
            memory.depends_since, memory.is_input = 0, True
        self._made[id(tensor)] = (tensor, 0, "the input")

    def is_known(self, tensor: Tensor) -> bool:
        """Whether the tensor itself, not only its memory, was seen before."""
        return id(tensor) in self._made

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on the input."""
        memory = self._memory(tensor)
        return memory is None or memory.depends_since is not None

    def varies(self, tensor: Tensor) -> bool:
        """Whether the input or chance decides on a tensor's numbers."""
        memory = self._memory(tensor)
        return memory is None or memory.is_random or memory.depends_since is not None

    def names(self, tensor: Tensor) -> set[str]:
        """Return the parameters and buffers that a tensor is, or was computed from without the input."""
        memory = self._memory(tensor)
        return set() if memory is None else memory.names

    def made(self, tensor: Tensor, moment: int, name: str) -> None:
        """Note a tensor that a call returned, unless it is known."""
        self._made.setdefault(id(tensor), (tensor, moment, name))

    def computed(self, results: list[Tensor], inputs: list[Tensor], moment: int, is_random: bool) -> set[str]:
        """Note what an operation computed from what; return the names that went into a result of the input."""
        memories = [memory for tensor in inputs if (memory := self._memory(tensor)) is not None]
        depends = any(memory.depends_since is not None for memory in memories)
        names = {name for memory in memories for name in memory.names}
        is_random = is_random or any(memory.is_random for memory in memories)
        for tensor in results:
            memory = self._memory(tensor, is_new=True)
            if memory is None:
                continue
            memory.is_random = memory.is_random or is_random
            if not depends:
                memory.names.update(names)
            else:
                self._note_kind(
                    memory, tensor, [each for each in memories if each.depends_since is not None], names
                )
                memory.depends_since = moment if memory.depends_since is None else memory.depends_since
        return names if depends else set()

    def _note_kind(self, memory: _Memory, result: Tensor, sources: list[_Memory], names: set[str]) -> None:
        """Note whether a result can accompany the smashed data, as the device has it without the network."""
        is_plain = names.isdisjoint(self._parameters) and result.layout is torch.strided
        of_masks = is_plain and all(source.is_mask for source in sources)
        of_input = is_plain and all(source.is_mask or source.is_input for source in sources)
        is_new = memory.depends_since is None
        memory.is_mask = (is_new or memory.is_mask) and (of_masks or (of_input and result.dtype is torch.bool))
        memory.is_made_of_input = memory.is_mask and not of_masks

    def is_mask(self, tensor: Tensor) -> bool:
        """Whether a tensor is a mask, computed from the input without parameters, or made of such."""
        memory = self._memory(tensor)
        return memory is not None and memory.is_mask

    def is_input(self, tensor: Tensor) -> bool:
        """Whether a tensor is the network's input, or a view of it."""
        memory = self._memory(tensor)
        return memory is not None and memory.is_input

    def hand_out(self, tensor: Tensor) -> None:
        """Note that a tensor's numbers are handed to other code: they may be needed to the end."""
        self.read(tensor, sys.maxsize)

    def read(self, tensor: Tensor, moment: int) -> None:
        """Note that a call reads a tensor."""
        memory = self._memory(tensor)
        if memory is None:
            self._read_without_memory(tensor, moment)
            return
        if memory.depends_since is None:
            return
        if id(bare(tensor)) in self._made:
            tensor = bare(tensor)
        if id(tensor) not in self._made:
            # Handed on unseen: it may be as old as its memory.
            self._made[id(tensor)] = (tensor, memory.depends_since, "a tensor that was not seen before")
        _, since, name = self._made[id(tensor)]
        # The device can make a mask of the input as soon as it has it.
        since = 0 if memory.is_made_of_input else max(since, memory.depends_since)
        known = self._lives.get(id(tensor))
        moment = moment if known is None else max(moment, known.last_read)
        self._lives[id(tensor)] = Life(since, moment, name, _shown(tensor) if memory.is_mask else None)

    def _read_without_memory(self, tensor: Tensor, moment: int) -> None:
        # Of a sparse tensor, say, nothing tells what it depends on: unless it is a buffer, it may be the input.
        if any(tensor is held for held in self._held):
            return
        _, since, name = self._made.setdefault(id(tensor), (tensor, 0, "a tensor that was not seen before"))
        self._lives[id(tensor)] = Life(since, moment, name, None)

    def read_memory(self, tensor: Tensor, moment: int) -> None:
        """Note that a call reads the memory of a tensor that it was not given."""
        memory = self._memory(tensor)
        if memory is not None and memory.depends_since is not None and memory.depends_since < moment:
            self._lives[-_key(tensor)] = Life(
                memory.depends_since, moment, "a tensor that was not seen before", None
            )

    @property
    def lives(self) -> dict[int, Life]:
        """When each tensor that depends on the input was there, by its key."""
        return dict(self._lives)

    def _memory(self, tensor: Tensor, is_new: bool = False) -> _Memory | None:
        """Return what is known of a tensor's memory; None of a sparse tensor not seen before, say."""
        key = _key(tensor)
        if key not in self._memories:
            if address(tensor) is not None:
                self._memories[key] = _Memory(bare(tensor).untyped_storage())
            elif is_new and tensor.layout is not torch.strided:
                self._memories[key] = _Memory(tensor)
        return self._memories.get(key)


def _key(tensor: Tensor) -> int:
    return id(tensor) if (found := address(tensor)) is None else found


def address(tensor: Tensor) -> int | None:
    """Return the address of a tensor's memory; None for tensors without one of their own (sparse ones)."""
    try:
        found: int = bare(tensor).untyped_storage()._cdata
    except NotImplementedError:
        return None
    return found


def bare(tensor: Tensor) -> Tensor:
    """Return the tensor that one within a transform of ``torch.func`` stands for."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def _shown(tensor: Tensor) -> Shown:
    tensor = bare(tensor)
    storage = tensor.untyped_storage()
    size = storage.nbytes() // tensor.element_size()
    return Shown(storage._cdata, size, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride())
