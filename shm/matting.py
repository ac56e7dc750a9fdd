"""The matting head: (I, P) -> alpha_r, and its fusion with what the semantic stage is sure of.

Source: Chen, Ge, Xu, Zhang, Yang and Gai, Semantic Human Matting, ACM MM 2018 (arXiv 1809.01354), the M-Net and equation 3. The
network here is a small U-Net of our own.
"""

# Annotations stay evaluated here: the hub mixin reads MattingConfig out of the signature.
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from shm.filters import resize
from shm.matte import CheckpointError


@dataclass(frozen=True)
class MattingConfig:
    """Shape of a matting head.

    Attributes:
        channels: feature channels at 1/2, 1/4, 1/8, ... of the input size.
        last_channels: feature channels of the last level, at 1/2 of the input size as well.
        side: longer side of the image that the head is meant to see, in pixels; smaller photographs are not enlarged.
    """

    channels: tuple[int, ...] = (32, 48, 80, 128)
    last_channels: int = 32
    side: int = 768

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a list where it comes out of config.json
        if not self.channels or min(*self.channels, self.last_channels, self.side) < 1:
            raise ValueError(f"MattingConfig: expected at least one level and positive numbers, got {self}")


INPUTS = 13
"""Channels that a head reads: image, soft trimap, and the seven of `describe_colors`."""

DETAIL = (0, 1, 2, 5, 12)
"""Those that its last level reads again at their own size: image, unknown, and the alpha that the colors suggest."""


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class MattingHead(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="semantic-human-matting",
    tags=["image-matting", "portrait"],
    license="apache-2.0",
):
    """A U-Net that reads the photograph and its soft trimap and says how opaque each pixel is.

    Beside them it is told what the known pixels nearby suggest (`describe_colors`), so that it need not learn to look for them.
    Every level halves the size: one convolution goes down, one looks around; on the way up each level adds what it saw at the
    same size. The last level sees the input again, every pixel of each square of four as a channel of its own, and says the alpha of
    all four (Shi et al., Real-Time Single Image and Video Super-Resolution, CVPR 2016): a strand one pixel wide survives at a
    quarter of the positions.

    Args:
        config: its shape.
    """

    def __init__(self, config: MattingConfig = MattingConfig()) -> None:
        super().__init__()
        self.config = config
        widths = (INPUTS, *config.channels)
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(above, below, stride=2), ConvBlock(below, below))
            for above, below in zip(widths[:-1], widths[1:])
        )
        deepest = config.channels[-1]
        self.around = nn.Sequential(ConvBlock(deepest, deepest, dilation=2), ConvBlock(deepest, deepest, dilation=4))
        self.up = nn.ModuleList(
            ConvBlock(below, above) for above, below in zip(config.channels[:-1], config.channels[1:])
        )
        self.last = nn.Sequential(
            ConvBlock(config.channels[0] + 4 * len(DETAIL), config.last_channels),
            nn.Conv2d(config.last_channels, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

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
        multiple = 2 ** len(self.config.channels)  # no level below 2x2: at 1, bfloat16 convolutions on CPUs read unset memory
        precision = self.last[1].weight.dtype
        parts = (image - 0.5, probabilities, describe_colors(image, probabilities))
        stacked = torch.cat([part.to(precision) for part in parts], dim=1)
        bottom, right = (max(-length % multiple, 2 * multiple - length) for length in (height, width))
        if bottom or right:
            stacked = functional.pad(stacked, (0, right, 0, bottom), mode="replicate")
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        features, levels = stacked, []
        for level in self.down:
            features = level(features)
            levels.append(features)
        features = features + self.around(features)
        for level, seen in zip(reversed(self.up), reversed(levels[:-1])):
            features = enlarge(level(features)) + seen
        detail = functional.pixel_unshuffle(stacked[:, DETAIL], 2).contiguous(memory_format=torch.channels_last)
        alpha = self.last(torch.cat([features, detail], dim=1))
        return alpha[..., :height, :width].float().sigmoid()


def fold_normalization(head: MattingHead) -> MattingHead:
    """Return a copy of a head whose batch normalization is folded into the convolutions: the same result in fewer passes over memory.

    Args:
        head: in evaluation mode.
    """
    head = deepcopy(head)
    for block in head.modules():
        if isinstance(block, ConvBlock):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return head


def enlarge(features: torch.Tensor) -> torch.Tensor:
    """Double height and width, bilinearly."""
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


@torch.no_grad()
def describe_colors(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Say what the known pixels nearby suggest for each pixel: a foreground F, a background B, and the alpha between them.

    The alpha is the place of the pixel's color I on the line from B to F, (I - B) . (F - B) / |F - B|^2, as in the sampling
    methods (Wang and Cohen, Optimized Color Sampling for Robust Matting, CVPR 2007, equation 2); it tends to 0
    where F and B are nearly one color. Known are pixels of more than 0.7 foreground or background, the surer the more.

    Args:
        image: (B, 3, h, w) float32 in [0, 1].
        probabilities: (B, 3, h, w) soft trimap.

    Returns:
        (B, 7, h, w) float32: F - I and B - I in [-1, 1], and that alpha in [0, 1].
    """
    known = ((probabilities[:, :2] - 0.7) / 0.3).clamp(0, 1)
    small = [max(1, length // 4) for length in image.shape[-2:]]  # spread colors are smooth
    background, foreground = (
        resize(spread_colors(resize(image * weight, small), resize(weight, small)), image.shape[-2:])
        for weight in known.split(1, dim=1)
    )
    line = foreground - background
    place = ((image - background) * line).sum(1, keepdim=True) / (line.square().sum(1, keepdim=True) + 1e-3)
    return torch.cat([foreground - image, background - image, place.clamp(0, 1)], dim=1)


def spread_colors(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Spread the colors of weighty pixels over the others, by pull-push (Gortler et al., The Lumigraph, SIGGRAPH 1996).

    Args:
        weighted: (B, C, h, w), color times weight.
        weight: (B, 1, h, w) in [0, 1].

    Returns:
        (B, C, h, w): a pixel's own color as far as it has weight, else a mean of those around it, nearer ones first; 0.5 where
        there is none at all.

    >>> spread_colors(torch.tensor([[[[0.8, 0.0, 0.0, 0.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])).round(decimals=2)
    tensor([[[[0.8000, 0.8000, 0.8000, 0.8000]]]])
    """
    if max(weight.shape[-2:]) == 1:
        return weighted + (1 - weight) * 0.5
    halves = functional.avg_pool2d(torch.cat([weighted, weight], dim=1), 2, ceil_mode=True, count_include_pad=False)
    gain = (4 * halves[:, -1:]).clamp(max=1) / halves[:, -1:].clamp(min=1e-6)  # one known pixel of four is enough
    coarse = spread_colors(halves[:, :-1] * gain, halves[:, -1:] * gain)
    return weighted + (1 - weight) * resize(coarse, weight.shape[-2:])


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
