"""Stored states on their way back: everything is looked at before any of it is adopted."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.channel.blockage import BlockageState, FreeState
from sfl_env.channel.drift import DriftState
from sfl_env.channel.fading import AveragedState, ScatterState, SteadyState
from sfl_env.channel.mobility import StaticState
from sfl_env.channel.model import ChannelState, Place
from sfl_env.channel.waypoints import WaypointState
from sfl_env.checks import require_entries
from sfl_env.devices.availability import AvailabilityState
from sfl_env.devices.population import DeviceBatch, Population
from sfl_env.errors import StateError
from sfl_env.learning.protocol import Progress
from sfl_env.learning.surrogate import Learnt, NothingLearnt
from sfl_env.simulation.past import Past
from sfl_env.simulation.probing import FREE, GAIN
from sfl_env.simulation.simulator import Setup, Simulator, State
from sfl_env.simulation.states import from_nested


class Bounds(NamedTuple):
    """The smallest and the largest value that an entry of a state can have."""

    low: float
    high: float


LARGEST = float(np.finfo(np.float64).max)
SMALLEST = math.nextafter(0.0, 1.0)
FINITE, NOT_NEGATIVE, POSITIVE = Bounds(-LARGEST, LARGEST), Bounds(0.0, LARGEST), Bounds(SMALLEST, LARGEST)
FRACTION, ABOVE_ZERO = Bounds(0.0, 1.0), Bounds(SMALLEST, math.inf)

_BOUNDS: Mapping[type, Mapping[str, Bounds]] = {
    State: {"charge": FRACTION},
    Past: {"gain": POSITIVE, "scattered": FRACTION, "large_scale_gain": POSITIVE},
    Setup: {"samples": POSITIVE, "snr_per_gain_hz": NOT_NEGATIVE, "charge_per_j": NOT_NEGATIVE},
    DeviceBatch: {
        **dict.fromkeys(("forward_flops_per_s", "backward_flops_per_s"), POSITIVE),
        **dict.fromkeys(("forward_bytes_per_s", "backward_bytes_per_s", "battery_j"), ABOVE_ZERO),
        **dict.fromkeys(("idle_w", "computing_w", "transmitting_w", "receiving_w"), POSITIVE),
        "transmit_power_w": NOT_NEGATIVE,
        "memory_bytes": Bounds(0.0, math.inf),
    },
    AvailabilityState: {"fraction": Bounds(SMALLEST, 1.0)},
    ChannelState: {"gain": POSITIVE, "large_scale_gain": POSITIVE},
    Place: {"large_scale_gain": POSITIVE, "k_factor": NOT_NEGATIVE},
    BlockageState: {},
    FreeState: {},
    AveragedState: {},
    ScatterState: {},
    SteadyState: {},
    WaypointState: {"speed_m_per_s": POSITIVE},
    StaticState: {},
    DriftState: {},
    NothingLearnt: {},
    Learnt: {"done": NOT_NEGATIVE, "needed": POSITIVE},
    Progress: {"accuracy": FRACTION, "loss": NOT_NEGATIVE, "elapsed_s": NOT_NEGATIVE},
}
"""What the package's own states hold; entries that are not named have to be finite, other parts' are theirs."""


def require_same_scenario(stored: object, here: Mapping[str, Any]) -> None:
    """Raise unless a stored scenario is the present one.

    Raises
    ------
    StateError
        Naming the first field that differs.
    """
    fields = require_entries(stored, tuple(here), "scenario")
    for name, value in here.items():
        there = fields[name]
        if type(there) not in (type(value), int, float) or there != value:
            raise StateError(
                f"The stored state is of another scenario: {name} is {there!r} there, {value!r} here."
            )


def restored_generator(stored: object) -> np.random.Generator:
    """Return a random generator in a stored state.

    Raises
    ------
    StateError
        If it is no state of the generator that environments draw from, NumPy's PCG64.
    """
    generator = np.random.default_rng(0)
    try:
        generator.bit_generator.state = stored  # type: ignore[assignment]  # whatever it is, it is tried
        taken = generator.bit_generator.state
        # An even increment is no generator's: its numbers would start to repeat early.
        possible = taken == stored and taken["state"]["inc"] % 2 == 1 and taken["has_uint32"] in (0, 1)
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as error:
        raise StateError(f"The stored rng is no state of a PCG64 generator ({error!r}).") from error
    if not possible:
        raise StateError("The stored rng is no state of a PCG64 generator: some of its numbers cannot be.")
    return generator


def restored_state(simulator: Simulator, n: int, stored: object) -> State:
    """Return n systems that :func:`~sfl_env.simulation.states.to_nested` took apart.

    Raises
    ------
    StateError
        If the state does not fit the simulator's parts, or holds what no system can be in.
    """
    # What is drawn here is only asked for its layout.
    like = simulator.initial(np.random.default_rng(0), n)
    state: State = from_nested(like, stored, "state")
    types = simulator.population.types if isinstance(simulator.population, Population) else None
    changing = {
        "state.round": Bounds(0, simulator.scenario.max_rounds),
        "state.setup.deepest_cut": Bounds(0, simulator.workload.num_cuts - 1),
        "state.setup.devices.type_index": Bounds(0, len(types) - 1) if types is not None else FINITE,
    }
    _check_bounds(state, "state", changing)
    for part, (name, allowed, _) in (("channel", GAIN), ("availability", FREE)):
        process = getattr(state, part)
        if type(process) not in _BOUNDS:  # a user's own
            bounds = Bounds(allowed.low, allowed.high)
            _check_within(np.asarray(getattr(process, name)), f"state.{part}.{name}", bounds)
    return state


def restored_progress(stored: object) -> Progress:
    """Return how far the learning of one network had come.

    Raises
    ------
    StateError
        If an entry is missing, or no number of its range.
    """
    progress: Progress = from_nested(Progress(*np.zeros((3, 1))), stored, "learning")
    _check_bounds(progress, "learning", {})
    return progress


def _check_bounds(part: Any, name: str, named: Mapping[str, Bounds]) -> None:
    """Check the arrays of the package's own states, however deep they lie; users' are left to them."""
    bounds = _BOUNDS.get(type(part))
    for field, values in zip(getattr(part, "_fields", range(len(part))), part, strict=True):
        path = f"{name}.{field}"
        if isinstance(values, tuple):
            _check_bounds(values, path, named)
        elif bounds is not None:
            _check_within(values, path, named.get(path, bounds.get(field, FINITE)))


def _check_within(values: NDArray[Any], name: str, bounds: Bounds) -> None:
    bad = ~((values >= bounds.low) & (values <= bounds.high))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        wanted = {FINITE: "finite", NOT_NEGATIVE: "finite and at least 0", POSITIVE: "finite and above 0"}
        raise StateError(
            f"{name}{list(where)} of the stored state is {values[where]}; it has to be "
            f"{wanted.get(bounds, f'from {bounds.low} to {bounds.high}')}."
        )
