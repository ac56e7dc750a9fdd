"""The matting head: (I, P) -> alpha_r, and its fusion with what the semantic stage is sure of.

Source: Chen, Ge, Xu, Zhang, Yang and Gai, Semantic Human Matting, ACM MM 2018 (arXiv 1809.01354), the M-Net and equation 3. The
network in the place of the M-Net is, behind a soft trimap, that of Ke, Sun, Li, Yan and Lau, MODNet: Real-Time Trimap-Free
Portrait Matting via Objective Decomposition, AAAI 2022.
"""

# Annotations stay evaluated here: the hub mixin reads MattingConfig out of the signature.
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn
from torch.nn import functional

from shm.filters import resize
from shm.layers import HalfNormalized, double
from shm.matte import CheckpointError


@dataclass(frozen=True)
class MattingConfig:
    """Shape of a matting head.

    Attributes:
        channels: feature channels of its branches, even.
        side: longer side of the image that the head is meant to see, in pixels; smaller photographs are not enlarged.
        rank: channels to which features are brought before they are enlarged to full size, where every channel is dear; 0 where
            all of them are.
    """

    channels: int = 32
    side: int = 640
    rank: int = 16

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2 or self.side < 1 or self.rank < 0:
            raise ValueError(f"MattingConfig: expected an even number of channels, a positive side and rank, got {self}")


HALF, QUARTER = 16, 24
"""Channels of what is seen at a half and at a quarter of the input's size."""

COARSEST = 8
"""Sides that a head works on are multiples of it, two at least: one pixel wide, bfloat16 convolutions on CPUs read unset memory."""


class Beginning(nn.Module):
    """The first layers of a MobileNetV2 1.0, its batch normalization part of the convolutions.

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen, MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
    """

    def __init__(self) -> None:
        super().__init__()
        first, around = nn.Conv2d(3, 32, 3, 2, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.to_half = nn.Sequential(first, nn.ReLU6(inplace=True), around, nn.ReLU6(inplace=True), nn.Conv2d(32, HALF, 1))
        self.to_quarter = make_bottleneck(HALF, QUARTER, stride=2)
        self.again = make_bottleneck(QUARTER, QUARTER, stride=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (B, 16, h / 2, w / 2) and (B, 24, h / 4, w / 4) for an image (B, 3, h, w) in [-1, 1]."""
        half = self.to_half(image)
        quarter = self.to_quarter(half)
        return half, quarter + self.again(quarter)


def make_bottleneck(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    """Return layers that widen the features sixfold, look around in each, and make them few again."""
    wide = 6 * inputs
    widen, around = nn.Conv2d(inputs, wide, 1), nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide)
    return nn.Sequential(widen, nn.ReLU6(inplace=True), around, nn.ReLU6(inplace=True), nn.Conv2d(wide, outputs, 1))


class DetailBranch(nn.Module):
    """Says where exactly the person ends, from what is seen at a half and at a quarter of the size, and what the trimap says.

    Args:
        channels: of its features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_half = HalfNormalized(HALF, channels, 1)
        self.down = HalfNormalized(channels + 3, channels, 3, stride=2)
        self.from_quarter = HalfNormalized(QUARTER, channels, 1)
        self.mix = HalfNormalized(2 * channels, 2 * channels, 3)
        self.at_quarter = nn.Sequential(
            HalfNormalized(3 * channels + 3, 2 * channels, 3),
            HalfNormalized(2 * channels, 2 * channels, 3),
            HalfNormalized(2 * channels, channels, 3),
        )
        self.at_half = nn.Sequential(
            HalfNormalized(2 * channels, 2 * channels, 3),
            HalfNormalized(2 * channels, channels, 3),
            HalfNormalized(channels, channels, 3),
            HalfNormalized(channels, channels, 3),
        )

    def forward(self, image: torch.Tensor, half: torch.Tensor, quarter: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, h / 2, w / 2).

        Args:
            image: (B, 3, h, w) in [-1, 1].
            half, quarter: (B, 16, h / 2, w / 2) and (B, 24, h / 4, w / 4), of the `Beginning`.
            semantic: (B, C, h / 4, w / 4).
        """
        half = self.from_half(half)
        edges = self.down(torch.cat([shrink(image, 2), half], dim=1))
        edges = self.mix(torch.cat([edges, self.from_quarter(quarter)], dim=1))
        edges = self.at_quarter(torch.cat([edges, semantic, shrink(image, 4)], dim=1))
        return self.at_half(torch.cat([double(edges), half], dim=1))


class MattingHead(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="semantic-human-matting",
    tags=["image-matting", "portrait"],
    license="apache-2.0",
):
    """Reads the photograph and its soft trimap and says how opaque each pixel is.

    A small branch turns the trimap, beside what is seen at an eighth of the size, into the features that MODNet's semantic branch
    has there; what follows is MODNet's branch of detail and the fusion of the two.

    Args:
        config: its shape.
    """

    def __init__(self, config: MattingConfig = MattingConfig()) -> None:
        super().__init__()
        self.config = config
        channels, rank = config.channels, config.rank
        self.beginning = Beginning()
        self.semantic = nn.Sequential(
            nn.Conv2d(4 * 3 + QUARTER, channels, 5, padding=2), nn.ReLU(), HalfNormalized(channels, channels, 5)
        )
        self.detail = DetailBranch(channels)
        self.coarse = HalfNormalized(channels, channels, 5)
        self.at_half = HalfNormalized(2 * channels, channels, 3)
        self.reduce = nn.Conv2d(channels, rank, 1, bias=False) if rank else nn.Identity()
        self.at_full = HalfNormalized((rank or channels) + 3, channels // 2, 3)
        self.alpha = nn.Conv2d(channels // 2, 1, 1)

    @classmethod
    def load(cls, source: str) -> "MattingHead":
        """Open a head, in evaluation mode on the CPU in float32; a folder and a hub repository alike.

        Raises:
            CheckpointError: no such folder or repository, or no way to reach the hub ("not_found"); a file that is damaged or
                of another network ("unreadable").
        """
        try:
            folder = Path(source)
            if not folder.is_dir():
                folder = Path(snapshot_download(source, allow_patterns=["config.json", "model.safetensors"]))
            head = cls(MattingConfig(**json.loads((folder / "config.json").read_text())))
            load_model(head, folder / "model.safetensors")
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                "not_found" if isinstance(error, (OSError, HFValidationError)) else "unreadable",
                f"{source}: expected the folder or a reachable hub repository of a matting head with config.json and "
                f"model.safetensors, got: {str(error).strip().partition(chr(10))[0]}",
                source=source,
            ) from error
        return head.eval()

    def forward(self, image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        """Return alpha_r, the head's own opacity, meant for the unknown pixels.

        Args:
            image: (B, 3, h, w) float32 in [0, 1].
            probabilities: (B, 3, h, w) soft trimap: background, foreground, unknown.

        Returns:
            (B, 1, h, w) float32 in [0, 1].
        """
        height, width = image.shape[-2:]
        bottom, right = (max(-length % COARSEST, 2 * COARSEST - length) for length in (height, width))
        stacked = torch.cat([2 * image - 1, probabilities], dim=1).to(self.alpha.weight.dtype)
        if bottom or right:
            stacked = functional.pad(stacked, (0, right, 0, bottom), mode="replicate")
        image, probabilities = (part.contiguous(memory_format=torch.channels_last) for part in stacked.split(3, dim=1))
        half, quarter = self.beginning(image)
        semantic = self.semantic(describe(probabilities, quarter))
        return self.decide(image, half, quarter, semantic)[..., :height, :width].float().sigmoid()

    def decide(self, image: torch.Tensor, half: torch.Tensor, quarter: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        """Return the logit of alpha (B, 1, h, w).

        Args:
            image: (B, 3, h, w) in [-1, 1].
            half, quarter: what the beginning sees in it.
            semantic: (B, C, h / 8, w / 8).
        """
        semantic = double(semantic)
        detail = self.detail(image, half, quarter, semantic)
        fused = self.at_half(torch.cat([double(self.coarse(semantic)), detail], dim=1))
        return self.alpha(self.at_full(torch.cat([double(self.reduce(fused)), image], dim=1)))


def describe(probabilities: torch.Tensor, quarter: torch.Tensor) -> torch.Tensor:
    """Return what a head's semantic branch reads, (B, 12 + C, h / 8, w / 8).

    Args:
        probabilities: (B, 3, h, w) soft trimap; each pixel of a square of four at a quarter of that is a channel of its own.
        quarter: (B, C, h / 4, w / 4) features.
    """
    squares = functional.pixel_unshuffle(functional.avg_pool2d(probabilities, 4), 2)
    return torch.cat([squares, functional.avg_pool2d(quarter, 2)], dim=1)


def shrink(image: torch.Tensor, times: int) -> torch.Tensor:
    """Return an image (B, 3, h, w) so many times smaller; a pixel is the mean of the four about the middle of what it stands for."""
    return functional.interpolate(image, scale_factor=1 / times, mode="bilinear", align_corners=False)


def fuse(probabilities: torch.Tensor, alpha_r: torch.Tensor) -> torch.Tensor:
    """Return alpha = F_s + U_s * alpha_r (Chen et al. 2018, equation 3).

    Args:
        probabilities: (B, 3, h, w) soft trimap: background, foreground F_s, unknown U_s.
        alpha_r: (B, 1, H, W), the head's own opacity; the trimap is resampled to its size.

    Returns:
        (B, 1, H, W) float32 in [0, 1].

    >>> pixel = torch.tensor([0.1, 0.8, 0.1]).view(1, 3, 1, 1)
    >>> fuse(pixel, torch.full((1, 1, 1, 1), 0.5)).item()
    0.8500000238418579
    """
    _, foreground, unknown = resize(probabilities, alpha_r.shape[-2:]).split(1, dim=1)
    return (foreground + unknown * alpha_r).clamp(0, 1)
