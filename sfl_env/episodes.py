"""N episodes side by side: what the single and the vector environment both are, without Gymnasium's shells."""

from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.learning.protocol import Learner, Progress, Score
from sfl_env.optimum.bandwidth import split_band
from sfl_env.optimum.joint import solve_exact
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import band_demand, round_problem
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.scenario import Scenario
from sfl_env.simulation import parts
from sfl_env.simulation.arguments import sort
from sfl_env.simulation.nominal import nominal_round_latency_s
from sfl_env.simulation.parts import REPLACED as SYSTEM_PARTS
from sfl_env.simulation.probing import PROBE_SEED, probe_learner, probed_episodes
from sfl_env.simulation.simulator import Simulator, State
from sfl_env.simulation.states import from_nested, replace_rows, to_nested
from sfl_env.spaces.action import ActionEncoder, Actions
from sfl_env.spaces.observation import DeviceRows, ObservationEncoder, Rows, View
from sfl_env.spaces.parts import REPLACED as AGENT_PARTS
from sfl_env.spaces.parts import action_encoder
from sfl_env.spaces.probing import probe_action, probe_observation, probe_reward
from sfl_env.spaces.reward import Reward, WeightedReward

OPTIONS = ("action_mode", "info_optimum", *parts.TRAINING_OPTIONS)
"""Keywords besides fields and parts."""


class Transition(NamedTuple):
    """What one round of N episodes gives back, before any episode starts afresh."""

    observation: Rows  # (N, K, F)
    reward: Array  # (N,)
    terminated: NDArray[np.bool_]  # (N,)
    truncated: NDArray[np.bool_]  # (N,)
    infos: dict[str, Any]  # arrays with the environment axis first; reward_terms a dictionary of such


class Episodes:
    """N episodes of one scenario.

    Parameters
    ----------
    n : int
        Number of episodes side by side.
    scenario : Scenario, optional
        The system; the default scenario if left out.
    preset : mapping, optional
        Fields that a registered id stands for; those in ``options`` override them.
    **options
        Fields of the scenario to override; ``action_mode``, one of
        :data:`~sfl_env.spaces.parts.ACTION_MODES`; ``info_optimum``, whether infos hold the optimum of every
        round, which costs its solution; ``profile``, ``channel``, ``population``, ``availability``,
        ``observation``, ``action``, ``reward``, ``learner`` in the place of single parts, each tried once; in
        accuracy mode :data:`~sfl_env.simulation.parts.TRAINING_OPTIONS`.

    Raises
    ------
    ScenarioError
        For an unknown field or argument, a value out of range, arguments that contradict each other, a part that
        is not what its protocol says, or an optimum that is not known.
    """

    def __init__(
        self,
        n: int,
        scenario: Scenario | None = None,
        *,
        preset: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.n = n
        self.scenario, given = sort(scenario, preset, options, {**SYSTEM_PARTS, **AGENT_PARTS}, OPTIONS)
        if self.scenario.mode == "accuracy" and n != 1:
            raise ScenarioError(
                "mode='accuracy' trains one network an environment: use gym.make, or gym.make_vec with "
                "vectorization_mode='sync'."
            )
        self.learner = parts.learner(self.scenario, given)
        if "learner" in given:
            probe_learner(given["learner"])
        self.learning: Progress | None = None
        profile = given.get("profile") if self.learner is None else self.learner.profile
        own = {name: given.get(name) for name in ("channel", "population", "availability")}
        self.simulator = Simulator(self.scenario, profile=profile, **own)
        self._max_rounds = np.array(self.scenario.max_rounds)
        self.info_optimum = given.get("info_optimum", False)
        if self.info_optimum and not self.scenario.optimum_is_known:
            raise ScenarioError(
                "info_optimum is not available with synchronised_phases, schedule='sequence' or deadline_s: no "
                "solver here is optimal for them."
            )
        self._touched_by_agents(given)

    def _touched_by_agents(self, given: Mapping[str, Any]) -> None:
        """Make encoders and reward, and try those that are a user's own."""
        num_cuts = self.simulator.workload.num_cuts
        rows = DeviceRows(
            num_cuts, with_battery=self.simulator.has_batteries, with_learning=self.learner is not None
        )
        self.observation_encoder: ObservationEncoder = given.get("observation", rows)
        encoder = action_encoder(given.get("action_mode", "continuous"), num_cuts, self.optimal_shares)
        self.action_encoder: ActionEncoder = given.get("action", encoder)
        # The package's own encoders only give decisions that are possible; others' are checked.
        self._check_decisions = "action" in given
        self.reference_latency_s = self.scenario.reference_latency_s or nominal_round_latency_s(self.simulator)
        weighted = WeightedReward.of(self.scenario, self.reference_latency_s)
        self.reward: Reward = given.get("reward", weighted)
        if given.keys() & AGENT_PARTS:
            self._probe(given)

    def _probe(self, given: Mapping[str, Any]) -> None:
        """Try a user's own encoders and reward on a round of episodes that are thrown away."""
        shape = (probed_episodes(self.scenario.num_devices), self.scenario.num_devices)
        state = self.simulator.initial(np.random.default_rng(PROBE_SEED), shape[0])
        true = self.simulator.conditions(state)
        seen = self.simulator.observed_conditions(state, true)
        shallow = Decision(np.zeros(shape, np.intp), np.full(shape, 1.0 / shape[1]))
        if "observation" in given:
            view = self.simulator.view(state, seen)
            if self.learner is not None:
                view = view._replace(learning=Progress(*np.full((3, shape[0]), 0.5)))
            probe_observation(self.observation_encoder, view)
        if "action" in given:
            problem = round_problem(self.simulator.workload, self.simulator.resources, true)
            probe_action(self.action_encoder, shallow, seen, problem)
        if "reward" in given:
            carried_out, _ = self.simulator.carried_out(state, shallow)
            probe_reward(self.reward, self.simulator.outcome(state, true, carried_out))

    def optimal_shares(self, cut: NDArray[np.intp], seen: Conditions) -> Array:
        """Return the shares (N, K) that are best for the cuts under the conditions."""
        demand = band_demand(self.simulator.workload, self.simulator.resources, seen, cut)
        band_hz = np.full(cut.shape[0], self.simulator.resources.uplink_bandwidth_hz)
        return split_band(*demand, seen.uplink_snr_hz, seen.downlink_full_rate_bps, band_hz).share

    def reset(self, rng: np.random.Generator) -> Rows:
        """Start all episodes and return their observations (N, K, F)."""
        state = self.simulator.initial(rng, self.n)
        self._start_learning(rng)
        return self.begin(state)

    def _start_learning(self, rng: np.random.Generator) -> None:
        if self.learner is not None:
            self.learning = _progress(self.learner.reset(int(rng.integers(2**63))), np.zeros(1))

    def begin(self, state: State) -> Rows:
        """Put all episodes into a state, for instance a recorded one, and return their observations (N, K, F)."""
        self._enter(state)
        view = self._view()
        self._episode_rows = self.observation_encoder.per_episode(view)
        return self.observation_encoder.per_round(view, self._episode_rows)

    def restart(self, which: NDArray[np.bool_], rng: np.random.Generator) -> Rows:
        """Start some episodes afresh and return all observations (N, K, F)."""
        fresh = self.simulator.initial(rng, int(which.sum()))
        self._start_learning(rng)
        seen = self.simulator.observed_conditions(fresh, self.simulator.conditions(fresh))
        self._episode_rows[which] = self.observation_encoder.per_episode(self.simulator.view(fresh, seen))
        self._enter(replace_rows(self.state, which, fresh))
        return self._observe()

    def _enter(self, state: State) -> None:
        """Make a state the present one, with its conditions, true and observed."""
        self.state = state
        self.true = self.simulator.conditions(state)
        self.observed = self.simulator.observed_conditions(state, self.true)

    def _view(self) -> View:
        view = self.simulator.view(self.state, self.observed)
        return view if self.learning is None else view._replace(learning=self.learning)

    def _observe(self) -> Rows:
        return self.observation_encoder.per_round(self._view(), self._episode_rows)

    def step(self, action: Actions, rng: np.random.Generator) -> Transition:
        """Carry out one round of every episode.

        Parameters
        ----------
        action : (N, ...) array
            One action of the action encoder for each episode.
        rng : numpy.random.Generator
            Source of all randomness.

        Raises
        ------
        DecisionError
            If an action is misshapen, not finite or outside its space, or if a user's own encoder turns it
            into a decision that cannot be carried out.
        """
        asked = self.action_encoder.decode(action, self.observed)
        decision, limited = self.simulator.carried_out(self.state, asked)
        if self._check_decisions:
            self.true_problem().as_parallel().check(Decision(decision.cut, asked.bandwidth_share))
        outcome = self.simulator.outcome(self.state, self.true, decision)
        terms = self.reward.terms(outcome)
        infos = self._infos(decision, limited, outcome, terms)
        if self.learner is not None:
            self._learn(self.learner, decision, outcome, infos)
        self._enter(self.simulator.step(self.state, outcome, rng))
        reward = reduce(np.add, terms.values()) if terms else np.zeros(self.n)
        truncated = self.state.round >= self._max_rounds
        return Transition(self._observe(), reward, self._terminated(), truncated, infos)

    def _learn(self, learner: Learner, decision: Decision, outcome: Outcome, infos: dict[str, Any]) -> None:
        """Train for the round that has just been decided, and tell how it went."""
        assert self.learning is not None
        everyone = np.ones(decision.cut.shape, dtype=np.bool_)
        takes_part = everyone if outcome.takes_part is None else outcome.takes_part
        score = learner.run_round(decision.cut[0], takes_part[0])
        self.learning = _progress(score, self.learning.elapsed_s + outcome.latency_s)
        infos |= self.learning._asdict()

    def _terminated(self) -> NDArray[np.bool_]:
        if self.learning is not None and self.scenario.target_accuracy is not None:
            reached: NDArray[np.bool_] = self.learning.accuracy >= self.scenario.target_accuracy
            if reached.any():
                return reached
        if self.true.active is None:
            return np.zeros(self.n, dtype=np.bool_)
        return np.asarray(~self.true.active.any(axis=-1))

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes' state as plain values and, in accuracy mode, tensors, for :meth:`load_state_dict`.

        Raises
        ------
        ScenarioError
            If no episode has started.
        """
        if not hasattr(self, "state"):
            raise ScenarioError("There is no state to store before the first episode; call reset first.")
        stored: dict[str, Any] = {
            "scenario": self.scenario.to_dict(),
            "num_envs": self.n,
            "state": to_nested(self.state),
        }
        if self.learner is not None and self.learning is not None:
            stored["learner"] = self.learner.state_dict()
            stored["learning"] = to_nested(self.learning)
        return stored

    def load_state_dict(self, stored: Mapping[str, Any], rng: np.random.Generator) -> Rows:
        """Go on from a stored state and return the observations (N, K, F).

        ``rng`` is only asked for the layout of a state; what is drawn is thrown away.

        Raises
        ------
        ScenarioError
            If the state is of another scenario, of another number of environments, or of other parts.
        TrainingError
            If it is of another network.
        """
        here = self.scenario.to_dict()
        for name, value in stored["scenario"].items():
            if here.get(name) != value:
                raise ScenarioError(
                    f"The stored state is of another scenario: {name} is {value!r} there, {here.get(name)!r} here."
                )
        if stored["num_envs"] != self.n:
            raise ScenarioError(
                f"The stored state is of {stored['num_envs']} environments, and here they are {self.n}."
            )
        try:
            state = from_nested(self.simulator.initial(rng, self.n), stored["state"])
        except ValueError as error:
            raise ScenarioError(
                "The stored state does not fit the channel or the population here; make the environment with the "
                f"same parts as the stored one ({error})."
            ) from error
        if self.learner is not None:
            self.learner.load_state_dict(stored["learner"])
            self.learning = from_nested(Progress(*np.zeros((3, 1))), stored["learning"])
        return self.begin(state)

    def _infos(
        self, decision: Decision, limited: NDArray[np.bool_], outcome: Outcome, terms: Mapping[str, Array]
    ) -> dict[str, Any]:
        infos: dict[str, Any] = {
            "latency_s": outcome.latency_s,
            "device_latency_s": outcome.device_latency_s,
            "phase_latency_s": outcome.phase_latency_s.transpose(1, 2, 0),
            "cut": decision.cut,
            "cut_limited": limited,
            "bandwidth_share": decision.bandwidth_share,
            "energy_j": outcome.energy_j,
            "reward_terms": dict(terms),
        }
        if outcome.takes_part is not None:
            infos["takes_part"] = outcome.takes_part
        if self.info_optimum:
            optimal_s = solve_exact(self.true_problem()).latency_s
            infos["optimal_latency_s"] = optimal_s
            infos["regret_s"] = outcome.latency_s - optimal_s
        return infos

    def _problem(self, now: Conditions) -> RoundProblem:
        return round_problem(self.simulator.workload, self.simulator.resources, now, self.scenario.system)

    def true_problem(self) -> RoundProblem:
        """Return the present round's joint problem under the true conditions."""
        return self._problem(self.true)

    def observed_problem(self) -> RoundProblem:
        """Return the present round's joint problem under the observed conditions."""
        return self._problem(self.observed)

    def problem_of(self, observation: Rows) -> RoundProblem:
        """Return the joint problem that observations (N, K, F) tell of."""
        seen = self.observation_encoder.decode(observation)
        return self._problem(seen)


def _progress(score: Score, elapsed_s: Array) -> Progress:
    return Progress(np.array([score.accuracy]), np.array([score.loss]), elapsed_s)


class ProblemAccess:
    """What both environments show of their episodes besides Gymnasium's interface."""

    episodes: Episodes

    @property
    def scenario(self) -> Scenario:
        """The scenario that is simulated."""
        return self.episodes.scenario

    @property
    def profile(self) -> DNNProfile:
        """The network's costs at each cut."""
        return self.episodes.simulator.profile

    def observed_problem(self) -> RoundProblem:
        """Return the coming round's joint problem as far as it is observed."""
        return self.episodes.observed_problem()

    def true_problem(self) -> RoundProblem:
        """Return the coming round's joint problem under the true conditions."""
        return self.episodes.true_problem()
