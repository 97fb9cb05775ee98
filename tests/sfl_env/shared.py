"""What several tests of environments ask: whether all is the same, and what is learned."""

from typing import Any

import numpy as np
import torch

from sfl_env import SFLEnv
from sfl_env.learning import SplitFederatedTraining
from sfl_env.learning.scenario import ScenarioLearner


def assert_same(one: Any, other: Any) -> None:
    """Fail unless nested dictionaries, lists and arrays are equal, NaN where NaN is."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        np.testing.assert_array_equal(one, other)


def training_of(env: SFLEnv) -> SplitFederatedTraining:
    """Return what trains the network behind an environment in accuracy mode."""
    learner = env.episodes.learner
    assert isinstance(learner, ScenarioLearner)
    return learner.training


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two networks have the same weights by the same names."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
