"""Soft trimaps: what is certainly background, certainly foreground, and unknown.

A soft trimap is (B, 3, h, w), the probabilities (B_s, F_s, U_s) of Chen et al., Semantic Human Matting, ACM MM 2018, in the
order background, foreground, unknown; they sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage

from shm.filters import box_mean, dilate, enlarge_part, erode, resize, split_rows
from shm.matte import check

SOMETHING, SURE = 0.1, 0.75
"""How probably not background the pixels of a region are, and how probably a person one of them has to be."""

UNKNOWN = "unknown"
"""Name of the class by which a semantic model of our own marks the pixels it leaves to the matting head."""


def soft_trimap(
    probabilities: torch.Tensor,
    class_names: Sequence[str],
    human_labels: Sequence[str],
    *,
    band_fraction: float = 0.02,
) -> torch.Tensor:
    """Turn the class probabilities of any semantic model into a soft trimap.

    A model with a class "unknown" has said it all: F_s is the sum of its human classes, and strays are dropped (`drop_strays`).
    From any other model only p = P(person) is known: U_s = 4 q (1 - q), where q is the value nearest to 1/2 between the smallest
    and the largest p of a neighborhood, since networks are too sure of themselves beside an edge; F_s = p (1 - U_s), B_s = (1 - p)(1 - U_s).

    Args:
        probabilities: (B, K, h, w) in [0, 1], sums to 1 over the classes.
        class_names: the K names.
        human_labels: those that are a person.
        band_fraction: how far uncertainty spreads, as a fraction of the longer side.

    Returns:
        (B, 3, h, w) float32: background, foreground, unknown.

    Raises:
        ValueError: the number of names is not K, or a human label is not among them.

    >>> pixel = torch.tensor([0.1, 0.8, 0.1]).view(1, 3, 1, 1)
    >>> soft_trimap(pixel, ("background", "person", "unknown"), ("person",)).flatten()
    tensor([0.1000, 0.8000, 0.1000])
    """
    probabilities = check("probabilities", probabilities, channels=len(class_names))
    strangers = [name for name in human_labels if name not in class_names]
    if strangers:
        raise ValueError(f"human_labels: expected names among {', '.join(class_names)}, got {', '.join(strangers)}")
    human = torch.tensor([name in human_labels for name in class_names])
    marked = torch.tensor([name == UNKNOWN for name in class_names])
    background, person, unknown = (
        probabilities[:, chosen].sum(1, keepdim=True).clamp(max=1) for chosen in (~(human | marked), human, marked)
    )
    if UNKNOWN in class_names:
        return drop_strays(torch.cat([background, person, unknown], dim=1))
    radius = max(1, round(band_fraction * max(person.shape[-2:])))
    least_sure = dilate(person, radius).clamp(max=0.5).maximum(erode(person, radius))
    unknown = box_mean(4 * least_sure * (1 - least_sure), radius // 2).clamp(0, 1)
    return torch.cat([(1 - person) * (1 - unknown), person * (1 - unknown), unknown], dim=1)


def trimap_from_alpha(alpha: torch.Tensor, *, radius: int) -> torch.Tensor:
    """Return the trimap that a true alpha has: unknown wherever a partly opaque pixel or an edge is near.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        radius: how far unknown reaches from there, in pixels.

    Returns:
        (B, 3, H, W) float32, one of background, foreground, unknown is 1.

    >>> trimap_from_alpha(torch.tensor([[[[0.0, 0.0, 0.5, 1.0, 1.0]]]]), radius=1)[0, :, 0]
    tensor([[1., 0., 0., 0., 0.],
            [0., 0., 0., 0., 1.],
            [0., 1., 1., 1., 0.]])
    """
    alpha = check("alpha", alpha, channels=1)
    background = 1 - dilate((alpha > 0).float(), radius)
    foreground = erode((alpha >= 1).float(), radius)
    return torch.cat([background, foreground, 1 - background - foreground], dim=1)


def drop_strays(trimap: torch.Tensor) -> torch.Tensor:
    """Make background of every region in which no pixel is sure to be a person: branches that look like hair, but are nobody's.

    Unknown is the edge of a person; where there is no person it is the edge of nothing.

    Args:
        trimap: (B, 3, h, w), soft.

    Returns:
        (B, 3, h, w) float32.

    >>> person, unknown = torch.tensor([1.0, 0.2, 0.0, 0.2, 0.0]), torch.tensor([0.0, 0.8, 0.0, 0.8, 0.4])
    >>> drop_strays(torch.stack([1 - person - unknown, person, unknown]).view(1, 3, 1, 5))[0, 2, 0]
    tensor([0.0000, 0.8000, 0.0000, 0.0000, 0.0000])
    """
    dropped = []
    for background, person in zip(trimap[:, 0].cpu().numpy(), trimap[:, 1].cpu().numpy()):
        regions, count = ndimage.label(background < 1 - SOMETHING)
        stray = np.full(count + 1, True)
        stray[regions[person >= SURE]] = stray[0] = False  # the region of number 0 is all that is background already
        dropped.append(torch.from_numpy(stray[regions]))
    nobody = trimap.new_tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    return torch.where(torch.stack(dropped)[:, None].to(trimap.device), nobody, trimap)


def hard_trimap(probabilities: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the likeliest of the three, drawn as the field draws it: 0 background, 0.5 unknown, 1 foreground.

    Args:
        probabilities: (B, 3, h, w) soft trimap.
        size: (H, W) of the result, in pixels.

    Returns:
        (B, 1, H, W) float32 with values 0, 0.5 (128 in a file of 8 bit) and 1.
    """
    probabilities = check("probabilities", probabilities, channels=3)
    probabilities = resize(probabilities, tuple(map(min, size, probabilities.shape[-2:])))  # the strips below only enlarge
    values = torch.tensor([0.0, 1.0, 0.5], device=probabilities.device)
    result = probabilities.new_empty(probabilities.shape[0], 1, *size)
    for rows in split_rows(*size):
        result[..., rows, :] = values[enlarge_part(probabilities, size, rows).max(dim=1, keepdim=True).indices]
    return result
