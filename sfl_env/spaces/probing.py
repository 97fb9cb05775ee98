"""A user's own encoders and reward: tried once before the first episode, and looked at in every round."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env.checks import Range, called, read_only, require_array, require_instance, require_methods, shown
from sfl_env.errors import DecisionError, ScenarioError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.spaces.scales import Rows
from sfl_env.spaces.view import View

_POSITIVE_CONDITIONS = (
    "uplink_snr_hz",
    "forward_flops_per_s",
    "backward_flops_per_s",
    "samples",
)
"""Fields of conditions that lengths of rounds are divided by, or multiplied with."""


def probe_observation(encoder: Any, view: View) -> None:
    """Raise unless a user's observation encoder turns a view into rows of its space.

    Raises
    ------
    ScenarioError
        Naming method, shape or range.
    """
    methods = ["space", "per_episode", "per_round"]  # the way back is for solvers alone, and they say so
    require_methods("observation", encoder, methods, "sfl_env.spaces.ObservationEncoder")
    n, num_devices = view.conditions.samples.shape
    space = called(f"observation.space({num_devices})", encoder.space, num_devices)
    require_instance(f"observation.space({num_devices})", space, spaces.Box, "a gymnasium.spaces.Box")
    kept = called("observation.per_episode(view)", kept_rows, encoder, view, space)
    rows = called("observation.per_round(view, rows)", encoder.per_round, read_only(view), read_only(kept))
    check_rows(rows, n, space)
    told = _way_back("observation.decode(rows)", encoder, "decode", rows)
    if told is not None:
        _check_conditions(told, n, num_devices)


def kept_rows(encoder: Any, view: View, space: spaces.Box) -> Rows:
    """Return what a user's observation encoder keeps through an episode, in the shape of its observations.

    Raises
    ------
    ScenarioError
        Naming shape or type.
    """
    rows: Rows = encoder.per_episode(read_only(view))
    require_array("observation.per_episode(view)", rows, (view.conditions.samples.shape[0], *space.shape))
    return rows


def check_rows(rows: Any, n: int, space: spaces.Box) -> None:
    """Raise unless a user's observation encoder has given N observations of its space.

    Raises
    ------
    ScenarioError
        Naming shape, type or range.
    """
    require_array("observation.per_round(view, rows)", rows, (n, *space.shape))
    inside = rows.dtype == space.dtype and bool(((rows >= space.low) & (rows <= space.high)).all())
    if not inside:
        raise ScenarioError(
            f"observation.per_round(view, rows) of type {rows.dtype}, {rows.min()} to {rows.max()}, is not in "
            f"observation.space(num_devices), {space}."
        )


def _way_back(where: str, encoder: Any, name: str, *values: Any) -> Any | None:
    """Return what a method gives that solvers alone need; ``None`` where an encoder does without."""
    method = getattr(encoder, name, None)
    if method is None:
        return None
    try:
        return called(where, method, *values)
    except ScenarioError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return None
        raise


def _check_conditions(told: Any, n: int, num_devices: int) -> None:
    where, shape = "observation.decode(rows)", (n, num_devices)
    wanted = "Conditions of sfl_env.rounds, or to raise NotImplementedError where the features do not tell them"
    require_instance(where, told, Conditions, wanted)
    for name in _POSITIVE_CONDITIONS:
        require_array(f"{where}.{name}", getattr(told, name), shape, Range(0.0, low_open=True))
    require_array(f"{where}.downlink_full_rate_bps", told.downlink_full_rate_bps, shape)
    require_array(f"{where}.deepest_cut", told.deepest_cut, shape, Range(0, whole=True))


def probe_action(encoder: Any, decision: Decision, seen: Conditions, problem: RoundProblem) -> None:
    """Raise unless a user's action encoder takes decisions into its space and actions out of it.

    Parameters
    ----------
    encoder : ActionEncoder
        The user's.
    decision : Decision
        One that can be carried out.
    seen : Conditions
        The observed conditions.
    problem : RoundProblem
        Which decisions can be carried out.

    Raises
    ------
    ScenarioError, DecisionError
        Naming method, shape or range.
    """
    require_methods("action", encoder, ["space", "decode"], "sfl_env.spaces.ActionEncoder")
    n, num_devices = decision.cut.shape
    space = copy.deepcopy(called(f"action.space({num_devices})", encoder.space, num_devices))
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    require_instance(f"action.space({num_devices})", space, kinds, "a Box, Discrete, MultiDiscrete or MultiBinary")
    actions = _way_back("action.encode(decision, seen)", encoder, "encode", decision, read_only(seen))
    if actions is not None:
        _check_encoded(actions, n, space)
        _check_decoded("action.decode(action.encode(decision, seen), seen)", encoder, actions, seen, problem)
    space.seed(0)
    sampled = np.stack([space.sample() for _ in range(n)])
    _check_decoded("action.decode(an action of its space, seen)", encoder, sampled, seen, problem)


def _check_encoded(actions: Any, n: int, space: Any) -> None:
    require_array("action.encode(decision, seen)", actions, (n, *space.shape))
    for action in actions:
        if not space.contains(action):
            raise ScenarioError(f"action.encode(decision, seen) is {shown(action)}, which is not in {space}.")


def _check_decoded(where: str, encoder: Any, actions: Any, seen: Conditions, problem: RoundProblem) -> None:
    decision = called(where, encoder.decode, read_only(actions), read_only(seen))
    check_asked(where, decision, seen.samples.shape, problem.fixed_s.shape[-1])
    asked = in_full_precision(decision)
    check_possible(where, asked, np.minimum(asked.cut, seen.deepest_cut), problem)


def check_possible(where: str, asked: Decision, cut: NDArray[np.intp], problem: RoundProblem) -> None:
    """Raise unless the decision of a user's action encoder can be carried out, with cuts that fit the memories.

    Raises
    ------
    DecisionError
        Naming the encoder's method and what is wrong.
    """
    try:
        problem.as_parallel().check(asked._replace(cut=cut))
    except DecisionError as error:
        raise DecisionError(f"{where} cannot be carried out: {error}") from error


def any_actions(encoder: Any, space: spaces.Space[Any], seen: Conditions) -> NDArray[Any]:
    """Return N actions that can be carried out: shallowest cuts, or any where an encoder knows no way back.

    Raises
    ------
    ScenarioError
        If the encoder fails.
    """
    n, num_devices = seen.samples.shape
    shallow = Decision(np.zeros((n, num_devices), np.intp), np.full((n, num_devices), 1.0 / num_devices))
    actions: NDArray[Any] | None = _way_back("action.encode(decision, seen)", encoder, "encode", shallow, seen)
    if actions is not None:
        return actions
    drawn_from = copy.deepcopy(space)  # a user's space keeps its own generator
    drawn_from.seed(0)
    return np.stack([drawn_from.sample()] * n)


def check_asked(where: str, decision: Any, shape: tuple[int, ...], num_cuts: int) -> None:
    """Raise unless a user's action encoder has given a decision (N, K) of cuts that are there.

    Raises
    ------
    ScenarioError
        Naming entry, shape or range.
    """
    require_instance(where, decision, Decision, "an sfl_env.Decision")
    require_array(f"{where}.cut", decision.cut, shape, Range(0, num_cuts - 1, whole=True))
    require_array(f"{where}.bandwidth_share", decision.bandwidth_share, shape)


def in_full_precision(decision: Decision) -> Decision:
    """Return a user's decision in the types that rounds are computed in, as arrays of its own.

    Shares of one band that were rounded to half or single precision may sum to a little more than the band by
    that alone; then they are divided by their sum. Cuts in unsigned numbers have no whole type in common with
    signed ones.

    Examples
    --------
    >>> share = np.full((1, 3), 1 / 3, dtype=np.float32)
    >>> f"{share.sum(dtype=np.float64):.9f}"
    '1.000000030'
    >>> f"{in_full_precision(Decision(np.zeros((1, 3), np.uint8), share)).bandwidth_share.sum():.9f}"
    '1.000000000'
    """
    told = decision.bandwidth_share
    share = np.array(told, dtype=np.float64)
    if told.dtype.kind == "f" and told.dtype.itemsize < share.dtype.itemsize:
        total = share.sum(axis=-1, keepdims=True)
        # Of each share, and of the sum that they were divided by in that precision.
        roundings = 1.0 + math.log2(told.shape[-1])
        by_rounding = (total > 1.0) & (total <= 1.0 + roundings * float(np.finfo(told.dtype).eps))
        share /= np.where(by_rounding, total, 1.0)
    return Decision(np.array(decision.cut, dtype=np.intp), share)


def probe_reward(reward: Any, outcome: Outcome) -> None:
    """Raise unless a user's reward turns an outcome into named numbers.

    Raises
    ------
    ScenarioError
        Naming term, shape or range.
    """
    require_methods("reward", reward, ["terms"], "sfl_env.spaces.reward.Reward")
    terms = called("reward.terms(outcome)", reward.terms, read_only(outcome))
    check_terms(terms, outcome.latency_s.shape[0])


def check_terms(terms: Any, n: int, names: tuple[str, ...] | None = None) -> None:
    """Raise unless a user's reward has given named numbers for N environments, by the names that it gave before.

    Raises
    ------
    ScenarioError
        Naming term, shape or range.
    """
    wanted = "a mapping from names to arrays, one number for each environment"
    require_instance("reward.terms(outcome)", terms, Mapping, wanted)
    for name, values in terms.items():
        if not isinstance(name, str):
            raise ScenarioError(f"reward.terms(outcome) has the name {name!r}; names have to be strings.")
        if name.startswith("_"):
            raise ScenarioError(
                f"reward.terms(outcome) has the name {name!r}; infos of batches have a mask of that kind of name "
                "beside each entry, so a term's has to begin with something else than _."
            )
        require_array(f"reward.terms(outcome)[{name!r}]", values, (n,), Range(), "one number for each environment")
    with np.errstate(over="ignore"):
        if not np.isfinite(sum(values.astype(np.float64) for values in terms.values())).all():
            raise ScenarioError(
                "The terms of reward.terms(outcome) have no finite sum, and the reward is their sum."
            )
    if names is not None and set(terms) != set(names):
        raise ScenarioError(
            f"reward.terms(outcome) has the names {shown(list(terms))}, and had {shown(list(names))} before; "
            "every round has to have the same."
        )
