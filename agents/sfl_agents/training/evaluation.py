"""An agent's figures on held-out episodes, batched."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.environments import HELD_OUT_SEED, held_out_seed
from sfl_env import SFLVectorEnv

VALIDATION_SEED = held_out_seed(HELD_OUT_SEED - 1)
"""Seeds the episodes that choose among an agent's checkpoints; the last held-out one, far from the first
ones, which comparisons are made on."""


class Predictor(Protocol):
    """What has Stable-Baselines3's ``predict``."""

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Return actions and the next hidden state."""


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


def evaluate(agent: Predictor, batch: SFLVectorEnv, seed: int = VALIDATION_SEED) -> Evaluation:
    """Play one episode in every environment of a batch, the agent acting deterministically.

    Parameters
    ----------
    agent : object with ``predict``
        Acts on observations (N, K, F).
    batch : SFLVectorEnv
        The environments; made with ``info_optimum`` for ratios to the optimum.
    seed : int
        The same seed gives the same episodes.
    """
    observation, _ = batch.reset(seed=seed)
    running = np.ones(batch.num_envs, dtype=np.bool_)
    total = np.zeros(batch.num_envs)
    latencies, ratios = [], []
    while running.any():
        action, _ = agent.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, infos = batch.step(action)
        total += reward * running
        latencies.append(infos["latency_s"][running])
        if "optimal_latency_s" in infos:
            ratios.append((infos["latency_s"] / infos["optimal_latency_s"])[running])
        running &= ~(terminated | truncated)
    return Evaluation(
        mean_return=float(total.mean()),
        mean_latency_s=float(np.concatenate(latencies).mean()),
        mean_ratio=float(np.concatenate(ratios).mean()) if ratios else None,
    )
