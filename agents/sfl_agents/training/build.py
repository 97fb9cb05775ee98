"""Algorithms as the settings ask for them: to be trained in an environment, or to act in one."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sfl_agents.files.interface import Interface
from sfl_agents.policies.rows import FlatRows
from sfl_agents.training.algorithms import ACTIVATIONS, CARRIES_OVER, ON_POLICY, algorithm, policy_class
from sfl_agents.training.job import Job
from sfl_env.errors import TrainingError


def build_to_train(job: Job, env: VecEnv, interface: Interface) -> BaseAlgorithm:
    """Return a job's algorithm with its first weights, and torch's and NumPy's generators seeded.

    Parameters
    ----------
    job : Job
        What to train.
    env : VecEnv
        Where.
    interface : Interface
        Of the environment.

    Raises
    ------
    TrainingError
        For settings that the algorithm does not take.
    """
    options = _options(job, interface)
    if job.settings.action_noise:
        deviation = np.full(env.action_space.shape or (), job.settings.action_noise)
        options["action_noise"] = NormalActionNoise(np.zeros_like(deviation), deviation)
    try:
        return algorithm(job.algo)(env=env, seed=job.hashed_seed(0), **options)
    except (TypeError, ValueError, AssertionError, RuntimeError, MemoryError) as error:
        raise TrainingError(f"{job.algo} does not take these settings: {error}") from error


def build_to_act(
    job: Job, observation_space: spaces.Box, action_space: spaces.Space[Any], interface: Interface
) -> BaseAlgorithm:
    """Return a job's algorithm without an environment and without room for experience.

    No generator is seeded, and torch's is left as it was.

    Parameters
    ----------
    job : Job
        What was trained.
    observation_space : Box
        (K, F), of one environment.
    action_space : Box or MultiDiscrete
        Of one environment.
    interface : Interface
        Of the environment.

    Raises
    ------
    TrainingError
        For settings that the algorithm does not take.
    """
    options = _options(job, interface) | ({"n_steps": 1} if job.algo in ON_POLICY else {"buffer_size": 1})
    options["_init_setup_model"] = False  # which would take the spaces from an environment
    if job.algo == "sac":
        options["target_entropy"] = 0.0  # by default the environment's, and for training alone
    try:
        with torch.random.fork_rng(devices=[]):
            model = algorithm(job.algo)(env=None, **options)
            model.observation_space, model.action_space, model.n_envs = observation_space, action_space, 1
            model._setup_model()
    except (TypeError, ValueError, AssertionError, RuntimeError, MemoryError) as error:
        raise TrainingError(f"{job.algo} does not take these settings: {error}") from error
    return model


def _options(job: Job, interface: Interface) -> dict[str, Any]:
    """Return the arguments of an algorithm's class."""
    settings = job.settings
    kwargs = dict(settings.policy_kwargs)
    if "activation_fn" in kwargs:
        kwargs["activation_fn"] = ACTIVATIONS[kwargs["activation_fn"]]
    if settings.policy in (CARRIES_OVER, "DevicePolicy"):
        kwargs["num_cuts"] = interface.num_cuts
    else:
        kwargs["features_extractor_class"] = FlatRows
    if settings.policy == CARRIES_OVER:
        kwargs["late_channel"] = interface.late_channel
        if kwargs.get("staged"):
            kwargs["barriers"] = interface.barriers
    rate: float | LinearSchedule = settings.learning_rate
    if settings.final_learning_rate != rate:
        rate = LinearSchedule(settings.learning_rate, settings.final_learning_rate, 1.0)
    return {
        "policy": policy_class(job.algo, settings.policy),
        "learning_rate": rate,
        "policy_kwargs": kwargs,
        "device": "cpu",
        **settings.hyperparameters,
    }
