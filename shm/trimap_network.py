"""The network of the T-Net: DeepLabV3 with a decoder, whose logits are four times as fine, and a sense of whether anybody is there.

Source: Chen, Zhu, Papandreou, Schroff and Adam, Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation,
ECCV 2018 (DeepLabV3+), with a decoder of our own that works on what the backbone saw at a quarter and an eighth of the input's
size. Importing this module makes the network known to `AutoModelForSemanticSegmentation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSemanticSegmentation, MobileNetV2Config, MobileNetV2ForSemanticSegmentation
from transformers.utils import ModelOutput

STRENGTH, STEEPNESS = 4.0, 3.0
"""Slope of background's logit over a presence below 0, which has to outweigh pixels that are sure of a person, and how sharply it
bends into the level above 0: where somebody is there, nothing is to change."""

QUARTER, EIGHTH = 1, 4
"""The backbone's layers whose output is the last at these sizes of the input."""


@dataclass
class TrimapOutput(ModelOutput):
    """What a `TrimapNetwork` says.

    Attributes:
        logits: (B, K, h / 4, w / 4), of the classes.
        presence: (B, 1, 1, 1), the logit of somebody being there.
    """

    logits: torch.Tensor | None = None
    presence: torch.Tensor | None = None


class TrimapNetworkConfig(MobileNetV2Config):
    """Shape of a `TrimapNetwork`.

    Attributes:
        decoder_channels: feature channels of the decoder and the presence.
    """

    model_type = "shm_trimap_network"
    decoder_channels: int = 32


class Decoder(nn.Module):
    """Corrects coarse logits by what the backbone saw at a quarter and an eighth of the input's size.

    A new one corrects nothing.

    Args:
        deep, eighth, quarter: channels of the backbone's features at the deepest level and at these sizes.
        channels: of its own features.
        classes: of the logits.
    """

    def __init__(self, deep: int, eighth: int, quarter: int, *, channels: int, classes: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(deep, channels, 1)
        self.eighth = nn.Conv2d(channels + classes + eighth, channels, 3, padding=1)
        self.quarter = nn.Conv2d(channels + quarter, channels, 3, padding=1)
        self.logits = nn.Conv2d(channels, classes, 3, padding=1)
        nn.init.zeros_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def forward(
        self, logits: torch.Tensor, deep: torch.Tensor, eighth: torch.Tensor, quarter: torch.Tensor
    ) -> torch.Tensor:
        """Return logits (B, K, h, w) at the size of `quarter` for (B, K, h', w') at the size of `deep`."""
        features = torch.cat([functional.relu(self.deep(deep)), logits], dim=1)
        features = functional.relu(self.eighth(torch.cat([enlarge(features, eighth), eighth], dim=1)))
        features = functional.relu(self.quarter(torch.cat([enlarge(features, quarter), quarter], dim=1)))
        return enlarge(logits, quarter) + self.logits(features)


class Presence(nn.Module):
    """Says by the picture as a whole whether anybody is there; a new one says yes.

    What fills the frame, such as fruit or an animal seen close up, may look like skin and hair at every place and yet not be a
    person as a whole.

    Args:
        deep: channels of the backbone's features at the deepest level.
        channels: of its own features.
    """

    def __init__(self, deep: int, *, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * deep)
        self.hidden = nn.Linear(2 * deep, channels)
        self.logit = nn.Linear(channels, 1)
        nn.init.zeros_(self.logit.weight)
        nn.init.constant_(self.logit.bias, 3.0)

    def pool(self, deep: torch.Tensor) -> torch.Tensor:
        """Return (B, 2 C), the means and maxima of features (B, C, h, w)."""
        return torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1)

    def judge(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return (B,), the logit of somebody being there, for what `pool` returns."""
        return self.logit(functional.relu(self.hidden(self.norm(pooled))))[:, 0]

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return (B, 1, 1, 1), the logit of somebody being there, for features (B, C, h, w)."""
        return self.judge(self.pool(deep)).view(-1, 1, 1, 1)


class TrimapNetwork(MobileNetV2ForSemanticSegmentation):
    """DeepLabV3 over MobileNetV2, with a decoder and a presence.

    Where nobody is there, the logit of the first class, background, rises everywhere.
    """

    config_class = TrimapNetworkConfig

    def __init__(self, config: TrimapNetworkConfig) -> None:
        super().__init__(config)
        self.add_decoder()
        self.add_presence()

    def add_decoder(self) -> None:
        """Put a new decoder, for the config's labels, in the place of the one there is."""
        widths = [self.mobilenet_v2.layer[index].reduce_1x1.convolution.out_channels for index in (-1, EIGHTH, QUARTER)]
        self.decoder = Decoder(*widths, channels=self.config.decoder_channels, classes=self.config.num_labels)

    def add_presence(self) -> None:
        """Put a new presence in the place of the one there is."""
        deep = self.mobilenet_v2.layer[-1].reduce_1x1.convolution.out_channels
        self.presence = Presence(deep, channels=self.config.decoder_channels)

    def forward(self, pixel_values: torch.Tensor) -> TrimapOutput:
        """Return logits (B, K, h / 4, w / 4) and presence (B, 1, 1, 1) for pixel_values (B, 3, h, w), RGB in [-1, 1]."""
        levels = self.mobilenet_v2(pixel_values, output_hidden_states=True).hidden_states
        logits = self.decoder(self.segmentation_head(levels[-1]), levels[-1], levels[EIGHTH], levels[QUARTER])
        presence = self.presence(levels[-1])
        background = logits[:, :1] + STRENGTH * functional.softplus(-presence, beta=STEEPNESS)
        return TrimapOutput(logits=torch.cat([background, logits[:, 1:]], dim=1), presence=presence)


def enlarge(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return features (B, C, h, w) at the height and width of others, bilinearly."""
    return functional.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


AutoConfig.register(TrimapNetworkConfig.model_type, TrimapNetworkConfig)
AutoModelForSemanticSegmentation.register(TrimapNetworkConfig, TrimapNetwork)
