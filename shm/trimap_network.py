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

SOMEBODY = -0.5
"""Presence above which somebody is there; below 0, since a person who is lost is worse than a thing that is not."""

STRENGTH, STEEPNESS = 20.0, 6.0
"""Slope of background's logit over a presence below that, which has to outweigh pixels that are sure of a person, and how sharply it
bends into the level above: half a person is of no use, and where somebody is there, nothing is to change."""


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
        rank: channels to which the backbone's deepest features are brought before anything looks around in them.
        members: of the presence.
        sixteenth_channels, eighth_channels: feature channels at these sizes of the input.
    """

    model_type = "shm_trimap_network"
    rank: int = 128
    members: int = 4
    sixteenth_channels: int = 96
    eighth_channels: int = 32


class SemanticBranch(nn.Module):
    """Says roughly where the person is.

    Args:
        config: shape of the network.
    """

    def __init__(self, config: TrimapNetworkConfig) -> None:
        super().__init__()
        self.sixteenth = HalfNormalized(config.rank, config.sixteenth_channels, 5)
        self.eighth = HalfNormalized(config.sixteenth_channels, config.eighth_channels, 5)

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, h / 8, w / 8) for the deepest ones (B, rank, h / 32, w / 32)."""
        return self.eighth(double(self.sixteenth(double(deep))))


class Presence(nn.Module):
    """Says by the picture as a whole whether anybody is there; a new one says yes.

    What fills the frame, such as fruit or an animal seen close up, may look like skin and hair at every place and yet not be a
    person as a whole. So it looks for signs of a person and of anything else, wherever they are, and weighs how strong each is at
    its strongest and on average. Several members do so apart: where one is far off, the others seldom are.

    Args:
        deep: channels of the deepest features.
        channels: of each member.
        members: how many; the mean of what they say counts.
    """

    def __init__(self, deep: int, *, channels: int, members: int) -> None:
        super().__init__()
        signs = members * channels
        self.signs = nn.Sequential(
            nn.Conv2d(deep, 2 * signs, 1), nn.ReLU(), nn.Conv2d(2 * signs, signs, 3, padding=1, groups=members), nn.ReLU()
        )
        self.judges = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, 1)) for _ in range(members)
        )
        for judge in self.judges:
            nn.init.zeros_(judge[-1].weight)
            nn.init.constant_(judge[-1].bias, 3.0)

    def judge(self, deep: torch.Tensor) -> torch.Tensor:
        """Return (B, M), for each member the logit of somebody being there, for features (B, C, h, w)."""
        signs = self.signs(deep)
        weighed = torch.stack([signs.amax(dim=(2, 3)), signs.mean(dim=(2, 3))], dim=2).flatten(1)
        return torch.cat([judge(own) for judge, own in zip(self.judges, weighed.chunk(len(self.judges), dim=1))], dim=1)

    def forward(self, deep: torch.Tensor) -> torch.Tensor:
        """Return (B, 1, 1, 1), the logit of somebody being there, for features (B, C, h, w)."""
        return self.judge(deep).mean(dim=1).view(-1, 1, 1, 1)


class TrimapNetwork(MobileNetV2PreTrainedModel):
    """A semantic branch over MobileNetV2, three classes for each of the four pixels that it sees as one, and a presence.

    Where nobody is there, the logit of the first class, background, rises everywhere.
    """

    config_class = TrimapNetworkConfig

    def __init__(self, config: TrimapNetworkConfig) -> None:
        super().__init__(config)
        channels = config.eighth_channels
        self.mobilenet_v2 = MobileNetV2Model(config, add_pooling_layer=False)
        self.reduce = nn.Conv2d(self.mobilenet_v2.conv_1x1.convolution.out_channels, config.rank, 1, bias=False)
        self.semantic = SemanticBranch(config)
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
        self.presence = Presence(self.config.rank, channels=self.config.eighth_channels, members=self.config.members)

    def see(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the deepest features (B, rank, h / 32, w / 32) for pixel_values as in `forward`."""
        return self.reduce(self.mobilenet_v2(pixel_values).last_hidden_state)

    def forward(self, pixel_values: torch.Tensor) -> TrimapOutput:
        """Return logits (B, K, h / 4, w / 4) and presence (B, 1, 1, 1) for pixel_values (B, 3, h, w), RGB in [-1, 1].

        Both h and w are multiples of 32.
        """
        deep = self.see(pixel_values)
        logits = self.classifier(self.semantic(deep))
        presence = self.presence(deep.detach())  # what it learns does not change what it sees
        background = logits[:, :1] + STRENGTH * functional.softplus(SOMEBODY - presence, beta=STEEPNESS)
        return TrimapOutput(logits=torch.cat([background, logits[:, 1:]], dim=1), presence=presence)


AutoConfig.register(TrimapNetworkConfig.model_type, TrimapNetworkConfig)
AutoModelForSemanticSegmentation.register(TrimapNetworkConfig, TrimapNetwork)
