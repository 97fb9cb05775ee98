"""A user's own encoders and reward behind the protocols that they follow: what they give is looked at each time.

They are shown views in which nothing can be written, since what they see belongs to the round.
"""

from collections.abc import Mapping

import numpy as np

from sfl_env.arrays import Array
from sfl_env.checks import read_only
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision
from sfl_env.spaces.action import ActionEncoder, Actions
from sfl_env.spaces.observation import ObservationEncoder
from sfl_env.spaces.probing import check_asked, check_rows, check_terms, in_full_precision, kept_rows
from sfl_env.spaces.reward import Reward
from sfl_env.spaces.scales import Rows
from sfl_env.spaces.view import View


class WatchedRows:
    """The forward way of a user's observation encoder."""

    def __init__(self, encoder: ObservationEncoder, num_devices: int) -> None:
        self._encoder = encoder
        self._space = encoder.space(num_devices)

    def per_episode(self, view: View) -> Rows:
        """Return what stays through an episode, (N, K, F)."""
        return np.array(kept_rows(self._encoder, view, self._space))  # an encoder may use its array again

    def per_round(self, view: View, episode_rows: Rows) -> Rows:
        """Return the observations (N, K, F)."""
        observations = self._encoder.per_round(read_only(view), read_only(episode_rows))
        check_rows(observations, view.conditions.samples.shape[0], self._space)
        # A copy, since the rows that stay may come back as they are, and observations are the agent's to change.
        return np.array(observations)


class WatchedDecoder:
    """The way from actions to decisions of a user's action encoder."""

    def __init__(self, encoder: ActionEncoder, num_cuts: int) -> None:
        self._encoder = encoder
        self._num_cuts = num_cuts

    def decode(self, action: Actions, seen: Conditions) -> Decision:
        """Return the decision that actions stand for."""
        asked = self._encoder.decode(read_only(action), read_only(seen))
        check_asked("action.decode(action, seen)", asked, seen.samples.shape, self._num_cuts)
        # Of its own, since infos tell of it and an encoder may use its arrays again.
        return in_full_precision(asked)


class WatchedReward:
    """A user's reward, whose terms have the same names in every round."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._names: tuple[str, ...] | None = None

    def terms(self, outcome: Outcome) -> Mapping[str, Array]:
        """Return the terms, each (N,)."""
        terms = self._reward.terms(read_only(outcome))
        check_terms(terms, outcome.latency_s.shape[0], self._names)
        self._names = tuple(terms)
        # Copies, since a term may be an array of the outcome, and the rewards are the user's to change.
        return {name: np.array(values, dtype=np.float64) for name, values in terms.items()}
