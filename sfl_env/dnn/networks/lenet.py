"""LeNet-5 for 28x28 grey pictures (LeCun et al., 1998), and a small network for 8x8 digits."""

from torch import nn

from sfl_env.dnn.networks.blocks import Norm, convolution, head, normalisation


def lenet5(*, num_classes: int, norm: Norm) -> nn.Sequential:
    """Return LeNet-5 with max pooling and ReLU, as it is trained today: 61,706 parameters for 10 classes.

    Parameters
    ----------
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation of the convolutions; the original has ``"none"``.
    """
    chain = nn.Sequential()
    for name, channels_in, channels_out, padding in (("conv1", 1, 6, 2), ("conv2", 6, 16, 0)):
        layer = nn.Sequential(nn.Conv2d(channels_in, channels_out, 5, padding=padding, bias=True))
        if norm != "none":
            layer.append(normalisation(norm, channels_out))
        chain.add_module(name, layer.append(nn.ReLU()).append(nn.MaxPool2d(2)))
    chain.add_module("fc1", nn.Sequential(nn.Flatten(), nn.Linear(400, 120), nn.ReLU()))
    chain.add_module("fc2", nn.Sequential(nn.Linear(120, 84), nn.ReLU()))
    chain.add_module("fc3", nn.Linear(84, num_classes))
    return chain


def digits_cnn(*, num_classes: int, norm: Norm) -> nn.Sequential:
    """Return three convolutions and two linear layers for 8x8 grey digits: 11,642 parameters.

    Narrow and pooled early: training many copies of it at once takes little, and it still tells 97 % and more of
    scikit-learn's digits.

    Parameters
    ----------
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation.
    """
    chain = nn.Sequential()
    chain.add_module("conv1", convolution(1, 16, 3, norm, activation=nn.ReLU()).append(nn.MaxPool2d(2)))
    chain.add_module("conv2", convolution(16, 16, 3, norm, activation=nn.ReLU()).append(nn.MaxPool2d(2)))
    chain.add_module("conv3", convolution(16, 32, 3, norm, activation=nn.ReLU()))
    chain.add_module("fc1", nn.Sequential(nn.Flatten(), nn.Linear(128, 32), nn.ReLU()))
    chain.add_module("fc2", head(32, num_classes, pool=False))
    return chain
