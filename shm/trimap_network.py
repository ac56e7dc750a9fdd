"""The T-Net: MobileNetV2, a branch that says roughly where the person is, and a sense of whether anybody is there.

Source: the branch is the one for semantics of Ke, Sun, Li, Yan and Lau, MODNet: Real-Time Trimap-Free Portrait Matting via
Objective Decomposition, AAAI 2022, made smaller; what it says becomes three classes. Importing this module makes the network known
to `AutoModelForSemanticSegmentation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSemanticSegmentation, MobileNetV2Config, MobileNetV2Model
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2PreTrainedModel
from transformers.utils import ModelOutput

from shm.layers import HalfNormalized, double

SOMEBODY = 0.0
"""Presence above which somebody is there, for certain. A person who is lost is worse than a thing that is not: of people who were not
taught a few in a hundred are below, of pictures without people some are above."""

STRENGTH, STEEPNESS = 4.0, 3.0
"""Slope of background's logit over a presence below that, which has to outweigh pixels that are sure of a person, and how sharply
it bends into the level above: where somebody is there, nothing is to change."""


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
        rank: channels to which the deepest features are brought before a convolution looks around in them.
        sixteenth_channels, eighth_channels: feature channels at these sizes of the input.
    """

    model_type = "shm_trimap_network"
    rank: int = 128
    sixteenth_channels: int = 96
    eighth_channels: int = 32


class SemanticBranch(nn.Module):
    """Says roughly where the person is, from what the backbone sees at the end.

    Args:
        config: shape of the network.
        deep: channels of the backbone's features at the end.
    """

    def __init__(self, config: TrimapNetworkConfig, *, deep: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(deep, config.rank, 1, bias=False)
        self.sixteenth = HalfNormalized(config.rank, config.sixteenth_channels, 5)
        self.eighth = HalfNormalized(config.sixteenth_channels, config.eighth_channels, 5)

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, h / 8, w / 8) for (B, C', h / 32, w / 32)."""
        return self.eighth(double(self.sixteenth(double(self.reduce(deep)))))


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


class TrimapNetwork(MobileNetV2PreTrainedModel):
    """A semantic branch over MobileNetV2, three classes for each of the four pixels that it sees as one, and a presence.

    Where nobody is there, the logit of the first class, background, rises everywhere.
    """

    config_class = TrimapNetworkConfig

    def __init__(self, config: TrimapNetworkConfig) -> None:
        super().__init__(config)
        channels = config.eighth_channels
        self.mobilenet_v2 = MobileNetV2Model(config, add_pooling_layer=False)
        self.deep = self.mobilenet_v2.conv_1x1.convolution.out_channels
        self.semantic = SemanticBranch(config, deep=self.deep)
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * config.num_labels, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.post_init()
        self.add_presence()

    def add_presence(self) -> None:
        """Put a new presence in the place of the one there is."""
        self.presence = Presence(self.deep, channels=self.config.eighth_channels)

    def forward(self, pixel_values: torch.Tensor) -> TrimapOutput:
        """Return logits (B, K, h / 4, w / 4) and presence (B, 1, 1, 1) for pixel_values (B, 3, h, w), RGB in [-1, 1].

        Both h and w are multiples of 32.
        """
        deep = self.mobilenet_v2(pixel_values).last_hidden_state
        logits, presence = self.classifier(self.semantic(deep)), self.presence(deep)
        background = logits[:, :1] + STRENGTH * functional.softplus(SOMEBODY - presence, beta=STEEPNESS)
        return TrimapOutput(logits=torch.cat([background, logits[:, 1:]], dim=1), presence=presence)


AutoConfig.register(TrimapNetworkConfig.model_type, TrimapNetworkConfig)
AutoModelForSemanticSegmentation.register(TrimapNetworkConfig, TrimapNetwork)
