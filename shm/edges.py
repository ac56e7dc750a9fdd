"""Edges: moves, softens and tidies the alpha of a whole photograph; nothing here runs a network.

Only tiles that an edge runs through are worked on, one after the other: the rest of an alpha, near 0 or 1, stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from shm.filters import gaussian_blur
from shm.matte import check, check_range

SHIFT_LIMIT = 10.0  # pixels: beyond, hands close up and hair is a helmet
FEATHER_LIMIT = 30.0  # pixels: at 12 megapixels wider ones take seconds
TILE_SIDE = 256  # pixels: small enough for a processor's cache
FLAT = 0.002  # half a step of 8 bits: networks rarely say exactly 0 or 1, and what varies less holds no edge
PART_SIDE = 1024  # cells along the longer side of the grid on which parts are told apart
VISIBLE = 0.05  # a bridge between two parts that is less opaque than this does not connect them


def shift_edge(alpha: torch.Tensor, pixels: float) -> torch.Tensor:
    """Move the edge outwards or inwards: every level set of alpha by the same distance, so that soft edges stay as soft.

    A'(x) = max of A over the disc of radius r around x where the edge moves outwards, min where inwards: gray-value dilation
    and erosion (Serra, Image Analysis and Mathematical Morphology, 1982). Between whole radii the two results are mixed,
    which moves a straight ramp by exactly the fraction. Strands thinner than 2·r vanish as the edge moves inwards.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        pixels: distance, -10 to 10; positive makes people larger, 0 changes nothing.

    Returns:
        (B, 1, H, W) float32. Nothing enters from outside: a person whom the frame cuts off stays so.

    Raises:
        ValueError: another distance, or not an alpha.

    >>> shift_edge(torch.tensor([[[[0.0, 0.0, 0.4, 0.8, 1.0]]]]), 0.5)
    tensor([[[[0.0000, 0.2000, 0.6000, 0.9000, 1.0000]]]])
    """
    alpha = check("alpha", alpha, 1)
    check_range("pixels", pixels, -SHIFT_LIMIT, SHIFT_LIMIT)
    if pixels == 0:
        return alpha
    halo = math.ceil(abs(pixels))
    if pixels > 0:
        return _map_edge_tiles(alpha, lambda tile: _dilate_disc(tile, pixels), halo)
    return _map_edge_tiles(alpha, lambda tile: -_dilate_disc(-tile, -pixels), halo)


def feather(alpha: torch.Tensor, radius: float) -> torch.Tensor:
    """Soften the edge: A' = G ∗ A with a Gaussian G of standard deviation radius / 2; 95% of it lies within the radius.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        radius: in pixels, 0 to 30; 0 changes nothing.

    Returns:
        (B, 1, H, W) float32; where the frame cuts a person off, no edge appears.

    Raises:
        ValueError: another radius, or not an alpha.

    >>> feather(torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]), 2.0).round(decimals=2)
    tensor([[[[0.0600, 0.3000, 0.7000, 0.9400]]]])
    """
    alpha = check("alpha", alpha, 1)
    check_range("radius", radius, 0, FEATHER_LIMIT, " pixels")
    if radius == 0:
        return alpha
    sigma, whole = radius / 2, 1 + 1e-6  # so that a blurred 1 is 1 again: the weights sum to it only as floats do
    return _map_edge_tiles(alpha, lambda tile: (whole * gaussian_blur(tile, sigma)).clamp(0, 1), math.ceil(3 * sigma))


def keep_connected(alpha: torch.Tensor, *, smallest_fraction: float = 0.05) -> torch.Tensor:
    """Drop the parts that hang together with no person: a part is a person where it is large beside the largest.

    Parts are the connected regions of alpha above 0.05, on a grid of at most 1024 cells a side that keeps the largest alpha
    of each cell, so that one strand of hair connects. What is fainter goes with the nearest part: soft edges stay whole.

    Args:
        alpha: (1, 1, H, W) in [0, 1].
        smallest_fraction: a part is kept if its alpha sums to at least this share of the largest part's; 0 keeps all.

    Returns:
        (1, 1, H, W) float32: the alpha where a kept part is nearest, 0 elsewhere.

    Raises:
        ValueError: a share outside [0, 1], more than one alpha, or not an alpha.

    >>> keep_connected(torch.tensor([[[[0.3, 1.0, 1.0, 0.2, 0.0, 0.08]]]]))
    tensor([[[[0.3000, 1.0000, 1.0000, 0.2000, 0.0000, 0.0000]]]])
    """
    alpha = check("alpha", alpha, 1)
    if alpha.shape[0] != 1:
        raise ValueError(f"alpha: expected shape (1, 1, H, W), got {tuple(alpha.shape)}")
    check_range("smallest_fraction", smallest_fraction, 0, 1)
    step = math.ceil(max(alpha.shape[-2:]) / PART_SIDE)
    largest = functional.max_pool2d(alpha, step, step, ceil_mode=True)[0, 0].numpy(force=True)
    opacity = functional.avg_pool2d(alpha, step, step, ceil_mode=True)[0, 0].numpy(force=True)
    parts, count = ndimage.label(largest > VISIBLE, structure=np.ones((3, 3)))
    if count < 2:
        return alpha
    sums = ndimage.sum_labels(opacity, parts, index=np.arange(count + 1))
    kept = sums >= smallest_fraction * sums[1:].max()
    if kept[1:].all():
        return alpha
    nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    cells = torch.from_numpy(kept[parts[tuple(nearest)]]).to(alpha.device, alpha.dtype)
    result = torch.zeros_like(alpha)
    for row in range(cells.shape[0]):
        rows = slice(row * step, (row + 1) * step)
        result[..., rows, :] = alpha[..., rows, :] * cells[row].repeat_interleave(step)[: alpha.shape[-1]]
    return result


def _map_edge_tiles(alpha: torch.Tensor, edit: Callable[[torch.Tensor], torch.Tensor], halo: int) -> torch.Tensor:
    """Apply an edit that sees `halo` pixels far, tile by tile; flat tiles, which it would keep, are left out."""
    result = alpha.clone()
    height, width = alpha.shape[-2:]
    for top in range(0, height, TILE_SIDE):
        for left in range(0, width, TILE_SIDE):
            bottom, right = min(top + TILE_SIDE, height), min(left + TILE_SIDE, width)
            above, before = max(0, top - halo), max(0, left - halo)
            tile = alpha[..., above : bottom + halo, before : right + halo]
            low, high = tile.aminmax()
            if high - low <= FLAT:
                continue
            edited = edit(tile)[..., top - above :, left - before :]
            result[..., top:bottom, left:right] = edited[..., : bottom - top, : right - left]
    return result


def _dilate_disc(tensor: torch.Tensor, radius: float) -> torch.Tensor:
    """Largest value within a disc; between two whole radii the results of both, mixed."""
    whole = int(radius)
    larger = _dilate_whole_disc(tensor, whole + 1) if radius > whole else tensor
    smaller = _dilate_whole_disc(tensor, whole)
    return torch.lerp(smaller, larger, radius - whole)


def _dilate_whole_disc(tensor: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value within a disc, as the largest of its rows, each dilated by half the disc's width there."""
    if radius == 0:
        return tensor
    height, width = tensor.shape[-2:]
    padded = functional.pad(tensor, (radius, radius, 0, 0), value=-math.inf)
    rows = [tensor]
    for reach in range(1, radius + 1):
        sides = padded[..., radius - reach :][..., :width], padded[..., radius + reach :][..., :width]
        rows.append(torch.maximum(rows[-1], torch.maximum(*sides)))
    result = rows[radius].clone()
    for shift in range(1, min(radius, height - 1) + 1):
        # 0.17 = (√2 − 1)²: at radius 1 this makes the octagon around the disc, so slanted edges move as far as upright ones
        reach = math.sqrt(radius**2 - shift**2 + 0.17)
        row = torch.lerp(rows[int(reach)], rows[min(radius, int(reach) + 1)], reach % 1)
        for here, there in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
            result[..., here, :] = torch.maximum(result[..., here, :], row[..., there, :])
    return result
