"""The rule that chooses how replicas are trained: by which method, how many at once, on how many threads."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from sfl_env.dnn.split import SplitNetwork
from sfl_env.learning.data import TensorData

Method = Literal["grouped", "vmap", "loop"]

_GROUPED_MOST_PARAMETERS = 1_000_000
"""Up to here grouping won at every size measured; beyond, its wide grouped convolutions lose to the loop."""

_VMAP_MOST_STEP_FLOPS = 30e6
"""FLOPs of one replica's step up to which ``torch.func`` beats the loop (on a CPU)."""

ACTIVATION_BYTES = 16 * 2**20
"""Activations that are held at once: more fall out of the caches (8 to 16 MiB measured best), fewer leave
too little to do at a time."""

_WORKERS_MOST_PARAMETERS = 5_000_000
"""Up to here threads with replicas of their own beat torch's spreading of each operation; beyond, weights come
from memory, which the threads share, and both came out level."""

_WORKERS_LEAST_BUSY = 0.8
"""Part of torch's threads that worker threads have to keep busy."""


class Choice(NamedTuple):
    """How the replicas are trained."""

    method: Method
    at_once: int  # replicas in one pass
    workers: int  # threads, each with passes of its own


class Traits(NamedTuple):
    """What the rule asks of a network and its data."""

    sample_flops: float  # of one sample's step, forward and backward
    sample_bytes: float  # activations of one sample
    num_parameters: int
    on_gpu: bool

    @classmethod
    def of(cls, split: SplitNetwork, data: TensorData) -> "Traits":
        """Return the traits of a network on data of its own device and type."""
        costs = split.costs
        flops = costs.forward_flops.per_sample[-1] + costs.backward_flops.per_sample[-1]
        number = next(iter(split.network.parameters()))
        return cls(
            sample_flops=float(flops),
            sample_bytes=float(costs.saved_elements[-1]) * number.element_size(),
            num_parameters=sum(parameter.numel() for parameter in split.network.parameters()),
            on_gpu=data.train_features.device.type != "cpu",
        )


def by_speed(traits: Traits, largest_batch: int, *, can_be_grouped: bool) -> tuple[Method, ...]:
    """Return the methods that are worth trying, the fastest first.

    A fixed rule of the network's size, from measurements, and not a race at run time: how sums are rounded depends
    on the method, and the same seed has to give the same episode.

    Parameters
    ----------
    traits : Traits
        Of the network.
    largest_batch : int
        Samples of the largest mini-batch.
    can_be_grouped : bool
        Whether all its layers are ones that can be grouped.

    Returns
    -------
    tuple of {"grouped", "vmap", "loop"}
        Grouped convolutions and batched products for plain chains of up to a million parameters; ``torch.func``
        for other small networks; and one replica after another, where the work of a step outweighs its overhead.

    Examples
    --------
    >>> by_speed(Traits(1e6, 1e5, 30_000, on_gpu=False), 16, can_be_grouped=True)
    ('grouped', 'vmap', 'loop')
    """
    methods: list[Method] = []
    if can_be_grouped and traits.num_parameters <= _GROUPED_MOST_PARAMETERS:
        methods.append("grouped")
    if largest_batch * traits.sample_flops <= _VMAP_MOST_STEP_FLOPS and not traits.on_gpu:
        methods.append("vmap")
    return (*methods, "loop")


def choose(
    traits: Traits,
    sizes: tuple[int, ...],
    torch_threads: int,
    draws_elsewhere: Callable[[], bool],
    method: Method,
) -> Choice:
    """Choose how to train replicas with these mini-batches.

    Parameters
    ----------
    traits : Traits
        Of the network.
    sizes : tuple of int
        Samples of each replica's mini-batch.
    torch_threads : int
        Threads that torch may use.
    draws_elsewhere : callable
        Whether the network draws from torch's own generator, which threads share; asked only where it matters.
    method : {"grouped", "vmap", "loop"}
        By which they are trained.

    Returns
    -------
    Choice
        As many replicas in a pass as their activations fit into the caches. Of the loop, worker threads train
        replicas of networks of up to five million parameters side by side where that keeps torch's threads busy;
        else torch spreads each operation over its threads. Workers change no digit.

    Examples
    --------
    >>> small = Traits(1e6, 1e5, 30_000, on_gpu=False)
    >>> choose(small, (16,) * 10, torch_threads=1, draws_elsewhere=lambda: False, method="grouped")
    Choice(method='grouped', at_once=10, workers=1)
    """
    if method == "loop":
        return Choice(method, 1, _workers(traits, len(sizes), torch_threads, draws_elsewhere))
    replica_bytes = max(sizes) * traits.sample_bytes
    return Choice(method, max(1, min(len(sizes), int(ACTIVATION_BYTES / max(replica_bytes, 1.0)))), 1)


def _workers(traits: Traits, replicas: int, torch_threads: int, draws_elsewhere: Callable[[], bool]) -> int:
    workers = min(replicas, torch_threads)
    turns = -(-replicas // workers)
    busy = replicas * (torch_threads // workers) / (turns * torch_threads)
    pays = workers > 1 and busy >= _WORKERS_LEAST_BUSY and traits.num_parameters <= _WORKERS_MOST_PARAMETERS
    return workers if pays and not traits.on_gpu and not draws_elsewhere() else 1
