"""What one sample, and one round, costs at each cut: the DNN profile with the scenario's number formats."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.dnn.profile import DNNProfile


@dataclass(frozen=True)
class Workload:
    """Per-cut costs, arrays of length C; the last entry keeps the whole network on the device.

    Parameters
    ----------
    model_bits : (C,) array
        Parameters and buffers of the device side that are sent down before and up after local training.
    smashed_bits : (C,) array
        Smashed data and label of one sample, uplink; 0 at the last cut.
    gradient_bits : (C,) array
        Gradient of the smashed data of one sample, downlink; 0 at the last cut and where none is wanted.
    device_forward_flops, device_backward_flops, server_flops : (C,) array
        FLOPs of one sample on each side (server: forward and backward).
    device_forward_flops_per_round, device_backward_flops_per_round, server_flops_per_round : (C,) array
        FLOPs that a round costs each side whatever its samples, for all its mini-batches together.
    traffic_bytes : (2, C) array
        Bytes that one sample moves through the device's memory, in the forward and in the backward pass.
    message_s : (7, C) array
        Fixed latency of the messages of each phase, seconds; 0 where a phase sends none.
    static_bytes : (C,) array
        Device memory for parameters, gradients and optimiser state of those that train, and buffers.
    sample_bytes : (C,) array
        Device memory for the activations of one sample of the mini-batch.
    """

    model_bits: Array  # (C,)
    smashed_bits: Array  # (C,)
    gradient_bits: Array  # (C,)
    device_forward_flops: Array  # (C,)
    device_backward_flops: Array  # (C,)
    server_flops: Array  # (C,)
    device_forward_flops_per_round: Array  # (C,)
    device_backward_flops_per_round: Array  # (C,)
    server_flops_per_round: Array  # (C,)
    traffic_bytes: Array  # (2, C)
    message_s: Array  # (7, C)
    static_bytes: Array  # (C,)
    sample_bytes: Array  # (C,)

    @cached_property
    def phase_units(self) -> Array:
        """(7, C): bits or FLOPs of the phases in order, per sample where the phase is."""
        return np.stack(
            [
                self.model_bits,
                self.device_forward_flops,
                self.smashed_bits,
                self.server_flops,
                self.gradient_bits,
                self.device_backward_flops,
                self.model_bits,
            ]
        )

    @cached_property
    def messages_s(self) -> Array:
        """(C,): fixed latency of all messages of a round, seconds."""
        total: Array = self.message_s.sum(axis=0)
        return total

    @cached_property
    def has_flops_per_round(self) -> bool:
        """Whether anything costs FLOPs whatever a round's samples; of most networks nothing does."""
        device = self.device_forward_flops_per_round + self.device_backward_flops_per_round
        return bool(device.any() or self.server_flops_per_round.any())

    @property
    def num_cuts(self) -> int:
        """C, the number of cuts."""
        return int(self.model_bits.shape[0])

    def needed_bytes(self, batch_size: NDArray[np.int64]) -> Array:
        """Return the memory that each cut's device side takes up, (..., C), for mini-batches (...) of samples."""
        needed: Array = self.static_bytes + batch_size[..., None] * self.sample_bytes
        return needed

    def deepest_cut(self, batch_size: NDArray[np.int64], memory_bytes: Array) -> NDArray[np.intp]:
        """Return the deepest cut whose device side fits into memory, as an index; -1 where none does.

        Parameters
        ----------
        batch_size, memory_bytes : (N, K) array
            Samples in a mini-batch, and the device's memory.
        """
        fits = self.needed_bytes(batch_size) <= memory_bytes[..., None]
        return np.asarray(fits.sum(axis=-1) - 1, dtype=np.intp)


def workload(
    profile: DNNProfile,
    *,
    activation_bits: int,
    parameter_bits: int,
    label_bits: int,
    optimizer_slots: int,
    local_iterations: int = 1,
    frozen_weights_travel: bool = False,
    training_bits: int = 32,
    message_latency_s: float = 0.0,
) -> Workload:
    """Turn a profile into per-cut costs.

    Parameters
    ----------
    profile : DNNProfile
        The network.
    activation_bits, parameter_bits : int
        Bits of one element of the smashed data (and its gradient), and of one parameter, as they are sent.
    label_bits : int
        Bits of one label, which travels with its smashed data.
    optimizer_slots : int
        Numbers that the optimiser keeps for each parameter that trains (0 SGD, 1 momentum, 2 Adam).
    local_iterations : int
        Mini-batches a round, E.
    frozen_weights_travel : bool
        Whether parameters that do not train, and buffers that training leaves as they are, are sent all the same.
    training_bits : int
        Bits of a weight, a gradient, a number of the optimiser's and an activation in the device's memory.
    message_latency_s : float
        Seconds that every message takes besides its bits.

    Notes
    -----
    A pass moves the activations that the backward pass needs: that is what its traffic is taken to be
    (``docs/devices-measured.md`` compares). Where a device side trains nothing there is no backward pass. A round
    has a message with the model in each direction, and one with smashed data and one with their gradient for each
    mini-batch, as far as there is anything to send.

    Examples
    --------
    >>> from sfl_env.dnn.catalogue import load
    >>> costs = workload(
    ...     load("lenet5"), activation_bits=32, parameter_bits=32, label_bits=32, optimizer_slots=1
    ... )
    >>> float(costs.model_bits[-1]) == 61_706 * 32
    True
    >>> float(costs.smashed_bits[-1])
    0.0
    """
    offloads = profile.smashed_elements > 0
    frozen, constant = profile.device_frozen_parameters, profile.device_constant_buffers
    sent = profile.device_parameters + profile.device_buffers
    if not frozen_weights_travel:
        sent = sent - frozen - constant
    # Weights, gradients and the optimiser's numbers; frozen weights have only themselves.
    stored = profile.device_parameters * (2 + optimizer_slots) - frozen * (1 + optimizer_slots)
    # A device that could hold a deeper cut can hold every shallower one: the bound is made monotone.
    activations = np.maximum.accumulate(profile.device_activation_elements)
    bytes_each = training_bits / 8.0
    trains = (profile.device_backward_flops > 0.0) | (profile.device_backward_flops_per_batch > 0.0)
    passes = np.stack([np.ones_like(trains), trains])
    server_flops_per_batch = profile.server_forward_flops_per_batch + profile.server_backward_flops_per_batch
    return Workload(
        model_bits=sent * float(parameter_bits),
        smashed_bits=profile.smashed_elements * float(activation_bits) + offloads * float(label_bits),
        gradient_bits=profile.smashed_gradient_elements * float(activation_bits),
        device_forward_flops=profile.device_forward_flops,
        device_backward_flops=profile.device_backward_flops,
        server_flops=profile.server_forward_flops + profile.server_backward_flops,
        device_forward_flops_per_round=local_iterations * profile.device_forward_flops_per_batch,
        device_backward_flops_per_round=local_iterations * profile.device_backward_flops_per_batch,
        server_flops_per_round=local_iterations * server_flops_per_batch,
        traffic_bytes=passes * profile.device_activation_elements * bytes_each,
        message_s=message_latency_s * _messages(profile, sent, local_iterations),
        static_bytes=(stored + profile.device_buffers) * bytes_each,
        sample_bytes=activations * bytes_each,
    )


def _messages(profile: DNNProfile, sent: Array, local_iterations: int) -> Array:
    """Return how many messages each phase of a round sends, (7, C)."""
    model, none = (sent > 0.0).astype(np.float64), np.zeros(profile.num_cuts)
    smashed = local_iterations * (profile.smashed_elements > 0.0)
    gradient = local_iterations * (profile.smashed_gradient_elements > 0.0)
    return np.stack([model, none, smashed, none, gradient, none, model])
