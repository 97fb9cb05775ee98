"""N episodes side by side: what the single and the vector environment both are, without Gymnasium's shells."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.checks import require_entries, require_mapping
from sfl_env.episodes.making import make
from sfl_env.episodes.seeing import progress_of, see
from sfl_env.episodes.values import Now, Place, Transition
from sfl_env.errors import DecisionError, StateError
from sfl_env.learning.protocol import Progress
from sfl_env.learning.surrogate import Learnt
from sfl_env.optimum.joint import solve_exact
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import State
from sfl_env.simulation.states import replace_rows, to_nested
from sfl_env.simulation.stored import (
    require_same_scenario,
    restored_progress,
    restored_state,
)
from sfl_env.simulation.watched import returning
from sfl_env.spaces.action import Actions
from sfl_env.spaces.infos import no_round_infos, optimum_infos, round_infos
from sfl_env.spaces.probing import check_possible
from sfl_env.spaces.scales import Rows
from sfl_env.spaces.view import View, progress_steps
from sfl_env.spaces.watched import WatchedDecoder, WatchedReward, WatchedRows


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
        made = make(n, scenario, preset, options)
        self.n = n
        self.scenario = made.scenario
        self.learner = made.learner
        self.simulator = made.simulator
        self.info_optimum = made.info_optimum
        self.observation_encoder = made.observation_encoder
        self.action_encoder = made.action_encoder
        self.reference_latency_s = made.reference_latency_s
        self.reward = made.reward
        # As they are asked: the package's own parts only give what is possible, and a user's are looked at.
        encoder, decoder, reward, own = made.observation_encoder, made.action_encoder, made.reward, made.own
        num_devices, num_cuts = made.scenario.num_devices, made.simulator.workload.num_cuts
        self._rows = WatchedRows(encoder, num_devices) if "observation" in own else encoder
        self._decoder = WatchedDecoder(decoder, num_cuts) if "action" in own else decoder
        self._reward = WatchedReward(reward) if "reward" in own else reward
        self._learner = returning(made.learner, is_own="learner" in own)
        self._own_action = "action" in own
        self._max_rounds = np.array(self.scenario.max_rounds)
        self._progress = progress_steps(self.scenario.max_rounds)
        # Else all parts are the package's own, and nothing of a round can fail.
        self.can_fail = bool(own) or made.learner is not None
        self._now: Now | None = None
        self._term_names: tuple[str, ...] | None = None

    @property
    def now(self) -> Now:
        """Where the episodes stand.

        Raises
        ------
        StateError
            If none has started.
        """
        if self._now is None:
            raise StateError("No episode has started yet; call reset first.")
        return self._now

    def place(self) -> Place:
        """Return where the episodes stand, for :meth:`go_back`."""
        learned = None if self._learner is None or self._now is None else self._learner.mark()
        return Place(self._now, learned)

    def go_back(self, place: Place) -> None:
        """Stand again where the episodes stood."""
        self._now = place.now
        if self._learner is not None and place.learned is not None:
            self._learner.go_back(place.learned)

    def reset(self, rng: np.random.Generator) -> Rows:
        """Start all episodes and return their observations (N, K, F)."""
        state = self.simulator.initial(rng, self.n)
        self._now, observations = self._started(state, self._start_learning(rng))
        return observations

    def begin(self, state: State) -> Rows:
        """Put all episodes into a state, for instance a recorded one, and return their observations (N, K, F).

        In accuracy mode the learning goes on from where it is.
        """
        self._now, observations = self._started(state, None if self._now is None else self._now.learning)
        return observations

    def restart(self, which: NDArray[np.bool_], rng: np.random.Generator) -> Rows:
        """Start some episodes afresh and return all observations (N, K, F)."""
        now = self.now
        fresh = self.simulator.initial(rng, int(which.sum()))
        learning = self._start_learning(rng)
        _, _, view = self._seen(fresh, learning)
        rows = replace_rows(now.episode_rows, which, self._rows.per_episode(view))
        state = replace_rows(now.state, which, fresh)
        true, observed, view = self._seen(state, learning)
        observations = self._rows.per_round(view, rows)
        self._now = Now(state, true, observed, rows, learning)
        return observations

    def _start_learning(self, rng: np.random.Generator) -> Progress | None:
        if self._learner is None:
            return None
        return progress_of(self._learner.reset(int(rng.integers(2**63))), np.zeros(1))

    def _seen(self, state: State, learning: Progress | None) -> tuple[Conditions, Conditions, View]:
        return see(self.simulator, self._progress, state, learning)

    def _started(self, state: State, learning: Progress | None) -> tuple[Now, Rows]:
        """Return where episodes stand in a state that no round of theirs has led to, and their observations."""
        true, observed, view = self._seen(state, learning)
        rows = self._rows.per_episode(view)
        return Now(state, true, observed, rows, learning), self._rows.per_round(view, rows)

    def start_infos(self, n: int) -> dict[str, Any]:
        """Return what infos of n episodes hold before a round: its keys, NaN for numbers that it would give."""
        return no_round_infos(
            (n, self.scenario.num_devices),
            self._names_of_terms(),
            with_optimum=self.info_optimum,
        )

    def learning_infos(self) -> dict[str, Any]:
        """Return what infos hold of the learning so far, before a round as well as after it."""
        learning, learnt = self.now.learning, self.now.state.learnt
        infos = {} if learning is None else {name: values.copy() for name, values in learning._asdict().items()}
        return infos | {"learnt": learnt.done.copy()} if isinstance(learnt, Learnt) else infos

    def _names_of_terms(self) -> tuple[str, ...]:
        """Return the names of the reward's terms, as a round of the shallowest cuts at equal shares shows them."""
        if self._term_names is None:
            now = self.now
            shape = now.true.samples.shape
            shallow = Decision(np.zeros(shape, np.intp), np.full(shape, 1.0 / shape[1]))
            decision, _ = self.simulator.carried_out(now.state, shallow)
            self._term_names = tuple(self._reward.terms(self.simulator.outcome(now.state, now.true, decision)))
        return self._term_names

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
        StateError
            If no episode has started, or a user's own learner is ahead of it.
        """
        now = self._now or self.now
        state, true, learning = now.state, now.true, now.learning
        asked = self._decoder.decode(action, now.observed)
        decision, limited = self.simulator.carried_out(state, asked)
        if self._own_action:
            check_possible("action.decode(action, seen)", asked, decision.cut, self.true_problem())
        outcome = self.simulator.outcome(state, true, decision)
        terms = self._reward.terms(outcome)
        infos = round_infos(decision, limited, outcome, terms)
        if self.info_optimum:
            infos |= optimum_infos(outcome.latency_s, solve_exact(self.true_problem()).latency_s)
        state = self.simulator.step(state, outcome, rng)
        if self._learner is not None and learning is not None:
            everyone = np.ones(decision.cut.shape, dtype=np.bool_)
            takes_part = everyone if outcome.takes_part is None else outcome.takes_part
            score = self._learner.run_round(decision.cut[0], takes_part[0])
            learning = progress_of(score, learning.elapsed_s + outcome.latency_s)
        true, observed, view = self._seen(state, learning)
        observation = self._rows.per_round(view, now.episode_rows)
        self._now = Now(state, true, observed, now.episode_rows, learning)
        infos |= self.learning_infos()
        reward = reduce(np.add, terms.values()) if terms else np.zeros(self.n)
        over = state.round >= self._max_rounds
        if self.scenario.max_rounds == 1:  # nothing is cut off where nothing was to come
            return Transition(observation, reward, over, np.zeros_like(over), infos)
        return Transition(observation, reward, self._terminated(state, learning), over, infos)

    def _terminated(self, state: State, learning: Progress | None) -> NDArray[np.bool_]:
        """(N,): whether the goal is reached. Empty batteries end nothing: who has left is paid for to the last."""
        if isinstance(state.learnt, Learnt):
            return np.asarray(state.learnt.done >= state.learnt.needed)
        if learning is None or self.scenario.target_accuracy is None:
            return np.zeros(self.n, dtype=np.bool_)
        return learning.accuracy >= self.scenario.target_accuracy

    @property
    def reached(self) -> NDArray[np.bool_]:
        """(N,): whether each episode's goal is reached; one of a single round ends without, too."""
        return self._terminated(self.now.state, self.now.learning)

    def weights(self) -> Any:
        """Return the weights of the network that is trained.

        Raises
        ------
        StateError
            Outside of accuracy mode, if no episode has started, or if a user's own learner gives none.
        """
        if self.learner is None:
            raise StateError("There are no weights: networks are trained with mode='accuracy' alone.")
        if not hasattr(self.learner, "weights"):
            raise StateError(
                f"There are no weights to ask for: the learner is a {type(self.learner).__name__}, which has no "
                "method weights()."
            )
        _ = self.now  # an episode has to have started
        return self.learner.weights()

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes' state as plain values and, in accuracy mode, tensors, for :meth:`load_state_dict`.

        Raises
        ------
        StateError
            If no episode has started.
        """
        now = self.now
        stored: dict[str, Any] = {
            "scenario": self.scenario.to_dict(),
            "num_envs": self.n,
            "state": to_nested(now.state),
        }
        if self._learner is not None and now.learning is not None:
            stored["learner"] = self._learner.state_dict()
            stored["learning"] = to_nested(now.learning)
        return stored

    def load_state_dict(self, stored: Mapping[str, Any]) -> Rows:
        """Go on from a stored state and return the observations (N, K, F).

        All of it or nothing: whatever is raised, the episodes stay where they were.

        Raises
        ------
        StateError
            If the state is of another scenario, of another number of environments or of other parts, or if an
            entry is missing, foreign or impossible; it names the entry.
        TrainingError
            If the network's part of it is.
        """
        learner = self._learner
        names = ("scenario", "num_envs", "state", *(() if learner is None else ("learner", "learning")))
        if "scenario" in require_mapping(stored, "episodes"):  # which explains why entries are missing
            require_same_scenario(stored["scenario"], self.scenario.to_dict())
        stored = require_entries(stored, names, "episodes")
        if type(stored["num_envs"]) is not int or stored["num_envs"] != self.n:
            raise StateError(
                f"The stored state is of {stored['num_envs']!r} environments, and here they are {self.n}."
            )
        state = restored_state(self.simulator, self.n, stored["state"])
        learning = None if learner is None else restored_progress(stored["learning"])
        now, observations = self._started(state, learning)
        # Last, since all that could still fail comes before it.
        if learner is not None:
            learner.load_state_dict(stored["learner"])
        self._now = now
        return observations

    def problem_under(self, now: Conditions) -> RoundProblem:
        """Return the joint problem under given conditions."""
        return round_problem(self.simulator.workload, self.simulator.resources, now, self.scenario.system)

    def true_problem(self) -> RoundProblem:
        """Return the present round's joint problem under the true conditions."""
        return self.problem_under(self.now.true)

    def observed_problem(self) -> RoundProblem:
        """Return the present round's joint problem under the observed conditions."""
        return self.problem_under(self.now.observed)

    def conditions_of(self, observation: Rows) -> Conditions:
        """Return the conditions that observations (N, K, F) tell of.

        Raises
        ------
        DecisionError
            If they are no observations of these environments.
        """
        seen = self.observation_encoder.decode(observation)
        if seen.samples.shape[1] != self.scenario.num_devices:
            raise DecisionError(
                f"The observation is of {seen.samples.shape[1]} devices, and here they are "
                f"{self.scenario.num_devices}."
            )
        return seen

    def problem_of(self, observation: Rows) -> RoundProblem:
        """Return the joint problem that observations (N, K, F) tell of.

        Raises
        ------
        DecisionError
            If they are no observations of these environments.
        """
        return self.problem_under(self.conditions_of(observation))
