"""Accuracy mode in processes of every kind, after torch has used its threads in the parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

LIMIT_S = 120.0
"""A script that waits for ever is killed after so long; each takes some ten seconds."""

USE_THREADS = """
import multiprocessing, os, threading, torch
def use_threads():
    torch.set_num_threads(2)
    weights = torch.randn(400, 400, requires_grad=True)
    (weights @ weights).relu().sum().backward()
    torch.randn(1_000_000).sum()
"""

VECTOR = """
import contextlib, gymnasium as gym, numpy as np, sys, sfl_env
def told(envs, actions):
    with contextlib.closing(envs):
        envs.reset(seed=0)
        return [envs.step(action)[4]["loss"].tolist() for action in actions]
if __name__ == "__main__":
    use_threads()
    settings = dict(num_envs=2, num_devices=3, local_iterations=1)
    single = gym.make("SFL-Accuracy-v0", num_devices=3)
    single.reset(seed=0)
    single.step(single.action_space.sample())
    here = gym.make_vec("SFL-Accuracy-v0", vectorization_mode="sync", **settings)
    actions = [here.action_space.sample() for _ in range(2)]
    expected = told(here, actions)
    for context in sys.argv[1:]:
        envs = gym.make_vec(
            "SFL-Accuracy-v0", vectorization_mode="async", vector_kwargs={"context": context}, **settings
        )
        print(context, np.allclose(told(envs, actions), expected, rtol=1e-5))
"""

FORKED = """
import gymnasium as gym, sfl_env
def step(env):
    env.step(env.action_space.sample())
def train_on(env, queue):
    step(env)
    by = env.unwrapped.state_dict()["episodes"]["learner"]["computed_by"]
    queue.put((by["torch_threads"], torch.get_num_threads()))
use_threads()
env = gym.make("SFL-Accuracy-v0", num_devices=3)
env.reset(seed=0)
step(env)
other = gym.make("SFL-Accuracy-v0", num_devices=3)
other.reset(seed=0)
done = threading.Event()
def train_on_and_on():
    while not done.is_set():
        step(other)
def fork():
    use_threads()
    fork = multiprocessing.get_context("fork")
    for _ in range(4):
        queue = fork.Queue()
        child = fork.Process(target=train_on, args=(env, queue))
        child.start()
        print(*queue.get())
        child.join()
training, forking = threading.Thread(target=train_on_and_on), threading.Thread(target=fork)
training.start()
forking.start()
forking.join()
done.set()
training.join()
print(torch.get_num_threads())
"""

LATE = """
def train():
    import gymnasium as gym, sfl_env
    env = gym.make("SFL-Accuracy-v0", num_devices=3)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    print(torch.get_num_threads(), flush=True)
use_threads()
child = multiprocessing.get_context("fork").Process(target=train)
child.start()
child.join()
print(torch.get_num_threads())
"""


def printed(script: str, folder: Path, *arguments: str) -> str:
    """Return what a script prints; it and its children are killed if they wait for ever."""
    file = folder / "script.py"
    file.write_text(USE_THREADS + script)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(file), *arguments],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail(f"the script has waited for {LIMIT_S:.0f} s")
    assert process.returncode == 0, err
    return out


def test_forked_vector_environments_train_as_those_of_one_process_do(tmp_path: Path) -> None:
    assert printed(VECTOR, tmp_path, "fork") == "fork True\n"


@pytest.mark.slow
def test_vector_environments_in_fresh_processes_train_alike(tmp_path: Path) -> None:
    assert printed(VECTOR, tmp_path, "spawn", "forkserver") == "spawn True\nforkserver True\n"


def test_a_process_forked_by_a_thread_while_another_trains_trains_on_one_thread_and_says_so(
    tmp_path: Path,
) -> None:
    assert printed(FORKED, tmp_path) == "1 1\n" * 4 + "2\n"


def test_a_forked_process_that_is_the_first_to_import_the_package_trains(tmp_path: Path) -> None:
    assert printed(LATE, tmp_path) == "1\n2\n"
