"""Fields of the network and of the work of a round."""

from dataclasses import dataclass

from sfl_env.scenario.declaring import number, plain


@dataclass(frozen=True)
class NetworkFields:
    """The network, and what a round computes and sends of it."""

    model: str = plain(
        "auto",
        "network: a name of the catalogue, or the path of a profile's .json file; auto: resnet18, in accuracy "
        "mode the usual one for the data set",
    )
    num_devices: int = number(10, 1, 100_000, "", "devices, K")
    max_rounds: int = number(100, 1, 1_000_000, "", "rounds until the episode is truncated")
    batch_size: int = number(32, 1, 1_000_000, "samples", "mini-batch of a device, in the geometric mean")
    batch_size_spread: float = number(
        1.0, 1.0, 1e3, "", "devices' mini-batches are log-uniform within this factor up and down"
    )
    local_iterations: int = number(4, 1, 1_000_000, "", "mini-batches a round, E")
    activation_bits: int = number(
        32, 1, 64, "bits", "one element of the smashed data or its gradient, as it is sent"
    )
    parameter_bits: int = number(32, 1, 64, "bits", "one parameter, as it is sent")
    training_bits: int = number(32, 1, 64, "bits", "one weight, gradient or activation in a device's memory")
    label_bits: int = number(32, 0, 4096, "bits", "one label, sent with its smashed data")
    message_latency_s: float = number(
        0.01, 0.0, 60.0, "s", "what every message takes besides its bits: radio access, queues, transport"
    )
    optimizer_slots: int | None = number(
        None, 0, 8, "", "numbers the optimiser keeps per parameter; None: as `optimizer` does, by default 1"
    )
    frozen_weights_travel: bool = plain(
        False,
        "whether weights that do not train, and buffers that training leaves as they are, are sent in every round "
        "all the same",
    )
