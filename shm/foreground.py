"""Foreground: the people's own color wherever the old background shows through them."""

from __future__ import annotations

import torch
from torch.nn import functional

from shm.filters import enlarge_part, find_band, limit_size, resize, resize_image, split_tiles
from shm.matte import check, to_depth

SMOOTHNESS = 1e-4  # weight between neighbors of equal alpha; from 1e-5 to 1e-3 nothing changes
GRADIENT_WEIGHT = 0.3  # further weight per difference of alpha: less follows F more closely, more forgives a wrong alpha
REACH = 8  # how far from soft pixels F is found, in pixels of the working size, so that an edge may still be moved
STEPS = 8  # at each level, half of the pixels in each
TILE = 256  # pixels a side at full size: twelve floats for each of its pixels stay in the processor's cache


def estimate_foreground(
    image: torch.Tensor,
    alpha: torch.Tensor,
    *,
    detail: torch.Tensor | None = None,
    side: int = 512,
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
        detail: (B, 3, h, w) float32, the image at a size between the two, where the caller has it already.
        side: longer side of the working size, at most, in pixels; with an alpha that is not exact, more gains nothing.
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
    small = limit_size(*size, side)
    small_alpha = resize(check("alpha", alpha, 1), small)
    colors = _solve(resize_image(image if detail is None else detail, small), small_alpha, foreground_weight)
    result = image.clone()
    band = _find_soft(small_alpha).any(dim=0, keepdim=True)
    for rows, columns in split_tiles(band, size, side=TILE):
        part, cover = check("image", image[..., rows, columns], 3), alpha[..., rows, columns].to(torch.float32)
        foreground = _explain(part, cover, enlarge_part(colors, size, rows, columns), foreground_weight)
        result[..., rows, columns] = to_depth(foreground, image.dtype)
    return result


def _find_soft(alpha: torch.Tensor) -> torch.Tensor:
    """Return where F is to be found, (B, 1, h, w) bool: wherever alpha or an edge is soft, and around it."""
    return find_band(alpha, REACH, certain=1e-3)


def _explain(image: torch.Tensor, alpha: torch.Tensor, colors: torch.Tensor, foreground_weight: float) -> torch.Tensor:
    """Return the F, in place, that with a B explains the image at the least distance from the colors given."""
    foreground, background = colors.chunk(2, dim=1)
    ease, _ = _find_ease(alpha, foreground_weight)
    error = torch.lerp(background, foreground, alpha).neg_().add_(image)
    return torch.where(alpha == 1, image, foreground.addcmul_(ease, error))


def _find_ease(
    alpha: torch.Tensor, foreground_weight: float, stiffness: torch.Tensor | float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far F and B move, by what A·F₀ + (1 − A)·B₀ lacks of I, to the least of (A·F + (1 − A)·B − I)² + s·d²
    where s is the stiffness and d² = λ·(F − F₀)² + (B − B₀)² the distance.
    """
    ease = alpha / foreground_weight
    total = alpha * ease + (1 - alpha).square() + stiffness
    return ease / total, (1 - alpha) / total


def _solve(image: torch.Tensor, alpha: torch.Tensor, foreground_weight: float) -> torch.Tensor:
    """Return F and B, stacked as (B, 6, h, w), solved from one pixel up to the size of the image."""
    levels = [(image, alpha)]
    while max(size := tuple(levels[-1][1].shape[-2:])) > 1:
        half = tuple((length + 1) // 2 for length in size)
        levels.append(tuple(resize(tensor, half) for tensor in levels[-1]))
    colors = resize(image, half).repeat(1, 2, 1, 1) if len(levels) > 1 else image.repeat(1, 2, 1, 1)
    for level_image, level_alpha in reversed(levels):
        colors = resize(colors, tuple(level_alpha.shape[-2:])).contiguous(memory_format=torch.channels_last)
        _relax(level_image, level_alpha, colors, foreground_weight)
    return colors.clamp_(0, 1).contiguous()


def _relax(image: torch.Tensor, alpha: torch.Tensor, colors: torch.Tensor, foreground_weight: float) -> None:
    """Take the steps of one level from the F and B of the level below, in place and in the band alone.

    Over-relaxed as in Golub and Varga (Numerische Mathematik 3, 1961): neighbors lie on squares of the other color of a
    chessboard, so black and white pixels move in turn, and each step is half a step of Jacobi's.
    """
    height, width = alpha.shape[-2:]
    rows, columns = (torch.arange(length, device=alpha.device) for length in (height, width))
    white, band = (rows[:, None] + columns) % 2 == 0, _find_soft(alpha)
    halves = [_prepare(image, alpha, band & square, foreground_weight) for square in (white, ~white)]
    pixels = colors.permute(0, 2, 3, 1).flatten(0, 2)  # a view: what is written there is written to `colors`
    for step, factor in enumerate(_chebyshev_factors(STEPS)):
        places, near, weights, target, cover, eases = halves[step % 2]
        mean = functional.embedding_bag(near, pixels, mode="sum", per_sample_weights=weights).T.contiguous()
        foreground, background = mean.chunk(2)
        error = target - torch.lerp(background, foreground, cover)
        for color, ease in zip((foreground, background), eases, strict=True):
            color.addcmul_(ease, error)
        pixels[places] = torch.lerp(pixels[places], mean.clamp_(0, 1).T, factor)


def _prepare(image: torch.Tensor, alpha: torch.Tensor, chosen: torch.Tensor, foreground_weight: float) -> tuple:
    """Return of N chosen pixels what no step changes: places (N,), those of their neighbors (N, 4) and how much these weigh,
    color (3, N), alpha (N,), and how easily F and B move; at the border a pixel is its own neighbor.
    """
    height, width = alpha.shape[-2:]
    places = chosen.flatten().nonzero().flatten()
    row, column = places // width % height, places % width
    steps = [-width * (row > 0), width * (row < height - 1), -1 * (column > 0), 1 * (column < width - 1)]
    near = places[:, None] + torch.stack(steps, dim=1)
    alpha = alpha.flatten()
    cover = alpha[places]
    weights = SMOOTHNESS + GRADIENT_WEIGHT * (alpha[near] - cover[:, None]).abs()
    total = weights.sum(dim=1)
    target = image.transpose(0, 1).flatten(1)[:, places]
    return places, near, weights / total[:, None], target, cover, _find_ease(cover, foreground_weight, total)


def _chebyshev_factors(count: int, radius: float = 0.98) -> list[float]:
    """Over-relaxation of each step, for a spectrum in ±radius."""
    factors = [1.0, 1 / (1 - radius**2 / 2)]
    while len(factors) < count:
        factors.append(1 / (1 - radius**2 * factors[-1] / 4))
    return factors[:count]
