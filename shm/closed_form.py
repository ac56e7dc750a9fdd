"""Closed form: alpha made to follow the colors of the photograph where it is not certain, by the matting Laplacian.

Source: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, TPAMI 2008; applied without being built, by box
filters, as in He, Sun and Tang, Fast Matting Using Large Kernel Matting Laplacian Matrices, CVPR 2010.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from shm.filters import find_band, guided_fit
from shm.matte import check

KNOWN = 10.0
"""Weight that holds certain pixels at their alpha."""


def solve_alpha(
    image: torch.Tensor,
    alpha: torch.Tensor,
    *,
    radius: int = 3,
    epsilon: float = 1e-6,
    trust: float = 3e-3,
    steps: int = 10,
) -> torch.Tensor:
    """Find the alpha that is nearly linear in color within every window, yet near the one given: (L + D) A = D A0.

    L = 1 - G, where G is the guided filter of A by the image: what is left of A once each window's best line through its colors is
    taken away. D trusts A0 the more the nearer it is to 0 or 1.

    Args:
        image, alpha: (B, 3, h, w) and (B, 1, h, w) = A0, both in [0, 1].
        radius: of the windows, in pixels.
        epsilon: regularization of the lines; larger follows the colors less.
        trust: weight of A0; larger changes it less.
        steps: of the solver.

    Returns:
        (B, 1, h, w) float32 in [0, 1]; certain pixels keep their alpha.

    Raises:
        TypeError, ValueError: another type, shape or range.

    >>> ramp = torch.linspace(0, 1, 9).view(1, 1, 1, 9)
    >>> rough = ramp + 0.1 * torch.tensor([0, 1, -1, 1, -1, 1, -1, 1, 0])
    >>> bool((solve_alpha(ramp.expand(1, 3, 1, 9), rough) - ramp).abs().max() < 0.05)
    True
    """
    image, alpha = check("image", image, channels=3), check("alpha", alpha, channels=1)
    if image.shape[-2:] != alpha.shape[-2:]:
        raise ValueError(f"alpha: expected the image's size {tuple(image.shape[-2:])}, got {tuple(alpha.shape[-2:])}")
    band = find_band(alpha, 1)
    if not band.any():
        return alpha
    box = find_box(band, 2 * radius)
    guide, prior, band = (tensor[..., box[0], box[1]] for tensor in (image - 0.5, alpha, band))  # small numbers keep more digits
    fit, weight = guided_fit(guide, radius, epsilon), torch.where(band, trust * (0.1 + 10 * (2 * prior - 1) ** 4), KNOWN)

    def multiply(vector: torch.Tensor) -> torch.Tensor:
        slope, offset = fit(vector)
        return (1 + weight) * vector - (slope * guide).sum(1, keepdim=True) - offset

    solved = descend(multiply, weight * prior, prior, 1 + weight, steps)
    result = alpha.clone()
    result[..., box[0], box[1]] = torch.where(band, solved.clamp(0, 1), prior)
    return result


def descend(
    multiply: Callable[[torch.Tensor], torch.Tensor], target: torch.Tensor, start: torch.Tensor, scale: torch.Tensor, steps: int
) -> torch.Tensor:
    """Solve multiply(x) = target from a start by preconditioned conjugate gradients (Hestenes and Stiefel, 1952).

    Args:
        multiply: by a symmetric positive matrix.
        target, start: (B, 1, H, W).
        scale: (B, 1, H, W), about the matrix's diagonal.
        steps: how many to take.
    """
    solution, residual = start.clone(), target - multiply(start)
    direction = residual / scale
    energy = dot(residual, direction)
    for _ in range(steps):
        product = multiply(direction)
        length = energy / dot(direction, product).clamp(min=1e-20)
        solution += length * direction
        residual -= length * product
        scaled = residual / scale
        before, energy = energy, dot(residual, scaled)
        direction = scaled + energy / before.clamp(min=1e-20) * direction
    return solution


def dot(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the sum of products of each picture of two batches, (B, 1, 1, 1)."""
    return (first * second).sum(dim=(1, 2, 3), keepdim=True)


def find_box(band: torch.Tensor, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest box that holds all of a (B, 1, H, W) bool band, and a margin around it."""
    found = [torch.nonzero(band.flatten(0, 1).any(dim=0).any(dim=other)) for other in (1, 0)]
    return tuple(slice(max(0, int(places.min()) - margin), int(places.max()) + 1 + margin) for places in found)
