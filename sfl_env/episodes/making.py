"""How episodes are made of what a user says: fields, options and own parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import as_declared
from sfl_env.episodes.seeing import see
from sfl_env.errors import ScenarioError
from sfl_env.learning.protocol import Learner, Progress
from sfl_env.optimum.bandwidth import split_band
from sfl_env.optimum.seen import band_under
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import band_demand, round_problem
from sfl_env.rounds.problem import Decision
from sfl_env.scenario import Scenario
from sfl_env.simulation import parts
from sfl_env.simulation.arguments import sort
from sfl_env.simulation.probing import PROBE_SEED, probe_learner, probed_episodes
from sfl_env.simulation.simulator import Simulator
from sfl_env.spaces.action import ActionEncoder
from sfl_env.spaces.observation import DeviceRows, ObservationEncoder
from sfl_env.spaces.parts import REPLACED as AGENT_PARTS
from sfl_env.spaces.parts import action_encoder, observation_encoder
from sfl_env.spaces.phase_seconds import PhaseSeconds
from sfl_env.spaces.probing import probe_action, probe_observation, probe_reward
from sfl_env.spaces.reward import Reward, WeightedReward
from sfl_env.spaces.sensible import SensibleDecisions
from sfl_env.spaces.view import progress_steps

OPTIONS = ("action_mode", "observation_mode", "info_optimum", *parts.TRAINING_OPTIONS)
"""Keywords besides fields and parts."""

_ASKED = {*parts.REPLACED, *AGENT_PARTS} - {"profile", "network", "data"}
"""Parts that are asked in every round; the others are values, or asked by the learner."""


@dataclass(frozen=True)
class Made:
    """Everything about episodes that stays the same from one to the next."""

    scenario: Scenario
    learner: Learner | None  # in accuracy mode
    simulator: Simulator
    info_optimum: bool
    observation_encoder: ObservationEncoder
    action_encoder: ActionEncoder
    own: frozenset[str]  # keywords of the parts that are a user's and asked in every round
    reference_latency_s: float
    reward: Reward


@dataclass(frozen=True)
class _OptimalShares:
    """The shares that are best for given cuts, for actions that are cuts alone."""

    simulator: Simulator

    def __call__(self, cut: NDArray[np.intp], seen: Conditions) -> Array:
        """Return the shares (N, K) that are best for the cuts under the conditions."""
        demand = band_demand(self.simulator.workload, self.simulator.resources, seen, cut)
        band = band_under(self.simulator.resources, seen)
        return split_band(*demand, band).share


def make(n: int, scenario: Scenario | None, preset: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Made:
    """Make the parts of N episodes; those that are a user's own are tried once.

    Raises
    ------
    ScenarioError
        As :class:`~sfl_env.episodes.Episodes` says.
    """
    preset, options = _with_modes(preset, options)
    scenario, given = sort(scenario, preset, options, {**parts.replaced(options), **AGENT_PARTS}, OPTIONS)
    if scenario.mode == "accuracy" and n != 1:
        raise ScenarioError(
            "mode='accuracy' trains one network an environment: use gym.make, or gym.make_vec with "
            "vectorization_mode='sync'."
        )
    learner = parts.learner(scenario, given)
    if "learner" in given:
        probe_learner(given["learner"])
    profile = given.get("profile") if learner is None else learner.profile
    own = {name: given.get(name) for name in parts.SIMULATED}
    simulator = Simulator(scenario, profile=profile, **own)
    info_optimum = as_declared("info_optimum", given.get("info_optimum", False), bool)
    if info_optimum and not scenario.optimum_is_known:
        raise ScenarioError(
            "info_optimum is not available with barriers, schedule='sequence', deadline_s or the queue of "
            "server='splitfed-v2': the optimum that infos tell of is that of devices "
            "which all work at once and are waited for. For barriers, sfl_baselines.staged has solvers and a "
            "bound."
        )
    made = _with_what_agents_touch(scenario, learner, simulator, info_optimum, given)
    if given.keys() & AGENT_PARTS:
        _probe(made, given)
    return made


def _with_modes(
    preset: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return a preset's fields alone, and its modes among the options where the user has said nothing of them."""
    if not isinstance(preset, Mapping):
        return preset, options
    modes = {part: f"{part}_mode" for part in ("observation", "action")}
    told = {
        mode: preset[mode]
        for part, mode in modes.items()
        if mode in preset and options.get(part) is None and options.get(mode) is None
    }
    fields = {name: value for name, value in preset.items() if name not in modes.values()}
    return fields, {**options, **told}


def _with_what_agents_touch(
    scenario: Scenario,
    learner: Learner | None,
    simulator: Simulator,
    info_optimum: bool,
    given: Mapping[str, Any],
) -> Made:
    num_cuts = simulator.workload.num_cuts
    rows = DeviceRows(
        num_cuts,
        with_battery=simulator.has_batteries,
        with_learning=learner is not None,
        with_large_scale=scenario.csi_delay_rounds > 0,
        with_surrogate=simulator.surrogate is not None,
    )
    sensible = SensibleDecisions(simulator.workload, simulator.resources)
    mode = given.get("action_mode", "continuous")
    encoder = action_encoder(mode, num_cuts, _OptimalShares(simulator), sensible)
    reference_latency_s = scenario.reference_latency_s or simulator.nominal_round_s
    mode = given.get("observation_mode", "devices")
    phases = None if scenario.barriers == "none" else PhaseSeconds(simulator.workload, simulator.resources)
    observed = observation_encoder(mode, rows, sensible, reference_latency_s, scenario.max_rounds, phases)
    return Made(
        scenario=scenario,
        learner=learner,
        simulator=simulator,
        info_optimum=info_optimum,
        observation_encoder=given.get("observation", observed),
        action_encoder=given.get("action", encoder),
        own=frozenset(given.keys() & _ASKED),
        reference_latency_s=reference_latency_s,
        reward=given.get("reward", WeightedReward.of(scenario, reference_latency_s)),
    )


def _probe(made: Made, given: Mapping[str, Any]) -> None:
    """Try a user's own encoders and reward on a round of episodes that are thrown away."""
    simulator = made.simulator
    shape = (probed_episodes(made.scenario.num_devices), made.scenario.num_devices)
    state = simulator.initial(np.random.default_rng(PROBE_SEED), shape[0])
    learning = None if made.learner is None else Progress(*np.full((3, shape[0]), 0.5))
    true, seen, view = see(simulator, progress_steps(made.scenario.max_rounds), state, learning)
    shallow = Decision(np.zeros(shape, np.intp), np.full(shape, 1.0 / shape[1]))
    if "observation" in given:
        probe_observation(made.observation_encoder, view)
    if "action" in given:
        problem = round_problem(simulator.workload, simulator.resources, true)
        probe_action(made.action_encoder, shallow, seen, problem)
    if "reward" in given:
        carried_out, _ = simulator.carried_out(state, shallow)
        probe_reward(made.reward, simulator.outcome(state, true, carried_out))
