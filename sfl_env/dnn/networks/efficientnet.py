"""EfficientNet-B0 (Tan & Le, "EfficientNet: Rethinking Model Scaling", 2019): 5,288,548 parameters."""

from torch import Tensor, nn

from sfl_env.dnn.networks.blocks import Norm, convolution, head

# expansion, kernel, channels_out, repeats, stride of the first repeat: stages 2 to 8 in table 1 of the paper
_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
_NUM_BLOCKS = sum(repeats for _, _, _, repeats, _ in _STAGES)
_STOCHASTIC_DEPTH = 0.2
"""Probability, in training, that a sample goes past a block which is as deep as the network."""


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what all channels hold on average (Hu et al., 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the input's shape, (batch, channels, height, width)."""
        weights: Tensor = self.weights(x)
        return x * weights


class StochasticDepth(nn.Module):
    """In training, silence a residual branch for some samples (Huang et al., 2016).

    Each sample's branch is multiplied by 0 with the given probability, and else by what keeps the mean. So the
    branch is always computed, and its cost doesn't depend on what was drawn.

    Parameters
    ----------
    probability : float
        Of 0.

    Examples
    --------
    >>> import torch
    >>> StochasticDepth(0.5).eval()(torch.ones(1, 1, 1, 2)).tolist()
    [[[[1.0, 1.0]]]]
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.kept = nn.Dropout(probability)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the input's shape, (batch, channels, height, width)."""
        mask: Tensor = self.kept(x.new_ones((len(x), 1, 1, 1)))
        return x * mask


class MBConv(nn.Module):
    """An inverted residual with squeeze-and-excitation; a shortcut where shapes agree."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        norm: Norm,
        silenced: float,
    ) -> None:
        super().__init__()
        width = channels_in * expansion
        self.layers = nn.Sequential()
        if expansion != 1:
            self.layers.append(convolution(channels_in, width, 1, norm, activation=nn.SiLU()))
        self.layers.append(
            convolution(width, width, kernel, norm, stride=stride, groups=width, activation=nn.SiLU())
        )
        # The squeezed width goes by the block's input, not by what that is widened to.
        self.layers.append(SqueezeExcitation(width, max(1, channels_in // 4)))
        self.layers.append(convolution(width, channels_out, 1, norm))
        self.has_shortcut = stride == 1 and channels_in == channels_out
        if self.has_shortcut:
            self.layers.append(StochasticDepth(silenced))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, channels_out, height, width)."""
        narrow: Tensor = self.layers(x)
        return x + narrow if self.has_shortcut else narrow


def efficientnetb0(*, num_classes: int, norm: Norm) -> nn.Sequential:
    """Return EfficientNet-B0: stem, 16 inverted residuals, a last convolution, and the head.

    Stochastic depth grows from block to block up to 0.2 and is drawn for each sample, as in torchvision.

    Parameters
    ----------
    num_classes : int
        Classes.
    norm : {"batch", "group", "none"}
        Normalisation; the paper has ``"batch"``.
    """
    chain = nn.Sequential()
    chain.add_module("stem", convolution(3, 32, 3, norm, stride=2, activation=nn.SiLU()))
    channels, before = 32, 0
    for stage, (expansion, kernel, width, repeats, first_stride) in enumerate(_STAGES, start=1):
        for block in range(1, repeats + 1):
            layer = MBConv(
                channels,
                width,
                kernel=kernel,
                stride=first_stride if block == 1 else 1,
                expansion=expansion,
                norm=norm,
                silenced=_STOCHASTIC_DEPTH * before / _NUM_BLOCKS,
            )
            chain.add_module(f"stage{stage}_block{block}", layer)
            channels, before = width, before + 1
    chain.add_module("last_conv", convolution(channels, 1280, 1, norm, activation=nn.SiLU()))
    pool, flatten, linear = head(1280, num_classes)
    chain.add_module("head", nn.Sequential(pool, flatten, nn.Dropout(0.2), linear))
    return chain
