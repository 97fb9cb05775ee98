"""A user's own parts of the system: tried once before the first episode, and looked at whenever they are asked."""

import inspect
from typing import Any

import numpy as np

from sfl_env.checks import Range, called, read_only, require_array, require_instance, require_methods
from sfl_env.devices.population import DeviceBatch
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.learning.protocol import Score
from sfl_env.simulation.states import replace_rows

PROBE_SEED = 0

_PROBE_ROUND_S = 20.0

_ABOVE_ZERO = Range(0.0, low_open=True)

GAIN = (
    "gain",
    Range(1e-50, 1.0),
    "each device's linear power gain, received over sent power; a loss in dB is none",
)
_RICIAN_K = (
    Range(0.0),
    "each link's Rician factor, linear, infinite where nothing fades within the round; a figure in dB is none",
)
_LARGE_SCALE_GAIN = (
    Range(1e-50, 1.0),
    "each device's linear power gain without small-scale fading; a loss in dB is none",
)
FREE = ("fraction", Range(1e-9, 1.0), "the share of its speed that each device has free")

_SPEED, _POWER = Range(1.0, 1e30), Range(1e-12, 1e12)

_MAY_BE_INFINITE = frozenset({"forward_bytes_per_s", "backward_bytes_per_s", "memory_bytes", "battery_j"})
"""A memory that costs no time, one that holds any network, and a plug in the wall."""

_DEVICE_RANGES = {
    "type_index": Range(0, 1_000_000_000, whole=True),
    "forward_flops_per_s": _SPEED,
    "forward_bytes_per_s": _SPEED,
    "backward_flops_per_s": _SPEED,
    "backward_bytes_per_s": _SPEED,
    "transmit_power_w": _POWER,
    "idle_w": _POWER,
    "computing_w": _POWER,
    "transmitting_w": _POWER,
    "receiving_w": _POWER,
    "memory_bytes": _ABOVE_ZERO,
    "battery_j": Range(1e-12, 1e30),
}
"""Of each field of a :class:`~sfl_env.devices.DeviceBatch`: wider than devices are, and no round overflows."""


def probe_profile(profile: object) -> None:
    """Raise unless a user's profile is one.

    Raises
    ------
    ScenarioError
        Saying how to get one from what was passed.
    """
    if isinstance(profile, str):
        mend = f"name a network by model={profile!r}"
    elif hasattr(profile, "named_parameters"):
        mend = "sfl_env.profile(module, input_shape) makes one of your network"
    else:
        mend = "sfl_env.profile makes one of a network, sfl_env.DNNProfile.from_json reads one"
    require_instance("profile", profile, DNNProfile, f"an sfl_env.DNNProfile: {mend}")


def probe_channel(channel: Any, num_devices: int) -> None:
    """Raise unless a user's channel gives states with gains of links, at the start and a round later.

    Raises
    ------
    ScenarioError
        Naming method, shape or range.
    """
    _probe_process("channel", channel, "sfl_env.channel.ChannelModel", num_devices, GAIN)


def probe_availability(availability: Any, num_devices: int) -> None:
    """Raise unless a user's availability gives states with fractions, at the start and a round later.

    Raises
    ------
    ScenarioError
        Naming method, shape or range.
    """
    _probe_process("availability", availability, "sfl_env.devices.Availability", num_devices, FREE)


def probe_population(population: Any, num_devices: int) -> None:
    """Raise unless a user's population gives devices.

    Raises
    ------
    ScenarioError
        Naming field, shape or range.
    """
    require_methods("population", population, ["sample"], "sfl_env.devices.DeviceSampler")
    n = probed_episodes(num_devices)
    where = f"population.sample(rng, {n}, {num_devices})"
    rng = np.random.default_rng(PROBE_SEED)
    devices = called(where, population.sample, rng, n, num_devices)
    check_devices(where, devices, (n, num_devices))
    require_unspawned(where, rng, 0)


def check_devices(where: str, devices: Any, shape: tuple[int, int]) -> None:
    """Raise unless a user's population has given devices (N, K).

    Raises
    ------
    ScenarioError
        Naming field, shape or range.
    """
    require_instance(where, devices, DeviceBatch, "an sfl_env.devices.DeviceBatch")
    for name, allowed in _DEVICE_RANGES.items():
        values = getattr(devices, name)
        if name in _MAY_BE_INFINITE and isinstance(values, np.ndarray) and values.dtype.kind == "f":
            if values.dtype == np.float16:
                raise ScenarioError(f"{where}.{name} is in half precision, where more than 65504 is infinite.")
            values = np.where(np.isposinf(values), 1.0, values)
        require_array(f"{where}.{name}", values, shape, allowed, "(environments, devices)")
    radiated, drawn = devices.transmit_power_w, devices.transmitting_w
    if (drawn <= radiated).any():
        env, device = (int(i) for i in np.argwhere(drawn <= radiated)[0])
        raise ScenarioError(
            f"{where}.transmitting_w[{env}, {device}] is {drawn[env, device]}; what a sending device draws has to "
            f"be above what it radiates, transmit_power_w, {radiated[env, device]}."
        )


def in_doubles(devices: DeviceBatch) -> DeviceBatch:
    """Return a user's devices as arrays of their own, with all that is computed with as doubles.

    Half floats overflow and lose digits.
    """
    type_index, *rest = devices
    return DeviceBatch(np.array(type_index, np.intp), *(np.array(values, np.float64) for values in rest))


def probe_learner(learner: Any) -> None:
    """Raise unless a user's learner tells what its network costs, and how well it does at the start.

    Raises
    ------
    ScenarioError
        Naming method or range.
    """
    methods = ["reset", "run_round", "state_dict", "load_state_dict"]
    require_methods("learner", learner, methods, "sfl_env.learning.Learner")
    profile = called("learner.profile", lambda: learner.profile)
    require_instance("learner.profile", profile, DNNProfile, "an sfl_env.DNNProfile of its network")
    score = called("learner.reset(0)", learner.reset, PROBE_SEED)
    check_score("learner.reset(0)", score)


def check_score(where: str, score: Any) -> None:
    """Raise unless a user's learner has told how well its network does.

    Raises
    ------
    ScenarioError
        Naming entry or range.
    """
    require_instance(where, score, Score, "an sfl_env.learning.Score")
    Range(0.0, 1.0).require(f"{where}.accuracy", score.accuracy)
    Range(0.0).require(f"{where}.loss", score.loss)


def probed_episodes(num_devices: int) -> int:
    """Return a number of episodes that no axis of devices is taken for.

    Examples
    --------
    >>> probed_episodes(10), probed_episodes(2)
    (2, 3)
    """
    return 3 if num_devices == 2 else 2


def _probe_process(part: str, process: Any, protocol: str, num_devices: int, told: tuple[str, Range, str]) -> None:
    """Start a time-varying part, let one round pass and start one episode afresh."""
    require_methods(part, process, ["initial", "step"], protocol)
    n, rng = probed_episodes(num_devices), np.random.default_rng(PROBE_SEED)
    start, later = f"{part}.initial(rng, {n}, {num_devices})", f"{part}.step(state, elapsed_s, rng)"
    elapsed_s = np.full(n, _PROBE_ROUND_S)
    _require_elapsed(part, process)
    first = state = called(start, process.initial, rng, n, num_devices)
    check_state(start, state, (n, num_devices), told)
    for _ in range(2):
        before, copied = state, _copied(state)
        state = called(later, process.step, read_only(state), read_only(elapsed_s), rng)
        check_state(later, state, (n, num_devices), told)
        if not _equal(copied, before):
            raise ScenarioError(f"{later} has filled arrays of the round before again; it has to return others.")
    copied = _copied(first)
    called(start, process.initial, rng, n, num_devices)
    once = f"{part}.initial(rng, 1, {num_devices})"
    fresh = called(once, process.initial, rng, 1, num_devices)
    check_state(once, fresh, (1, num_devices), told)
    if not _equal(copied, first):
        raise ScenarioError(f"{start} has filled arrays of an episode before again; it has to return others.")
    try:
        replace_rows(state, np.array([0]), fresh)
    except ScenarioError as error:
        raise ScenarioError(f"One environment of {part}'s state cannot be replaced: {error}") from error
    require_unspawned(f"{part}.initial or {part}.step", rng, 0)


def _require_elapsed(part: str, process: Any) -> None:
    """Raise for a part whose ``step`` does not take how long the round took."""
    try:
        signature = inspect.signature(process.step)
    except (TypeError, ValueError):  # built in, without one
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ScenarioError(
            f"{part}.step takes {signature}; it has to take (state, elapsed_s, rng), where elapsed_s (N,) is "
            "how long each environment's round took, in seconds."
        ) from error


def check_state(where: str, state: Any, shape: tuple[int, int], told: tuple[str, Range, str]) -> None:
    """Raise unless a user's time-varying part has given a state that tells of all devices (N, K).

    Raises
    ------
    ScenarioError
        Naming entry, shape or range.
    """
    if not _is_laid_out(state, shape[0]):
        _check_layout(where, state, shape[0])
    name, allowed, meaning = told
    if not hasattr(state, name):
        raise ScenarioError(f"{where} has no {name}; the state has to have it, {shape}: {meaning}.")
    require_array(f"{where}.{name}", getattr(state, name), shape, allowed, meaning)
    if name == GAIN[0]:
        if hasattr(state, "rician_k"):
            _check_rician_k(f"{where}.rician_k", state.rician_k, shape)
        if hasattr(state, "large_scale_gain"):
            require_array(f"{where}.large_scale_gain", state.large_scale_gain, shape, *_LARGE_SCALE_GAIN)


def _check_rician_k(where: str, values: Any, shape: tuple[int, int]) -> None:
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        values = np.where(np.isposinf(values), 1.0, values)
    require_array(where, values, shape, *_RICIAN_K)


def spawned(rng: np.random.Generator) -> int:
    """Return how many generators have been spawned off one."""
    return getattr(rng.bit_generator.seed_seq, "n_children_spawned", 0)  # a user's own seeds may not count


def require_unspawned(where: str, rng: np.random.Generator, before: int) -> None:
    """Raise if a user's part has spawned generators off the environment's.

    Raises
    ------
    ScenarioError
        Naming part and method.
    """
    if spawned(rng) != before:
        raise ScenarioError(
            f"{where} has spawned generators off rng, and how many is not part of a stored state; draw from rng "
            "itself, or seed a generator with a number drawn from it."
        )


def _is_laid_out(state: Any, n: int) -> bool:
    if isinstance(state, tuple):
        return hasattr(state, "_fields") and all(_is_laid_out(part, n) for part in state)
    return isinstance(state, np.ndarray) and not state.dtype.hasobject and state.shape[:1] == (n,)


def _check_layout(where: str, state: Any, n: int) -> None:
    """Raise for a state that is not laid out as it has to be, naming the entry, which takes time."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        for name, part in zip(state._fields, state, strict=True):
            _check_layout(f"{where}.{name}", part, n)
    elif not isinstance(state, np.ndarray):
        raise ScenarioError(
            f"{where} is of type {type(state).__name__}; a state has to be a NamedTuple of NumPy arrays, or "
            "of such NamedTuples."
        )
    elif state.dtype.hasobject:
        raise ScenarioError(f"{where} holds objects; the arrays of a state have to hold plain numbers.")
    elif state.shape[:1] != (n,):
        raise ScenarioError(
            f"{where} has shape {state.shape}; the first axis of every array of a state has to be the "
            f"environment, here {n}."
        )


def _copied(state: Any) -> Any:
    return [_copied(part) for part in state] if isinstance(state, tuple) else state.copy()


def _equal(before: Any, state: Any) -> bool:
    if isinstance(state, tuple):
        return all(_equal(old, new) for old, new in zip(before, state, strict=True))
    return bool(np.array_equal(before, state, equal_nan=state.dtype.kind in "fc"))
