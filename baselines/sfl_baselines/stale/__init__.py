"""Yardsticks for channels that are observed late: what a decision is worth that knows how the present one may be.

Examples
--------
>>> import gymnasium as gym, sfl_env, sfl_baselines
>>> env = gym.make("SFL-StaleCSI-v0", num_devices=3)
>>> policy = sfl_baselines.make("sample-average", env)
>>> observation, _ = env.reset(seed=0)
>>> action, _ = policy.predict(observation)
>>> env.action_space.contains(action)
True
>>> sfl_baselines.make("sample-average", gym.make("SFL-v0"))
Traceback (most recent call last):
    ...
sfl_env.errors.PolicyError: 'sample-average' is for links that stay and fade in blocks, observed late, and here
csi_delay_rounds is 0. The present channel is known: 'exact' is optimal.
"""

from sfl_baselines.stale.knowledge import is_known, require_known
from sfl_baselines.stale.rules import SampleAverage, Statistics

__all__ = ["SampleAverage", "Statistics", "is_known", "require_known"]
