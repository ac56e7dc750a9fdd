"""Placement: where people stand on a new background, the shadow they cast on it, and its light on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from shm.compositing import composite, fit_background
from shm.filters import enlarge_part, gaussian_blur, limit_size, resize, resize_image, split_rows
from shm.matte import check, check_range, to_depth

CONTRAST_LIMIT = 1.5  # a match changes the spread of the people's lightness by this factor at most
LIGHT_LIMIT = 0.12  # their mean lightness by this much (Oklab): a white wall is no reason to bleach a face
TINT_LIMIT = 0.04  # their tint by this much: more is no light but paint
FULLY_LIT = 0.5  # what is darker than this share of the people's mean lightness changes less, the darker the less
MATCH_SIDE = 256  # pixels of the copy whose lightness and tint are measured

# Linear sRGB to cone responses, and their cube roots to lightness and two opponent colors.
TO_CONES = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
TO_OKLAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip


def place_person(
    foreground: torch.Tensor,
    alpha: torch.Tensor,
    background: torch.Tensor,
    *,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    shadow_opacity: float = 0.0,
    shadow_offset: tuple[float, float] = (0.02, 0.02),
    shadow_blur_fraction: float = 0.02,
    shadow_height: float = 1.0,
    color_match: float = 0.0,
) -> torch.Tensor:
    """Lay people over a background at any place and size, with a shadow and in its light: M = A·F + (1 − A)·B, twice.

    First the shadow is laid over the background, then the people over both. With the defaults this is `composite` on the
    fitted background, exactly.

    Args:
        foreground: (1, 3, H, W) floats in [0, 1], uint8 or uint16; straight color.
        alpha: (1, 1, H, W).
        background: (1, 3, h, w), a picture that is made to cover H × W, or a color (1, 3, 1, 1).
        scale, shift: as in `move_person`.
        shadow_opacity: 0, none, to 1; shadow_offset, shadow_blur_fraction, shadow_height: as in `cast_shadow`.
        color_match: 0, none, to 1: strength of `match_color`.

    Returns:
        (1, 3, H, W) in the foreground's type.

    Raises:
        ValueError: as the functions named above.
    """
    size = tuple(foreground.shape[-2:])
    if background.shape[-2:] != (1, 1):
        background = fit_background(background, size)
    foreground, alpha = move_person(foreground, alpha, scale=scale, shift=shift)
    foreground = match_color(foreground, alpha, background, strength=color_match)
    if shadow_opacity != 0:
        shadow = cast_shadow(
            alpha, opacity=shadow_opacity, offset=shadow_offset, blur_fraction=shadow_blur_fraction, height=shadow_height
        )
        planes = [to_depth(check("background", plane), foreground.dtype) for plane in background.split(1, dim=1)]
        background = torch.cat(planes, dim=1).expand(-1, -1, *size)
        background = composite(background, 1 - shadow, torch.zeros(1, 3, 1, 1))
    return composite(foreground, alpha, background)


def move_person(
    foreground: torch.Tensor, alpha: torch.Tensor, *, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Enlarge or shrink people about the point they stand on, and move them.

    Args:
        foreground: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (1, 1, H, W); people stand on the middle of the lower side of the box around alpha above 1/2.
        scale: 0.05 to 20; 1 keeps their size.
        shift: how far to the right and down, as fractions of the width and of the height; -2 to 2.

    Returns:
        foreground (1, 3, H, W) in its type and alpha (1, 1, H, W) float32; what leaves the frame is cut off.

    Raises:
        ValueError: another scale or shift, or as `crop_person`.

    >>> alpha = torch.tensor([[[[0.0, 1.0, 0.0, 0.0]]]])
    >>> move_person(torch.zeros(1, 3, 1, 4), alpha, shift=(0.5, 0.0))[1]
    tensor([[[[0., 0., 0., 1.]]]])
    """
    check_range("scale", scale, 0.05, 20)
    for part in shift:
        check_range("shift", part, -2, 2)
    height, width = size = tuple(alpha.shape[-2:])
    x, y = _find_stand(check("alpha", alpha, 1)) if scale != 1 else (0.0, 0.0)
    left, top = x - (x + shift[0] * width) / scale, y - (y + shift[1] * height) / scale
    return crop_person(foreground, alpha, (left, top, left + width / scale, top + height / scale), size)


def crop_person(
    foreground: torch.Tensor, alpha: torch.Tensor, box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a part of a cut-out at another size, color weighed by alpha: what alpha hides does not shine through.

    Args:
        foreground: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (1, 1, H, W).
        box: (left, top, right, bottom) in pixels of the photograph; it may reach beyond, where alpha is 0.
        size: (height, width) of the result in pixels.

    Returns:
        foreground (1, 3, height, width) in its type and alpha (1, 1, height, width) float32. An edge of the photograph falls
        on the nearest whole pixel.

    Raises:
        ValueError: shapes that do not fit, values outside [0, 1], or an empty box or size.

    >>> foreground = torch.tensor([[[[9, 5]]]], dtype=torch.uint8).expand(1, 3, 1, 2)
    >>> color, alpha = crop_person(foreground, torch.tensor([[[[0.0, 1.0]]]]), (0.0, 0.0, 3.0, 1.0), (1, 3))
    >>> color[0, 0], alpha[0, 0]
    (tensor([[9, 5, 0]], dtype=torch.uint8), tensor([[0., 1., 0.]]))
    """
    shape = tuple(foreground.shape)
    if len(shape) != 4 or shape[:2] != (1, 3) or tuple(alpha.shape) != (1, 1, *shape[2:]):
        raise ValueError(f"foreground, alpha: expected (1, 3, H, W) and (1, 1, H, W), got {shape} and {tuple(alpha.shape)}")
    if not (box[2] > box[0] and box[3] > box[1] and min(size) >= 1):
        raise ValueError(f"box, size: expected left < right, top < bottom and at least 1 pixel, got {box} and {tuple(size)}")
    rows, columns = _map_axis(shape[2], box[1], box[3], size[0]), _map_axis(shape[3], box[0], box[2], size[1])
    cover = _fit_plane(check("alpha", alpha, 1), rows, columns).clamp_(0, 1)
    color = foreground.new_zeros(1, 3, *size)
    for channel in range(3):  # one at a time, so that only one is held as floats at full size
        plane = foreground[:, channel : channel + 1]
        if rows.exact and columns.exact:
            color[:, channel : channel + 1] = _fit_plane(plane, rows, columns)
        else:
            mean = _fit_plane(plane, rows, columns, weight=alpha) / cover.clamp(min=1e-6)
            color[:, channel : channel + 1] = to_depth(mean, foreground.dtype)
    return color, cover


def cast_shadow(
    alpha: torch.Tensor,
    *,
    opacity: float = 0.5,
    offset: tuple[float, float] = (0.02, 0.02),
    blur_fraction: float = 0.02,
    height: float = 1.0,
) -> torch.Tensor:
    """Return the alpha of a soft shadow: opacity · (G ∗ A), moved, and flattened towards the ground.

    Args:
        alpha: (1, 1, H, W) of the people, where they stand.
        opacity: 0 to 1.
        offset: to the right and down, as fractions of the longer side.
        blur_fraction: standard deviation of the Gaussian G as a fraction of the longer side, 0 to 0.2.
        height: of the shadow, as a fraction of the people's: 1 falls on a wall behind them, 0.1 lies on the ground.

    Returns:
        (1, 1, H, W) float32 in [0, opacity].

    Raises:
        ValueError: a number outside its range, or not an alpha.

    >>> cast_shadow(torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]]), opacity=0.25, offset=(0.25, 0.0), blur_fraction=0.0)
    tensor([[[[0.0000, 0.0000, 0.2500, 0.2500]]]])
    """
    ranges = {"opacity": (opacity, 0, 1), "blur_fraction": (blur_fraction, 0, 0.2), "height": (height, 0.01, 1)}
    for name, (value, low, high) in ranges.items():
        check_range(name, value, low, high)
    for part in offset:
        check_range("offset", part, -1, 1)
    alpha = check("alpha", alpha, 1)
    size, side = tuple(alpha.shape[-2:]), max(alpha.shape[-2:])
    sigma = blur_fraction * side
    scale = min(1.0, 4 / sigma) if sigma else 1.0  # a Gaussian four pixels wide survives bilinear enlargement unseen
    small = resize(alpha, tuple(max(1, round(length * scale)) for length in size))
    moved = _move_shadow(small, offset, height)
    moved = opacity * gaussian_blur(moved, sigma * max(small.shape[-2:]) / side)
    result = torch.empty_like(alpha)
    for rows in split_rows(*size):
        result[..., rows, :] = enlarge_part(moved, size, rows)
    return result.clamp_(0, opacity)


def match_color(
    foreground: torch.Tensor, alpha: torch.Tensor, background: torch.Tensor, *, strength: float = 0.5,
    whole: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Bring people nearer to the background's light and tint: mean and spread of lightness, mean of the opponent colors.

    In Oklab (Ottosson, A perceptual color space for image processing, 2020), after Reinhard, Ashikhmin, Gooch and Shirley,
    Color Transfer between Images, IEEE CG&A 2001: L' = (L − μ_F)·σ_B/σ_F + μ_B, a' = a + μ_B − μ_F and so b', each as far
    as `strength` says and within limits, as a background's color is only partly that of its light. Black stays black.

    Args:
        foreground: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (1, 1, H, W): how much a pixel counts among the people.
        background: (1, 3, h, w) of any size, or a color (1, 3, 1, 1), whose lightness has no spread to match.
        strength: 0 leaves the foreground as it is, 1 is a full match.
        whole: foreground and alpha of the people, of any size, where the first two arguments hold only a part of them.

    Returns:
        (1, 3, H, W) in the foreground's type.

    Raises:
        ValueError: another strength, or shapes and values that do not fit.
    """
    check_range("strength", strength, 0, 1)
    if strength == 0:
        return foreground
    mean, spread = _measure(*(whole or (foreground, alpha)))
    if mean is None:  # nobody is there
        return foreground
    to_mean, to_spread = _measure(background, torch.ones_like(background[:, :1], dtype=torch.float32))
    ratio = (to_spread[0] / spread[0].clamp(min=1e-3)).clamp(1 / CONTRAST_LIMIT, CONTRAST_LIMIT)
    gain = torch.stack([ratio.where(to_spread[0] > 0.01, 1.0), *torch.ones(2)]).view(1, 3, 1, 1)
    move = to_mean - mean
    move[:1].clamp_(-LIGHT_LIMIT, LIGHT_LIMIT)
    move[1:] *= (TINT_LIMIT / move[1:].norm().clamp(min=1e-6)).clamp(max=1)
    mean, move = mean.view(1, 3, 1, 1), move.view(1, 3, 1, 1)
    result = torch.empty_like(foreground)
    for rows in split_rows(*foreground.shape[-2:]):
        color = _to_oklab(check("foreground", foreground[..., rows, :], 3))
        lit = (color[:, :1] / (FULLY_LIT * mean[:, :1])).clamp(0, 1)  # black stays black in any light
        color = color + strength * lit * ((color - mean) * (gain - 1) + move)
        result[..., rows, :] = to_depth(_from_oklab(color), foreground.dtype)
    return result


@dataclass(frozen=True)
class _Axis:
    """How part of an axis falls on one of `full` pixels: `source`, stretched to `length`, of which `seen` falls on `target`."""

    source: slice
    length: int
    seen: slice
    target: slice
    full: int

    @property
    def exact(self) -> bool:
        return self.length == self.source.stop - self.source.start


def _map_axis(full: int, start: float, stop: float, length: int) -> _Axis:
    """Map [start, stop) of an axis of `full` pixels to `length` pixels; all is empty where the two do not meet."""
    scale = length / (stop - start)
    first, last = min(full, max(0, math.floor(start))), max(0, min(full, math.ceil(stop)))
    begin, end = round((first - start) * scale), round((last - start) * scale)
    low, high = max(begin, 0), min(end, length)
    if first >= last or low >= high:
        return _Axis(slice(0, 0), 0, slice(0, 0), slice(0, 0), length)
    return _Axis(slice(first, last), end - begin, slice(low - begin, high - begin), slice(low, high), length)


def _fit_plane(plane: torch.Tensor, rows: _Axis, columns: _Axis, *, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Return one channel as the two axes map it, weighed if asked; 0 where nothing of the photograph falls."""
    part = plane[..., rows.source, columns.source]
    dtype = plane.dtype if weight is None else torch.float32
    result = torch.zeros(1, 1, rows.full, columns.full, dtype=dtype, device=plane.device)
    if part.numel():
        if weight is not None:
            part = check("foreground", part) * check("alpha", weight[..., rows.source, columns.source], 1)
        part = part if rows.exact and columns.exact else resize(part, (rows.length, columns.length))
        result[..., rows.target, columns.target] = part[..., rows.seen, columns.seen]
    return result


def _find_stand(alpha: torch.Tensor) -> tuple[float, float]:
    """Return (x, y) in pixels of the point people stand on; the middle of the lower side of the frame where nobody is."""
    person = alpha[0, 0] > 0.5
    rows, columns = person.any(1).nonzero().flatten().tolist(), person.any(0).nonzero().flatten().tolist()
    if not rows:
        return alpha.shape[-1] / 2, float(alpha.shape[-2])
    return (columns[0] + columns[-1] + 1) / 2, float(rows[-1] + 1)


def _move_shadow(alpha: torch.Tensor, offset: tuple[float, float], height: float) -> torch.Tensor:
    """Flatten an alpha towards the point people stand on, and move it; nothing enters from outside."""
    rows, columns = alpha.shape[-2:]
    _, ground = _find_stand(alpha)
    right, down = (part * max(rows, columns) for part in offset)
    top = ground - (ground + down) / height
    vertical = _map_axis(rows, top, top + rows / height, rows)
    return _fit_plane(alpha, vertical, _map_axis(columns, -right, columns - right, columns))


def _measure(color: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return mean and standard deviation (3,) in Oklab over a small copy, weighed; None where nothing has weight."""
    size = limit_size(*color.shape[-2:], MATCH_SIDE)
    small = resize_image(color, size, name="color")
    weight = resize(check("alpha", weight, 1), size) ** 4  # half transparent pixels hold little of the people's own color
    total = weight.sum()
    if total == 0:
        return None, None
    lab = _to_oklab(small)
    mean = (weight * lab).sum((0, 2, 3)) / total
    return mean, ((weight * (lab - mean.view(1, 3, 1, 1)) ** 2).sum((0, 2, 3)) / total).sqrt()


def _mix(matrix: tuple, color: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjhw->bihw", torch.tensor(matrix, device=color.device), color)


def _to_oklab(color: torch.Tensor) -> torch.Tensor:
    linear = torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return _mix(TO_OKLAB, _mix(TO_CONES, linear).clamp(min=0) ** (1 / 3))


def _from_oklab(color: torch.Tensor) -> torch.Tensor:
    inverse = [torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist() for matrix in (TO_OKLAB, TO_CONES)]
    linear = _mix(inverse[1], _mix(inverse[0], color) ** 3).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
