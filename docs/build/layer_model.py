"""The devices' model of time, fitted to measured layer times: what docs/build/measurement.py tells of."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor, nn, zeros, zeros_like
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import sfl_env

sys.path.insert(0, str(Path(__file__).parent))
from layer_times import BATCH, DATA, INPUT, NETWORKS

Array = NDArray[np.float64]
PASSES = ("forward", "backward")


class Blocks(NamedTuple):
    """A network's blocks between its cuts; arrays of length C or, for both passes, (2, C)."""

    names: tuple[str, ...]
    flops: Array  # (2, C) of a mini-batch
    saved_bytes: Array  # (2, C) of activations that the backward pass needs
    weighed_bytes: Array  # (2, C) of the same and of weights, once for the mini-batch
    touched_bytes: Array  # (2, C) of all operations' inputs and outputs
    narrow: NDArray[np.bool_]  # (C,) cuts with less smashed data than every shallower one


class Form(NamedTuple):
    """A way in which FLOPs and traffic make up a time."""

    about: str
    seconds: Callable[[Array, Array], Array]  # of those of FLOPs and of traffic
    traffic: str = "saved_bytes"


FORMS = {
    "flops": Form("FLOPs alone", lambda flops, traffic: flops),
    "sum": Form("roofline, sum", lambda flops, traffic: flops + traffic),
    "larger": Form("roofline, larger of both", np.maximum),
    "weights": Form("sum, weights too", lambda flops, traffic: flops + traffic, "weighed_bytes"),
    "touched": Form("sum, all inputs and outputs", lambda flops, traffic: flops + traffic, "touched_bytes"),
}


class _Traffic(TorchDispatchMode):
    """Adds up the elements of all operations' inputs and outputs, views left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and "detach" not in func.name():
            moved = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            self.elements += sum(tensor.numel() for tensor in moved)
        return out


def _touched(network: nn.Sequential) -> Array:
    """Return elements per sample that each layer's operations read and write, (2, layers)."""

    def run(batch: int) -> Array:
        network.zero_grad()  # adding to gradients of an earlier run is traffic that is not per sample
        x, found = zeros(batch, *INPUT), []
        for layer in network:
            with _Traffic() as forward:
                out = layer(x)
            gradient = zeros_like(out)
            with _Traffic() as backward:
                if out.requires_grad:
                    out.backward(gradient)
            found.append((forward.elements, backward.elements))
            x = out.detach().requires_grad_()
        return np.array(found, dtype=np.float64).T

    return run(3) - run(2)


def short(values: Any) -> list[float]:
    """Return numbers to four significant figures, as they are stored."""
    return [float(f"{value:.4g}") for value in np.asarray(values, dtype=np.float64).ravel()]


def blocks_of(name: str) -> tuple[Blocks, list[slice]]:
    """Return a testbed network's blocks, and the layers that each is made of."""
    network = NETWORKS[name]()
    profile = sfl_env.profile(network, INPUT, name)
    ends = [int(cut) for cut in profile.cut_names]
    layers = [slice(before + 1, end + 1) for before, end in zip([-1, *ends], ends, strict=False)]
    flops = np.stack([profile.device_forward_flops, profile.device_backward_flops])
    saved = BATCH * 4.0 * np.diff(np.stack([profile.device_activation_elements] * 2), prepend=0.0)
    weights = 4.0 * np.diff(profile.device_parameters, prepend=0.0)
    narrowest = np.minimum.accumulate(np.r_[np.inf, profile.smashed_elements[:-1]])
    touched = _touched(network)
    touched = np.stack([touched[:, part].sum(axis=1) for part in layers], axis=1)
    return Blocks(
        profile.cut_names,
        BATCH * np.diff(flops, prepend=0.0),
        saved,
        saved + weights,
        BATCH * 4.0 * touched,
        profile.smashed_elements < narrowest,
    ), layers


def measured_of(times: Sequence[Sequence[float]], layers: Iterable[slice]) -> Array:
    """Return the seconds of blocks, (2, C), from those of layers."""
    seconds = np.array(times, dtype=np.float64).T
    return np.stack([seconds[:, part].sum(axis=1) for part in layers], axis=1)


def predicted(form: Form, speeds: Array, blocks: Blocks, which: int) -> Array:
    """Return a pass's seconds in each block, (C,), for its peak and its bandwidth."""
    traffic: Array = getattr(blocks, form.traffic)[which]
    return form.seconds(blocks.flops[which] / speeds[0], traffic / speeds[1])


def up_to_cuts(block_s: Array, blocks: Blocks) -> Array:
    """Return the seconds up to the narrow cuts, from those of blocks, (C,).

    Such a time is what a decision weighs against the time to send. A cut that sends as much as a shallower one and
    computes more is never chosen for its smashed data.
    """
    return np.cumsum(block_s)[blocks.narrow]


def fitted(form: Form, blocks: Sequence[Blocks], seconds: Sequence[Array], which: int) -> Array:
    """Return a pass's peak FLOP/s and bytes/s by least squares on the logarithms of seconds up to narrow cuts."""
    wanted = np.log(np.concatenate([up_to_cuts(s[which], each) for s, each in zip(seconds, blocks, strict=True)]))

    def loss(log_speeds: Array) -> float:
        speeds = np.exp(log_speeds)
        found = np.concatenate([up_to_cuts(predicted(form, speeds, each, which), each) for each in blocks])
        return float(((np.log(np.maximum(found, 1e-12)) - wanted) ** 2).sum())

    starts = [np.log([peak, bandwidth]) for peak in (1e10, 1e11) for bandwidth in (1e8, 1e9, 1e10)]
    options = {"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-10}
    best = min(
        (minimize(loss, start, method="Nelder-Mead", options=options) for start in starts), key=lambda r: r.fun
    )
    speeds: Array = np.exp(best.x)
    return speeds


class Machine(NamedTuple):
    """What was measured on a machine, beside the networks' blocks."""

    blocks: dict[str, Blocks]
    seconds: dict[str, Array]  # (2, C)

    def fit(self, form: Form, names: Sequence[str]) -> Array:
        """Return speeds, (2 passes, 2)."""
        blocks, seconds = [self.blocks[name] for name in names], [self.seconds[name] for name in names]
        return np.stack([fitted(form, blocks, seconds, which) for which in range(2)])


def load() -> dict[str, Machine]:
    """Return the machines with layer times of both networks."""
    stored = json.loads(DATA.read_text(encoding="utf-8"))["machines"]
    found = {name: blocks_of(name) for name in NETWORKS}
    return {
        machine: Machine(
            {name: found[name][0] for name in NETWORKS},
            {name: measured_of(entry["networks"][name], found[name][1]) for name in NETWORKS},
        )
        for machine, entry in stored.items()
        if set(entry["networks"]) == set(NETWORKS)
    }


RATES = {"raspberry-pi-4": 18.3, "jetson-nano": 177.0, "laptop": 205.0, "cloud-vm": 322.0}
"""Published GFLOP/s of VGG-19's forward pass on catalogue types."""

PI_LAYERS = {"first convolution": 1.0, "second convolution": 14.5, "fastest layer": 27.7}
"""Published GFLOP/s of layers on the Raspberry Pi 4."""


def rates(forward_flops_per_s: float, forward_bytes_per_s: float, blocks: Blocks) -> tuple[float, Array]:
    """Return GFLOP/s of the whole forward pass, and of each block, (C,)."""
    seconds = blocks.flops[0] / forward_flops_per_s + blocks.saved_bytes[0] / forward_bytes_per_s
    return float(blocks.flops[0].sum() / seconds.sum() / 1e9), blocks.flops[0] / seconds / 1e9


def at_level(flops: float, traffic: float, flops_per_byte: float, seconds: float) -> tuple[float, float]:
    """Return the peak and the bandwidth, in a given proportion, with which a pass takes so long."""
    peak = (flops + traffic * flops_per_byte) / seconds
    return peak, peak / flops_per_byte


def fitted_to_rates(blocks: Blocks) -> Array:
    """Return the Raspberry Pi 4's forward peak and bandwidth.

    The whole pass takes the published time; of such, the pair that is best by least squares on the logarithms of
    the seconds up to the first two cuts. The second cut's published time is without the pool's.
    """
    flops, traffic = blocks.flops[0], blocks.saved_bytes[0]
    published = 1e9 * np.array([PI_LAYERS["first convolution"], PI_LAYERS["second convolution"]])
    wanted, whole_s = np.cumsum(flops[:2] / published), flops.sum() / (1e9 * RATES["raspberry-pi-4"])

    def speeds(log_balance: float) -> Array:
        return np.array(at_level(float(flops.sum()), float(traffic.sum()), float(np.exp(log_balance)), whole_s))

    def loss(log_balance: float) -> float:
        peak, bandwidth = speeds(log_balance)
        found = np.cumsum(flops[:2] / peak + traffic[:2] / bandwidth)
        return float((np.log(found / wanted) ** 2).sum())

    options = {"xatol": 1e-9}
    return speeds(minimize_scalar(loss, bounds=np.log([1.0, 1e5]), method="bounded", options=options).x)


def derived(machine: Machine) -> dict[str, tuple[float, ...]]:
    """Return the speeds that the catalogue's measured types follow from, as its rules say: four for each."""
    blocks = machine.blocks["vgg19"]
    forward, backward = blocks.flops.sum(axis=1)
    traffic = blocks.saved_bytes[0].sum()
    pi = fitted_to_rates(blocks)
    balance = float(pi[0] / pi[1])
    found = {
        "raspberry-pi-4": (
            *pi,
            *at_level(backward, traffic, balance, 6.3 * forward / (RATES["raspberry-pi-4"] * 1e9)),
        )
    }
    processor = machine.fit(FORMS["sum"], tuple(NETWORKS))
    for name, ratio in (("laptop", 3.5), ("cloud-vm", 3.7)):
        seconds = forward / (RATES[name] * 1e9)
        forward_speeds = at_level(forward, traffic, float(processor[0, 0] / processor[0, 1]), seconds)
        backward_speeds = at_level(backward, traffic, float(processor[1, 0] / processor[1, 1]), ratio * seconds)
        found[name] = (*forward_speeds, *backward_speeds)
    seconds, peak = forward / (RATES["jetson-nano"] * 1e9), 2 * 128 * 0.921e9
    found["jetson-nano"] = (
        peak,
        traffic / (seconds - forward / peak),
        peak,
        traffic / (2.0 * seconds - backward / peak),
    )
    return found
