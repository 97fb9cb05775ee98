"""Which networks: one of each of timm's classification families, of torchvision's, and ten of Hugging Face's."""

_TIMM = """
resnet18 resnet10t resnext26ts seresnet18 ecaresnet26t skresnet18 resnest14d res2net50_14w_8s densenet121
dla34 vovnet39a efficientnet_lite0 tf_efficientnet_b0 efficientnetv2_rw_t mobilenetv3_small_050
mobilenetv4_conv_small mobileone_s0 repvgg_a0 ghostnet_050 ghostnetv2_100 mixnet_s fbnetc_100 hardcorenas_a
lcnet_035 tinynet_e convnext_atto convnextv2_atto convmixer_768_32 regnetx_002 regnety_002 cspresnet50
nf_resnet50 nfnet_f0 xception41 inception_v3 inception_next_atto selecsls42 dpn48b hrnet_w18_small
vit_tiny_patch16_224 deit_tiny_patch16_224 deit3_small_patch16_224 beit_base_patch16_224
eva02_tiny_patch14_224 swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224 cait_xxs24_224 xcit_nano_12_p16_224
pvt_v2_b0 twins_pcpvt_small levit_128s poolformer_s12 poolformerv2_s12 mixer_s16_224 gmlp_ti16_224
resmlp_12_224 coat_tiny crossvit_tiny_240 tnt_s_legacy_patch16_224 pit_ti_224 convit_tiny mobilevit_xxs
mobilevitv2_050 edgenext_xx_small efficientformer_l1 efficientformerv2_s0 fastvit_t8 repvit_m0_9
tiny_vit_5m_224 visformer_tiny davit_tiny focalnet_tiny_srf maxvit_rmlp_pico_rw_256 coatnet_pico_rw_224
volo_d1_224 sequencer2d_s starnet_s1 hgnet_tiny rdnet_tiny vit_base_patch16_rope_reg1_gap_256
naflexvit_base_patch16_gap shvit_s1 swiftformer_xs mambaout_femto
"""

_TORCHVISION = """
alexnet vgg11_bn resnet18 resnext50_32x4d wide_resnet50_2 densenet121 squeezenet1_1 shufflenet_v2_x0_5
mobilenet_v2 mobilenet_v3_small mnasnet0_5 efficientnet_b0 efficientnet_v2_s regnet_y_400mf convnext_tiny
vit_b_32 swin_t swin_v2_t maxvit_t googlenet inception_v3
"""

_TRANSFORMERS = "ViT ResNet MobileNetV2 ConvNeXt Swin BERT DistilBERT GPT-2 Llama BERT-LoRA"

NAMES: dict[str, tuple[str, ...]] = {
    "timm": tuple(_TIMM.split()),
    "torchvision": tuple(_TORCHVISION.split()),
    "transformers": tuple(_TRANSFORMERS.split()),
}
"""By the library that makes them."""

LEAST_ACCEPTED = {"timm": 80, "torchvision": 21, "transformers": 10}
"""How many of each have to be profiled and trained."""
