"""Working-size alpha -> full-size alpha: native pixels decide where alpha is not yet certain.

Unlike in a guided filter the offset is alpha - slope . I: at working size nothing changes, so that wide windows, which find the
slope best, blur nothing there.
"""

from __future__ import annotations

import torch

from shm.filters import enlarge_part, find_band, find_part, guided_fit, resize_image, split_rows, split_tiles
from shm.matte import check


def refine_alpha(
    image: torch.Tensor,
    alpha: torch.Tensor,
    *,
    detail: torch.Tensor | None = None,
    radius: int = 2,
    epsilon: float = 3e-5,
    side: int = 512,
) -> tuple[torch.Tensor, float]:
    """Bring alpha to the photograph's own size, led by the photograph where it is unknown.

    In the unknown band a local model alpha = slope . I + offset is fitted at working size, and its slope leads the native pixels,
    tile by tile (after He and Sun, Fast Guided Filter, arXiv 1505.00996); elsewhere alpha is enlarged bilinearly.

    Args:
        image: (1, 3, H, W), floats in [0, 1] or integers.
        alpha: (1, 1, h, w) in [0, 1], no larger than the image.
        detail: (1, 3, h, w) float32, the image at alpha's size, where the caller has it already.
        radius: of the windows of the fit, in working-size pixels; a wider one suits large photographs better and small ones less.
        epsilon: regularization of the fit; larger follows the photograph less.
        side: of the tiles, in pixels of the photograph.

    Returns:
        alpha (1, 1, H, W) float32 in [0, 1], and the share of its pixels that were refined: 1 where it already has that size.

    Raises:
        TypeError, ValueError: another type, shape or range.

    >>> image = torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]]]).expand(1, 3, 1, 6)
    >>> refine_alpha(image, torch.tensor([[[[0.0, 0.5, 1.0]]]]))[0].round(decimals=2)
    tensor([[[[0., 0., 0., 1., 1., 1.]]]])
    """
    alpha, size = check("alpha", alpha, channels=1), tuple(image.shape[-2:])
    if image.shape[1] != 3:
        raise ValueError(f"image: expected shape (1, 3, H, W), got {tuple(image.shape)}")
    if alpha.shape[-2:] == size:
        return alpha, 1.0
    detail = resize_image(image, tuple(alpha.shape[-2:])) if detail is None else detail
    band = find_band(alpha, 1)
    fields = _fit(detail, alpha, band, radius, epsilon)
    full, refined = alpha.new_empty(1, 1, *size), 0
    for rows in split_rows(*size):
        full[..., rows, :] = enlarge_part(alpha, size, rows)
    for rows, columns in split_tiles(band, size, side=side):
        inside, slope, offset = enlarge_part(fields, size, rows, columns).split((1, 3, 1), dim=1)
        led = offset + (slope * check("image", image[..., rows, columns], channels=3)).sum(1, keepdim=True)
        full[..., rows, columns] = torch.where(inside > 0, led.clamp(0, 1), full[..., rows, columns])
        refined += int((inside > 0).sum())
    return full, refined / full.numel()


def _fit(detail: torch.Tensor, alpha: torch.Tensor, band: torch.Tensor, radius: int, epsilon: float) -> torch.Tensor:
    """Return the band, the slopes and the offset, stacked as (1, 5, h, w); fitted around the band alone."""
    fields = alpha.new_zeros(1, 5, *alpha.shape[-2:])
    fields[:, :1] = band
    part = find_part(band, margin=2 * radius + 1, multiple=1)  # the fit averages twice, and enlarging reaches one pixel further
    if part:
        detail, alpha = detail[..., *part], alpha[..., *part]
        slope, _ = guided_fit(detail, radius, epsilon)(alpha)
        fields[:, 1:, *part] = torch.cat([slope, alpha - (slope * detail).sum(1, keepdim=True)], dim=1)
    return fields
