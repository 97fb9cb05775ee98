"""Agents in Stable-Baselines3's own format, which runs code from the file when it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file

from sfl_agents.files.archive import damaged, members
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.policies.device_policy import DevicePolicy
from sfl_agents.training.algorithms import algorithm
from sfl_env.errors import PolicyError, RunError, SFLError

_PICKLED = "data"
"""The member of Stable-Baselines3's zip files that is code as much as data."""

_DESCRIBING = {
    "observation_space": spaces.Space,
    "action_space": spaces.Space,
    "policy_class": type,
    "policy_kwargs": dict,
}
"""What an agent's description holds at least."""


def is_foreign(path: Path) -> bool:
    """Whether a file is in Stable-Baselines3's own format; nothing in it is opened."""
    return _PICKLED in members(path)


def refusal(path: Path, version: str | None = None) -> RunError:
    """Return the error for a file that nobody has said to trust."""
    wrote = "" if version is None else f" but one that sfl-env {version} wrote"
    return RunError(
        f"{path} is no agent file of this version{wrote}; opening other formats runs whatever code the file's "
        "author chose. Train the agent again or, if you know where the file comes from, say trust=True."
    )


def load(path: Path, algo: str, env: Any) -> BaseAlgorithm:
    """Load an agent to act in an environment, running the code in its file.

    Parameters
    ----------
    path : pathlib.Path
        A file that is trusted.
    algo : str
        Name of the algorithm that it is of.
    env : SFLEnv or SFLVectorEnv, wrapped or not
        Where it is to act.

    Raises
    ------
    PolicyError
        If the file is damaged or the agent does not fit the environment.
    """
    kind, data, here = algorithm(algo), described(path), Interface.of(env)
    with _told_as_damage(path):
        if not _fits(data, here):
            raise PolicyError(
                f"it was trained for observations {data['observation_space'].shape} and actions "
                f"{data['action_space']}; this environment has {here}"
            )
    replaced = dict(zip(("observation_space", "action_space"), spaces_of(env), strict=True))
    return opened(path, kind, replaced)


def described(path: Path) -> dict[str, Any]:
    """Return what a file says of its agent besides the weights, running the code in it.

    Raises
    ------
    PolicyError
        If the file is damaged.
    """
    with _told_as_damage(path):
        data, _, _ = load_from_zip_file(path, device="cpu")
        if data is None or not all(isinstance(data.get(name), kind) for name, kind in _DESCRIBING.items()):
            raise PolicyError("it describes no agent")
        return data


def opened(path: Path, kind: type[BaseAlgorithm], replaced: dict[str, Any] | None = None) -> BaseAlgorithm:
    """Return the agent of a file as an algorithm's, running the code in it.

    Parameters
    ----------
    path : pathlib.Path
        A file that is trusted.
    kind : type
        The algorithm's class.
    replaced : dict, optional
        Entries of what the file describes that others take the place of.

    Raises
    ------
    PolicyError
        If the file is damaged, or has weights that are not finite.
    """
    with _told_as_damage(path):
        agent = kind.load(path, device="cpu", custom_objects=replaced)
        if not all(bool(weights.isfinite().all()) for weights in agent.policy.parameters()):
            raise PolicyError("its network has weights that are not finite")
        return agent


@contextmanager
def _told_as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except SFLError as error:
        raise damaged(path, error) from error
    except Exception as error:  # the file's own code may raise anything
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _fits(data: dict[str, Any], here: Interface) -> bool:
    seen, acted = data["observation_space"], data["action_space"]
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 2:
        return False
    devices, columns = seen.shape
    choices: tuple[int, ...] = ()
    if isinstance(acted, spaces.MultiDiscrete):
        choices = tuple(int(count) for count in acted.nvec.reshape(-1, devices)[:, 0])
    elif acted.shape != (devices, 2):
        return False
    cuts = data["policy_kwargs"].get("num_cuts", here.num_cuts)
    shares_network = data["policy_class"] is DevicePolicy
    # Such a file names no encoders.
    theirs = Interface(devices, columns, cuts, choices, here.observation, here.action, here.late_channel)
    return theirs.fits(here, any_number_of_devices=shares_network)
