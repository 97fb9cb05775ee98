"""The last round of an environment as a picture's values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sfl_env.devices.population import Population
from sfl_env.episodes import Episodes
from sfl_env.render.picture import RoundPicture, schedule
from sfl_env.rounds.latency import PHASES
from sfl_env.rounds.stages import STAGES


def picture_of(episodes: Episodes, info: Mapping[str, Any] | None) -> RoundPicture:
    """Return the picture of the first environment's last round.

    Parameters
    ----------
    episodes : Episodes
        After the round.
    info : mapping, optional
        The round's info, as ``step`` returns it; None where no round of the episode has been carried out here.

    Raises
    ------
    StateError
        If no episode has started.
    """
    if info is None:
        return _no_round(episodes)
    simulator = episodes.simulator
    start_s, duration_s = schedule(info["phase_latency_s"], STAGES[episodes.scenario.barriers])
    return RoundPicture(
        heading=f"Round {int(episodes.now.state.round[0])}",
        latency_s=float(info["latency_s"]),
        start_s=start_s,
        duration_s=duration_s,
        cut=info["cut"],
        bandwidth_share=info["bandwidth_share"],
        cut_names=simulator.profile.cut_names,
        device_names=_device_names(episodes),
        optimal_latency_s=info.get("optimal_latency_s"),
    )


def _no_round(episodes: Episodes) -> RoundPicture:
    """Return the empty picture of an episode whose last round is not known: none has been, or it was elsewhere."""
    num_devices, over = episodes.scenario.num_devices, int(episodes.now.state.round[0])
    nothing = np.zeros((num_devices, len(PHASES)))
    return RoundPicture(
        heading=f"After round {over}" if over else "Before the first round",
        latency_s=0.0,
        start_s=nothing,
        duration_s=nothing,
        cut=np.zeros(num_devices, dtype=np.intp),
        bandwidth_share=np.zeros(num_devices),
        cut_names=episodes.simulator.profile.cut_names,
        device_names=_device_names(episodes),
        note=(
            f"Round {over} was played before the state was stored: step() carries out the next."
            if over
            else "No round yet: step() carries out the first."
        ),
    )


def _device_names(episodes: Episodes) -> tuple[str, ...]:
    # Only our own sampler is known to name its types.
    population = episodes.simulator.population
    types = population.types if isinstance(population, Population) else ()
    kinds = episodes.now.state.setup.devices.type_index[0].tolist()
    return tuple(types[kind] if types else "" for kind in kinds)
