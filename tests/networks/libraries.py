"""How each library makes its networks: with random weights, and without layers that draw random numbers.

Most of timm's factories set dropout and drop path to zero by themselves; the others are asked to. Where there is
no option for it, layers do draw, and both sides of a comparison start from one seed: torchvision's swin_t,
swin_v2_t and maxvit_t, and two of timm's networks with learnt relative positions.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import library as operators

NUM_CLASSES = 10


class Network(NamedTuple):
    """A network and what it takes."""

    package: str
    name: str
    make: Callable[[], nn.Module]  # with fresh weights from torch's global generator
    input_shape: tuple[int, ...]  # of one sample
    num_tokens: int | None = None  # size of the vocabulary, where a sample is a row of tokens

    @property
    def title(self) -> str:
        """Library and name, as ``--only`` takes them."""
        return f"{self.package}/{self.name}"

    def samples(self, number: int, seed: int = 0) -> Tensor:
        """Return random samples: (number, ...) normal numbers, or int64 tokens."""
        generator = torch.Generator().manual_seed(seed)
        if self.num_tokens is None:
            return torch.randn(number, *self.input_shape, generator=generator)
        # Token 0 is the padding, which none of these samples has.
        return torch.randint(1, self.num_tokens, (number, *self.input_shape), generator=generator)


def find(library: str, name: str) -> Network:
    """Return a network by its library's own name; the library is imported, and nothing made yet."""
    return {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}[library](name)


def logits(output: Any) -> Tensor:
    """Return the scores of the classes in what a network returns."""
    scores: Tensor = output if isinstance(output, Tensor) else output.logits
    return scores


def without_zeros(network: nn.Module) -> nn.Module:
    """Draw the weights anew that libraries start at zero or next to it, in place, and return the network.

    A last layer, a last normalisation of a block or a scale of a branch that starts there keeps gradients from
    all that comes before it: a first step would be right whatever became of them.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel() and parameter.abs().max() < _NEXT_TO_ZERO:
                parameter.normal_(std=0.1)
    return network


_NEXT_TO_ZERO = 1e-3


def _import_torchvision() -> Any:
    """Import torchvision, whose build for CUDA wants two operators that torch's CPU build lacks."""
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        declared = operators.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(declared)
    return import_module("torchvision")


_DECLARED: list[Any] = []
"""What is declared lasts as long as the object that declared it."""


def _timm(name: str) -> Network:
    _import_torchvision()
    timm = import_module("timm")
    defaults = timm.get_pretrained_cfg(name, allow_unregistered=False)
    size = _own_size(defaults) if name in _TIMM_OWN_SIZE.split() else _TIMM_SIZES.get(name, _SMALL)
    options = _TIMM_OPTIONS.get(name, {})

    def make() -> nn.Module:
        network: nn.Module = timm.create_model(name, num_classes=NUM_CLASSES, **options)
        return network

    return Network("timm", name, make, (3, size, size))


def _own_size(defaults: Any) -> int:
    """Return the height and width that timm's weights of a network were trained on."""
    return 224 if defaults is None else int(defaults.input_size[-1])


_SMALL = 96
"""Height and width where a network takes any: less work, and 3 x 3 numbers are left of a picture at the end."""

_TIMM_SIZES: dict[str, int] = {"sequencer2d_s": 112}  # a multiple of its patches' 14
"""Height and width of those that take few sizes."""

_TIMM_OWN_SIZE = """
vit_tiny_patch16_224 deit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224
swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224 cait_xxs24_224 levit_128s mixer_s16_224 gmlp_ti16_224
resmlp_12_224 coat_tiny crossvit_tiny_240 tnt_s_legacy_patch16_224 pit_ti_224 convit_tiny efficientformer_l1
efficientformerv2_s0 tiny_vit_5m_224 visformer_tiny maxvit_rmlp_pico_rw_256 coatnet_pico_rw_224 volo_d1_224
vit_base_patch16_rope_reg1_gap_256 naflexvit_base_patch16_gap twins_pcpvt_small
"""
"""Those with positions learnt for one size, or windows made for it."""


_TIMM_OPTIONS = {
    "ghostnet_050": {"drop_rate": 0.0},
    "ghostnetv2_100": {"drop_rate": 0.0},
    "swin_tiny_patch4_window7_224": {"drop_path_rate": 0.0},
    "swinv2_cr_tiny_ns_224": {"drop_path_rate": 0.0},
    "focalnet_tiny_srf": {"drop_path_rate": 0.0},
    "maxvit_rmlp_pico_rw_256": {"drop_path_rate": 0.0},
}


_TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "alexnet": {"dropout": 0.0},
    "vgg11_bn": {"dropout": 0.0},
    "squeezenet1_1": {"dropout": 0.0},
    "mobilenet_v2": {"dropout": 0.0},
    "mobilenet_v3_small": {"dropout": 0.0},
    "mnasnet0_5": {"dropout": 0.0},
    "efficientnet_b0": {"dropout": 0.0, "stochastic_depth_prob": 0.0},
    "efficientnet_v2_s": {"dropout": 0.0, "stochastic_depth_prob": 0.0},
    "convnext_tiny": {"stochastic_depth_prob": 0.0},
    # Their own start, truncated normals, takes longer than all that is checked of them.
    "googlenet": {"dropout": 0.0, "dropout_aux": 0.0, "init_weights": False},
    "inception_v3": {"dropout": 0.0, "init_weights": False},
}

_TORCHVISION_SIZES = {"vit_b_32": 224, "swin_t": 224, "swin_v2_t": 224, "maxvit_t": 224, "inception_v3": 299}
"""Height and width of those that do not take any size, or whose windows are made for one."""


def _torchvision(name: str) -> Network:
    models = import_module(f"{_import_torchvision().__name__}.models")
    options = _TORCHVISION_OPTIONS.get(name, {})
    size = _TORCHVISION_SIZES.get(name, _SMALL)

    def make() -> nn.Module:
        network: nn.Module = models.get_model(name, weights=None, num_classes=NUM_CLASSES, **options)
        return network

    return Network("torchvision", name, make, (3, size, size))


_SEQUENCE = {"num_labels": NUM_CLASSES, "pad_token_id": 0, "vocab_size": 500}
_IMAGE = {"num_labels": NUM_CLASSES}
_BERT = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}

_TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ViT": ("ViTConfig", "ViTForImageClassification", _IMAGE | _BERT | {"image_size": 64, "patch_size": 8}),
    "ResNet": (
        "ResNetConfig",
        "ResNetForImageClassification",
        _IMAGE | {"embedding_size": 16, "hidden_sizes": [16, 32, 48], "depths": [1, 2, 1]},
    ),
    "MobileNetV2": (
        "MobileNetV2Config",
        "MobileNetV2ForImageClassification",
        _IMAGE | {"depth_multiplier": 0.35, "classifier_dropout_prob": 0.0},
    ),
    "ConvNeXt": (
        "ConvNextConfig",
        "ConvNextForImageClassification",
        _IMAGE | {"hidden_sizes": [16, 32, 48], "depths": [1, 2, 1], "num_stages": 3},
    ),
    "Swin": (
        "SwinConfig",
        "SwinForImageClassification",
        _IMAGE
        | {"image_size": 64, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
        | {"drop_path_rate": 0.0},
    ),
    "BERT": ("BertConfig", "BertForSequenceClassification", _SEQUENCE | _BERT),
    "DistilBERT": (
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        _SEQUENCE
        | {"dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 96}
        | {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0},
    ),
    "GPT-2": (
        "GPT2Config",
        "GPT2ForSequenceClassification",
        _SEQUENCE
        | {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64}
        | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    ),
    "Llama": (
        "LlamaConfig",
        "LlamaForSequenceClassification",
        _SEQUENCE
        | {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3}
        | {"num_attention_heads": 4, "num_key_value_heads": 2},
    ),
}
"""Class of the configuration, class of the network, and the configuration: few layers of small width."""

_TOKENS = 12
"""Of a sample."""


def _transformers(name: str) -> Network:
    _import_torchvision()
    library = import_module("transformers")
    base = "BERT" if name == "BERT-LoRA" else name
    config_class, network_class, settings = _TRANSFORMERS[base]

    def make() -> nn.Module:
        network: nn.Module = getattr(library, network_class)(getattr(library, config_class)(**settings))
        return _with_lora(network) if name == "BERT-LoRA" else network

    if "vocab_size" in settings:
        return Network("transformers", name, make, (_TOKENS,), settings["vocab_size"])
    size = settings.get("image_size", 64)
    return Network("transformers", name, make, (3, size, size))


def _with_lora(network: nn.Module) -> nn.Module:
    """Freeze a network and put low-rank adapters beside its queries and values."""
    peft = import_module("peft")
    adapters = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules=["query", "value"],
        init_lora_weights=False,  # else one of each pair starts at zero, and the other gets no gradient
    )
    adapted: nn.Module = peft.get_peft_model(network, adapters)
    return adapted
