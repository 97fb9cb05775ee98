"""An agent's figures on held-out episodes, batched."""

from dataclasses import dataclass

import numpy as np

from sfl_baselines import Policy
from sfl_baselines.environments import HELD_OUT_SEED, held_out_seed
from sfl_baselines.rollouts import play_to_the_end
from sfl_env import SFLVectorEnv

_VALIDATION_SEED = held_out_seed(HELD_OUT_SEED - 1)
"""Seeds the episodes that choose among an agent's checkpoints; the last held-out one, far from the first
ones, which comparisons are made on."""


@dataclass(frozen=True)
class Evaluation:
    """Means over held-out episodes.

    Parameters
    ----------
    mean_return : float
        Undiscounted, of the environment's own reward.
    mean_latency_s : float
        Over all rounds.
    mean_ratio : float or None
        Mean over all rounds of the latency over the round's optimum; None where the optimum is not known.
    """

    mean_return: float
    mean_latency_s: float
    mean_ratio: float | None


def evaluate(agent: Policy, batch: SFLVectorEnv, seed: int = _VALIDATION_SEED) -> Evaluation:
    """Play one episode in every environment of a batch, the agent acting deterministically.

    Parameters
    ----------
    agent : Policy
        Acts on observations (N, K, F).
    batch : SFLVectorEnv
        The environments; made with ``info_optimum`` for ratios to the optimum.
    seed : int
        The same seed gives the same episodes, whatever the agent does.
    """
    total = np.zeros(batch.num_envs)
    latencies, ratios = [], []
    for running, _, _, done in play_to_the_end(agent, batch.episodes, seed):
        latency_s = done.infos["latency_s"]
        total += done.reward * running
        latencies.append(latency_s[running])
        if "optimal_latency_s" in done.infos:
            ratios.append((latency_s / done.infos["optimal_latency_s"])[running])
    return Evaluation(
        mean_return=float(total.mean()),
        mean_latency_s=float(np.concatenate(latencies).mean()),
        mean_ratio=float(np.concatenate(ratios).mean()) if ratios else None,
    )
