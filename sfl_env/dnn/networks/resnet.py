"""ResNet-18 and ResNet-34 (He et al., "Deep Residual Learning for Image Recognition", 2016)."""

from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.networks.blocks import Norm, convolution, head

_STAGE_CHANNELS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.first = convolution(channels_in, channels_out, 3, norm, stride=stride, activation=nn.ReLU())
        self.second = convolution(channels_out, channels_out, 3, norm)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, 1, norm, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, channels_out, height, width)."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def resnet(depths: tuple[int, ...], *, num_classes: int, norm: Norm, large_input: bool) -> nn.Sequential:
    """Return a ResNet of basic blocks: stem, residual blocks, head.

    Parameters
    ----------
    depths : tuple of int
        Residual blocks in each of the four stages.
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
    for stage, (width, depth) in enumerate(zip(_STAGE_CHANNELS, depths, strict=True), start=1):
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            chain.add_module(f"stage{stage}_block{block}", BasicBlock(channels, width, stride, norm))
            channels = width
    chain.add_module("head", head(channels, num_classes))
    return chain
