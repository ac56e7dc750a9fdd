"""Touch-up: strokes painted over a photograph, and the soft trimap they make, for the matting to look at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch

from shm.compositing import parse_color
from shm.filters import resize
from shm.matte import check

BRUSHES: Mapping[str, str] = MappingProxyType({"remove": "#ef4444", "keep": "#22c55e", "unknown": "#facc15"})
"""Color of each brush; their order is that of background, person and unknown in a soft trimap."""


def read_strokes(layers: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Return what was painted: each opaque pixel is the brush of the nearest color.

    Args:
        layers: (1, 4, h, w) uint8 RGBA each, later ones on top.
        size: (h, w) of the layers.

    Returns:
        (1, 1, h, w) uint8: 0 where nothing was painted, else 1 + the place in `BRUSHES`.

    Raises:
        ValueError: a layer of another size.

    >>> green = torch.tensor([34, 197, 94, 255], dtype=torch.uint8).view(1, 4, 1, 1)
    >>> read_strokes([green], (1, 1)).item()
    2
    """
    colors = torch.cat([parse_color(color) for color in BRUSHES.values()])
    strokes = torch.zeros(1, 1, *size, dtype=torch.uint8)
    for layer in layers:
        if tuple(layer.shape) != (1, 4, *size):
            raise ValueError(f"layers: expected shape {(1, 4, *size)}, got {tuple(layer.shape)}")
        pixels = check("layers", layer, 4)
        distances = (pixels[:, :3] - colors).square().sum(1, keepdim=True)
        strokes = torch.where(pixels[:, 3:] > 0.5, 1 + distances.argmin(0, keepdim=True).to(torch.uint8), strokes)
    return strokes


def merge_strokes(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return two maps of strokes (1, 1, h, w) as one, the later on top.

    >>> merge_strokes(torch.tensor([1, 1, 0]), torch.tensor([0, 2, 3]))
    tensor([1, 2, 3])
    """
    return torch.where(after > 0, after, before)


def paint_probabilities(probabilities: torch.Tensor, strokes: torch.Tensor) -> torch.Tensor:
    """Return a soft trimap that says with certainty what was painted.

    Args:
        probabilities: (1, 3, h, w) soft trimap: background, person, unknown.
        strokes: (1, 1, H, W), from `read_strokes`.

    Returns:
        (1, 3, H, W) float32 at the size of the strokes.

    Raises:
        ValueError: shapes or values that are not as above.
    """
    if strokes.ndim != 4 or tuple(strokes.shape[:2]) != (1, 1):
        raise ValueError(f"strokes: expected shape (1, 1, H, W), got {tuple(strokes.shape)}")
    enlarged = resize(check("probabilities", probabilities, 3), tuple(strokes.shape[-2:]))
    painted = torch.cat([strokes == brush for brush in range(1, 1 + len(BRUSHES))], dim=1).float()
    return torch.where(strokes > 0, painted, enlarged)
