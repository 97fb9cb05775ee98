"""What an agent sees and does in an environment, as a few numbers that can be compared and stored."""

from dataclasses import asdict, dataclass
from typing import Any

from gymnasium import spaces

from sfl_baselines.environments import episodes_of
from sfl_baselines.wrappers import unchanged_episodes_of
from sfl_env.checks import shown
from sfl_env.errors import PolicyError

LARGEST = 10_000_000


@dataclass(frozen=True)
class Interface:
    """The spaces between agent and environment.

    Parameters
    ----------
    num_devices : int
        K.
    num_columns : int
        F, numbers that describe a device.
    num_cuts : int
        C.
    choices : tuple of int
        Options of every choice for a device; empty for continuous actions.
    """

    num_devices: int
    num_columns: int
    num_cuts: int
    choices: tuple[int, ...]

    @classmethod
    def of(cls, env: Any) -> "Interface":
        """Return the interface of an environment of this package, wrapped or not."""
        observation_space, action_space = spaces_of(env)
        devices, columns = observation_space.shape or (0, 0)
        choices: tuple[int, ...] = ()
        if isinstance(action_space, spaces.MultiDiscrete):
            choices = tuple(int(count) for count in action_space.nvec.reshape(-1, devices)[:, 0])
        return cls(devices, columns, episodes_of(env).simulator.workload.num_cuts, choices)

    @classmethod
    def from_dict(cls, values: Any) -> "Interface":
        """Return what :meth:`to_dict` gave.

        Raises
        ------
        PolicyError
            If an entry is missing, unknown or no count.
        """
        numbers = ("num_devices", "num_columns", "num_cuts")
        whole = isinstance(values, dict) and values.keys() == {*numbers, "choices"}
        if not (whole and isinstance(values["choices"], list)):
            raise PolicyError(f"its interface is {shown(values)}")
        if not all(type(n) is int and 0 < n <= LARGEST for n in [*map(values.get, numbers), *values["choices"]]):
            raise PolicyError(f"its interface is {shown(values)}")
        return cls(**{name: values[name] for name in numbers}, choices=tuple(values["choices"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON has them."""
        return asdict(self) | {"choices": list(self.choices)}

    def fits(self, other: "Interface", *, any_number_of_devices: bool) -> bool:
        """Whether an agent of this interface can act in an environment of another."""
        same = (self.num_columns, self.num_cuts, self.choices) == (
            other.num_columns,
            other.num_cuts,
            other.choices,
        )
        return same and (any_number_of_devices or self.num_devices == other.num_devices)

    def __str__(self) -> str:
        act = f"choices of {' and '.join(map(str, self.choices))}" if self.choices else "continuous actions"
        return f"{self.num_devices} devices x {self.num_columns} features, {self.num_cuts} cuts and {act}"


def spaces_of(env: Any) -> tuple[spaces.Box, spaces.Space[Any]]:
    """Return what one environment shows and takes, whether it is single, batched or wrapped."""
    episodes = unchanged_episodes_of(env)
    devices = episodes.scenario.num_devices
    return episodes.observation_encoder.space(devices), episodes.action_encoder.space(devices)
