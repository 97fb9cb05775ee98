"""A stored state is taken whole or not at all."""

import copy
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sfl_env.errors import TrainingError
from tests.sfl_env.learning.networks import K, same, small, with_dropout, with_statistics

pytestmark = pytest.mark.usefixtures("one_thread")

State = dict[str, Any]


def changed(entry: str, value: Any) -> Callable[[State], State]:
    return lambda state: {**state, entry: value}


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[State], State]:
    def with_change(state: State) -> State:
        held = dict(state["weights"])
        change(held)
        return {**state, "weights": held}

    return with_change


def put(name: str, make: Callable[[torch.Tensor], Any]) -> Callable[[State], State]:
    return weights(lambda held: held.update({name: make(held[name])}))


def partition(change: Callable[[list[torch.Tensor]], Any]) -> Callable[[State], State]:
    def with_change(state: State) -> State:
        held = [part.clone() for part in state["partition"]]
        change(held)
        return {**state, "partition": held}

    return with_change


def without(entry: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name != entry}


def infinite(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = torch.inf
    return tensor


MUTATIONS: list[tuple[str, Callable[[State], Any], str]] = [
    *[
        (f"no {e}", without(e), f"The stored state lacks '{e}'")
        for e in ("round", "weights", "partition", "draws", "computed_by")
    ],
    ("foreign entry", changed("optimizer", {}), "an entry 'optimizer' that nothing here has a use for"),
    ("no dictionary", lambda state: list(state), "state is a list"),
    ("nothing", lambda state: None, "state is a NoneType"),
    ("negative round", changed("round", -1), "round of the stored state is -1"),
    ("fractional round", changed("round", 1.5), "round of the stored state is 1.5"),
    ("true round", changed("round", True), "round of the stored state is True"),
    ("text round", changed("round", "2"), "round of the stored state is '2'"),
    ("weights list", changed("weights", [1, 2]), "weights of the stored state are a list"),
    ("weight missing", weights(lambda held: held.pop("3.bias")), "another network: weights '3.bias' are missing"),
    ("weight foreign", weights(lambda held: held.update(x=torch.zeros(1))), "another network: weights 'x'"),
    ("weight no tensor", put("3.bias", lambda t: t.tolist()), "weights '3.bias' are a list there"),
    ("weight shape", put("3.bias", lambda t: t[:-1]), r"weights '3.bias' are of shape \(2,\) there"),
    ("weight dtype", put("3.bias", lambda t: t.double()), "weights '3.bias' .*float64"),
    ("weight integers", put("3.bias", lambda t: t.long()), "weights '3.bias' .*int64"),
    ("weight infinite", put("0.weight", infinite), "weights '0.weight' .*not finite"),
    ("weight nan", put("3.bias", lambda t: t * torch.nan), "weights '3.bias' .*not finite"),
    ("statistics nan", put("1.running_var", lambda t: t * torch.nan), "weights '1.running_var' .*not finite"),
    ("weight sparse", put("0.weight", lambda t: t.to_sparse()), "weights '0.weight' .*no plain numbers"),
    ("weight meta", put("0.weight", lambda t: t.to("meta")), "weights '0.weight' .*no plain numbers"),
    ("partition tensor", changed("partition", torch.arange(9)), "partition of the stored state is a Tensor"),
    ("partition empty", changed("partition", []), "partition of the stored state is impossible"),
    ("device lists", changed("partition", [[0, 1, 2, 3]] * K), "partition .*device 0"),
    ("floats", partition(lambda held: held.__setitem__(1, held[1].float())), "partition .*device 1"),
    ("two axes", partition(lambda held: held.__setitem__(1, held[1][None])), "partition .*device 1"),
    ("held twice", partition(lambda held: held[0].__setitem__(0, held[0][1])), "partition .*held 2 times"),
    ("of two devices", partition(lambda held: held[0].__setitem__(0, held[1][0])), "partition .*held 2 times"),
    ("not there", partition(lambda held: held[3].__setitem__(0, 96)), "partition .*holds sample 96 of 'toy'"),
    ("negative sample", partition(lambda held: held[3].__setitem__(0, -1)), "partition .*sample -1"),
    ("too few", partition(lambda held: held.__setitem__(2, held[2][:3])), "partition .*mini-batch of device 2"),
    ("none", partition(lambda held: held.__setitem__(2, held[2][:0])), "partition .*no samples"),
    ("a device less", partition(lambda held: held.pop()), "partition .*3 devices; here they are 4"),
    ("a device more", partition(lambda held: held.append(held[0][:4])), "partition .*held 2 times"),
    ("draws short", lambda state: {**state, "draws": state["draws"][:-1]}, "draws of the stored state"),
    ("draws typed", lambda state: {**state, "draws": state["draws"].int()}, "draws of the stored state"),
    ("draws list", lambda state: {**state, "draws": state["draws"].tolist()}, "draws of the stored state"),
    (
        "draws garbage",
        lambda state: {**state, "draws": torch.full_like(state["draws"], 255)},
        "draws of the stored",
    ),
    ("computed by nobody", changed("computed_by", "me"), "computed_by is a str"),
    ("computed by half", changed("computed_by", {"device": "cpu"}), "computed_by lacks 'torch_version'"),
    (
        "no threads",
        changed("computed_by", {"torch_version": "2", "torch_threads": 0, "device": "cpu"}),
        "torch_threads of the stored state is 0",
    ),
]


@lru_cache(maxsize=1)
def stored_state() -> State:
    """The state after a round of another episode."""
    training = small(with_statistics)
    training.reset(1)
    training.run_round([0] * K)
    return training.state_dict()


@lru_cache(maxsize=1)
def undisturbed() -> tuple[Any, dict[str, Any]]:
    """Score and weights of the first round of a training that nobody disturbs."""
    twin = small(with_statistics)
    twin.reset(2)
    return twin.run_round([1] * K).score, twin.weights()


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize(("change", "message"), [row[1:] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_a_state_that_is_not_whole_changes_nothing(
    change: Callable[[State], Any], message: str, started: bool
) -> None:
    training = small(with_statistics)
    if started:
        training.reset(2)
    broken = change(copy.deepcopy(stored_state()))
    for take in (training.check_state_dict, training.load_state_dict):
        with pytest.raises(TrainingError, match=message):
            take(broken)
    if not started:
        with pytest.raises(TrainingError, match="has not started"):
            training.evaluate()
        return
    assert training.round == 0
    score, weights = undisturbed()
    assert training.run_round([1] * K).score == score
    assert same(training.weights(), weights)


def test_a_checked_state_is_not_adopted_and_a_loaded_one_is_the_trainings_own(tmp_path: Path) -> None:
    training, other = small(with_dropout), small(with_dropout)
    training.reset(1)
    training.run_round([0] * K)
    torch.save(training.state_dict(), tmp_path / "state.pt")
    stored = torch.load(tmp_path / "state.pt", weights_only=True)
    other.reset(2)
    other.check_state_dict(stored)
    assert other.round == 0
    other.load_state_dict(stored)
    for held in (*stored["weights"].values(), *stored["partition"], stored["draws"]):
        held.zero_()  # what the caller does with it later is none of the training's business
    assert other.round == 1
    assert training.run_round([1] * K).score == other.run_round([1] * K).score


def test_a_state_tells_what_computed_it_and_goes_on_elsewhere(two_threads: None) -> None:
    training = small()
    training.reset(0)
    by = training.state_dict()["computed_by"]
    assert by == {"torch_version": str(torch.__version__), "torch_threads": 2, "device": "cpu"}
    assert training.computed_by._asdict() == by
    torch.set_num_threads(1)
    other = small()
    other.load_state_dict(training.state_dict() | {"computed_by": {**by, "torch_version": "3.0.0"}})
    assert same(other.weights(), training.weights())
    assert other.computed_by.torch_threads == 1
