"""Replicas of the network, their optimisers and mini-batches, in parts that are computed in one pass each."""

import torch
from torch import Tensor, nn

from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.gradients import Batch, GradientMethod
from sfl_env.learning.executors.stepping import Stepper
from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.learning.plan import LocalTraining, RoundPlan
from sfl_env.learning.weights import Weights


class Replicas:
    """Replicas in parts that are computed in one pass each, and the optimisers that step them."""

    def __init__(
        self,
        parameters: Weights,
        buffers: Weights,
        parts: list[slice],
        methods: list[GradientMethod],
        local: LocalTraining,
    ) -> None:
        self._parts = parts
        self._methods = methods
        self._parameters = [part_of(parameters, part) for part in parts]
        self._buffers = [part_of(buffers, part) for part in parts]
        self._steps = [Stepper(held, local) for held in self._parameters]

    def gradients(self, batch: Batch, losses: Tensor, worker: int, part: int) -> MaybeGradients:
        """Return a part's gradients, computed by one of the workers, and write its losses."""
        replicas = self._parts[part]
        compute = self._methods[worker]
        losses[replicas], own = compute(self._parameters[part], self._buffers[part], batch.part(replicas))
        return own

    def step(self, gradients: list[MaybeGradients], worker: int, part: int) -> None:
        """Step a part along its gradients, which are used up."""
        self._steps[part](gradients[part])


class Batches:
    """The round's mini-batches, padded to one size, with weights of samples in the given type."""

    def __init__(self, data: TensorData, plan: RoundPlan, dtype: torch.dtype) -> None:
        self._data = data
        self._plan = plan
        self.sizes = tuple(int(batch.shape[1]) for batch in plan.batches)
        largest = max(self.sizes)
        self._samples = torch.stack(
            [nn.functional.pad(batch, (0, largest - batch.shape[1])) for batch in plan.batches], dim=1
        )  # (E, A, n)
        features = data.train_features
        size = torch.tensor(self.sizes, device=features.device)[:, None]
        real = torch.arange(largest, device=features.device) < size
        self.sample_weight = real.to(dtype) / size

    def at(self, iteration: int) -> Batch:
        """Return all devices' mini-batches of one iteration."""
        samples = self._samples[iteration]
        inputs: Tensor = self._data.train_features[samples]
        seeds = tuple((self._plan.seed, iteration, device) for device in self._plan.devices)
        return Batch(inputs, self._data.train_labels[samples], self.sample_weight, self.sizes, seeds)


def part_of(weights: Weights, replicas: slice) -> Weights:
    """Return the stacked weights of some of the replicas."""
    return {name: tensor[replicas] for name, tensor in weights.items()}
