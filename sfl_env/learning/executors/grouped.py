"""All replicas of a plain chain of layers in one pass: grouped convolutions and batched matrix products.

K replicas' pictures of C channels are laid side by side as one picture of K C channels, channels last in memory;
a convolution of K groups then keeps the replicas apart, pooling and activations need no change, normalisation
over groups or over the batch runs on K times as many channels, and a linear layer is one batched product.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.learning.executors.gradients import Forward
from sfl_env.learning.weights import Weights

_ELEMENTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,
    nn.Identity,
    nn.Dropout,
)
"""Layers that do the same whatever the layout."""

_CHANNELWISE = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Layers that treat each channel of a picture by itself."""

Step = Callable[[Tensor, Weights, int], Tensor]
"""One layer on all replicas: (activations, stacked parameters and buffers, K)."""


class _Layer(NamedTuple):
    name: str
    module: nn.Module


def grouped(chain: nn.Module, input_shape: tuple[int, ...]) -> Forward | None:
    """Return the forward pass of a chain over stacked weights, or ``None`` if a layer is not covered.

    Parameters
    ----------
    chain : nn.Module
        An ``nn.Sequential``, possibly nested, of layers of torch itself.
    input_shape : tuple of int
        (channels, height, width), or (features,).

    Examples
    --------
    >>> chain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    >>> forward = grouped(chain, (1, 4, 4))
    >>> stacked = {name: torch.stack([p.detach()] * 5) for name, p in chain.named_parameters()}
    >>> x = torch.rand(5, 6, 1, 4, 4)
    >>> bool(torch.allclose(forward(stacked, {}, x)[4], chain(x[4]), atol=1e-6))
    True
    """
    if type(chain) is not nn.Sequential or len(input_shape) not in (1, 3):
        return None
    pictures = starts_with_pictures = len(input_shape) == 3
    steps: list[Step] = []
    for layer in _layers(chain):
        if pictures and _is_flatten(layer.module):
            steps.append(_flatten)
            pictures = False
            continue
        step = _picture_step(layer) if pictures else _row_step(layer)
        if step is None:
            return None
        steps.append(step)
    if pictures:
        return None

    def forward(parameters: Weights, buffers: Weights, inputs: Tensor) -> Tensor:
        count = inputs.shape[0]
        state = {**parameters, **buffers}
        x = _side_by_side(inputs) if starts_with_pictures else inputs
        for step in steps:
            x = step(x, state, count)
        return x

    return forward


def _layers(chain: nn.Module, prefix: str = "") -> Iterator[_Layer]:
    for name, module in chain._modules.items():  # named_children() leaves out one that is there twice
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from _layers(module, f"{prefix}{name}.")
        else:
            yield _Layer(f"{prefix}{name}", module)


def _side_by_side(inputs: Tensor) -> Tensor:
    """Lay (K, n, C, H, W) out as (n, K C, H, W)."""
    return inputs.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _flatten(x: Tensor, state: Weights, count: int) -> Tensor:
    """Turn (n, K C, H, W) into rows, (K, n, C H W)."""
    return x.reshape(x.shape[0], count, -1).transpose(0, 1)


def _is_flatten(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim == -1


def _same_for_all(module: nn.Module) -> Step:
    def step(x: Tensor, state: Weights, count: int) -> Tensor:
        y: Tensor = module(x)
        return y

    return step


def _picture_step(layer: _Layer) -> Step | None:
    module = layer.module
    if type(module) in _ELEMENTWISE or (type(module) in _CHANNELWISE and not _returns_indices(module)):
        return _same_for_all(module)
    if type(module) is nn.Conv2d and module.padding_mode == "zeros":
        return _convolution(layer.name, module)
    if type(module) is nn.GroupNorm:
        return _group_norm(layer.name, module)
    if type(module) is nn.BatchNorm2d and (module.momentum is not None or not module.track_running_stats):
        return _batch_norm(layer.name, module)
    return None


def _row_step(layer: _Layer) -> Step | None:
    module = layer.module
    if type(module) in _ELEMENTWISE:
        return _same_for_all(module)
    if _is_flatten(module):
        return _same_for_all(nn.Identity())
    if type(module) is nn.Linear:
        return _linear(layer.name, module)
    return None


def _returns_indices(module: nn.Module) -> bool:
    return bool(getattr(module, "return_indices", False))


def _flat(state: Weights, name: str) -> Tensor | None:
    """Return a layer's tensor with the replicas' copies one behind the other, or nothing if it has none."""
    return state[name].flatten(0, 1) if name in state else None


def _convolution(name: str, module: nn.Conv2d) -> Step:
    def step(x: Tensor, state: Weights, count: int) -> Tensor:
        weight, bias = state[f"{name}.weight"].flatten(0, 1), _flat(state, f"{name}.bias")
        return functional.conv2d(
            x, weight, bias, module.stride, module.padding, module.dilation, count * module.groups
        )

    return step


def _group_norm(name: str, module: nn.GroupNorm) -> Step:
    def step(x: Tensor, state: Weights, count: int) -> Tensor:
        weight, bias = _flat(state, f"{name}.weight"), _flat(state, f"{name}.bias")
        return functional.group_norm(x, count * module.num_groups, weight, bias, module.eps)

    return step


def _batch_norm(name: str, module: nn.BatchNorm2d) -> Step:
    def step(x: Tensor, state: Weights, count: int) -> Tensor:
        weight, bias, mean, variance = (
            _flat(state, f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
        )
        if module.track_running_stats:
            state[f"{name}.num_batches_tracked"].add_(1)
        momentum = 0.0 if module.momentum is None else module.momentum
        return functional.batch_norm(x, mean, variance, weight, bias, True, momentum, module.eps)

    return step


def _linear(name: str, module: nn.Linear) -> Step:
    def step(x: Tensor, state: Weights, count: int) -> Tensor:
        weight = state[f"{name}.weight"].transpose(1, 2)
        if module.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(state[f"{name}.bias"][:, None], x, weight)

    return step
