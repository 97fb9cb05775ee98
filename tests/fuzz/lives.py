"""Actions of every shape and kind, and environments used in every order."""

import contextlib
import copy
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from sfl_env.errors import SFLError
from tests.fuzz.cases import Kind, require
from tests.fuzz.numbers import require_finite, require_finite_infos

MODES = ("continuous", "residual", "cut", "discrete")
SYSTEMS: tuple[dict[str, Any], ...] = (
    {},
    {"battery_share": 0.005},
    {"csi_delay_rounds": 2},
    {"barriers": "adaptsfl"},
    {"schedule": "sequence"},
    {"deadline_s": 5.0},
    {"info_optimum": True},
    {"num_devices": 1, "max_rounds": 1},
    {"mobility": "random-waypoint", "availability_levels": (0.1, 1.0), "battery_share": 1e-12},
    {"mode": "accuracy", "model": "digits-cnn", "batch_size": 8, "local_iterations": 1},
)
OPERATIONS = (
    "reset",
    "reset",
    "step",
    "step",
    "step",
    "act wrongly",
    "pickle",
    "copy",
    "store",
    "load",
    "load wrongly",
    "observed_problem",
    "true_problem",
    "render",
    "close",
    "close twice",
    "reset oddly",
    "reset some",
)
ODD_RESETS: tuple[dict[str, Any], ...] = (
    {"seed": [3, 4]},
    {"seed": [3, None]},
    {"seed": [None]},
    {"seed": []},
    {"options": {}},
    {"options": {"reset_mask": np.zeros(2, dtype=np.bool_)}},
    {"options": {"reset_mask": np.ones((2, 2), dtype=np.bool_)}},
    {"options": {"reset_mask": [True, False]}},
    {"options": {"reset_mask": None}},
    {"options": {"mask": np.ones(2, dtype=np.bool_)}},
    {"options": 3},
    {"seed": 2**200},
    {"seed": -1},
    {"seed": 1.5},
    {"seed": "3"},
    {"seed": np.int64(3)},
    {"seed": True},
)
TRIES = 6
"""Of what is wrong in one operation."""

DTYPES = ("i1", "u1", "i2", "i8", "u8", "f2", "f4", "f8", "g", "c16", "?", "U4", "S4", "O", "M8[s]", "m8[s]", "V2")
FILLS = (0, 1, -1, 0.5, -128, 127, 255, 1e30, 1e300, 5e-324, float("nan"), float("inf"), -float("inf"), -0.0)
STRANGE = (
    "none",
    "text",
    "ragged",
    "dict",
    "set",
    "scalar",
    "empty",
    "tensor",
    "masked",
    "object",
    "shorter",
    "deeper",
)


@dataclass(frozen=True)
class Drawn:
    """An environment and what is done with it."""

    num_envs: int  # 0: a single environment
    autoreset: str
    fields: dict[str, Any]
    operations: tuple[str, ...]
    seed: int


def draw(rng: np.random.Generator) -> Drawn:
    """Draw an environment and a life."""
    system = SYSTEMS[int(rng.integers(len(SYSTEMS)))]
    num_envs = 0 if "mode" in system else int(rng.integers(0, 3))
    autoreset = str(rng.choice(["NextStep", "SameStep", "Disabled"]))
    fields = {"num_devices": 3, "max_rounds": 3, "action_mode": str(rng.choice(MODES)), **system}
    operations = tuple(str(name) for name in rng.choice(OPERATIONS, rng.integers(3, 10)))
    if rng.random() < 0.5:
        operations = ("reset", "step", "store", *operations, "load wrongly")
    return Drawn(num_envs, autoreset, fields, operations, int(rng.integers(2**31)))


def check(drawn: Drawn, folder: Path) -> None:
    """Live; whatever is refused leaves an environment that still works."""
    rng = np.random.default_rng(drawn.seed)
    made: Any
    if drawn.num_envs:
        made = gym.make_vec("SFL-v0", num_envs=drawn.num_envs, autoreset_mode=drawn.autoreset, **drawn.fields)
    else:
        made = gym.make("SFL-v0", **drawn.fields)
    life = _Life(made.unwrapped, rng)
    for operation in drawn.operations:
        with told_in_one_line():
            life.do(operation)
    life.env.reset(seed=1)
    life.do("step")


@contextlib.contextmanager
def told_in_one_line() -> Iterator[None]:
    """Let errors of the package pass whose messages are one plain line."""
    try:
        yield
    except SFLError as error:
        require(str(error) and str(error).isprintable(), f"the message is {str(error)!r}")


class _Life:
    def __init__(self, env: Any, rng: np.random.Generator) -> None:
        self.env, self.rng = env, rng
        self.stored: dict[str, Any] | None = None
        env.action_space.seed(int(rng.integers(2**31)))

    def do(self, operation: str) -> None:
        """Carry out one operation."""
        if operation == "reset":
            observation, _ = self.env.reset(seed=[None, 0, 7][int(self.rng.integers(3))])
            require_finite("observation", observation)
        elif operation == "step":
            self.act(self.env.action_space.sample())
        elif operation == "act wrongly":
            self.act(strange_action(self.env.action_space, self.rng))
        elif operation == "pickle":
            self.env = pickle.loads(pickle.dumps(self.env))
        elif operation == "copy":
            self.env = copy.deepcopy(self.env)
        elif operation == "store":
            self.stored = copy.deepcopy(self.env.state_dict())
        elif operation == "load" and self.stored is not None:
            require_finite("observation", self.env.load_state_dict(copy.deepcopy(self.stored)))
        elif operation == "load wrongly" and self.stored is not None:
            for _ in range(TRIES):
                with told_in_one_line():
                    self.load_wrongly(self.stored)
        elif operation in ("observed_problem", "true_problem", "close"):
            getattr(self.env, operation)()
        elif operation == "close twice":
            self.env.close()
            self.env.close()
        elif operation == "reset oddly":
            for number in self.rng.integers(len(ODD_RESETS), size=TRIES):
                # Gymnasium has its own word on seeds.
                with told_in_one_line(), contextlib.suppress(gym.error.Error):
                    self.env.reset(**ODD_RESETS[int(number)])
        elif operation == "reset some" and hasattr(self.env, "num_envs"):
            mask = self.rng.integers(2, size=self.env.num_envs).astype(np.bool_)
            self.env.reset(options={"reset_mask": mask})
        elif operation == "render" and not hasattr(self.env, "num_envs"):  # batches draw no pictures
            self.env.render()

    def act(self, action: Any) -> None:
        """Step; what comes back is finite."""
        observation, reward, _, _, infos = self.env.step(action)
        require_finite("observation", observation)
        require_finite("reward", reward)
        require_finite_infos(infos)

    def load_wrongly(self, stored: dict[str, Any]) -> None:
        """Load a damaged state, which is taken whole or changes nothing."""
        damaged = damage(copy.deepcopy(stored), self.rng)
        try:
            before: Any = _plain(self.env.state_dict())
        except SFLError:
            before = None
        try:
            self.env.load_state_dict(damaged)
        except SFLError:
            if before is not None:
                require(_plain(self.env.state_dict()) == before, "a refused state has changed the environment")
            raise


def strange_action(space: Any, rng: np.random.Generator) -> Any:
    """Return something that is hardly an action."""
    shape = tuple(space.shape)
    if rng.random() < 0.6:
        dtype = str(rng.choice(DTYPES))
        fill = FILLS[int(rng.integers(len(FILLS)))]
        with np.errstate(all="ignore"):
            try:
                return np.full(shape, fill).astype(dtype)
            except (TypeError, ValueError, OverflowError):
                return np.zeros(shape, dtype=dtype)
    return _strange(str(rng.choice(STRANGE)), space.sample(), shape)


def _strange(kind: str, action: Any, shape: tuple[int, ...]) -> Any:
    if kind == "tensor":
        import torch

        return torch.zeros(shape, requires_grad=True)
    found: dict[str, Any] = {
        "none": None,
        "text": "up",
        "ragged": [[0.0], [0.0, 1.0]],
        "dict": {"cut": 1},
        "set": {1, 2},
        "scalar": 0,
        "empty": np.zeros(0),
        "masked": np.ma.masked_array(action, mask=True),
        "object": np.full(shape, None),
        "shorter": action[..., :-1],
        "deeper": action[None],
    }
    return found[kind]


def damage(stored: Any, rng: np.random.Generator) -> Any:
    """Change one place of a nested state, at random."""
    wrong: tuple[Any, ...] = (None, "x", -1, float("nan"), [], {}, 10**30, [[0.0]], True, -1e300)
    if isinstance(stored, dict) and stored and rng.random() < 0.9:
        key = list(stored)[int(rng.integers(len(stored)))]
        if rng.random() < 0.15:
            del stored[key]
        elif rng.random() < 0.1:
            stored["foreign"] = 3
        else:
            stored[key] = damage(stored[key], rng)
        return stored
    if isinstance(stored, list) and stored and rng.random() < 0.7:
        place = int(rng.integers(len(stored)))
        stored[place] = damage(stored[place], rng)
        return stored
    return wrong[int(rng.integers(len(wrong)))]


def _plain(state: Any) -> str:
    return repr(state)


LIVES = Kind("lives", 350, draw, check)
