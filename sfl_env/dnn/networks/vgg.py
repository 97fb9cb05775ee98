"""VGG-11, VGG-16 and VGG-19 (Simonyan & Zisserman, 2015)."""

from torch import nn

from sfl_env.dnn.networks.blocks import Norm, convolution, head

VGG11_WIDTHS = ((64,), (128,), (256, 256), (512, 512), (512, 512))
VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG19_WIDTHS = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


def vgg(widths: tuple[tuple[int, ...], ...], *, num_classes: int, norm: Norm, large_input: bool) -> nn.Sequential:
    """Return a VGG network: convolutions, each stage closed by pooling, then three linear layers.

    Parameters
    ----------
    widths : tuple of tuples of int
        Channels of the convolutions, stage by stage.
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation; the paper has ``"none"``.
    large_input : bool
        The paper's 4096-wide head for 224x224 pixels, or the 512-wide head that is usual for CIFAR's 32x32.
    """
    chain = nn.Sequential()
    channels = 3
    for stage, stage_widths in enumerate(widths, start=1):
        for index, width in enumerate(stage_widths, start=1):
            layer = convolution(channels, width, 3, norm, activation=nn.ReLU())
            if index == len(stage_widths):
                layer.append(nn.MaxPool2d(2))
            chain.add_module(f"conv{stage}_{index}", layer)
            channels = width
    features, width = (channels * 49, 4096) if large_input else (channels, 512)
    chain.add_module("fc1", nn.Sequential(nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Dropout()))
    chain.add_module("fc2", nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout()))
    chain.add_module("fc3", head(width, num_classes, pool=False))
    return chain
