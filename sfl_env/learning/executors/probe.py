"""A fast way to train replicas is taken only where it is seen to do what the plain loop does."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.foreign import reason
from sfl_env.dnn.process import seeded
from sfl_env.dnn.split import SplitNetwork
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.gradients import Batch, GradientMethod, Gradients
from sfl_env.learning.executors.single import SingleGradients
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.weights import Weights, names_of, tensors_of

_MOST_SAMPLES = 8
"""Samples of a mini-batch that are enough to tell."""

_STEPS = 2
"""Steps of the probe: the second starts from what the first has left in the buffers."""

_NOISE = 0.1
"""Deviation of what is added to the weights: zeros and ones, as fresh ones have, hide what is left out."""

_TOLERANCE = 1e-9
"""Largest difference in double precision, beside the largest number of the loop's."""


class Probe:
    """Two replicas with weights of their own, which the plain loop takes two steps with, in double precision.

    Parameters
    ----------
    split : SplitNetwork
        The network; a copy of it runs.
    data : TensorData
        Whose first samples are taken.
    local : LocalTraining
        Sizes of the mini-batches: if there are several, the two replicas have two.
    """

    def __init__(self, split: SplitNetwork, data: TensorData, local: LocalTraining) -> None:
        self.split = split.of(in_double_precision(split.network))
        self._names = names_of(self.split)
        self._batches = [_batch(data, _sizes(local), step) for step in range(_STEPS)]
        self._device = data.train_features.device
        self._start = self._stacked()
        self._wanted: list[Gradients] | None = None
        self._wanted_kept: Weights = {}

    def why_not(self, make: Callable[[nn.Module], GradientMethod]) -> str:
        """Return why a method does not do what the loop does; nothing if it does.

        Parameters
        ----------
        make : callable
            Takes the network, in double precision and without dropout, and returns the method.
        """
        if self._draws():
            return "the network draws random numbers, so two ways cannot be compared"
        try:
            self._run_loop()
        except Exception as error:  # the user's own network runs here, which may raise anything at all
            return f"the loop fails on the probe ({reason(error)})"
        try:
            got, kept = self._run(make(own_copy(self.split.network)))
        except Exception as error:
            return reason(error)
        return self._first_difference(got, kept)

    def _draws(self) -> bool:
        inputs = self._batches[0].inputs[0].clone()
        try:
            return SingleGradients(self.split).draws_elsewhere(inputs)
        except Exception:
            return False  # whatever it is, the loop fails with it, too

    def _run_loop(self) -> None:
        if self._wanted is None:
            ways = [SingleGradients(self.split) for _ in self._batches[0].sizes]
            both = [self._run(method, slice(replica, replica + 1)) for replica, method in enumerate(ways)]
            (first, first_kept), (second, second_kept) = both
            self._wanted = [_side_by_side(a, b) for a, b in zip(first, second, strict=True)]
            self._wanted_kept = {name: torch.cat([first_kept[name], second_kept[name]]) for name in first_kept}

    def _run(self, method: GradientMethod, part: slice = slice(None)) -> tuple[list[Gradients], Weights]:
        """Return what a method computes in each step, and what it leaves in the tensors that are not trained."""
        trained = {name: self._start[name][part].clone() for name in self._names.trained}
        kept = {name: self._start[name][part].clone() for name in self._names.kept}
        with seeded(0, self._device):
            steps = [
                method(trained, kept, batch.part(part)._replace(inputs=batch.inputs[part].clone()))
                for batch in self._batches
            ]
        return steps, kept

    def _stacked(self) -> Weights:
        generator = torch.Generator(self._device).manual_seed(0)
        stacked = {}
        for name, tensor in tensors_of(self.split.network).items():
            both = torch.stack([tensor.detach()] * 2)
            if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
                noise = torch.randn(both.shape, generator=generator, dtype=both.dtype, device=self._device)
                both = both + _NOISE * noise
            stacked[name] = both
        return stacked

    def _first_difference(self, got: list[Gradients], kept: Weights) -> str:
        assert self._wanted is not None
        if not all(bool(torch.isfinite(step.loss).all()) for step in self._wanted):
            return "the loop's loss on the probe is not a finite number"
        for (loss, gradients), (wanted_loss, wanted) in zip(got, self._wanted, strict=True):
            if not _equal(loss, wanted_loss):
                return "the loss is another than the loop's"
            for name in self._names.trained:
                if not _equal(gradients[name], wanted[name]):
                    return f"the gradient of {name!r} is another than the loop's"
        for name in self._names.kept:
            if not _equal(kept[name], self._wanted_kept[name]):
                return f"the forward pass leaves another {name!r} than the loop's"
        return ""


def in_double_precision(network: nn.Module) -> nn.Module:
    """Return a copy in double precision whose dropout layers let everything through."""
    copy = own_copy(network)
    copy._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    for module in copy.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return copy


def _sizes(local: LocalTraining) -> tuple[int, int]:
    """Return two sizes of mini-batches, unequal if the devices' are."""
    largest = min(local.largest_batch, _MOST_SAMPLES)
    smallest = min(local.batch_size) if isinstance(local.batch_size, tuple) else largest
    return min(smallest, largest - local.has_unequal_batches), largest


def _batch(data: TensorData, sizes: tuple[int, int], step: int) -> Batch:
    features = data.train_features
    features = features.double() if features.is_floating_point() else features
    largest = max(sizes)
    rows = (torch.arange(2 * largest, device=features.device) + 2 * largest * step) % len(features)
    size = torch.tensor(sizes, device=features.device)[:, None]
    weight = (torch.arange(largest, device=features.device) < size).double() / size
    return Batch(
        features[rows].unflatten(0, (2, largest)),
        data.train_labels[rows].unflatten(0, (2, largest)),
        weight,
        sizes,
        ((0,), (1,)),
    )


def _side_by_side(first: Gradients, second: Gradients) -> Gradients:
    gradients: dict[str, Tensor | None] = {}
    for name, own in first.gradients.items():
        other = second.gradients[name]
        gradients[name] = None if own is None or other is None else torch.cat([own, other])
    return Gradients(torch.cat([first.loss, second.loss]), gradients)


def _equal(got: Tensor | None, wanted: Tensor | None) -> bool:
    if got is None or wanted is None:
        return got is wanted
    if not (wanted.is_floating_point() or wanted.is_complex()):
        return torch.equal(got, wanted)
    same = got == wanted  # infinite ones, too
    scale = float(torch.where(torch.isfinite(wanted), wanted, 0.0).abs().amax()) if wanted.numel() else 0.0
    return bool((same | ((got - wanted).abs() <= _TOLERANCE * (1.0 + scale))).all())
