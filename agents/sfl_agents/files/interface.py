"""What an agent sees and does in an environment, as a few numbers that can be compared and stored."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gymnasium import spaces

from sfl_baselines.environments import episodes_of
from sfl_baselines.wrappers import unchanged_episodes_of
from sfl_env.checks import shown
from sfl_env.errors import PolicyError
from sfl_env.rounds.stages import STAGES

LARGEST = 10_000_000
_LONGEST_NAME = 100


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
    observation, action : str
        Classes of the environment's encoders: numbers of the same shape may mean something else.
    late_channel : bool
        Whether columns tell of the links without small-scale fading, as where the channel is observed late. As
        many columns may be of the network's progress elsewhere.
    barriers : str
        Where devices wait for each other between stages.
    """

    num_devices: int
    num_columns: int
    num_cuts: int
    choices: tuple[int, ...]
    observation: str
    action: str
    late_channel: bool = False
    barriers: str = "none"

    @classmethod
    def of(cls, env: Any) -> "Interface":
        """Return the interface of an environment of this package, wrapped or not."""
        observation_space, action_space = spaces_of(env)
        devices, columns = observation_space.shape or (0, 0)
        choices: tuple[int, ...] = ()
        if isinstance(action_space, spaces.MultiDiscrete):
            choices = tuple(int(count) for count in action_space.nvec.reshape(-1, devices)[:, 0])
        episodes = episodes_of(env)
        seen, acted = (type(part).__name__ for part in (episodes.observation_encoder, episodes.action_encoder))
        late = episodes.scenario.csi_delay_rounds > 0
        cuts = episodes.simulator.workload.num_cuts
        return cls(devices, columns, cuts, choices, seen, acted, late, episodes.scenario.barriers)

    @classmethod
    def from_dict(cls, values: Any) -> "Interface":
        """Return what :meth:`to_dict` gave.

        Raises
        ------
        PolicyError
            If an entry is missing, unknown or no count.
        """
        numbers = ("num_devices", "num_columns", "num_cuts")
        names = ("observation", "action")
        whole = isinstance(values, dict) and values.keys() == {field.name for field in fields(cls)}
        whole = whole and type(values["late_channel"]) is bool and values["barriers"] in tuple(STAGES)
        if not (whole and isinstance(values["choices"], list) and all(_is_name(values[name]) for name in names)):
            raise PolicyError(f"its interface is {shown(values)}")
        if not all(type(n) is int and 0 < n <= LARGEST for n in [*map(values.get, numbers), *values["choices"]]):
            raise PolicyError(f"its interface is {shown(values)}")
        counts, texts = ({name: values[name] for name in some} for some in (numbers, names))
        others = {name: values[name] for name in ("late_channel", "barriers")}
        return cls(**counts, choices=tuple(values["choices"]), **texts, **others)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON has them."""
        return asdict(self) | {"choices": list(self.choices)}

    def fits(
        self,
        other: "Interface",
        *,
        any_number_of_devices: bool,
        any_cuts: bool = False,
        same_barriers: bool = False,
    ) -> bool:
        """Whether an agent of this interface can act in an environment of another.

        Parameters
        ----------
        other : Interface
            Of the environment.
        any_number_of_devices : bool
            Whether it acts for any number of devices.
        any_cuts : bool
            Whether it acts for any number of cuts, with whatever columns come with them.
        same_barriers : bool
            Whether it acts only where devices wait for each other as in its own environment.

        Examples
        --------
        >>> lenet = Interface(10, 32, 4, (4,), "ProblemRows", "CutAction")
        >>> lenet.fits(Interface(10, 80, 16, (16,), "ProblemRows", "CutAction"), any_number_of_devices=False)
        False
        >>> lenet.fits(replace(lenet, num_cuts=16, choices=(16,)), any_number_of_devices=False, any_cuts=True)
        True
        """
        here = replace(other, num_devices=self.num_devices) if any_number_of_devices else other
        here = here if same_barriers else replace(here, barriers=self.barriers)
        if any_cuts:
            # The first choice is the cut.
            choices = (*self.choices[:1], *other.choices[1:]) if other.choices else ()
            here = replace(
                here,
                num_columns=self.num_columns,
                num_cuts=self.num_cuts,
                choices=choices,
                late_channel=self.late_channel,
            )
        return self == here

    def __str__(self) -> str:
        act = f"choices of {' and '.join(map(str, self.choices))}" if self.choices else "continuous actions"
        return (
            f"{self.num_devices} devices x {self.num_columns} features ({self.observation}), {self.num_cuts} cuts "
            f"and {act} ({self.action})"
            f"{'' if self.barriers == 'none' else f' with barriers={self.barriers!r}'}"
        )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isidentifier() and len(value) <= _LONGEST_NAME


def spaces_of(env: Any) -> tuple[spaces.Box, spaces.Space[Any]]:
    """Return what one environment shows and takes, whether it is single, batched or wrapped."""
    episodes = unchanged_episodes_of(env)
    devices = episodes.scenario.num_devices
    return episodes.observation_encoder.space(devices), episodes.action_encoder.space(devices)
