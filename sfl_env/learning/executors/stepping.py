"""An optimiser that is handed its gradients."""

import torch

from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.weights import Weights

_IN_ONE_PASS = (torch.float32, torch.float64)
"""Types that torch's fused optimisers compute rightly on every machine; in half precision SGD's doesn't."""


class Stepper:
    """Steps tensors, stacked or not, along gradients that it is given.

    Parameters
    ----------
    parameters : dict of tensors
        What it steps, in place; there may be none.
    local : LocalTraining
        With the optimiser.
    """

    def __init__(self, parameters: Weights, local: LocalTraining) -> None:
        self._parameters = parameters
        one_pass = all(tensor.dtype in _IN_ONE_PASS for tensor in parameters.values())
        held = list(parameters.values())
        self._optimizer = local.make_optimizer(held, one_pass=one_pass) if held else None

    def __call__(self, gradients: MaybeGradients) -> None:
        """Take a step along the gradients, which are used up; what has none is left alone.

        Parameters
        ----------
        gradients : dict of tensors or None
            By name; a name that is missing has none.
        """
        if self._optimizer is None:
            return
        for name, tensor in self._parameters.items():
            gradient = gradients.get(name)
            # One pass needs it contiguous.
            tensor.grad = None if gradient is None else gradient.contiguous()
        self._begin_late_momenta(self._optimizer)
        self._optimizer.step()
        # Nothing may keep the gradients, so that the next ones take the same memory, warm in the caches.
        gradients.clear()
        for tensor in self._parameters.values():
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
