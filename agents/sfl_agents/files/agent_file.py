"""An agent in a file: what it was trained for, and what it has learnt."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sfl_agents.files import archive, state
from sfl_agents.files.archive import damaged
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.files.size import require_room
from sfl_agents.training.algorithms import CARRIES_OVER
from sfl_agents.training.build import build_to_act
from sfl_agents.training.job import Job
from sfl_env.checks import shown
from sfl_env.errors import PolicyError

FORMAT = 2
"""Format 1, of sfl-env 0.1, was Stable-Baselines3's own, which runs code that is in the file."""


@dataclass(frozen=True)
class AgentFile:
    """An agent's file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    job : Job
        How the agent was trained.
    interface : Interface
        Of the environment that it was trained in.
    counters : dict
        How far the training was.
    arrays : mapping of str to array
        What it has learnt.
    """

    path: Path
    job: Job
    interface: Interface
    counters: Any
    arrays: state.Arrays

    @classmethod
    def open(cls, path: Path) -> "AgentFile":
        """Read a file.

        Raises
        ------
        PolicyError
            If the file is not there or damaged.
        RunError
            If it describes no training.
        """
        content = archive.read(path)
        header = content.header
        if header.get("format") != FORMAT:
            raise PolicyError(
                f"{path} is in format {shown(header.get('format'))}; this version of sfl-env reads {FORMAT}."
            )
        for name in ("job", "interface", "counters"):
            if name not in header:
                raise damaged(path, f"its {name} is missing")
        job = Job.from_dict(header["job"], path)
        try:
            interface = Interface.from_dict(header["interface"])
        except PolicyError as error:
            raise damaged(path, error) from error
        return cls(path, job, interface, header["counters"], content.arrays)

    def restore(self, model: BaseAlgorithm) -> None:
        """Give a model that was built for the same job all that the agent has learnt.

        Raises
        ------
        PolicyError
            If the file is damaged; the model is of no use then.
        """
        try:
            state.restore_counters(model, self.counters)
            state.restore_parameters(model, self.arrays)
        except PolicyError as error:
            raise damaged(self.path, error) from error

    def agent_for(self, env: Any) -> BaseAlgorithm:
        """Return the agent, to act in an environment of this package.

        Raises
        ------
        PolicyError
            If the file is damaged or the agent does not fit the environment.
        """
        here = Interface.of(env)
        policy = self.job.settings.policy
        carries_over = policy == CARRIES_OVER
        for_any_number = carries_over or policy == "DevicePolicy"
        if not self.interface.fits(
            here,
            any_number_of_devices=for_any_number,
            any_cuts=carries_over,
            same_barriers=bool(self.job.settings.policy_kwargs.get("staged")),
        ):
            raise PolicyError(
                f"The agent in {self.path} was trained for {self.interface}; this environment has {here}. Make "
                f"the environment as the agent's was, {self.job.call()}, or train an agent in this one."
            )
        try:
            require_room(self.job.settings.policy_kwargs, self.arrays)
        except PolicyError as error:
            raise damaged(self.path, error) from error
        model = build_to_act(self.job, *spaces_of(env), here)
        self.restore(model)
        return model


def lightened(stored: AgentFile) -> bytes:
    """Return the content of a file of an agent that is to act alone: without optimisers' moments and statistics.

    The same agent gives the same bytes.
    """
    header = {
        "format": FORMAT,
        "job": stored.job.to_dict(),
        "interface": stored.interface.to_dict(),
        "counters": stored.counters | {"recent_episodes": []},
    }
    kept = {name: array for name, array in stored.arrays.items() if "optimizer" not in name.partition("/")[0]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.zip"
        archive.write(path, header, kept)
        return path.read_bytes()


def write(path: Path, model: BaseAlgorithm, job: Job, interface: Interface) -> None:
    """Write an agent, and all that its training needs to go on."""
    header = {
        "format": FORMAT,
        "job": job.to_dict(),
        "interface": interface.to_dict(),
        "counters": state.counters(model),
    }
    archive.write(path, header, state.parameters(model))
