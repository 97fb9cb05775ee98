"""Where the graph of a network can be cut: places that exactly one tensor crosses."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.node import Argument

from sfl_env.dnn.meta import BATCHES, foreign_code, sample_input, to_meta
from sfl_env.errors import ProfileError


def graph_blocks(module: nn.Module, input_shape: tuple[int, ...]) -> list[tuple[str, nn.Module]]:
    """Cut a network at every place of its graph that exactly one floating-point tensor crosses.

    Parameters
    ----------
    module : nn.Module
        The network. The blocks hold its own submodules and parameters, not copies.
    input_shape : tuple of int
        Shape of one sample, without the batch.

    Returns
    -------
    list of (str, nn.Module)
        The blocks in order, each with the name of the step that it ends with.

    Raises
    ------
    ProfileError
        If torch.fx cannot follow the network, or the network does not take such an input.
    """
    root, graph = _traced(module)
    values = _values(root, graph, input_shape)
    _free_from_sizes(graph, values)
    return _cut(root, graph, values[0])


class _OneInput(nn.Module):
    """Calls a network with one input, so that its optional arguments keep their defaults."""

    PREFIX = "network."

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)

    @property
    def kind(self) -> str:
        """The network's class, for messages."""
        return type(self.network).__name__


class _Tracer(fx.Tracer):
    """Follows buffers too, so that none is frozen at the value it has while tracing."""

    proxy_buffer_attributes = True


@contextmanager
def _mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation mode for a while."""
    before = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, was_training in before:
            part.training = was_training


def _traced(module: nn.Module) -> tuple[_OneInput, fx.Graph]:
    """Return the network's graph, the same in training and in evaluation, and the module that it refers to."""
    graphs = []
    for training in (True, False):
        root = _OneInput(module)
        with _mode(module, training=training):
            mend = (
                " Its legal cuts cannot be found: write it without control flow that depends on the data, or pass "
                "an nn.Sequential of its blocks."
            )
            with foreign_code(f"torch.fx cannot follow the forward of {root.kind}", mend):
                graph = _Tracer().trace(root)
        graph.eliminate_dead_code(_has_effect)
        graphs.append(graph)
    train, evaluation = (str(graph.python_code("self").src) for graph in graphs)
    if train != evaluation:
        raise ProfileError(
            f"The forward of {root.kind} does something else in training than in evaluation outside of its "
            "submodules. Use modules such as nn.Dropout instead of functions with self.training."
        )
    return root, graph


def _has_effect(node: fx.Node) -> bool:
    """Return whether a step matters even if nobody reads its result: it works in place, say."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = name == "setitem" or (name.endswith("_") and not name.endswith("__"))
    return node.op in ("placeholder", "output", "call_module") or (node.op != "get_attr" and in_place)


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the value of each of its nodes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.values[n.name] = super().run_node(n)
        return self.values[n.name]


def _values(
    root: _OneInput, graph: fx.Graph, input_shape: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the value of each node, by its name, for both batch sizes; tensors are on the meta device."""
    recorder = _Recorder(to_meta(fx.GraphModule(root, copy.deepcopy(graph))))
    found = []
    for batch in BATCHES:
        recorder.values = {}
        shape = f"(batch, {', '.join(map(str, input_shape))})"
        with foreign_code(f"{root.kind} does not take an input of shape {shape}"):
            recorder.run(sample_input(input_shape, batch))
        found.append(recorder.values)
    return found[0], found[1]


def _free_from_sizes(graph: fx.Graph, values: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Replace sizes that a network reads off one tensor and uses far below, as they are no tensors.

    A size that does not depend on the batch becomes a constant; the batch size is read anew off a tensor that
    the using step has at hand.
    """
    for node in list(graph.nodes):
        sizes = [each[node.name] for each in values]
        if any(type(size) is not int for size in sizes):
            continue
        for user in list(node.users):
            if sizes[0] == sizes[1]:
                _replace(user, node, sizes[0])
            elif tuple(sizes) == BATCHES:
                at_hand = [
                    given
                    for given in user.all_input_nodes
                    if all(
                        isinstance(each[given.name], Tensor) and each[given.name].shape[:1] == (batch,)
                        for each, batch in zip(values, BATCHES, strict=True)
                    )
                ]
                if at_hand:
                    with graph.inserting_before(user):
                        size = graph.call_method("size", (at_hand[0], 0))
                    for each, batch in zip(values, BATCHES, strict=True):
                        each[size.name] = batch
                    _replace(user, node, size)
    graph.eliminate_dead_code(_has_effect)


def _replace(user: fx.Node, old: fx.Node, new: Argument) -> None:
    def substitute(node: fx.Node) -> Argument:
        return new if node is old else node

    user.args = fx.map_arg(user.args, substitute)
    user.kwargs = fx.map_arg(user.kwargs, substitute)


def _steps(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes that depend on the input, the input first and the output last.

    The others (parameters, constants and what is computed from them alone) cross no cut: either side can
    compute them.
    """
    dependent: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op in ("placeholder", "output") or dependent.intersection(node.all_input_nodes):
            dependent.add(node)
    return [node for node in graph.nodes if node in dependent]


def _crossings(steps: list[fx.Node]) -> Iterator[list[fx.Node]]:
    """For the place after each step, yield the values made up to it that are used after it."""
    position = {node: index for index, node in enumerate(steps)}
    last_use = {node: max((position[user] for user in node.users), default=-1) for node in steps}
    alive: list[fx.Node] = []
    for index, step in enumerate(steps):
        alive = [node for node in (*alive, step) if last_use[node] > index]
        yield alive


def _cut(root: _OneInput, graph: fx.Graph, values: dict[str, Any]) -> list[tuple[str, nn.Module]]:
    steps = _steps(graph)
    source, output = steps[0], steps[-1]
    result = output.args[0]
    if not (isinstance(result, fx.Node) and isinstance(values[result.name], Tensor)):
        raise ProfileError(f"{root.kind} has to return one tensor; it returns {result}.")
    blocks: list[tuple[str, nn.Module]] = []
    inside: list[fx.Node] = []
    for step, alive in zip(steps[:-1], _crossings(steps), strict=False):
        inside.append(step)
        crosses = alive[0] if len(alive) == 1 else None
        if crosses not in (None, steps[0], source, result) and _is_activation(values[crosses.name]):
            blocks.append((_name(crosses), _block(root, inside, source, crosses)))
            source, inside = crosses, []
    if not blocks:
        return [(root.kind, root.network)]
    return [*blocks, (_name(result), _block(root, inside, source, result))]


def _is_activation(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _name(node: fx.Node) -> str:
    """Return the path of the submodule that made a value, or a function's name within its submodule."""
    if node.op == "call_module":
        return _path(str(node.target)).replace(".", "_")
    owners = [_path(owner) for owner in node.meta.get("nn_module_stack", {})]
    owner = owners[-1].replace(".", "_") if owners else ""
    return f"{owner}_{node.name}" if owner else node.name


def _path(target: str) -> str:
    return f"{target}.".removeprefix(_OneInput.PREFIX).rstrip(".")


def _block(root: _OneInput, steps: Iterable[fx.Node], source: fx.Node, result: fx.Node) -> fx.GraphModule:
    """Return the steps as a module from one tensor to one; constants are fetched into it."""
    graph = fx.Graph()
    copies = {source: graph.placeholder("x")}
    parts: dict[str, Any] = {}

    def fetch(node: fx.Node) -> fx.Node:
        if node not in copies:
            copies[node] = graph.node_copy(node, fetch)
            if node.op in ("call_module", "get_attr"):
                copies[node].target = _path(str(node.target))
                parts[_path(str(node.target))] = attrgetter(str(node.target))(root)
        return copies[node]

    for step in steps:
        fetch(step)
    graph.output(fetch(result))
    return fx.GraphModule(parts, graph, class_name=root.kind)
