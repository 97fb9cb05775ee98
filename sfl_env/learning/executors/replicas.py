"""Replicas of the network, their optimisers and mini-batches, in parts that are computed in one pass each."""

import torch
from torch import Tensor, nn

from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.gradients import Batch, GradientMethod
from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.learning.plan import LocalTraining, RoundPlan
from sfl_env.learning.weights import Weights

_IN_ONE_PASS = (torch.float32, torch.float64)
"""Types that torch's fused optimisers compute rightly on every machine; in half precision SGD's doesn't."""


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
        one_pass = all(tensor.dtype in _IN_ONE_PASS for tensor in parameters.values())
        self._optimizers = [
            local.make_optimizer(list(held.values()), one_pass=one_pass) for held in self._parameters
        ]

    def gradients(self, batch: Batch, losses: Tensor, worker: int, part: int) -> MaybeGradients:
        """Return a part's gradients, computed by one of the workers, and write its losses."""
        replicas = self._parts[part]
        compute = self._methods[worker]
        losses[replicas], own = compute(self._parameters[part], self._buffers[part], batch.part(replicas))
        return own

    def step(self, gradients: list[MaybeGradients], worker: int, part: int) -> None:
        """Step a part along its gradients, which are used up."""
        own = gradients[part]
        parameters = self._parameters[part]
        for name, tensor in parameters.items():
            gradient = own[name]
            # One pass needs it contiguous; without one a parameter is left alone.
            tensor.grad = None if gradient is None else gradient.contiguous()
        self._begin_late_momenta(self._optimizers[part])
        self._optimizers[part].step()
        # Nothing may keep the gradients, so that the next ones take the same memory, warm in the caches.
        own.clear()
        for tensor in parameters.values():
            tensor.grad = None

    def _begin_late_momenta(self, optimizer: torch.optim.Optimizer) -> None:
        """Let parameters have their first gradient later than others: the fused kernel wants all momenta, or none.

        The first momentum is the gradient, as one after a momentum of zero is.
        """
        if not optimizer.state or not optimizer.defaults.get("momentum"):
            return
        for group in optimizer.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None and tensor not in optimizer.state:
                    optimizer.state[tensor]["momentum_buffer"] = torch.zeros_like(tensor)


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
