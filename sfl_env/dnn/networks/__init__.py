"""The networks that the field splits, each an ``nn.Sequential`` of named blocks whose ends are the cuts.

A block holds what is cheap beside what is costly (a convolution with its normalisation, activation and
pooling), and a residual block is one block, since two tensors cross its inside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

from sfl_env.checks import look_up
from sfl_env.dnn.networks.alexnet import alexnet
from sfl_env.dnn.networks.blocks import Norm
from sfl_env.dnn.networks.efficientnet import efficientnetb0
from sfl_env.dnn.networks.gpt2 import gpt2
from sfl_env.dnn.networks.lenet import digits_cnn, lenet5
from sfl_env.dnn.networks.llama import llama_lora
from sfl_env.dnn.networks.mobilenet import mobilenetv2
from sfl_env.dnn.networks.resnet import BasicBlock, Bottleneck, resnet
from sfl_env.dnn.networks.transformer import transformer
from sfl_env.dnn.networks.vgg import VGG11_WIDTHS, VGG16_WIDTHS, VGG19_WIDTHS, vgg
from sfl_env.dnn.networks.vit import vit
from sfl_env.errors import ProfileError

InputKind = Literal["numbers", "tokens"]
"""What a sample holds: real numbers, or the whole numbers that stand for tokens of a text."""

_NORMS: tuple[Norm, ...] = ("batch", "group", "none")


@dataclass(frozen=True)
class Network:
    """How a network of the catalogue is built.

    Parameters
    ----------
    make : callable
        Takes ``num_classes`` and, where ``norms`` is not empty, ``norm``; returns the chain.
    input_shape : tuple of int
        Shape of one sample, without the batch. Of tokens that is (sequence length,); any other length that the
        network has positions for may be profiled and trained as well.
    num_classes : int
        Classes of the data set that it is usually trained on.
    literature_norm : {"batch", "group", "none"} or None
        Normalisation in the literature, which the stored profile has; ``None`` where it is not a choice.
    input_kind : {"numbers", "tokens"}
        Whether a sample holds real numbers or token numbers, whole ones from 0 to the vocabulary's size - 1.

    Examples
    --------
    >>> network("gpt2").input_kind, network("gpt2").input_shape
    ('tokens', (128,))
    """

    make: Callable[..., nn.Sequential]
    input_shape: tuple[int, ...]
    num_classes: int
    literature_norm: Norm | None
    input_kind: InputKind = "numbers"

    @property
    def default_norm(self) -> Norm | None:
        """The normalisation that :func:`build` gives it; none with running statistics.

        These are no parameters, so averaging the parameters of copies would leave them behind.
        """
        return "group" if self.literature_norm == "batch" else self.literature_norm


SMALL, LARGE = (3, 32, 32), (3, 224, 224)
SENTENCE = (128,)
"""Tokens: the usual longest input where a language model is fine-tuned on GLUE's sentences."""

RESNET18, RESNET34, RESNET101 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3)
RESNET50 = RESNET34


def _two_sizes(name: str, make: Callable[..., nn.Sequential], norm: Norm) -> dict[str, Network]:
    """Return the network for CIFAR under its name and the one for ImageNet under ``name-224``."""
    return {
        name: Network(partial(make, large_input=False), SMALL, 10, norm),
        f"{name}-224": Network(partial(make, large_input=True), LARGE, 1000, norm),
    }


NETWORKS: dict[str, Network] = {
    "alexnet": Network(partial(alexnet, large_input=True), LARGE, 1000, "none"),
    "alexnet-cifar": Network(partial(alexnet, large_input=False), SMALL, 10, "none"),
    "digits-cnn": Network(digits_cnn, (1, 8, 8), 10, "group"),
    "efficientnetb0-224": Network(efficientnetb0, LARGE, 1000, "batch"),
    "gpt2": Network(gpt2, SENTENCE, 2, None, "tokens"),
    "lenet5": Network(lenet5, (1, 28, 28), 10, "none"),
    "llama-lora": Network(llama_lora, SENTENCE, 2, None, "tokens"),
    "transformer": Network(transformer, SMALL, 10, None),
    **_two_sizes("mobilenetv2", mobilenetv2, "batch"),
    "vitb16": Network(vit, LARGE, 1000, None),
    **_two_sizes("resnet18", partial(resnet, RESNET18, BasicBlock), "batch"),
    **_two_sizes("resnet34", partial(resnet, RESNET34, BasicBlock), "batch"),
    **_two_sizes("resnet50", partial(resnet, RESNET50, Bottleneck), "batch"),
    **_two_sizes("resnet101", partial(resnet, RESNET101, Bottleneck), "batch"),
    **_two_sizes("vgg11", partial(vgg, VGG11_WIDTHS), "none"),
    **_two_sizes("vgg16", partial(vgg, VGG16_WIDTHS), "none"),
    **_two_sizes("vgg19", partial(vgg, VGG19_WIDTHS), "none"),
}
"""Every network of the catalogue by its name."""


def network(name: str) -> Network:
    """Return the catalogue's entry for a network.

    Raises
    ------
    ProfileError
        If there is no such network.

    Examples
    --------
    >>> network("lenet5").input_shape
    (1, 28, 28)
    """
    return look_up("network", name, NETWORKS, ProfileError)


def build(name: str, num_classes: int | None = None, norm: Norm | None = None, **options: Any) -> nn.Sequential:
    """Build a network with fresh weights, drawn from torch's global generator.

    Parameters
    ----------
    name : str
        One of :data:`NETWORKS`.
    num_classes : int, optional
        Classes; by default as many as its usual data set has.
    norm : {"batch", "group", "none"}, optional
        Normalisation. By default a network that has batch normalisation in the literature gets group
        normalisation, which has as many parameters and no running statistics; the other networks stay as
        they are in the literature.
    **options
        Passed on to the network's own function, such as ``depth`` of ``"transformer"`` or ``rank`` of
        ``"llama-lora"``.

    Returns
    -------
    nn.Sequential
        A chain of named blocks; a cut lies after each.

    Raises
    ------
    ProfileError
        For a name, a normalisation or a number of classes that cannot be.

    Examples
    --------
    >>> [block for block, _ in build("lenet5").named_children()]
    ['conv1', 'conv2', 'fc1', 'fc2', 'fc3']
    """
    entry = network(name)
    classes = entry.num_classes if num_classes is None else num_classes
    if classes < 1:
        raise ProfileError(f"num_classes is {classes}; {name!r} has to tell at least 1 class.")
    if norm is not None and norm not in _NORMS:
        raise ProfileError(f"norm is {norm!r}; it has to be one of {', '.join(_NORMS)}.")
    if entry.default_norm is None:
        if norm is not None:
            raise ProfileError(f"{name!r} has one normalisation only; leave norm out.")
        return entry.make(num_classes=classes, **options)
    return entry.make(num_classes=classes, norm=norm or entry.default_norm, **options)
