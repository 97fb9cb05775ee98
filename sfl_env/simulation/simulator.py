"""The simulated system, batched over environments: from states and decisions to outcomes and next states."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_maxima
from sfl_env.channel.model import ChannelModel
from sfl_env.devices.availability import Availability
from sfl_env.devices.population import DeviceBatch, DeviceSampler, Population
from sfl_env.dnn.profile import DNNProfile
from sfl_env.learning.surrogate import Learnt, NothingLearnt
from sfl_env.rounds.conditions import Conditions, LargeScale
from sfl_env.rounds.curve_checks import check_curve
from sfl_env.rounds.curves import RateCurve
from sfl_env.rounds.energy import Power, broken_off, energy_j, training_j
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import PHASES, SERVER_COMPUTE, phase_latency_s
from sfl_env.rounds.outage import LEAST_RATE_BPS, LEAST_SNR_HZ
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.queue import queued_s
from sfl_env.rounds.stages import STAGES, staged_latency_s
from sfl_env.scenario import Scenario
from sfl_env.simulation import parts
from sfl_env.simulation.batches import batch_sizes, check_memory, check_types_memory
from sfl_env.simulation.nominal import SAMPLE_SEED, average_round_s, sample_size
from sfl_env.simulation.past import Past, aged, empty_past, remember, rician_k_of
from sfl_env.simulation.probing import probe_availability, probe_channel, probe_population, probe_profile
from sfl_env.simulation.watched import WatchedPopulation, watched_availability, watched_channel

_ZERO = constant(0.0)
_ONE_ROUND = np.array(1)

_ONE_PER_PHASE = np.ones(len(PHASES))


class Setup(NamedTuple):
    """What is drawn at the start of an episode and stays, with what follows from it alone."""

    devices: DeviceBatch
    samples: Array  # (N, K) samples a round, E n_k
    deepest_cut: NDArray[np.intp]  # (N, K)
    snr_per_gain_hz: Array  # (N, K) transmit power over the noise density
    charge_per_j: Array  # (N, K) of the battery that training may use; 0 where it never ends


class State(NamedTuple):
    """N simulated systems between two rounds; every array has the environment axis first."""

    setup: Setup
    channel: Any  # with gain (N, K) and, unless it is a user's own, rician_k and large_scale_gain (N, K)
    past: Past  # of csi_delay_rounds rounds
    availability: Any  # with fraction (N, K)
    charge: Array  # (N, K) of the battery left, 0 to 1; always 1 on mains power
    round: NDArray[np.int64]  # (N,) rounds that are over
    learnt: Learnt | NothingLearnt = NothingLearnt()  # how far a surrogate of learning has come, if there is one


class Simulator:
    """A scenario's dynamics as functions of states; holds no state of its own but the fading asked for last.

    Parameters
    ----------
    scenario : Scenario
        The system.
    profile, channel, population, availability, uplink_curve, downlink_curve
        Replace the parts that the scenario describes; each is tried once, with a generator of its own, and what
        it gives is looked at in every round.

    Raises
    ------
    ScenarioError
        If a part is not what its protocol says, or some device's memory may be too small for the first cut.

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
        availability: Availability[Any] | None = None,
        uplink_curve: RateCurve | None = None,
        downlink_curve: RateCurve | None = None,
    ) -> None:
        self.scenario = scenario
        self._in_turn = scenario.schedule == "sequence"
        self._stages = STAGES[scenario.barriers]
        self._queues = scenario.server_in_turn and not self._stages
        if profile is not None:
            probe_profile(profile)
        if channel is not None:
            probe_channel(channel, scenario.num_devices)
        if population is not None:
            probe_population(population, scenario.num_devices)
        if availability is not None:
            probe_availability(availability, scenario.num_devices)
        for name, curve in (("uplink_curve", uplink_curve), ("downlink_curve", downlink_curve)):
            if curve is not None:
                check_curve(name, curve)
        self.profile = parts.profile(scenario) if profile is None else profile
        self.channel: ChannelModel[Any] = parts.channel(scenario) if channel is None else channel
        self.population: DeviceSampler = parts.population(scenario) if population is None else population
        self.availability: Availability[Any] = (
            parts.availability(scenario) if availability is None else availability
        )
        # As they are asked: the package's own parts only give what is possible, and a user's are looked at.
        self._channel = self.channel if channel is None else watched_channel(channel)
        self._population = self.population if population is None else WatchedPopulation(population)
        self._availability = self.availability if availability is None else watched_availability(availability)
        self.workload = parts.workload(scenario, self.profile)
        if isinstance(self.population, Population):
            check_types_memory(self.population, scenario, self.workload, self.profile.name)
        self.resources = parts.resources(scenario, uplink_curve)
        self.uplink_noise_w_per_hz = parts.uplink_noise_w_per_hz(scenario)
        self.downlink = parts.downlink(scenario, downlink_curve)
        self.outage = parts.outage(scenario, self.resources.uplink_curve, self.downlink)
        self.has_batteries = scenario.battery_share is not None
        self._last_fading = SmallScaleFading(np.empty((0, 0)))
        self.surrogate = parts.surrogate(scenario, self.profile)

    @cached_property
    def nominal_round_s(self) -> float:
        """The optimal round of a cell in which every device is an average one, in seconds.

        The average is that over a fixed sample of the scenario's devices and channels as episodes start with them,
        without a past, so that the figure depends on the scenario alone.

        Examples
        --------
        >>> slow = Simulator(Scenario()).nominal_round_s
        >>> slow > Simulator(Scenario(bandwidth_hz=200e6)).nominal_round_s > 0
        True
        """
        episodes = sample_size(self.scenario.num_devices)
        state = self._initial(np.random.default_rng(SAMPLE_SEED), episodes, rounds_before=0)
        return average_round_s(self.workload, self.resources, self.conditions(state))

    def initial(self, rng: np.random.Generator, n: int) -> State:
        """Draw n systems at the start of their episodes.

        With delayed CSI the channel has a past: as many rounds before the first one as the delay, each as long as
        the nominal round.
        """
        return self._initial(rng, n, self.scenario.csi_delay_rounds)

    def _initial(self, rng: np.random.Generator, n: int, rounds_before: int) -> State:
        scenario, shape = self.scenario, (n, self.scenario.num_devices)
        devices = self._population.sample(rng, *shape)
        batch_size = batch_sizes(scenario, rng, shape)
        deepest_cut = self.workload.deepest_cut(batch_size, devices.memory_bytes)
        check_memory(deepest_cut, devices, batch_size, self.profile.name)
        channel, past = self._channel_with_past(rng, shape, rounds_before)
        availability = self._availability.initial(rng, *shape)
        samples = np.multiply(batch_size, scenario.local_iterations, dtype=np.float64)
        return State(
            setup=Setup(
                devices=devices,
                samples=samples,
                deepest_cut=deepest_cut,
                snr_per_gain_hz=devices.transmit_power_w / self.uplink_noise_w_per_hz,
                charge_per_j=self._charge_per_j(devices),
            ),
            channel=channel,
            past=past,
            availability=availability,
            charge=np.ones(shape),
            round=np.zeros(n, dtype=np.int64),
            learnt=NothingLearnt() if self.surrogate is None else self.surrogate.initial(rng, n),
        )

    def _charge_per_j(self, devices: DeviceBatch) -> Array:
        share = self.scenario.battery_share
        return np.zeros_like(devices.battery_j) if share is None else 1.0 / (share * devices.battery_j)

    def _channel_with_past(
        self, rng: np.random.Generator, shape: tuple[int, int], rounds_before: int
    ) -> tuple[Any, Past]:
        """Draw channels (N, K) and those of so many rounds before."""
        channel = self._channel.initial(rng, *shape)
        past = empty_past(shape[0], rounds_before, shape[1])
        if rounds_before:
            elapsed_s = np.full(shape[0], self.nominal_round_s)
        for age in range(rounds_before):
            remember(past, age, channel)
            channel = self._channel.step(channel, elapsed_s, rng)
        return channel, past

    def conditions(self, state: State) -> Conditions:
        """Return the true conditions of the round that comes next."""
        return self._conditions(state, state.channel.gain, rician_k_of(state.channel))

    def observed_conditions(self, state: State, true: Conditions) -> Conditions:
        """Return the conditions as observed: with delayed CSI, those of an old channel."""
        if not self.scenario.csi_delay_rounds:
            return true
        past = state.past
        seen = self._conditions(state, past.gain[:, 0], past.oldest_rician_k)
        return seen._replace(large_scale=self._large_scale(state, past.large_scale_gain[:, 0]))

    def _large_scale(self, state: State, gain: Array) -> LargeScale:
        return LargeScale(state.setup.snr_per_gain_hz * gain, self.downlink.sinr(gain))

    def _conditions(self, state: State, gain: Array, rician_k: Array) -> Conditions:
        devices, samples, deepest_cut, snr_per_gain_hz, _ = state.setup
        fraction = state.availability.fraction
        fading = self._fading_of(rician_k)
        snr_hz = snr_per_gain_hz * gain
        downlink_bps = self.downlink.full_rate_bps(gain, fading.levels)
        takes_part = self.outage.reached(snr_hz, downlink_bps)
        if takes_part is not None:
            # The lowest rate is how observations tell of an outage.
            downlink_bps = np.where(takes_part, downlink_bps, LEAST_RATE_BPS)
            snr_hz = np.where(takes_part, snr_hz, np.maximum(snr_hz, LEAST_SNR_HZ))
        if self.has_batteries:
            charged = state.charge > _ZERO
            takes_part = charged if takes_part is None else charged & takes_part
        return Conditions(
            snr_hz,
            downlink_bps,
            devices.forward_flops_per_s * fraction,
            devices.forward_bytes_per_s * fraction,
            devices.backward_flops_per_s * fraction,
            devices.backward_bytes_per_s * fraction,
            samples,
            deepest_cut,
            takes_part,
            fading,
        )

    def _fading_of(self, rician_k: Array) -> SmallScaleFading:
        """Return the fading of given factors, whose levels devices that stay need but once."""
        if rician_k is not self._last_fading.rician_k:
            self._last_fading = SmallScaleFading(rician_k)
        return self._last_fading

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
        if true.takes_part is not None:
            phases *= true.takes_part
        if self._queues or self._stages:
            phases[SERVER_COMPUTE] /= self.scenario.num_devices  # each job has the whole server in its turn
        if self._queues:
            phases[SERVER_COMPUTE] = queued_s(phases[:SERVER_COMPUTE].sum(axis=0), phases[SERVER_COMPUTE])
        device_latency = _ONE_PER_PHASE.dot(phases.reshape(len(PHASES), -1)).reshape(decision.cut.shape)
        if self._stages:
            latency = staged_latency_s(phases, self._stages)
        elif self._in_turn:
            latency = np.add.reduce(device_latency, axis=-1)
        else:
            latency = row_maxima(device_latency)
        takes_part = true.takes_part
        if takes_part is not None:
            latency = np.where(takes_part.any(axis=-1), latency, self.resources.outage_wait_s)
        worked = phases
        if self.scenario.deadline_s is not None:
            takes_part, latency = self._by_deadline(self.scenario.deadline_s, true, device_latency, latency)
            worked = broken_off(phases, self.scenario.deadline_s)
        energy, charge = self._drained(state, worked, latency[:, None])
        learnt = None if self.surrogate is None else self.surrogate.progress(decision.cut, takes_part)
        return Outcome(phases, device_latency, latency, energy, charge, takes_part, true.samples, learnt)

    def _drained(self, state: State, phases: Array, end: Array) -> tuple[Array, Array]:
        """Return the energy of a round, and the charge that it leaves.

        A device that cannot be reached waits for the round's end; an empty one is off. The battery is charged with
        what training adds to the power of waiting: that is drawn with and without training.
        """
        devices, charge = state.setup.devices, state.charge
        power = Power(devices.idle_w, devices.computing_w, devices.transmitting_w, devices.receiving_w)
        energy = energy_j(power, phases, end)
        if self.has_batteries:
            energy *= charge > _ZERO
            charge = charge - training_j(power.above_idle(), phases) * state.setup.charge_per_j
            np.maximum(charge, _ZERO, out=charge)
        return energy, charge

    def _by_deadline(
        self, deadline_s: float, true: Conditions, device_latency: Array, latency: Array
    ) -> tuple[NDArray[np.bool_], Array]:
        """Who is in time, and how long the round lasts for those and for the waiting.

        The round ends when everybody who was asked has finished, and at the deadline at the latest. So leaving a
        device out, by giving it next to no band, never makes a round shorter.
        """
        in_time = device_latency <= deadline_s
        ended: Array = np.minimum(latency, deadline_s)
        if self._in_turn:
            in_turn = np.minimum(device_latency, deadline_s).sum(axis=-1)
            # Where it is nobody's turn, all that passes is the server's wait.
            ended = in_turn if true.takes_part is None else np.where(true.takes_part.any(axis=-1), in_turn, ended)
        return (in_time if true.takes_part is None else in_time & true.takes_part), ended

    def step(self, state: State, outcome: Outcome, rng: np.random.Generator) -> State:
        """Move on to the next round: channel and free speed by the time that the round took, and batteries.

        A device whose battery runs out in a round still finishes that round.
        """
        setup, channel, past, availability, _, rounds_over, learnt = state
        elapsed_s = outcome.latency_s
        if self.scenario.csi_delay_rounds:
            past = aged(past, channel)
        return State(
            setup,
            self._channel.step(channel, elapsed_s, rng),
            past,
            self._availability.step(availability, elapsed_s, rng),
            outcome.charge,
            rounds_over + _ONE_ROUND,
            _later(learnt, outcome.learnt),
        )


def _later(learnt: Learnt | NothingLearnt, more: Array | None) -> Learnt | NothingLearnt:
    """Return how far a surrogate of learning has come after a round."""
    return (
        learnt if isinstance(learnt, NothingLearnt) or more is None else learnt._replace(done=learnt.done + more)
    )
