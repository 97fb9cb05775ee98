"""All that a Stable-Baselines3 algorithm has learnt, as plain numbers and named arrays, and back.

How an algorithm is built is not part of it: that follows from the settings, which the same code reads that built
it first.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.save_util import recursive_getattr
from torch import Tensor, nn
from torch.optim import Optimizer

from sfl_env.checks import shown
from sfl_env.errors import PolicyError

Arrays = Mapping[str, NDArray[Any]]

_COUNTERS = {"num_timesteps": "steps", "_n_updates": "updates", "_episode_num": "episodes"}
"""Attributes of an algorithm that its training goes on from, and their names in files."""

_BUFFERED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
"""Arrays of a replay buffer."""

_MOST_COUNTED = 2**53
_MOST_RECENT_EPISODES = 100_000


def counters(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the counters, and return and length of the last episodes, which are logged."""
    counted: dict[str, Any] = {name: int(getattr(model, attribute)) for attribute, name in _COUNTERS.items()}
    recent = model.ep_info_buffer or ()
    return counted | {"recent_episodes": [[float(episode[key]) for key in "rlt"] for episode in recent]}


def restore_counters(model: BaseAlgorithm, values: Any) -> None:
    """Set what :func:`counters` gave.

    Raises
    ------
    PolicyError
        If one is missing or no count.
    """
    if not isinstance(values, dict) or set(values) != {*_COUNTERS.values(), "recent_episodes"}:
        raise PolicyError(f"its counters are {shown(values)}")
    for name in _COUNTERS.values():
        if type(values[name]) is not int or not 0 <= values[name] <= _MOST_COUNTED:
            raise PolicyError(f"its counter {name} is {shown(values[name])}")
    recent = values["recent_episodes"]
    if not isinstance(recent, list) or len(recent) > _MOST_RECENT_EPISODES or not all(map(_is_episode, recent)):
        raise PolicyError(f"its recent_episodes are {shown(recent)}")
    for attribute, name in _COUNTERS.items():
        setattr(model, attribute, values[name])
    window = model._stats_window_size
    model.ep_info_buffer = deque((dict(zip("rlt", episode, strict=True)) for episode in recent), window)
    model.ep_success_buffer = deque(maxlen=window)  # this package's episodes do not succeed or fail


def _is_episode(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(number) is float for number in value)


def parameters(model: BaseAlgorithm) -> dict[str, NDArray[Any]]:
    """Return weights, optimisers' moments and other learnt numbers, each under a name of its own."""
    arrays: dict[str, NDArray[Any]] = {}
    for owner, part in _parts(model).items():
        for name, tensor in _tensors(part).items():
            arrays[f"{owner}/{name}"] = tensor.detach().cpu().numpy()
    return arrays


def restore_parameters(model: BaseAlgorithm, arrays: Arrays) -> None:
    """Set what :func:`parameters` gave, all of it or nothing.

    Raises
    ------
    PolicyError
        If an array is missing, unknown, of another shape or type, or not finite.
    """
    parts = _parts(model)
    of_owner: dict[str, dict[str, Tensor]] = {owner: {} for owner in parts}
    for name, array in arrays.items():
        owner, _, own_name = name.partition("/")
        if owner not in parts:
            raise PolicyError(f"its part {shown(name)} belongs to no network of this agent")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PolicyError(f"its part {shown(name)} has numbers that are not finite")
        of_owner[owner][own_name] = torch.from_numpy(array)
    for owner, part in parts.items():
        _check_part(owner, part, of_owner[owner])
    for owner, part in parts.items():
        _restore_part(part, of_owner[owner])


def _parts(model: BaseAlgorithm) -> dict[str, nn.Module | Optimizer | Tensor]:
    """Return networks, optimisers and single variables, under the names that Stable-Baselines3 has for them."""
    names, variables = model._get_torch_save_params()
    return {name: recursive_getattr(model, name) for name in [*names, *variables]}


def _tensors(part: nn.Module | Optimizer | Tensor) -> dict[str, Tensor]:
    if isinstance(part, Tensor):
        return {"value": part}
    if isinstance(part, Optimizer):
        # Its groups hold what the settings say, and a rate that is set anew before every step.
        moments = part.state_dict()["state"].items()
        return {f"{i}/{name}": torch.as_tensor(value) for i, entry in moments for name, value in entry.items()}
    tensors: dict[str, Tensor] = part.state_dict()
    return tensors


def _check_part(owner: str, part: nn.Module | Optimizer | Tensor, found: Mapping[str, Tensor]) -> None:
    expected = _moments(part, found) if isinstance(part, Optimizer) else _tensors(part)
    if expected.keys() != found.keys():
        name = min(expected.keys() ^ found.keys())
        state = "missing" if name in expected else "unknown"
        raise PolicyError(f"its part {shown(f'{owner}/{name}')} is {state}")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape or tensor.dtype != found[name].dtype:
            raise PolicyError(
                f"its part {shown(f'{owner}/{name}')} has shape {tuple(found[name].shape)} and type "
                f"{found[name].dtype} instead of {tuple(tensor.shape)} and {tensor.dtype}"
            )


def _moments(optimiser: Optimizer, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the shape of an optimiser's moments, for the weights that there are some of."""
    group = optimiser.param_groups[0]
    kept = _MOMENTS[type(optimiser).__name__]
    if group.get("amsgrad"):
        kept = (*kept, "max_exp_avg_sq")
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    met = {name.partition("/")[0] for name in found}
    return {
        f"{i}/{moment}": torch.zeros(()) if moment == "step" else weight
        for i, weight in enumerate(weights)
        if str(i) in met
        for moment in kept
    }


_MOMENTS = {"Adam": ("step", "exp_avg", "exp_avg_sq"), "RMSprop": ("step", "square_avg")}
"""What an optimiser keeps of every weight; ``step`` is one number, the others are shaped like the weight."""


def _restore_part(part: nn.Module | Optimizer | Tensor, found: dict[str, Tensor]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(found)
    elif isinstance(part, Optimizer):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in found.items():
            index, _, moment = name.partition("/")
            state.setdefault(int(index), {})[moment] = tensor
        part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
    else:
        part.data = found["value"]


def transitions(buffer: ReplayBuffer) -> dict[str, NDArray[Any]]:
    """Return what a replay buffer has taken in, oldest place first, and the place that comes next."""
    filled = buffer.size()
    arrays = {name: getattr(buffer, name)[:filled] for name in _BUFFERED}
    return arrays | {"next_place": np.array(buffer.pos), "is_full": np.array(buffer.full)}


def restore_transitions(buffer: ReplayBuffer, arrays: Arrays) -> None:
    """Fill a replay buffer with what :func:`transitions` gave, wholly or not at all.

    Raises
    ------
    PolicyError
        If an array is missing, unknown, or of another shape or type.
    """
    if set(arrays) != {*_BUFFERED, "next_place", "is_full"}:
        raise PolicyError(f"its parts are {', '.join(sorted(arrays))} instead of a replay buffer's")
    places, full = arrays["next_place"], arrays["is_full"]
    if places.shape != () or places.dtype.kind != "i" or full.shape != () or full.dtype.kind != "b":
        raise PolicyError("its next_place or is_full is no single number")
    place, filled = int(places), buffer.buffer_size if full else int(places)
    if not 0 <= place < buffer.buffer_size:
        raise PolicyError(f"its next_place is {place} of {buffer.buffer_size}")
    for name in _BUFFERED:
        own = getattr(buffer, name)
        if arrays[name].shape != (filled, *own.shape[1:]) or arrays[name].dtype != own.dtype:
            raise PolicyError(
                f"its {name} have shape {arrays[name].shape} and type {arrays[name].dtype} instead of "
                f"{(filled, *own.shape[1:])} and {own.dtype}"
            )
        if not np.isfinite(arrays[name]).all():
            raise PolicyError(f"its {name} are not all finite")
    for name in _BUFFERED:
        getattr(buffer, name)[:filled] = arrays[name]
    buffer.pos, buffer.full = place, bool(full)
