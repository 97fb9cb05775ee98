"""ResNet-18, 34, 50 and 101 (He et al., "Deep Residual Learning for Image Recognition", 2016)."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.networks.blocks import Norm, convolution, head

_STAGE_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    expansion: ClassVar[int] = 1
    """Channels that go out for each one inside."""

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.first = convolution(channels_in, width, 3, norm, stride=stride, activation=nn.ReLU())
        self.second = convolution(width, width, 3, norm)
        self.shortcut = _shortcut(channels_in, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, width, height, width)."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """Narrow by 1x1, filter by 3x3, widen by 1x1, beside a shortcut as in the basic block.

    The stride lies in the 3x3 convolution, as torchvision has it ("ResNet v1.5"). The paper has it in the first
    1x1 convolution, which takes as many parameters and, in ResNet-50, 6 % fewer FLOPs.
    """

    expansion: ClassVar[int] = 4
    """Channels that go out for each one inside."""

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        channels_out = self.expansion * width
        self.narrow = convolution(channels_in, width, 1, norm, activation=nn.ReLU())
        self.filter = convolution(width, width, 3, norm, stride=stride, activation=nn.ReLU())
        self.widen = convolution(width, channels_out, 1, norm)
        self.shortcut = _shortcut(channels_in, channels_out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, 4 * width, height, width)."""
        return functional.relu(self.widen(self.filter(self.narrow(x))) + self.shortcut(x))


def _shortcut(channels_in: int, channels_out: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return convolution(channels_in, channels_out, 1, norm, stride=stride)


def resnet(
    depths: tuple[int, ...],
    block: type[BasicBlock] | type[Bottleneck],
    *,
    num_classes: int,
    norm: Norm,
    large_input: bool,
) -> nn.Sequential:
    """Return a ResNet: stem, residual blocks, head.

    Parameters
    ----------
    depths : tuple of int
        Residual blocks in each of the four stages.
    block : type
        :class:`BasicBlock` (ResNet-18 and 34) or :class:`Bottleneck` (ResNet-50 and deeper).
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation; the paper has ``"batch"``.
    large_input : bool
        The paper's 7x7 stem with pooling for 224x224 pixels, or the usual 3x3 stem for CIFAR's 32x32.
    """
    chain = nn.Sequential()
    if large_input:
        stem = convolution(3, 64, 7, norm, stride=2, activation=nn.ReLU())
        stem.append(nn.MaxPool2d(3, stride=2, padding=1))
    else:
        stem = convolution(3, 64, 3, norm, activation=nn.ReLU())
    chain.add_module("stem", stem)
    channels = 64
    for stage, (width, depth) in enumerate(zip(_STAGE_WIDTHS, depths, strict=True), start=1):
        for index in range(1, depth + 1):
            stride = 2 if stage > 1 and index == 1 else 1
            chain.add_module(f"stage{stage}_block{index}", block(channels, width, stride, norm))
            channels = block.expansion * width
    chain.add_module("head", head(channels, num_classes))
    return chain
