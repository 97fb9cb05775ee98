"""Wrappers and training helpers of other libraries around a user's network."""

import types
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sfl_env.dnn.measure import profile
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.users_networks.bodies import Body, around, chain
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    assert_trains_like_the_plain_loop,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),
]


class GradSamples(nn.Module):
    """Notes activations and gradients of each sample by hooks, as wrappers for differential privacy do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module
        self.norms: list[float] = []
        for part in module.modules():
            if isinstance(part, nn.Linear):
                part.register_forward_hook(self.keep)
                part.register_full_backward_hook(self.clip)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_module"), name)

    def keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        module.__dict__.setdefault("activations", []).append(inputs[0].detach())

    def clip(self, module: nn.Module, grad_input: Any, grad_output: Any) -> None:
        activations = module.__dict__["activations"].pop()
        sample = torch.einsum("n...i,n...j->nij", grad_output[0], activations)
        for parameter in module.parameters(recurse=False):
            parameter.__dict__["grad_sample"] = sample
        self.norms.append(float(sample.flatten(1).norm(dim=1).max()))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._module(*args, **kwargs)


class Client(nn.Module):
    """A model with the methods that federated frameworks ask of their clients."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.criterion = chain(), nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.device = torch.device("cpu")

    def get_parameters(self) -> list[Any]:
        return [value.cpu().numpy() for value in self.net.state_dict().values()]

    def set_parameters(self, parameters: list[Any]) -> None:
        pairs = zip(self.net.state_dict(), map(torch.tensor, parameters), strict=True)
        self.net.load_state_dict(OrderedDict(pairs), strict=True)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.net(x.to(self.device))
        return logits if labels is None else (self.criterion(logits, labels), logits)


class Proximal(nn.Module):
    """Holds the weights that a round began with as a plain tensor, as FedProx does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain()
        self.start = parameters_to_vector(self.net.parameters()).detach().clone()

    def forward(self, x: Tensor) -> Any:
        return self.net(x) + 0.0 * self.start.sum()


class InHalves(nn.Module):
    """Client and server models of a split-learning tutorial, and what was handed over, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.client = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.server = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Any:
        smashed = self.client(x)
        self.smashed = smashed
        return self.server(smashed)


class Lightning(nn.Module):
    """Its forward is one of many methods, its layers are made late, and it logs."""

    def __init__(self, width: int = 8, **options: Any) -> None:
        super().__init__()
        self.hparams = types.SimpleNamespace(width=width, **options)
        self.logged: dict[str, float] = {}
        self.configure()

    def configure(self) -> None:
        self.model = chain()

    def log(self, name: str, value: Tensor) -> None:
        self.logged[name] = float(value.detach())

    def forward(self, x: Tensor) -> Any:
        h = self.model(x)
        self.log("norm", h.norm())
        return h

    def training_step(self, batch: Any, number: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


class Delegates:
    """No module: an object with a network in it."""

    def __init__(self) -> None:
        self.net = chain()


class HoldsAnObject(nn.Module):
    """The layers run are those of a plain object that holds the same modules."""

    def __init__(self) -> None:
        super().__init__()
        self.helper = Delegates()
        self.layers = self.helper.net

    def forward(self, x: Tensor) -> Any:
        return self.helper.net(x)


class HoldsAModule(Body):
    """Names a Python module, as ``self.F = torch.nn.functional``."""

    def __init__(self) -> None:
        super().__init__()
        self.F = nn.functional

    def between(self, h: Tensor) -> Any:
        return self.F.elu(h)


class Bound(nn.Module):
    """Another forward is put on one of its parts, as patches of libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain()
        layer = self.net[2]

        def patched(self: nn.Linear, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight, self.bias) + x

        layer.forward = types.MethodType(patched, layer)

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


class Renamed(nn.Linear):
    """A subclass of a layer that is called through its class."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return 2.0 * super().__call__(*args, **kwargs)


class CallsForward(Body):
    """Goes past the modules' hooks by calling ``forward`` itself."""

    def forward(self, x: Tensor) -> Any:
        return self.last.forward(torch.tanh(self.middle.forward(torch.tanh(self.first.forward(x)))))


WRAPPED: dict[str, Any] = {
    "gradients of samples": lambda: GradSamples(chain()),
    "a client": Client,
    "a proximal term": Proximal,
    "two halves": InHalves,
    "a training module": Lightning,
    "an object with the layers": HoldsAnObject,
    "a Python module": HoldsAModule,
    "a patched forward": Bound,
    "a layer with a call of its own": around(lambda: Renamed(8, 8)),
    "forward called by name": CallsForward,
    "distributed names": lambda: nn.Sequential(OrderedDict(module=nn.Sequential(OrderedDict(module=chain())))),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_part_of_the_network(name: str) -> None:
    user = User(WRAPPED[name])
    if name == "gradients of samples":  # whose hooks need a whole backward pass
        assert_trains_like_the_plain_loop(user, user.split())
    else:
        assert_is_the_users_own(user)


def test_weights_come_as_the_lists_that_federated_frameworks_exchange() -> None:
    user = User(Client)
    training = SplitFederatedTraining(
        Client, user.data(), scheme("iid", K), LocalTraining(1, 4), device="cpu", dtype=torch.float64
    )
    training.reset(0)
    training.run_round([0] * K)
    client = Client().double()
    client.set_parameters([value.numpy() for value in training.weights().values()])
    loss, _ = client.eval()(training.data.test_features, training.data.test_labels)
    assert float(loss.detach()) == pytest.approx(training.evaluate().loss, rel=1e-12)
    vector = parameters_to_vector(client.parameters()).detach()
    vector_to_parameters(2.0 * vector, client.parameters())
    assert torch.equal(parameters_to_vector(client.parameters()).detach(), 2.0 * vector)


def test_a_wrapper_is_no_block_of_its_own() -> None:
    bare, wrapped = profile(chain(), (6,)), profile(Client(), (6,))
    assert wrapped.device_forward_flops.tolist() == bare.device_forward_flops.tolist()
    assert wrapped.smashed_elements.tolist() == bare.smashed_elements.tolist()
