"""The embedded T-Net: DeepLabV3+ with a MobileNetV2 backbone, as an architecture that transformers can open and save.

transformers has MobileNetV2 with the DeepLabV3 head, whose result is coarse: one cell is 16 pixels wide. Here the decoder of Chen,
Zhu, Papandreou, Schroff and Adam, Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation (ECCV 2018) is
added, so that an edge is known to 4 pixels.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval
from transformers import AutoConfig, AutoModelForSemanticSegmentation, MobileNetV2Config, MobileNetV2ForSemanticSegmentation
from transformers.modeling_outputs import SemanticSegmenterOutput
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer, apply_depth_multiplier

TAPS = {1: 24, 4: 32}
"""Layers whose features the decoder sees, the last at 1/4 and at 1/8 of the input's size, and their channels."""

SEMANTIC_CHANNELS, DECODER_CHANNELS = 256, (64, 48)


class DeepLabPlusConfig(MobileNetV2Config):
    """`MobileNetV2Config` under a name of its own, which tells transformers what to open."""

    model_type = "mobilenet_v2_deeplab_plus"


PADDED = MobileNetV2Config(tf_padding=False)
"""What tells a layer of transformers that its convolution pads by itself."""


class Decoder(nn.Module):
    """Semantic features and finer ones -> what is to be added to the coarse logits, at 1/4 of the input's size.

    Args:
        config: of the network that it belongs to.
    """

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        wide, narrow = DECODER_CHANNELS
        quarter, eighth = (apply_depth_multiplier(config, channels) for channels in TAPS.values())
        self.reduce = nn.Conv2d(SEMANTIC_CHANNELS, wide, 1)
        self.join_eighth = nn.Conv2d(wide + eighth, wide, 3, padding=1)
        self.join_quarter = nn.Conv2d(wide + quarter, narrow, 3, padding=1)
        self.classify = nn.Conv2d(narrow, config.num_labels, 3, padding=1)
        self.reset()

    def reset(self) -> None:
        """Begin anew: a decoder that has learnt nothing changes nothing."""
        for layer in self.children():
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.classify.weight)

    def forward(self, semantic: torch.Tensor, eighth: torch.Tensor, quarter: torch.Tensor) -> torch.Tensor:
        """Return (B, classes, h / 4, w / 4) for features of the three sizes."""
        features = functional.relu(self.reduce(semantic))
        for join, seen in ((self.join_eighth, eighth), (self.join_quarter, quarter)):
            features = functional.relu(join(torch.cat([enlarge(features, seen), seen], dim=1)))
        return self.classify(features)


class DeepLabPlus(MobileNetV2ForSemanticSegmentation):
    """DeepLabV3 whose coarse logits a decoder corrects; any weights of `MobileNetV2ForSemanticSegmentation` are a start."""

    config_class = DeepLabPlusConfig

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__(config)
        self.mobilenet_v2.conv_1x1 = nn.Identity()  # belongs to a classification branch
        self.decoder = Decoder(config)

    def forward(self, pixel_values: torch.Tensor, **_: object) -> SemanticSegmenterOutput:
        """Return logits (B, K, h / 4, w / 4) for (B, 3, h, w) in [-1, 1]; what transformers may ask besides is not offered."""
        features, seen = self.mobilenet_v2.conv_stem(pixel_values), []
        for index, layer in enumerate(self.mobilenet_v2.layer):
            features = layer(features)
            if index in TAPS:
                seen.append(features)
        head, (quarter, eighth) = self.segmentation_head, seen
        whole = head.conv_pool(head.avg_pool(features)).expand(-1, -1, *features.shape[-2:])
        semantic = head.dropout(head.conv_projection(torch.cat([whole, head.conv_aspp(features)], dim=1)))
        logits = enlarge(head.classifier(semantic), quarter) + self.decoder(semantic, eighth, quarter)
        return SemanticSegmenterOutput(logits=logits)


def enlarge(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Resample features bilinearly to the height and width of others."""
    return functional.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


def streamline(network: nn.Module) -> nn.Module:
    """Make a MobileNetV2 of transformers faster, in place, with the same result: fewer passes over memory.

    Batch normalization is folded into the convolution before it, activations overwrite their input, and a convolution pads by itself
    where TensorFlow's padding is the same on all sides.

    Args:
        network: in evaluation mode; it can no longer be trained or saved.
    """
    for layer in network.modules():
        if not isinstance(layer, MobileNetV2ConvLayer):
            continue
        if layer.normalization is not None:
            layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
            layer.normalization = None
        if layer.activation is not None:
            layer.activation = nn.ReLU6(inplace=True) if isinstance(layer.activation, nn.ReLU6) else nn.ReLU(inplace=True)
        if layer.config.tf_padding and layer.convolution.stride == (1, 1):
            pairs = zip(layer.convolution.dilation, layer.convolution.kernel_size)
            layer.convolution.padding = tuple(dilation * (size // 2) for dilation, size in pairs)
            layer.config = PADDED
    return network


AutoConfig.register(DeepLabPlusConfig.model_type, DeepLabPlusConfig)
AutoModelForSemanticSegmentation.register(DeepLabPlusConfig, DeepLabPlus)
