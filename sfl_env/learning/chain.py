"""The network that is trained: made by the user's function, split into blocks, and what its failures tell."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sfl_env.dnn.meta import reason
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError, SFLError, TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.process import exclusive, seeded

NetworkFactory = Callable[[], nn.Module]
"""Returns a network with fresh weights, drawn from torch's global generator."""


def fresh_network(make: NetworkFactory, seed: int, device: torch.device) -> nn.Module:
    """Return a network with weights that depend on the seed alone.

    Raises
    ------
    TrainingError
        If the function fails.
    """
    with seeded(seed, device), failures_told("when it was made"):
        return make()


def fresh_chain(
    make: NetworkFactory, seed: int, data: TensorData, device: torch.device, dtype: torch.dtype
) -> nn.Sequential:
    """Return a fresh network's chain of blocks on the device, in training mode.

    Raises
    ------
    TrainingError
        If the network cannot be made or has no cut for such data.
    """
    network = fresh_network(make, seed, device)
    try:
        # Counting FLOPs hangs hooks on all modules of the process, those that other threads train too.
        with exclusive():
            chain = as_chain(network, data.input_shape)
    except ProfileError as error:
        raise TrainingError(
            f"The network cannot be trained on {data.name!r}, whose samples have shape {data.input_shape}: {error}"
        ) from error
    return chain.to(device, dtype).train()


def check_output(chain: nn.Sequential, data: TensorData) -> None:
    """Raise unless a chain tells the data's classes.

    Raises
    ------
    TrainingError
        If the chain does not take the data's samples, or does not return one number for each class.
    """
    chain.eval()
    try:
        with torch.inference_mode(), seeded(0, data.train_features.device):
            shape = tuple(chain(data.train_features[:2]).shape)
    # The user's own network runs here, which may raise anything at all.
    except Exception as error:
        raise TrainingError(
            f"The network does not take samples of {data.name!r}, of shape {data.input_shape}: {reason(error)}."
        ) from error
    finally:
        chain.train()
    if shape[1:] != (data.num_classes,):
        raise TrainingError(
            f"The network's output has shape {shape[1:]} a sample, but {data.name!r} has {data.num_classes} "
            f"classes: it has to be ({data.num_classes},). Build the network with num_classes={data.num_classes}."
        )


def check_same(fresh: nn.Sequential, chain: nn.Sequential) -> None:
    """Raise unless a fresh chain has the weights of the first one, by name and shape.

    Raises
    ------
    TrainingError
        If the user's function does not return the same network each time.
    """
    first, again = ({name: tuple(t.shape) for name, t in c.state_dict().items()} for c in (chain, fresh))
    if first != again:
        name = min(n for n in first.keys() | again.keys() if first.get(n) != again.get(n))
        raise TrainingError(
            f"network returned another network than before: {name!r} has shape {again.get(name)} and had "
            f"{first.get(name)}. It has to return the same one each time, with fresh weights."
        )


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


def failing_block(chain: nn.Sequential, weights: Mapping[str, Tensor], batches: Iterable[Tensor]) -> str:
    """Tell which block of a chain fails, and on how many samples, by running it again block by block.

    Returns
    -------
    str
        ``", in block 'fc1' on 1 sample(s)"``; nothing if no block fails in going forward.
    """
    for batch in batches:
        x = batch
        for name, block in chain.named_children():
            prefix = f"{name}."
            own = {n.removeprefix(prefix): t.clone() for n, t in weights.items() if n.startswith(prefix)}
            try:
                x = functional_call(block, own, (x,))
            except Exception:  # whatever it was
                return f", in block {name!r} on {len(batch)} sample(s)"
    return ""
