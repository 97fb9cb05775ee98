"""Watching a network run: its calls of torch's functions, the operations below them, its modules."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils.hooks import RemovableHandle

from sfl_env.dnn.choices import choice_of
from sfl_env.dnn.flops import operation_flops, plain_attention
from sfl_env.dnn.frames import Frame, Open, Where
from sfl_env.dnn.ledger import Ledger, address
from sfl_env.dnn.outputs import logits_of, tensors_in, with_tensor
from sfl_env.dnn.places import Place
from sfl_env.dnn.record import Call, Candidate, Record
from sfl_env.dnn.telling import (
    HANDING_OUT,
    READ_BY_PYTHON,
    SHAPE_ONLY,
    Functions,
    Operations,
    chance_noticed,
    hooks_on_what_is_saved,
    plain_name,
    telling_what_is_saved,
    tensors_among,
    without_onednn,
    written_arguments,
)
from sfl_env.dnn.transforms import lifted_for_transforms, saved_in_graph
from sfl_env.errors import ProfileError


def watch(
    network: nn.Module,
    names: dict[str, Tensor],
    x: Tensor,
    *,
    backward: bool,
    handed_over: Iterable[Place] = (),
    quicker: Mapping[Any, Callable[..., Any]] | None = None,
) -> Record:
    """Run a network once and return what was seen.

    Parameters
    ----------
    network : nn.Module
        A copy that is thrown away afterwards: it keeps whatever its forward leaves.
    names : dict of tensors
        Its parameters and buffers.
    x : Tensor
        A batch.
    backward : bool
        Run the backward pass, too.
    handed_over : iterable of Place
        Where to hand on copies, as a cut does.
    quicker : mapping of functions, optional
        What to run in the place of which operations.

    Raises
    ------
    ProfileError
        If an operation's FLOPs are not known, or the network returns no logits.
    """
    return _Watch(network, names, frozenset(handed_over), quicker or {}, len(x)).run(x, backward=backward)


class _Watch:
    def __init__(
        self,
        network: nn.Module,
        names: dict[str, Tensor],
        handed_over: frozenset[Place],
        quicker: Mapping[Any, Callable[..., Any]],
        samples: int,
    ) -> None:
        self._quicker = quicker
        self._network = network
        self._names = names
        self._handed_over = handed_over
        self._record = Record(samples=samples)
        self._ledger = Ledger(name for name, tensor in names.items() if isinstance(tensor, nn.Parameter))
        self._frames: list[Frame] = []
        self._visits: dict[str, int] = {}
        self._open: Open | None = None
        self._is_paused = False
        self._sequence: list[int] = []  # autograd's number after each call
        self._saved: dict[int, Any] = {}  # storages that the backward pass needs, and those of weights
        self._in_backward = False
        self._blamed = 0
        self._hooks: Any = None
        self._handles: list[RemovableHandle] = []
        self._thread = threading.get_ident()

    def run(self, x: Tensor, *, backward: bool) -> Record:
        for name, tensor in self._names.items():
            self._ledger.hold(tensor, name)
            self._saved |= {key: tensor.untyped_storage() for key in [address(tensor)] if key is not None}
        self._ledger.hold_input(x)
        buffers = {name: buffer for name, buffer in self._names.items() if not isinstance(buffer, nn.Parameter)}
        self._hook_modules()
        try:
            self._run_both_ways(x, backward)
        finally:
            # They and the graph, which keeps modules with backward hooks, would keep each other, unseen by Python.
            for handle in self._handles:
                handle.remove()
        self._record.lives = self._ledger.lives
        now = dict(self._network.named_buffers())
        self._record.changed |= {name for name, buffer in buffers.items() if now.get(name) is not buffer}
        self._record.trained = {
            name for name, tensor in self._names.items() if tensor.is_leaf and tensor.grad is not None
        }
        return self._record

    def _run_both_ways(self, x: Tensor, backward: bool) -> None:
        computes_anew = False
        with (
            plain_attention(),
            without_onednn(),
            Operations(self._operation),
            chance_noticed(self._record, self._network),
        ):
            with Functions(self._function), telling_what_is_saved(self._save):
                self._hooks = hooks_on_what_is_saved()
                with lifted_for_transforms() as lifted:
                    output = self._network(x)
            logits = logits_of(output, type(self._network).__name__)
            self._is_paused = True  # torch makes a view of each tensor that it is asked for
            for node, tensor in saved_in_graph(logits) if lifted else ():
                self._keep(tensor, self._record.calls[self._blame(node)])
            self._is_paused = False
            self._ledger.read(logits, len(self._record.calls))
            self._record.logits = id(logits)
            if backward and logits.requires_grad:
                self._in_backward = True
                before = torch._C._autograd._get_sequence_nr()
                logits.backward(torch.ones_like(logits))
                # Hooks on what is saved may as well move it elsewhere; what is computed anew makes new nodes.
                computes_anew = torch._C._autograd._get_sequence_nr() != before
        if not computes_anew:
            self._record.candidates = [each._replace(is_computed_anew=False) for each in self._record.candidates]

    def _hook_modules(self) -> None:
        for path, module in self._network.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                self._handles.append(module.register_forward_pre_hook(self._entered(path), prepend=True))
                self._handles.append(module.register_forward_hook(self._left))

    def _entered(self, path: str) -> Callable[[nn.Module, Any], None]:
        def enter(module: nn.Module, inputs: Any) -> None:
            if threading.get_ident() != self._thread and not self._in_backward:
                raise ProfileError(
                    f"The module {path!r} of {type(self._network).__name__} runs in another thread than "
                    "the network, where torch does not tell what it does. Run it in the network's own."
                )
            visit = self._visits.get(path, 0)
            self._visits[path] = visit + 1
            self._frames.append(Frame(path, visit))

        return enter

    def _left(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        frame = self._frames.pop()
        self._record.returned[frame.path] = len(self._record.calls)
        parent = self._frames[-1] if self._frames else Frame("", 0)
        if self._open is None and not self._in_backward:
            # Outputs of classes that torch does not know hold their tensors unseen.
            returned = list(tensors_in(output))
            output = self._offered(output, returned, Where(frame.path, frame.visit, None, parent), returned)
        parent.children += 1
        return output

    def _function(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self._is_paused or self._open is not None:
            return func(*args, **kwargs)
        record, moment = self._record, len(self._record.calls)
        given = [*tensors_among(args), *tensors_among(kwargs.values())]
        call = Call(f"{self._frames[-1].path if self._frames else ''}.{plain_name(func)}".lstrip("."))
        record.choices += [choice for choice in [choice_of(call.name, func, args, kwargs)] if choice is not None]
        self._open = Open(call, {address(tensor) for tensor in given})
        try:
            output = func(*args, **kwargs)
        finally:
            opened, self._open = self._open, None
        returned = list(tensors_in(output))
        if call.name.rpartition(".")[2] in HANDING_OUT:
            for tensor in given:
                self._ledger.hand_out(tensor)
        if not (opened.is_active or returned):
            return output
        record.calls.append(call)
        self._sequence.append(torch._C._autograd._get_sequence_nr())
        made = [tensor for tensor in returned if self._ledger.depends(tensor)]
        # What only makes masks of the input is work of the device, wherever the network does it.
        makes_masks = bool(made) and all(self._ledger.is_mask(tensor) for tensor in made)
        for tensor in given:
            if not (makes_masks and self._ledger.is_input(tensor)):
                self._ledger.read(tensor, moment)
        new = [tensor for tensor in returned if not self._ledger.is_known(tensor)]
        for tensor in returned:
            self._ledger.made(tensor, moment, call.name)
        if returned and self._frames and not isinstance(func, OpOverload):
            frame = self._frames[-1]
            output = self._offered(output, returned, Where(frame.path, frame.visit, frame.steps, frame), new)
            for running in self._frames:
                running.steps += 1
        return output

    def _offered(self, output: Any, returned: list[Tensor], where: Where, new: list[Tensor]) -> Any:
        """Note the tensors that could be handed over here; hand those over that are to be."""
        moment = len(self._record.calls)
        function = self._record.calls[-1].name if self._record.calls else ""
        for tensor in new:
            if not self._ledger.depends(tensor):
                continue
            position = next(index for index, each in enumerate(returned) if each is tensor)
            place = Place(where.path, where.visit, where.step, position)
            if place in self._handed_over:
                output, tensor = self._exchanged(output, tensor, moment)
            if tensor.requires_grad:
                self._handles.append(tensor.register_hook(self._noting_gradient(len(self._record.candidates))))
            self._record.candidates.append(
                Candidate(
                    place=place,
                    moment=moment,
                    tensor=id(tensor),
                    memory=address(tensor),
                    elements=tensor.numel(),
                    is_floating_point=tensor.is_floating_point(),
                    wants_gradient=False,
                    is_computed_anew=hooks_on_what_is_saved() != self._hooks,
                    function=function,
                    parent=where.parent.path,
                    number=where.parent.children,
                )
            )
        return output

    def _noting_gradient(self, candidate: int) -> Callable[[Tensor], None]:
        def note(gradient: Tensor) -> None:
            candidates = self._record.candidates
            candidates[candidate] = candidates[candidate]._replace(wants_gradient=True)

        return note

    def _exchanged(self, output: Any, tensor: Tensor, moment: int) -> tuple[Any, Tensor]:
        self._is_paused = True
        new = tensor.clone()
        self._is_paused = False
        # It is there as soon as the old one, which should be read no more.
        self._ledger.computed([new], [tensor], moment - 1, is_random=False)
        self._ledger.made(new, moment - 1, "a tensor that was handed over")
        return with_tensor(output, tensor, new), new

    def _operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        node = torch._C._current_autograd_node() if self._in_backward else None
        is_paused, self._is_paused = self._is_paused, True
        try:
            output = self._quicker.get(func, func)(*args, **kwargs)
        finally:
            self._is_paused = is_paused
        if is_paused or func.namespace == "prim":
            return output
        flops = operation_flops(func, args, kwargs, output)
        if self._in_backward:
            if flops:
                self._record.calls[self._blame(node)].backward_flops += flops
            return output
        call = self._current_call()
        call.forward_flops += flops
        inputs = [*tensors_among(args), *tensors_among(kwargs.values())]
        written = list(tensors_among(written_arguments(func, args, kwargs)))
        self._follow(func, call, inputs, list(tensors_among((output,))), written)
        return output

    def _current_call(self) -> Call:
        """Return the function that runs, or a new call for an operation outside of any."""
        if self._open is not None:
            self._open.is_active = True
            return self._open.call
        self._record.calls.append(
            Call(f"{self._frames[-1].path if self._frames else ''}.an operation".lstrip("."))
        )
        self._sequence.append(torch._C._autograd._get_sequence_nr())
        return self._record.calls[-1]

    def _follow(
        self, func: Any, call: Call, inputs: list[Tensor], outputs: list[Tensor], written: list[Tensor]
    ) -> None:
        moment = len(self._record.calls) - (0 if self._open is not None else 1)
        name = func._schema.name
        if name in READ_BY_PYTHON and any(self._ledger.varies(tensor) for tensor in inputs):
            self._record.is_fixed = False
        for tensor in written:
            self._record.changed |= {n for n in self._ledger.names(tensor) if _shares(tensor, self._names.get(n))}
        read = [] if name in SHAPE_ONLY else inputs
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        call.uses |= self._ledger.computed([*outputs, *written], read, moment, is_random)
        for tensor in read:
            if self._open is None:
                self._ledger.read(tensor, moment)
            elif address(tensor) not in self._open.given:
                self._ledger.read_memory(tensor, moment)

    def _save(self, tensor: Tensor) -> None:
        if not self._in_backward:
            calls = self._record.calls
            self._keep(
                tensor, self._open.call if self._open is not None else (calls or [self._current_call()])[-1]
            )

    def _keep(self, tensor: Tensor, call: Call) -> None:
        key = address(tensor)
        if key is not None and key not in self._saved:
            storage = self._saved[key] = tensor.untyped_storage()
            call.saved_elements += storage.nbytes() // tensor.element_size() * (1 + tensor.is_complex())

    def _blame(self, node: Any) -> int:
        """Return the number of the call that an operation of the backward pass belongs to.

        What the backward pass computes anew (a checkpoint's forward pass) makes nodes of its own, which belong to
        the call that the last node of the forward pass belongs to.
        """
        number = -1 if node is None else node._sequence_nr()
        if 0 <= number < self._sequence[-1]:
            self._blamed = bisect_right(self._sequence, number)
        return self._blamed


def _shares(tensor: Tensor, other: Tensor | None) -> bool:
    return other is not None and address(tensor) == address(other)
