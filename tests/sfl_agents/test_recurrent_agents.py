"""Agents with a memory keep it from round to round wherever they are evaluated."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_agents
from sfl_agents.training.evaluation import evaluate
from sfl_baselines.environments import make_batch
from sfl_baselines.rollouts import play
from sfl_env.errors import TrainingError
from sfl_lab import cli
from tests.sfl_agents import tiny

pytest.importorskip("sb3_contrib")
pytestmark = pytest.mark.usefixtures("one_thread")

RECURRENT = tiny.SETTINGS.replace(policy="MlpLstmPolicy", policy_kwargs={"net_arch": [8], "lstm_hidden_size": 8})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.finished(tiny.job("recurrent-ppo", RECURRENT), tmp_path_factory.mktemp("recurrent") / "run")


def test_rollouts_carry_the_memory_from_round_to_round(finished: Path) -> None:
    batch = make_batch("SFL-v0", 3, tiny.FIELDS)
    agent = sfl_agents.load(finished, batch)
    observation = batch.episodes.reset(np.random.default_rng(7))
    rng = np.random.default_rng(7)
    observation = batch.episodes.reset(rng)
    state, start, cuts = None, np.ones(3, dtype=bool), []
    for _ in range(4):
        action, state = agent.predict(observation, state=state, episode_start=start, deterministic=True)
        done = batch.episodes.step(action, rng)
        observation, start = done.observation, np.zeros(3, dtype=bool)
        cuts.append(done.infos["latency_s"])
    played = [found.done.infos["latency_s"] for found in islice(play(agent, batch.episodes, 7), 4)]
    np.testing.assert_array_equal(cuts, played)


def test_the_memory_matters(finished: Path) -> None:
    """Else nothing would show whether rollouts carry it."""
    batch = make_batch("SFL-v0", 3, tiny.FIELDS)
    agent = sfl_agents.load(finished, batch)

    class Forgetful:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
        ) -> tuple[Any, Any]:
            action, _ = agent.predict(observation, deterministic=deterministic)
            return action, None

    assert evaluate(agent, batch, 0) != evaluate(Forgetful(), batch, 0)


@pytest.mark.parametrize("command", [["evaluate"], ["benchmark", "--policies", "exact", "--agents"]])
def test_a_recurrent_agent_competes(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    fields = ["--fields", *(f"{name}={value}" for name, value in tiny.FIELDS.items())]
    assert cli.main([*command, str(finished), "--episodes", "2", "--out", str(tmp_path / "out"), *fields]) == 0
    assert "RecurrentPPO of sb3-contrib" in " ".join(capsys.readouterr().out.split())


def test_the_policy_of_a_recurrent_agent_has_a_memory() -> None:
    for policy in ("DevicePolicy", "MlpPolicy"):
        with pytest.raises(TrainingError, match=r"recurrent-ppo does not take policy: .*, but MlpLstmPolicy"):
            tiny.job("recurrent-ppo", tiny.SETTINGS.replace(policy=policy))
    with pytest.raises(TrainingError, match="ppo does not take policy: MlpLstmPolicy"):
        tiny.job("ppo", RECURRENT)
