"""MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018)."""

from torch import Tensor, nn

from sfl_env.dnn.networks.blocks import Norm, convolution, head

# expansion, channels_out, repeats, stride of the first repeat: table 2 of the paper
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel on its own by 3x3, narrow by 1x1; a shortcut where shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int, norm: Norm) -> None:
        super().__init__()
        width = channels_in * expansion
        self.layers = nn.Sequential()
        if expansion != 1:
            self.layers.append(convolution(channels_in, width, 1, norm, activation=nn.ReLU6()))
        depthwise = convolution(width, width, 3, norm, stride=stride, groups=width, activation=nn.ReLU6())
        self.layers.append(depthwise)
        self.layers.append(convolution(width, channels_out, 1, norm))
        self.has_shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, channels_out, height, width)."""
        narrow: Tensor = self.layers(x)
        return x + narrow if self.has_shortcut else narrow


def mobilenetv2(*, num_classes: int, norm: Norm, large_input: bool) -> nn.Sequential:
    """Return MobileNetV2 of width 1: stem, 17 inverted residuals, a last convolution with the head.

    Parameters
    ----------
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation; the paper has ``"batch"``.
    large_input : bool
        The paper's strides for 224x224 pixels, or stride 1 in the stem and the second stage, as is usual for
        CIFAR's 32x32.
    """
    chain = nn.Sequential()
    chain.add_module("stem", convolution(3, 32, 3, norm, stride=2 if large_input else 1, activation=nn.ReLU6()))
    channels = 32
    for stage, (expansion, width, repeats, first_stride) in enumerate(_STAGES, start=1):
        for block in range(1, repeats + 1):
            stride = first_stride if block == 1 and (large_input or stage != 2) else 1
            layer = InvertedResidual(channels, width, stride, expansion, norm)
            chain.add_module(f"stage{stage}_block{block}", layer)
            channels = width
    chain.add_module("last_conv", convolution(channels, 1280, 1, norm, activation=nn.ReLU6()))
    chain.add_module("head", nn.Sequential(nn.Dropout(0.2), *head(1280, num_classes)))
    return chain
