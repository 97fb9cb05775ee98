"""What an agent is told of a round besides observation and reward, with the same keys before the first round."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.latency import PHASES
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision

_NO_CUT = -1
"""The cut that infos tell of before the first round; as an index it would be the last."""


def round_infos(
    decision: Decision, limited: NDArray[np.bool_], outcome: Outcome, terms: Mapping[str, Array]
) -> dict[str, Any]:
    """Return the infos of a round, arrays with the environment axis first.

    Parameters
    ----------
    decision : Decision
        As it was carried out.
    limited : (N, K) boolean array
        Whether a cut had to give way to one that fits.
    outcome : Outcome
        What the round came to.
    terms : mapping of (N,) arrays
        Of the reward.
    """
    infos: dict[str, Any] = {
        "latency_s": outcome.latency_s,
        "device_latency_s": outcome.device_latency_s,
        "phase_latency_s": outcome.phase_latency_s.transpose(1, 2, 0),
        "cut": decision.cut,
        "cut_limited": limited,
        "bandwidth_share": decision.bandwidth_share,
        "energy_j": outcome.energy_j,
        "takes_part": np.ones_like(limited) if outcome.takes_part is None else outcome.takes_part,
        "reward_terms": dict(terms),
    }
    return infos


def optimum_infos(latency_s: Array, optimal_s: Array) -> dict[str, Any]:
    """Return what infos say of a round beside its optimum."""
    return {"optimal_latency_s": optimal_s, "regret_s": latency_s - optimal_s}


def no_round_infos(shape: tuple[int, int], term_names: Iterable[str], *, with_optimum: bool) -> dict[str, Any]:
    """Return the infos of episodes that have had no round yet: the keys of a round's, NaN for every number.

    Parameters
    ----------
    shape : (N, K)
        Environments and devices.
    term_names : iterable of str
        Of the reward's terms.
    with_optimum : bool
        Whether the keys on the optimum are there.

    Examples
    --------
    >>> infos = no_round_infos((1, 2), ["latency"], with_optimum=False)
    >>> infos["latency_s"], infos["cut"], infos["reward_terms"]
    (array([nan]), array([[-1, -1]]), {'latency': array([nan])})
    """
    n, _ = shape
    unknown = np.full((len(PHASES), *shape), np.nan)
    outcome = Outcome(
        phase_latency_s=unknown,
        device_latency_s=np.full(shape, np.nan),
        latency_s=np.full(n, np.nan),
        energy_j=np.full(shape, np.nan),
        charge=np.ones(shape),
        takes_part=np.zeros(shape, np.bool_),
        samples=np.full(shape, np.nan),
    )
    nothing = Decision(np.full(shape, _NO_CUT, np.intp), np.full(shape, np.nan))
    infos = round_infos(
        nothing, np.zeros(shape, np.bool_), outcome, {name: np.full(n, np.nan) for name in term_names}
    )
    return infos | optimum_infos(outcome.latency_s, np.full(n, np.nan)) if with_optimum else infos
