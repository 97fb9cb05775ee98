"""What is learned depends on the seed, and not on what other threads do at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env import Scenario
from sfl_env.learning import SplitFederatedTraining
from sfl_env.learning.scenario import ScenarioLearner
from tests.sfl_env.learning.networks import plain, same, small, with_dropout, with_noise

pytestmark = pytest.mark.usefixtures("one_thread")

THREADS = 4
CUTS = [0, 1, 0, 1]


def at_the_same_time(tasks: list[Callable[[], dict[str, Tensor]]]) -> list[dict[str, Tensor]]:
    """Start all tasks at once, each in a thread of its own."""
    together = Barrier(len(tasks))

    def run(task: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        together.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def fresh_weights(training: SplitFederatedTraining, seed: int) -> dict[str, Tensor]:
    training.reset(seed)
    return training.weights()


def trained_weights(training: SplitFederatedTraining, seed: int) -> dict[str, Tensor]:
    training.reset(seed)
    for _ in range(2):
        training.run_round(CUTS)
    return training.weights()


def test_initial_weights_are_the_seeds_in_every_thread() -> None:
    trainings = [small() for _ in range(THREADS)]
    expected = [fresh_weights(trainings[0], seed) for seed in range(THREADS)]
    before = torch.get_rng_state()
    for _ in range(60):
        found = at_the_same_time(
            [lambda t=training, s=seed: fresh_weights(t, s) for seed, training in enumerate(trainings)]  # type: ignore[misc]  # mypy infers no lambda with defaults
        )
        assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("network", [plain, with_dropout, with_noise])
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_rounds_in_several_threads_draw_what_each_would_alone(
    network: Callable[[], nn.Module], executor: str
) -> None:
    trainings = [small(network, executor=executor) for _ in range(THREADS)]
    expected = [trained_weights(trainings[0], seed) for seed in range(THREADS)]
    for _ in range(8):
        found = at_the_same_time(
            [lambda t=training, s=seed: trained_weights(t, s) for seed, training in enumerate(trainings)]  # type: ignore[misc]  # mypy infers no lambda with defaults
        )
        assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_making_learners_elsewhere_disturbs_no_round() -> None:
    training = small(with_dropout)
    expected = trained_weights(training, 0)
    done = Event()

    def make_learners() -> None:
        while not done.is_set():
            ScenarioLearner(Scenario(mode="accuracy", num_devices=2), network=digits_network, torch_device="cpu")

    thread = Thread(target=make_learners)
    thread.start()
    try:
        for _ in range(20):
            assert same(trained_weights(training, 0), expected)
    finally:
        done.set()
        thread.join()


def digits_network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def test_scores_of_a_network_that_draws_in_evaluation_are_its_weights_alone() -> None:
    training = small(with_noise)
    training.reset(0)
    before = torch.get_rng_state()
    score = training.evaluate()
    torch.rand(3)
    assert training.evaluate() == score
    result = training.run_round(CUTS)
    assert training.evaluate() == result.score
    assert not torch.equal(torch.get_rng_state(), before)  # by the three numbers above alone
    torch.set_rng_state(before)
    training.evaluate()
    assert torch.equal(torch.get_rng_state(), before)


def test_small_networks_learn_the_same_on_one_and_on_two_threads() -> None:
    losses = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        learner = ScenarioLearner(Scenario(mode="accuracy", num_devices=4), torch_device="cpu")
        learner.reset(0)
        scores = [learner.run_round(np.array([0, 1, 2, 3]), np.ones(4, dtype=bool)) for _ in range(2)]
        losses.append([score.loss for score in scores])
    assert losses[0] == losses[1]
