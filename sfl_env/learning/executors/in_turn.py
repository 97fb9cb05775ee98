"""SplitFed V2 without splitting: the server's one model goes from one device's mini-batch to the next."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.gradients import GradientMethod
from sfl_env.learning.executors.replicas import Batches
from sfl_env.learning.executors.stepping import Stepper
from sfl_env.learning.plan import LocalTraining, RoundPlan, reject_non_finite_losses
from sfl_env.learning.weights import Names, Weights, copies


class _Replica(NamedTuple):
    """The network as one device's mini-batches go through it; tensors have a first axis of length 1."""

    parameters: Weights  # its own up to the cut, the server's beyond
    buffers: Weights  # likewise
    own: frozenset[str]  # names of the parameters on the device
    step: Stepper  # of the device's side


def train_in_turn(
    weights: Weights,
    plan: RoundPlan,
    data: TensorData,
    names: Names,
    local: LocalTraining,
    compute: GradientMethod,
) -> Iterator[tuple[RoundPlan, Weights, Tensor]]:
    """Train all devices of a plan with one server-side model that takes a step for each mini-batch.

    In each iteration the devices come in the order of the plan's turns. The mini-batch of device k goes through
    its own blocks and the server's, as those before it left them. Then its own blocks step by its own optimiser,
    and the server's blocks l > c_k by the server's. Running statistics of the server's blocks are one set, too:
    each mini-batch updates them in its turn.

    Parameters
    ----------
    weights : dict of tensors
        The global weights; they are left as they are.
    plan : RoundPlan
        Who trains on what.
    data : TensorData
        The data.
    names : Names
        The network's tensors and their blocks.
    local : LocalTraining
        With the optimiser.
    compute : GradientMethod
        Computes one replica's gradients.

    Yields
    ------
    RoundPlan, dict of (1, ...) tensors, (E, 1) tensor
        For each device: its part of the plan, its tensors at the end (the server's one copy of a block for all who
        left it there), and its losses.
    """
    one, step_server = _server(weights, plan, names, local)
    replicas = [_replica(weights, cut, one, names, local) for cut in plan.cut.tolist()]
    batches = Batches(data, plan, next(weights[name].dtype for name in names.trained))
    losses = batches.sample_weight.new_empty(plan.iterations, len(replicas))
    for iteration in range(plan.iterations):
        batch = batches.at(iteration)
        for k in plan.order(iteration):
            replica, here = replicas[k], slice(k, k + 1)
            losses[iteration, here], gradients = compute(replica.parameters, replica.buffers, batch.part(here))
            replica.step({name: gradients.pop(name) for name in replica.own})
            step_server(gradients)
    reject_non_finite_losses(losses, plan)
    for k, replica in enumerate(replicas):
        yield plan.only([k]), {**replica.parameters, **replica.buffers}, losses[:, k : k + 1]


def _server(weights: Weights, plan: RoundPlan, names: Names, local: LocalTraining) -> tuple[Weights, Stepper]:
    shallowest = int(plan.cut.min())
    one = copies(weights, tuple(name for name in weights if names.block[name] > shallowest), 1, {})
    return one, Stepper({name: one[name] for name in names.trained if name in one}, local)


def _replica(weights: Weights, cut: int, one: Weights, names: Names, local: LocalTraining) -> _Replica:
    own = copies(weights, tuple(name for name in weights if names.block[name] <= cut), 1, {})
    held = {name: own[name] if name in own else one[name] for name in weights}
    trained = {name: own[name] for name in names.trained if name in own}
    return _Replica(
        parameters={name: held[name] for name in names.trained},
        buffers={name: held[name] for name in names.kept},
        own=frozenset(trained),
        step=Stepper(trained, local),
    )
