"""Pictures for people to look at: the label map over the photograph, its legend, reduced copies for a screen."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from shm.filters import resize_image
from shm.matte import check, to_depth

GOLDEN_RATIO = 0.618034
"""Steps of this share of the color wheel never come back near a color that was used before."""


@dataclass(frozen=True)
class LegendEntry:
    """One class that a label map shows.

    Attributes:
        name: of the class.
        color: "#rrggbb", as `color_labels` paints it.
        share: of the pixels, in [0, 1].
    """

    name: str
    color: str
    share: float


def class_color(label: int) -> tuple[int, int, int]:
    """Return the color of a class, always the same: slate for label 0, which is mostly background, vivid for the others.

    Returns:
        red, green, blue, 0 to 255.

    >>> class_color(0), class_color(1)
    ((71, 85, 105), (36, 168, 224))
    """
    if label == 0:
        return 71, 85, 105
    hue = (0.55 + (label - 1) * GOLDEN_RATIO) % 1.0
    red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(hue, 0.84, 0.88))
    return red, green, blue


def color_labels(image: torch.Tensor, labels: torch.Tensor, *, opacity: float = 0.6) -> torch.Tensor:
    """Paint each class over the photograph in its own color: opacity·color + (1 − opacity)·image.

    Args:
        image: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        labels: (1, 1, h, w) integer class map, enlarged without mixing classes.
        opacity: of the paint, in [0, 1].

    Returns:
        (1, 3, H, W) uint8.

    Raises:
        ValueError: an opacity or a shape that is not as above.

    >>> image = torch.zeros(1, 3, 1, 2)
    >>> color_labels(image, torch.tensor([[[[0, 1]]]]), opacity=1.0)[0, :, 0]
    tensor([[ 71,  36],
            [ 85, 168],
            [105, 224]], dtype=torch.uint8)
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: expected 0 .. 1, got {opacity}")
    if labels.ndim != 4 or tuple(labels.shape[:2]) != (1, 1):
        raise ValueError(f"labels: expected shape (1, 1, h, w), got {tuple(labels.shape)}")
    image = check("image", image, channels=3)
    colors = torch.tensor([class_color(label) for label in range(int(labels.max()) + 1)], dtype=torch.float32) / 255
    labels = functional.interpolate(labels.float(), size=image.shape[-2:], mode="nearest-exact").long()
    paint = colors[labels[0, 0]].permute(2, 0, 1)[None]
    return to_depth(torch.lerp(image, paint, opacity), torch.uint8)


def legend(labels: torch.Tensor, class_names: Sequence[str]) -> list[LegendEntry]:
    """Return the classes that a label map shows, the largest first.

    Args:
        labels: integer class map, any shape.
        class_names: name of each label.

    Raises:
        ValueError: a label without a name.

    >>> [(entry.name, entry.share) for entry in legend(torch.tensor([1, 1, 1, 0]), ("background", "person"))]
    [('person', 0.75), ('background', 0.25)]
    """
    counts = labels.flatten().bincount()
    if len(counts) > len(class_names):
        raise ValueError(f"class_names: expected a name for label {len(counts) - 1}, got {len(class_names)} names")
    shares = counts.float() / counts.sum()
    entries = [
        LegendEntry(class_names[label], "#{:02x}{:02x}{:02x}".format(*class_color(label)), shares[label].item())
        for label in counts.argsort(descending=True, stable=True).tolist()
    ]
    return [entry for entry in entries if entry.share > 0]


def shrink(tensor: torch.Tensor, *, side: int) -> torch.Tensor:
    """Return a copy for a screen, its longer side at most `side` pixels; smaller pictures keep their size.

    Args:
        tensor: (B, C, H, W) floats in [0, 1], uint8 or uint16.
        side: in pixels.

    Returns:
        (B, C, h, w) in the tensor's type.

    >>> shrink(torch.zeros(1, 3, 300, 400), side=100).shape
    torch.Size([1, 3, 75, 100])
    """
    if side < 1:
        raise ValueError(f"side: expected at least 1 pixel, got {side}")
    scale = side / max(tensor.shape[-2:])
    if scale >= 1:
        return tensor
    size = tuple(max(1, round(length * scale)) for length in tensor.shape[-2:])
    return to_depth(resize_image(tensor, size, name="tensor"), tensor.dtype)
