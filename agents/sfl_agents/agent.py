"""Load trained agents."""

from pathlib import Path
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file

from sfl_agents.policies.device_policy import DevicePolicy
from sfl_agents.training.algorithms import algorithm
from sfl_agents.training.train import AGENT
from sfl_baselines.wrappers import unchanged_episodes_of
from sfl_env.errors import PolicyError
from sfl_env.storage import runs


def load(path: Path | str, env: Any) -> BaseAlgorithm:
    """Load the agent of a training run, to act in an environment.

    Parameters
    ----------
    path : path
        Folder of a finished run of ``sfl train``, or a model file in one.
    env : SFLEnv or SFLVectorEnv, wrapped or not
        Where it is to act. An agent with :class:`~sfl_agents.policies.device_policy.DevicePolicy` can act
        for any number of devices; others for the number that they were trained with.

    Returns
    -------
    BaseAlgorithm
        With Stable-Baselines3's ``predict``; it takes single observations (K, F) and batches (N, K, F).

    Raises
    ------
    RunError
        If the path is no training run's, or the run has not ended.
    PolicyError
        If the file is broken or the agent's spaces are not the environment's.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    file = path / AGENT if path.is_dir() else path
    config = runs.read_config(folder)
    if config["kind"] != "train":
        raise PolicyError(f"{folder} holds a run of kind {config['kind']!r}; name one of `sfl train`.")
    if not file.is_file():
        raise PolicyError(
            f"{file} is not there: the training in {folder} has not ended. Go on with it by --resume."
        )
    algo = algorithm(config["settings"]["algo"])
    try:
        data, _, _ = load_from_zip_file(file, device="cpu")
        assert data is not None
        replaced = _fitted_spaces(data, env, file)
        return algo.load(file, device="cpu", custom_objects=replaced)
    except (ValueError, KeyError, AssertionError, RuntimeError, EOFError) as error:
        if isinstance(error, PolicyError):
            raise
        raise PolicyError(f"{file} is not a whole agent file: {error}") from error


def _fitted_spaces(data: dict[str, Any], env: Any, file: Path) -> dict[str, Any]:
    """Return the environment's spaces, to take the place of the agent's own, if the agent fits them."""
    episodes = unchanged_episodes_of(env)
    devices = episodes.scenario.num_devices
    seen, acted = episodes.observation_encoder.space(devices), episodes.action_encoder.space(devices)
    own_seen, own_acted = data["observation_space"], data["action_space"]
    shares_network = data["policy_class"] is DevicePolicy
    own_cuts = data["policy_kwargs"].get("num_cuts")
    if (
        _per_device(own_seen, own_acted) == _per_device(seen, acted)
        and (shares_network or own_seen.shape == seen.shape)
        and own_cuts in (None, episodes.simulator.workload.num_cuts)
    ):
        return {"observation_space": seen, "action_space": acted}
    cuts = "" if own_cuts is None else f" and {own_cuts} cuts"
    raise PolicyError(
        f"The agent in {file} was trained for observations {own_seen.shape}, actions {own_acted}{cuts}; this "
        f"environment has {seen.shape}, {acted} and {episodes.simulator.workload.num_cuts} cuts. Train one with "
        "these fields and this action mode."
    )


def _per_device(observation_space: spaces.Box, action_space: spaces.Space[Any]) -> tuple[Any, ...]:
    """Return what a device's row and its part of the action look like."""
    devices, columns = observation_space.shape
    if isinstance(action_space, spaces.MultiDiscrete):
        return columns, tuple(action_space.nvec.reshape(-1, devices)[:, 0])
    return columns, (action_space.shape or (0,))[1:]
