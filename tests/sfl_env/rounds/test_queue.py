"""A server that takes jobs in turn: first come, first served."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sfl_env.env import SFLEnv
from sfl_env.rounds.latency import SERVER_COMPUTE
from sfl_env.rounds.queue import queued_s

SECONDS = st.floats(0.0, 100.0)
TIMES = arrays(np.float64, (2, 6), elements=SECONDS)


def served(ready_s: np.ndarray, job_s: np.ndarray) -> np.ndarray:
    """Each job's seconds from arrival to end, by a server that is looked at job by job."""
    taken, free_at = np.zeros(len(ready_s)), 0.0
    for device in sorted(range(len(ready_s)), key=lambda k: ready_s[k]):
        if job_s[device] > 0.0:
            free_at = max(free_at, ready_s[device]) + job_s[device]
            taken[device] = free_at - ready_s[device]
    return taken


@given(ready_s=TIMES, job_s=TIMES)
def test_jobs_wait_for_those_that_came_before(ready_s: np.ndarray, job_s: np.ndarray) -> None:
    expected = [served(ready, job) for ready, job in zip(ready_s, job_s, strict=True)]
    np.testing.assert_allclose(queued_s(ready_s, job_s), expected, atol=1e-9)


@given(ready_s=TIMES, job_s=TIMES)
def test_the_server_does_all_work_and_idles_only_while_nobody_waits(
    ready_s: np.ndarray, job_s: np.ndarray
) -> None:
    taken = queued_s(ready_s, job_s)
    assert (taken >= job_s - 1e-9).all()
    last = np.where(job_s > 0.0, ready_s + taken, 0.0).max(axis=1)
    assert (last >= job_s.sum(axis=1) - 1e-9).all()
    first = np.where(job_s > 0.0, ready_s, np.inf).min(axis=1)
    worked = job_s.sum(axis=1)
    assert (last <= np.where(worked > 0.0, ready_s.max(axis=1) + worked, 0.0) + 1e-9).all()
    assert (last[worked > 0.0] >= first[worked > 0.0]).all()


ACCURACY: dict[str, Any] = {"mode": "accuracy", "num_devices": 4, "server_flops_per_s": 1e8, "torch_device": "cpu"}


def test_splitfed_v2_queues_for_its_server_and_the_others_share_it() -> None:
    infos = {}
    for server in ("splitfed-v1", "splitfed-v2"):
        env = SFLEnv(server=server, **ACCURACY)
        env.reset(seed=0)
        action = np.zeros((4, 2), np.float32)
        action[0, 0] = 1.0  # the whole network on the device
        infos[server] = env.step(action)[4]
    shared, queued = infos["splitfed-v1"]["phase_latency_s"], infos["splitfed-v2"]["phase_latency_s"]
    others = [phase for phase in range(7) if phase != SERVER_COMPUTE]
    np.testing.assert_array_equal(shared[:, others], queued[:, others])
    ready_s = queued[:, :SERVER_COMPUTE].sum(axis=1)
    np.testing.assert_allclose(
        queued[:, SERVER_COMPUTE], served(ready_s, shared[:, SERVER_COMPUTE] / 4), rtol=1e-9
    )
    assert queued[0, SERVER_COMPUTE] == 0.0
    assert infos["splitfed-v2"]["latency_s"] == pytest.approx(queued.sum(axis=1).max())


def test_no_optimum_is_claimed_of_a_queue() -> None:
    env = SFLEnv(server="splitfed-v2", **ACCURACY)
    env.reset(seed=0)
    assert env.scenario.system == env.true_problem().system == "queued"
    assert SFLEnv(server="splitfed-v2").scenario.system == "parallel", "in latency mode nothing is trained"
