"""Working-size alpha -> full-size alpha: a small network looks at the native pixels wherever alpha is not yet certain.

Only uncertain tiles are seen at their full resolution, as in Lin, Ryabtsev, Sengupta, Curless, Seitz and Kemelmacher-Shlizerman,
Real-Time High-Resolution Background Matting (CVPR 2021); here one network enlarges alpha by two at most, as often as needed.
"""

# Annotations stay evaluated here: the hub mixin reads RefinerConfig out of the signature.
from collections.abc import Callable
from dataclasses import dataclass

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn
from torch.nn import functional

from shm.filters import enlarge_part, find_band, resize, resize_image, split_rows, split_tiles, spread_colors
from shm.matte import check
from shm.networks import load_network

INPUTS = 3 * 4 + 4 + 6 + 4
"""Channels that a refiner reads at half size: four pixels of image and alpha each, F and B, and four alphas between them."""

COLORS_SIDE = 256
"""Longer side, in pixels, at which the known colors are spread; they are smooth."""


@dataclass(frozen=True)
class RefinerConfig:
    """Shape of a refiner.

    Attributes:
        channels: feature channels.
        layers: convolutions before the last one.
    """

    channels: int = 24
    layers: int = 3

    def __post_init__(self) -> None:
        if min(self.channels, self.layers) < 1:
            raise ValueError(f"RefinerConfig: expected positive numbers, got {self}")


class Refiner(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="semantic-human-matting",
    tags=["image-matting", "portrait"],
    license="apache-2.0",
):
    """Makes an enlarged alpha as sharp as the photograph.

    Four neighboring pixels are one place of four times the channels (Shi et al., Real-Time Single Image and Video Super-Resolution
    Using an Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016). Beside photograph and alpha it is told the foreground F
    and the background B that are known nearby, and where the pixel's color lies between them.

    Args:
        config: its shape.
    """

    def __init__(self, config: RefinerConfig = RefinerConfig()) -> None:
        super().__init__()
        self.config = config
        widths = [INPUTS] + [config.channels] * config.layers
        self.layers = nn.ModuleList(nn.Conv2d(above, below, 3, padding=1) for above, below in zip(widths[:-1], widths[1:]))
        self.last = nn.Conv2d(config.channels, 4, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # a refiner that has learnt nothing changes nothing
        nn.init.zeros_(self.last.bias)

    @classmethod
    def load(cls, source: str) -> "Refiner":
        """Open a refiner, in evaluation mode on the CPU in float32; a folder and a hub repository alike.

        Raises:
            CheckpointError: as `shm.networks.load_network`.
        """
        return load_network(lambda **config: cls(RefinerConfig(**config)), source)

    @property
    def reach(self) -> int:
        """How far a pixel of the input is felt, in pixels; even."""
        return 2 * (self.config.layers + 2)

    def forward(self, image: torch.Tensor, alpha: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
        """Return alpha with the detail of the image.

        Args:
            image: (B, 3, h, w) float32 in [0, 1], h and w even.
            alpha: (B, 1, h, w) float32 in [0, 1], enlarged from about half the size.
            colors: (B, 6, h / 2, w / 2) float32, F and B as `find_colors` gives them.

        Returns:
            (B, 1, h, w) float32 in [0, 1].
        """
        pixels = functional.pixel_unshuffle(image, 2).unflatten(1, (3, 4))
        foreground, background = (color.unsqueeze(2) for color in colors.split(3, dim=1))
        line = foreground - background
        place = ((pixels - background) * line).sum(1) / (line.square().sum(1) + 1e-3)
        stacked = (pixels.flatten(1, 2) - 0.5, functional.pixel_unshuffle(alpha, 2), colors - 0.5, place.clamp(0, 1))
        features = torch.cat(stacked, dim=1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            features = functional.relu(layer(features))
        return (alpha + functional.pixel_shuffle(self.last(features), 2).float()).clamp(0, 1)


def find_colors(image: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return the foreground and the background that are known nearby.

    Args:
        image: (B, 3, h, w) float32 in [0, 1].
        alpha: (B, 1, h, w) float32 in [0, 1]; what is within 0.05 of 0 or 1 counts as known.

    Returns:
        (B, 6, h', w') float32, F and B, no larger than `COLORS_SIDE`.
    """
    scale = min(1.0, COLORS_SIDE / max(alpha.shape[-2:]))
    small = tuple(max(1, round(length * scale)) for length in alpha.shape[-2:])
    weights = [((alpha - 0.95) / 0.05).clamp(0, 1), ((0.05 - alpha) / 0.05).clamp(0, 1)]
    return torch.cat([spread_colors(resize(image * weight, small), resize(weight, small)) for weight in weights], dim=1)


def refine_alpha(
    image: torch.Tensor,
    alpha: torch.Tensor,
    refiner: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    detail: torch.Tensor | None = None,
    side: int = 256,
    reach: int = 10,
) -> tuple[torch.Tensor, float]:
    """Bring alpha to the photograph's own size, doubling it again and again; where it is uncertain, a refiner adds the detail.

    Args:
        image: (1, 3, H, W), floats in [0, 1] or integers.
        alpha: (1, 1, h, w) in [0, 1], no larger than the image.
        refiner: a `Refiner`, or what takes and returns the same.
        detail: (1, 3, h, w) float32, the image at alpha's size, where the caller has it already.
        side: of the tiles, in pixels; even.
        reach: how far the refiner looks, in pixels; even.

    Returns:
        alpha (1, 1, H, W) float32 in [0, 1], and the share of its pixels that were refined: 1 where it already has that size.

    Raises:
        TypeError, ValueError: another type, shape or range.
    """
    alpha = check("alpha", alpha, channels=1)
    height, width = tuple(image.shape[-2:])
    if image.shape[1] != 3:
        raise ValueError(f"image: expected shape (1, 3, H, W), got {tuple(image.shape)}")
    if alpha.shape[-2:] == image.shape[-2:]:
        return alpha, 1.0
    detail = resize_image(image, tuple(alpha.shape[-2:])) if detail is None else detail
    colors = find_colors(detail, alpha)
    steps = 0
    while max(height, width) / 2 ** (steps + 1) > max(alpha.shape[-2:]):
        steps += 1
    refined = 0
    for step in reversed(range(steps + 1)):
        alpha, refined = _double(image, alpha, colors, refiner, block=2**step, side=side, reach=reach)
    return alpha, refined / (height * width)


def _double(
    image: torch.Tensor,
    alpha: torch.Tensor,
    colors: torch.Tensor,
    refiner: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    block: int,
    side: int,
    reach: int,
) -> tuple[torch.Tensor, int]:
    """Return alpha at 1 / block of the photograph's size, and how many of the photograph's pixels the refiner changed."""
    size = tuple(-(-length // block) for length in image.shape[-2:])
    band = find_band(alpha, 1)
    full, refined = alpha.new_empty(1, 1, *size), 0
    for rows in split_rows(*size):
        full[..., rows, :] = enlarge_part(alpha, size, rows)
    for tile in split_tiles(band, size, side=side):
        outer = [slice(max(0, part.start - reach), min(length, part.stop + reach)) for part, length in zip(tile, size)]
        inner = [slice(part.start - around.start, part.stop - around.start) for part, around in zip(tile, outer)]
        planes = torch.cat([_shrink_part(image, outer, block), enlarge_part(alpha, size, *outer)], dim=1)
        bottom, right = (length % 2 for length in planes.shape[-2:])
        planes = functional.pad(planes, (0, right, 0, bottom), mode="replicate")
        halves = [slice(part.start // 2, part.start // 2 + length // 2) for part, length in zip(outer, planes.shape[-2:])]
        nearby = enlarge_part(colors, tuple(-(-length // 2) for length in size), *halves)
        sharp = refiner(planes[:, :3], planes[:, 3:], nearby)[(..., *inner)]
        inside = enlarge_part(band.float(), size, *tile) > 0
        part = (..., *tile)
        full[part] = torch.where(inside, sharp, full[part])
        refined += int(inside.sum()) * block**2
    return full, refined


def _shrink_part(image: torch.Tensor, part: list[slice], block: int) -> torch.Tensor:
    """Return a part of the image at 1 / block of its size, (1, 3, h, w) float32, averaging squares of pixels."""
    native = [slice(span.start * block, span.stop * block) for span in part]
    pixels = check("image", image[(..., *native)], channels=3)
    return functional.avg_pool2d(pixels, block, ceil_mode=True, count_include_pad=False) if block > 1 else pixels
