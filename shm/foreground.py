"""Foreground: the people's own color wherever the old background shows through them."""

from __future__ import annotations

import torch
from torch.nn import functional

from shm.filters import enlarge_part, find_band, resize, resize_image, split_tiles
from shm.matte import check, to_depth

SMOOTHNESS = 1e-4  # weight between neighbors of equal alpha; from 1e-5 to 1e-3 nothing changes
GRADIENT_WEIGHT = 0.3  # further weight per difference of alpha: less follows F more closely, more forgives a wrong alpha
REACH = 8  # how far from soft pixels F is found, in pixels of the working size, so that an edge may still be moved
ITERATIONS = 6  # at each level; with the over-relaxation below, more change nothing


def estimate_foreground(
    image: torch.Tensor,
    alpha: torch.Tensor,
    *,
    detail: torch.Tensor | None = None,
    side: int = 1024,
    foreground_weight: float = 3.0,
) -> torch.Tensor:
    """Find the foreground color F that, with some background B, explains the photograph: I = A·F + (1 − A)·B.

    Minimizes, per color channel, the sum over pixels i and their four neighbors j of

        (A·F + (1 − A)·B − I)² + wᵢⱼ·(λ·(Fᵢ − Fⱼ)² + (Bᵢ − Bⱼ)²),  wᵢⱼ = 0.0001 + 0.3·|Aᵢ − Aⱼ|

    from one pixel up to the working size (Germer et al., Fast Multi-Level Foreground Estimation, ICPR 2020; there λ = 1). At
    full size, the enlarged F and B then move the least distance that satisfies the equation.

    Args:
        image: (B, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (B, 1, H, W).
        detail: (B, 3, h, w) float32, the image at the working size, where the caller has it already.
        side: longer side of the working size otherwise, at most, in pixels.
        foreground_weight: λ, how much smoother F is than B: what neither explains goes to B, so that no halo is left.

    Returns:
        (B, 3, H, W) in the image's type: the image itself where A = 1 and far from people; they continue smoothly where A = 0.

    Raises:
        ValueError: the sizes differ, or values outside [0, 1].

    >>> image = torch.tensor([[[[240, 240, 240, 140, 40, 40, 40]]]], dtype=torch.uint8).expand(1, 3, 1, 7)
    >>> alpha = torch.tensor([[[[1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0]]]])
    >>> estimate_foreground(image, alpha)[0, 0, 0, :4]
    tensor([240, 240, 240, 239], dtype=torch.uint8)
    """
    size = tuple(image.shape[-2:])
    if tuple(alpha.shape[-2:]) != size:
        raise ValueError(f"alpha: expected the image's size {size}, got {tuple(alpha.shape[-2:])}")
    if detail is None:
        scale = min(1.0, side / max(size))
        detail = resize_image(image, tuple(max(1, round(length * scale)) for length in size))
    small_alpha = resize(check("alpha", alpha, 1), tuple(detail.shape[-2:]))
    colors = _solve(detail, small_alpha, foreground_weight)
    result = image.clone()
    for rows, columns in split_tiles(_find_soft(small_alpha), size):
        part, cover = check("image", image[..., rows, columns], 3), alpha[..., rows, columns].to(torch.float32)
        explained = _explain(part, cover, enlarge_part(colors, size, rows, columns), foreground_weight)[:, :3]
        result[..., rows, columns] = to_depth(torch.where(cover == 1, part, explained), image.dtype)
    return result


def _find_soft(alpha: torch.Tensor) -> torch.Tensor:
    """Return where F is to be found, (1, 1, h, w) bool: wherever alpha or an edge is soft in any photograph, and around it."""
    return find_band(alpha, REACH, certain=1e-3).any(dim=0, keepdim=True)


def _solve(image: torch.Tensor, alpha: torch.Tensor, foreground_weight: float) -> torch.Tensor:
    """Return F and B, stacked as (B, 6, h, w), solved from one pixel up to the size of the image, tile by tile near the band."""
    sizes = [tuple(image.shape[-2:])]
    while max(sizes[-1]) > 1:
        sizes.append(tuple((length + 1) // 2 for length in sizes[-1]))
    colors = resize(image, sizes[-1]).repeat(1, 2, 1, 1)
    for size in reversed(sizes):
        level_image, level_alpha, colors = resize(image, size), resize(alpha, size), resize(colors, size)
        solved = colors.clone()
        for tile in split_tiles(_find_soft(level_alpha), size, side=128):
            outer = [slice(max(0, part.start - ITERATIONS), part.stop + ITERATIONS) for part in tile]  # as far as a step is felt
            inner = [slice(part.start - around.start, part.stop - around.start) for part, around in zip(tile, outer)]
            halo = (..., *outer)
            found = _relax(level_image[halo], level_alpha[halo], colors[halo], foreground_weight)
            solved[(..., *tile)] = found[(..., *inner)]
        colors = solved
    return colors.clamp(0, 1)


def _relax(image: torch.Tensor, alpha: torch.Tensor, colors: torch.Tensor, foreground_weight: float) -> torch.Tensor:
    """Take the steps of one level from the F and B of the level below."""
    weights = [SMOOTHNESS + GRADIENT_WEIGHT * (near - alpha).abs() for near in _neighbors(alpha)]
    total = sum(weights)
    weights = [weight / total for weight in weights]
    previous = colors
    for factor in _chebyshev_factors(ITERATIONS):
        mean = sum(weight * near for weight, near in zip(weights, _neighbors(colors), strict=True))
        target = _explain(image, alpha, mean, foreground_weight, total)
        previous, colors = colors, torch.lerp(previous, target, factor)
    return colors


def _explain(
    image: torch.Tensor,
    alpha: torch.Tensor,
    colors: torch.Tensor,
    foreground_weight: float,
    stiffness: torch.Tensor | float = 1e-6,
) -> torch.Tensor:
    """Minimize (A·F + (1 − A)·B − I)² + stiffness·(λ·(F − F₀)² + (B − B₀)²) around the given F₀ and B₀, clipped to [0, 1]."""
    foreground, background = colors.chunk(2, dim=1)
    error = image - alpha * foreground - (1 - alpha) * background
    ease = alpha / foreground_weight
    step = error / (alpha * ease + (1 - alpha).square() + stiffness)
    return torch.cat([foreground + ease * step, background + (1 - alpha) * step], dim=1).clamp_(0, 1)


def _neighbors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return what lies above, below, left and right of each pixel; at the border, the pixel itself."""
    padded = functional.pad(tensor, (1, 1, 1, 1), mode="replicate")
    return [padded[..., :-2, 1:-1], padded[..., 2:, 1:-1], padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]]


def _chebyshev_factors(count: int, radius: float = 0.98) -> list[float]:
    """Over-relaxation of each Jacobi step, for a spectrum in ±radius (Golub and Varga, Numerische Mathematik 3, 1961)."""
    factors = [1.0, 1 / (1 - radius**2 / 2)]
    while len(factors) < count:
        factors.append(1 / (1 - radius**2 * factors[-1] / 4))
    return factors[:count]
