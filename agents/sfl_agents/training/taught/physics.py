"""Learning from the gradient of the round's length, which the round's known physics gives."""

import numpy as np
import torch
from torch import Tensor

from sfl_agents.policies.pointer_network import Pointer
from sfl_agents.training.taught.algorithm import Taught, cut_loss
from sfl_agents.training.taught.lessons import Lesson, chosen_log_share
from sfl_env.arrays import Array
from sfl_env.rounds.radio import SMALLEST_SHARE

_CUTS = 0.05
_STRAGGLERS = 0.05
_SHARPNESS = 60.0
"""The softmax of times over the round's takes devices within some per cent of the last one as stragglers."""


class Physics(Taught):
    r"""Follow the round's length down: its derivatives by log-shares come from the solver's own tables.

    At the policy's shares every device takes its own best cut, with time :math:`T_k` and
    :math:`w_k = -dT_k / d\ln s_k`. The gradient that the policy is given for log-share k is

    .. math:: -\frac{w_k}{T} \left( \frac{T_k - \bar T}{T} + \lambda\, \sigma_k \right)

    with T the round's length, :math:`\bar T` the mean of times weighted by w and :math:`\sigma` a softmax of
    times: the first term is that of devices' unequal times, which are equal at the optimum wherever the band
    matters, the second that of a smoothed maximum. Cuts are taught by cross-entropy to the devices' own best ones.
    Parameters are those of :class:`~.algorithm.Taught`.
    """

    def loss(self, pointer: Pointer, lesson: Lesson) -> Tensor:
        """Return a loss whose gradient by the log-shares is the one above, and the cuts' cross-entropy."""
        devices = lesson.devices()
        log_share = chosen_log_share(pointer, pointer.logits.argmax(dim=-1))
        there = devices.evaluate(log_share.detach().double().exp().numpy())
        slope_s = devices.slope_s(there)
        gradient = torch.as_tensor(length_gradient(there.time_s, slope_s), dtype=torch.float32)
        return (gradient * log_share).sum(dim=-1).mean() + _CUTS * cut_loss(
            pointer, devices.cut(there), slope_s > 0.0
        )


def length_gradient(time_s: Array, slope_s: Array) -> Array:
    """Return the gradient (N, K) of the round's relative length by the devices' log-shares.

    Parameters
    ----------
    time_s : (N, K) array
        The devices' times.
    slope_s : (N, K) array
        Minus their derivatives by the log-shares.

    Examples
    --------
    Two devices alike, one late: more of the band for that one, less for the other.

    >>> gradient = length_gradient(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]))
    >>> bool(gradient[0, 1] < 0.0 < gradient[0, 0])
    True
    """
    round_s = np.maximum(time_s.max(axis=-1, keepdims=True), SMALLEST_SHARE)
    total = np.maximum(slope_s.sum(axis=-1, keepdims=True), SMALLEST_SHARE)
    mean_s = (slope_s * time_s).sum(axis=-1, keepdims=True) / total
    late = np.exp(_SHARPNESS * (time_s / round_s - 1.0))
    late /= late.sum(axis=-1, keepdims=True)
    gradient: Array = -slope_s / round_s * ((time_s - mean_s) / round_s + _STRAGGLERS * late)
    return gradient
