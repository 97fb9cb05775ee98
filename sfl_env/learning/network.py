"""The network that is trained: made by the user's function, with its cuts, and what its failures tell."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sfl_env.checks import shown
from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.foreign import reason, tells_of_types
from sfl_env.dnn.process import seeded
from sfl_env.dnn.split import SplitNetwork, as_chain
from sfl_env.errors import MisfitError, ProfileError, SFLError, TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.weights import Weights, check_memory, tensors_of, warn_of_untrained

NetworkFactory = Callable[[], nn.Module]
"""Returns a network with fresh weights, drawn from torch's global generator, or the same network each time, whose
weights are then the start."""


def fresh_network(make: NetworkFactory, seed: int, device: torch.device) -> nn.Module:
    """Return what the user's function makes, with weights that depend on the seed alone.

    Raises
    ------
    TrainingError
        If the function fails, or makes a network of which tensors share memory.
    """
    with seeded(seed, device), failures_told("when it was made"):
        made = make()
    if not isinstance(made, nn.Module):
        raise TrainingError(f"network returned {shown(made)}; it has to return a torch.nn.Module.")
    check_memory(made)
    return made


def on(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a copy of a network on a device, its real numbers in the given type, in training mode.

    The network itself may be one that the user goes on with, and stays as it is.

    Raises
    ------
    TrainingError
        If it cannot be copied.

    Examples
    --------
    >>> layer = nn.Linear(2, 2).eval()
    >>> copy = on(layer, torch.device("cpu"), torch.float64)
    >>> copy.weight.dtype, copy.training, layer.weight.dtype, layer.training
    (torch.float64, True, torch.float32, False)
    """

    def converted(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)

    try:
        copy = own_copy(network)
    except ProfileError as error:
        raise TrainingError(f"The network cannot be trained: {error}") from error
    copy._apply(converted)
    return copy.train()


def split_for(network: nn.Module, data: TensorData) -> SplitNetwork:
    """Return a network with its cuts for such data.

    Raises
    ------
    MisfitError
        If the network does not take such data, or has no cut for it.
    TrainingError
        If it has nothing to train.
    """
    warn_of_untrained(network)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise TrainingError(
            f"Nothing in the {type(network).__name__} trains: it has no parameters with requires_grad=True."
        )
    try:
        return as_chain(network, data.input_shape, data.train_features.dtype)
    except ProfileError as error:
        raise MisfitError(
            f"The network cannot be trained on {data.name!r}, whose samples have shape {data.input_shape}: {error}"
            f"{_other_type(error.__cause__, data)}"
        ) from error


def _other_type(error: BaseException | None, data: TensorData) -> str:
    """Return as what numbers the features should be given, if the error is about their type."""
    if error is None or not tells_of_types(error):
        return ""
    if data.train_features.is_floating_point():
        return " Features of floating-point numbers, uint8 and bool are real numbers here; give tokens as int64."
    return " Whole numbers are taken as tokens; give pictures and measurements as floating-point numbers or uint8."


def check_output(split: SplitNetwork, data: TensorData) -> None:
    """Raise unless a network tells the data's classes.

    Raises
    ------
    MisfitError
        If the network does not take the data's samples, or does not return one number for each class.
    """
    network = split.of(own_copy(split.network).eval())
    try:
        with torch.no_grad(), seeded(0, data.train_features.device):
            shape = tuple(network(data.train_features[:2].clone()).shape)
    # The user's own network runs here, which may raise anything at all.
    except Exception as error:
        raise MisfitError(
            f"The network does not take samples of {data.name!r}, of shape {data.input_shape}: {reason(error)}."
            f"{_other_type(error, data)}"
        ) from error
    if shape[1:] != (data.num_classes,):
        raise MisfitError(
            f"The network's output has shape {shape[1:]} a sample, but {data.name!r} has {data.num_classes} "
            f"classes: it has to be ({data.num_classes},). The last layer has to have {data.num_classes} outputs."
        )


def check_same(fresh: Weights, first: Weights) -> None:
    """Raise unless a fresh network has the tensors of the first one, by name, shape and whether they train.

    Raises
    ------
    TrainingError
        If the user's function does not return the same network each time.
    """
    forms = [{name: (tuple(t.shape), t.requires_grad) for name, t in held.items()} for held in (first, fresh)]
    before, now = forms
    if before != now:
        name = min(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
        raise TrainingError(
            f"network returned another network than before: {name!r} is {_told(now.get(name))} and was "
            f"{_told(before.get(name))}. It has to return the same one each time, with fresh weights."
        )


def _told(form: tuple[tuple[int, ...], bool] | None) -> str:
    if form is None:
        return "not there"
    return f"of shape {form[0]}{'' if form[1] else ' without a gradient'}"


@contextmanager
def failures_told(when: str, where: Callable[[], str] = str) -> Iterator[None]:
    """Turn what a user's network raises into a :class:`TrainingError`.

    Parameters
    ----------
    when : str
        What was going on.
    where : callable
        Tells, after a failure, where in the network it was.
    """
    try:
        yield
    except (SFLError, MemoryError):
        raise
    except Exception as error:
        raise TrainingError(f"The network failed {when}{where()}: {reason(error)}.") from error


def failing_module(network: nn.Module, weights: Weights, batches: Iterable[Tensor]) -> str:
    """Tell which module of a network fails, and on how many samples, by running a copy of it again.

    Returns
    -------
    str
        ``", in module 'fc1' on 1 sample(s)"``; nothing if none fails in going forward.
    """
    copy = own_copy(network)
    tensors = tensors_of(copy)
    running: list[str] = []
    for path, module in copy.named_modules():
        module.register_forward_pre_hook(lambda module, inputs, path=path: running.append(path), prepend=True)
        module.register_forward_hook(lambda module, inputs, output: running.pop() and None)
    for batch in batches:
        running.clear()
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(weights[name])
            try:
                copy(batch.clone())
            except Exception:  # whatever it was
                where = f"in module {running[-1]!r}" if running and running[-1] else "outside of its modules"
                return f", {where} on {len(batch)} sample(s)"
    return ""
