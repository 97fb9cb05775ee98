"""How well a network does on the test set."""

import math

import torch
from torch import nn
from torch.nn import functional

from sfl_env.dnn.outputs import logits_of
from sfl_env.dnn.process import seeded
from sfl_env.errors import TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.machine import usual_modes
from sfl_env.learning.network import failing_module, failures_told
from sfl_env.learning.protocol import Score
from sfl_env.learning.weights import Weights, tensors_of

SAMPLES_AT_A_TIME = 512
"""Test samples that are evaluated at a time, which bounds the memory of their activations."""


def evaluate(network: nn.Module, weights: Weights, data: TensorData, round_: int = 0) -> Score:
    """Return accuracy and mean cross-entropy of a network with these weights on the test set.

    Equal weights have equal scores: where a network draws random numbers here too, it draws the same ones.

    Parameters
    ----------
    network : nn.Module
        A copy of the network, to put the weights into. It is left in evaluation mode.
    weights : dict of tensors
        Its tensors by name.
    data : TensorData
        With the test set.
    round_ : int
        Rounds done, for messages.

    Raises
    ------
    TrainingError
        If the network fails.

    Examples
    --------
    >>> network = nn.Linear(2, 2)
    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> data = TensorData("toy", x, y, x, y, num_classes=2)
    >>> evaluate(network, {"weight": 100.0 * torch.eye(2), "bias": torch.zeros(2)}, data)
    Score(accuracy=1.0, loss=0.0)
    """
    device = data.test_features.device
    network.eval()

    def where() -> str:
        return failing_module(network, weights, data.test_features.split(SAMPLES_AT_A_TIME))

    with (
        usual_modes(device),
        seeded(0, device),
        failures_told(f"in the evaluation after round {round_}", where),
        # Not inference mode: what a network keeps of its computations could no longer be trained with.
        torch.no_grad(),
    ):
        return _score(network, weights, data)


def _score(network: nn.Module, weights: Weights, data: TensorData) -> Score:
    count = len(data.test_labels)
    loss = torch.zeros((), dtype=torch.float64, device=data.test_labels.device)
    right = torch.zeros((), dtype=torch.int64, device=data.test_labels.device)
    # Copies, since a network may write into its buffers here, too.
    for name, tensor in tensors_of(network).items():
        tensor.data = weights[name].clone()
    for start in range(0, count, SAMPLES_AT_A_TIME):
        part = slice(start, start + SAMPLES_AT_A_TIME)
        # A network may write into its input, which is the user's.
        logits = logits_of(network(data.test_features[part].clone()), type(network).__name__)
        labels = data.test_labels[part]
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(dim=1) == labels).sum()
    return Score(accuracy=int(right) / count, loss=float(loss) / count)


def require_finite(score: Score, round_: int) -> None:
    """Raise if a network computes with a round's weights what is no number.

    Raises
    ------
    TrainingError
        It names the round.
    """
    if not math.isfinite(score.loss):
        raise TrainingError(
            f"The test loss became {score.loss} after round {round_}: the weights are finite, but too large for "
            "the network to compute with. The weights of the round before are kept. Lower the learning rate."
        )
