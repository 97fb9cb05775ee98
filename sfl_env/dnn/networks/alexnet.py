"""AlexNet in its one-tower form (Krizhevsky, "One weird trick", 2014): 61,100,840 parameters."""

from torch import nn

from sfl_env.dnn.networks.blocks import Norm, normalisation

# channels_in, channels_out, kernel, stride, padding, pooled afterwards
_LARGE_LAYERS = (
    (3, 64, 11, 4, 2, True),
    (64, 192, 5, 1, 2, True),
    (192, 384, 3, 1, 1, False),
    (384, 256, 3, 1, 1, False),
    (256, 256, 3, 1, 1, True),
)
_SMALL_LAYERS = ((3, 64, 3, 1, 1, True), (64, 192, 3, 1, 1, True), *_LARGE_LAYERS[2:])


def alexnet(*, num_classes: int, norm: Norm, large_input: bool) -> nn.Sequential:
    """Return AlexNet: five convolutions and three linear layers.

    Parameters
    ----------
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation of the convolutions; the original has ``"none"`` of these.
    large_input : bool
        The paper's network for 224x224 pixels, or 3x3 kernels and a 1024-wide head for CIFAR's 32x32.
    """
    chain = nn.Sequential()
    layers = _LARGE_LAYERS if large_input else _SMALL_LAYERS
    for index, (channels_in, channels_out, kernel, stride, padding, pooled) in enumerate(layers, start=1):
        layer = nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, stride, padding))
        if norm != "none":
            layer.append(normalisation(norm, channels_out))
        layer.append(nn.ReLU())
        if pooled:
            layer.append(nn.MaxPool2d(3, stride=2) if large_input else nn.MaxPool2d(2))
        chain.add_module(f"conv{index}", layer)
    features, width = (256 * 36, 4096) if large_input else (256 * 16, 1024)
    chain.add_module("fc1", nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(features, width), nn.ReLU()))
    chain.add_module("fc2", nn.Sequential(nn.Dropout(), nn.Linear(width, width), nn.ReLU()))
    chain.add_module("fc3", nn.Linear(width, num_classes))
    return chain
