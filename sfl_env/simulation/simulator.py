"""The simulated system, batched over environments: from states and decisions to outcomes and next states."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_maxima
from sfl_env.channel.model import ChannelModel
from sfl_env.devices.availability import AvailabilityState
from sfl_env.devices.population import DeviceBatch, DeviceSampler
from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.energy import energy_j
from sfl_env.rounds.latency import PHASES, phase_latency_s, synchronised_latency_s
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.radio import Downlink
from sfl_env.rounds.workload import workload
from sfl_env.scenario import Scenario
from sfl_env.simulation import parts
from sfl_env.spaces.observation import View

ZERO = constant(0.0)

ONE_PER_PHASE = np.ones(len(PHASES))


class Setup(NamedTuple):
    """What is drawn at the start of an episode and stays, with what follows from it alone."""

    devices: DeviceBatch
    samples: Array  # (N, K) samples a round, E n_k
    deepest_cut: NDArray[np.intp]  # (N, K)
    snr_per_gain_hz: Array  # (N, K) transmit power over the noise density
    j_per_sample_flop: Array  # (N, K) for a FLOP on each of the round's samples


class State(NamedTuple):
    """N simulated systems between two rounds; every array has the environment axis first."""

    setup: Setup
    channel: Any  # with gain (N, K)
    past_gain: Array  # (N, csi_delay_rounds, K), the oldest first
    availability: AvailabilityState
    charge: Array  # (N, K) of the battery left, 0 to 1; always 1 on mains power
    round: NDArray[np.int64]  # (N,) rounds that are over


class Simulator:
    """A scenario's dynamics as functions of states; holds no state of its own.

    Parameters
    ----------
    scenario : Scenario
        The system.
    profile, channel, population
        Replace the parts that the scenario describes.

    Raises
    ------
    ScenarioError
        If not even the first cut fits into the memory of some device.

    Examples
    --------
    >>> simulator = Simulator(Scenario(num_devices=3))
    >>> rng = np.random.default_rng(0)
    >>> state = simulator.initial(rng, n=2)
    >>> decision = Decision(np.zeros((2, 3), dtype=int), np.full((2, 3), 1 / 3))
    >>> outcome = simulator.outcome(state, simulator.conditions(state), decision)
    >>> outcome.phase_latency_s.shape
    (7, 2, 3)
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        profile: DNNProfile | None = None,
        channel: ChannelModel[Any] | None = None,
        population: DeviceSampler | None = None,
    ) -> None:
        self.scenario = scenario
        self._in_turn = scenario.schedule == "sequence"
        self.profile = profile or catalogue.load(scenario.network)
        self.channel: ChannelModel[Any] = channel or parts.channel(scenario)
        self.population: DeviceSampler = population or parts.population(scenario)
        self.availability = parts.availability(scenario)
        self.workload = workload(
            self.profile,
            activation_bits=scenario.activation_bits,
            parameter_bits=scenario.parameter_bits,
            label_bits=scenario.label_bits,
            optimizer_slots=scenario.slots_per_parameter,
        )
        self.resources = Resources(
            uplink_bandwidth_hz=constant(scenario.bandwidth_hz),
            server_flops_per_s=constant(
                scenario.server_flops_per_s / (1 if self._in_turn else scenario.num_devices)
            ),
        )
        self.noise_w_per_hz = 10.0 ** (
            (scenario.noise_density_dbm_per_hz + scenario.noise_figure_db - 30.0) / 10.0
        )
        self._downlink = Downlink(
            scenario.downlink_bandwidth_hz or scenario.bandwidth_hz,
            scenario.base_station_power_w,
            self.noise_w_per_hz,
        )
        self.has_batteries = scenario.battery_j is not None
        self._charge_per_j = constant(1.0 / scenario.battery_j if scenario.battery_j else 0.0)
        self._progress = np.linspace(-1.0, 1.0, scenario.max_rounds + 1, dtype=np.float32)

    def initial(self, rng: np.random.Generator, n: int) -> State:
        """Draw n systems at the start of their episodes.

        With delayed CSI the channel has a past: the rounds before the first one.
        """
        scenario, shape = self.scenario, (n, self.scenario.num_devices)
        devices = self.population.sample(rng, *shape)
        spread = scenario.batch_size_spread ** rng.uniform(-1.0, 1.0, shape)
        batch_size = np.maximum(np.rint(scenario.batch_size * spread), 1.0).astype(np.int64)
        deepest_cut = self.workload.deepest_cut(batch_size, devices.memory_bytes)
        self._check_memory(deepest_cut, devices, batch_size)
        channel = self.channel.initial(rng, *shape)
        past = np.empty((n, scenario.csi_delay_rounds, scenario.num_devices))
        for age in range(scenario.csi_delay_rounds):
            past[:, age] = channel.gain
            channel = self.channel.step(channel, rng)
        samples = np.multiply(batch_size, scenario.local_iterations, dtype=np.float64)
        return State(
            setup=Setup(
                devices=devices,
                samples=samples,
                deepest_cut=deepest_cut,
                snr_per_gain_hz=devices.transmit_power_w / self.noise_w_per_hz,
                j_per_sample_flop=samples * devices.energy_j_per_flop,
            ),
            channel=channel,
            past_gain=past,
            availability=self.availability.initial(rng, *shape),
            charge=np.ones(shape),
            round=np.zeros(n, dtype=np.int64),
        )

    def _check_memory(self, deepest: NDArray[np.intp], devices: DeviceBatch, batch: NDArray[np.int64]) -> None:
        if (deepest < 0).any():
            env, device = (int(i) for i in np.argwhere(deepest < 0)[0])
            raise ScenarioError(
                f"Device {device} has {devices.memory_bytes[env, device]:.3g} bytes of memory, too little for the "
                f"first cut of {self.profile.name} at a mini-batch of {batch[env, device]} samples. Take a "
                "smaller network or batch_size, or device_types with more memory."
            )

    def conditions(self, state: State) -> Conditions:
        """Return the true conditions of the round that comes next."""
        return self._conditions(state, state.channel.gain)

    def observed_conditions(self, state: State, true: Conditions) -> Conditions:
        """Return the conditions as observed: with delayed CSI, those of an old channel."""
        return self._conditions(state, state.past_gain[:, 0]) if self.scenario.csi_delay_rounds else true

    def _conditions(self, state: State, gain: Array) -> Conditions:
        setup = state.setup
        return Conditions(
            uplink_snr_hz=setup.snr_per_gain_hz * gain,
            downlink_full_rate_bps=self._downlink.full_rate_bps(gain),
            compute_flops_per_s=setup.devices.compute_flops_per_s * state.availability.fraction,
            backward_slowdown=setup.devices.backward_slowdown,
            samples=setup.samples,
            deepest_cut=setup.deepest_cut,
            active=state.charge > ZERO if self.has_batteries else None,
        )

    def view(self, state: State, observed: Conditions) -> View:
        """Return what agents may know of a state."""
        # A single environment may be stepped past its last round, where the progress stays 1.
        return View(observed, state.setup.devices, state.charge, self._progress.take(state.round, mode="clip"))

    def carried_out(self, state: State, asked: Decision) -> tuple[Decision, NDArray[np.bool_]]:
        """Return the decision that a round is carried out with, and (N, K) whether a cut had to give way.

        Cuts that do not fit give way to the deepest that do, and devices in sequence have the whole band each.
        """
        deepest_cut = state.setup.deepest_cut
        limited = asked.cut > deepest_cut
        if not self._in_turn and not np.count_nonzero(limited):
            return asked, limited
        share = np.ones_like(asked.bandwidth_share) if self._in_turn else asked.bandwidth_share
        return Decision(np.minimum(asked.cut, deepest_cut), share), limited

    def outcome(self, state: State, true: Conditions, decision: Decision) -> Outcome:
        """Carry out one round under the true conditions."""
        phases = phase_latency_s(self.workload, self.resources, true, decision.cut, decision.bandwidth_share)
        setup = state.setup
        energy = energy_j(
            self.workload, setup.devices.transmit_power_w, setup.j_per_sample_flop, decision.cut, phases
        )
        charge = state.charge
        if true.active is not None:
            phases *= true.active
            energy *= true.active
            charge = charge - energy * self._charge_per_j
            np.maximum(charge, ZERO, out=charge)
        device_latency = ONE_PER_PHASE.dot(phases.reshape(len(PHASES), -1)).reshape(decision.cut.shape)
        if self.scenario.synchronised_phases:
            latency = synchronised_latency_s(phases)
        elif self._in_turn:
            latency = np.add.reduce(device_latency, axis=-1)
        else:
            latency = row_maxima(device_latency)
        takes_part = true.active
        if self.scenario.deadline_s is not None:
            takes_part, latency = self._by_deadline(self.scenario.deadline_s, true, device_latency, latency)
        return Outcome(phases, device_latency, latency, energy, charge, takes_part)

    def _by_deadline(
        self, deadline_s: float, true: Conditions, device_latency: Array, latency: Array
    ) -> tuple[NDArray[np.bool_], Array]:
        """Who is in time, and how long the round lasts for those and for the waiting.

        A round that waits for nobody any more ends: at the deadline, or before it where all are in time.
        """
        in_time = device_latency <= deadline_s
        if self._in_turn:
            ended: Array = np.minimum(device_latency, deadline_s).sum(axis=-1)
        else:
            ended = np.minimum(latency, deadline_s)
        return (in_time if true.active is None else in_time & true.active), ended

    def step(self, state: State, outcome: Outcome, rng: np.random.Generator) -> State:
        """Move on to the next round: channel, free speed, batteries.

        A device whose battery runs out in a round still finishes that round.
        """
        past = state.past_gain
        if self.scenario.csi_delay_rounds:
            past = np.concatenate([past[:, 1:], state.channel.gain[:, None]], axis=1)
        return State(
            setup=state.setup,
            channel=self.channel.step(state.channel, rng),
            past_gain=past,
            availability=self.availability.step(state.availability, rng),
            charge=outcome.charge,
            round=state.round + 1,
        )
