"""Every scheme has the step size and momentum that were tuned for it, and only where they were."""

from typing import Any

import pytest

from sfl_env import Scenario
from sfl_env.presets import PRESETS
from sfl_lab.compare.curves.contest import SERVERS, CurveContest
from sfl_lab.compare.curves.tuned import FIELDS, setting

SKEWED: dict[str, Any] = {"partition": "dirichlet", "partition_concentration": 0.1}
SCHEMES = ("federated", "sequential", *SERVERS)


def scenario(**fields: Any) -> Scenario:
    return Scenario(**PRESETS["SFL-Accuracy-v0"].fields, **fields)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are told apart: no two schemes, and no two kinds of data, have the same."""
    fields = ("dataset", "network", "num_devices", "optimizer", "local_iterations", "batch_size")
    tuned = []
    for number, own in enumerate(({"partition": "iid"}, SKEWED)):
        alike = {name: getattr(scenario(), name) for name in fields}
        found = {
            name: {"learning_rate": 0.001 * (10 * number + each), "momentum": 0.0}
            for each, name in enumerate(SCHEMES, start=1)
        }
        tuned.append({"scenario": {**alike, **own}, "settings": found})
    monkeypatch.setattr("sfl_lab.compare.curves.tuned._table", lambda: {"tuned": tuned})


@pytest.mark.parametrize("spread", [{}, SKEWED])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_data_of_the_benchmark_has_a_setting_for_each_scheme(scheme: str, spread: dict[str, Any]) -> None:
    found = setting(scheme, scenario(**spread, learning_rate=0.77))
    assert tuple(found) == FIELDS
    assert 0.003 <= found["learning_rate"] <= 1.0
    assert found["learning_rate"] != 0.77
    assert found["momentum"] in (0.0, 0.9)


@pytest.mark.usefixtures("table")
def test_federated_and_sequential_and_servers_have_their_own_and_policies_that_of_the_scenarios_server() -> None:
    contest = CurveContest()
    steps = {name: contest.setting_of(name, scenario())["learning_rate"] for name in SCHEMES}
    assert len(set(steps.values())) == len(SCHEMES)
    for server in SERVERS:
        for name in ("alternating", "exact", "an agent"):
            assert contest.setting_of(name, scenario(server=server))["learning_rate"] == steps[server]
    # All devices in sequence is split learning, whatever decides.
    assert contest.setting_of("alternating", scenario(schedule="sequence"))["learning_rate"] == steps["sequential"]


@pytest.mark.usefixtures("table")
def test_settings_are_for_the_data_that_they_were_tuned_on() -> None:
    alike, skewed = (setting("federated", scenario(**spread)) for spread in ({}, SKEWED))
    assert alike != skewed
    for other in ({"num_devices": 3}, {"partition": "shards"}, {**SKEWED, "partition_concentration": 0.5}):
        assert setting("federated", scenario(**other)) == {"learning_rate": 0.05, "momentum": 0.9}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("given", [{"learning_rate": 0.02}, {"momentum": 0.5}])
def test_what_the_user_gives_holds_for_all_schemes(given: dict[str, float]) -> None:
    own = scenario(**given)
    wanted = {"learning_rate": own.learning_rate, "momentum": own.momentum}
    contest = CurveContest(fields=given)
    assert all(contest.setting_of(name, own) == wanted for name in (*SCHEMES, "alternating"))
