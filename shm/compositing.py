"""Compositing: people over any background, the cut-out, and the backgrounds themselves."""

from __future__ import annotations

import re

import torch

from shm.filters import dilate, enlarge_part, gaussian_blur, resize, resize_image, split_rows
from shm.matte import ChoiceError, Matte, check, to_depth


def composite(foreground: torch.Tensor, alpha: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Lay the foreground over a background: M = A·F + (1 − A)·B (Porter and Duff, Compositing Digital Images, 1984).

    Args:
        foreground: (B, 3, H, W), straight color; floats in [0, 1], uint8 or uint16.
        alpha: (B, 1, H, W) or (1, 1, H, W).
        background: (B, 3, H, W), or 1 in place of B; a color (1, 3, 1, 1) is spread. `fit_background` makes a picture fit.

    Returns:
        (B, 3, H, W). Float in, float32 out, differentiable in all three; an integer foreground gives its own depth, rounded,
        and is worked through in strips, so that the memory needed beyond the result is small.

    Raises:
        ValueError: shapes that do not fit, or values outside [0, 1].

    >>> foreground = torch.tensor([200, 150, 100], dtype=torch.uint8).view(1, 3, 1, 1)
    >>> background = torch.tensor([50, 50, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    >>> composite(foreground, torch.full((1, 1, 1, 1), 0.2), background).flatten()
    tensor([80, 70, 60], dtype=torch.uint8)
    """
    shape = tuple(foreground.shape)
    if foreground.ndim != 4 or shape[1] != 3:
        raise ValueError(f"foreground: expected shape (B, 3, H, W), got {shape}")
    batch, _, height, width = shape
    if tuple(alpha.shape) not in {(count, 1, height, width) for count in (1, batch)}:
        raise ValueError(f"alpha: expected shape {(batch, 1, height, width)} to fit the foreground, got {tuple(alpha.shape)}")
    fitting = {(count, 3, *size) for count in (1, batch) for size in ((height, width), (1, 1))}
    if tuple(background.shape) not in fitting:
        raise ValueError(f"background: expected shape {shape} or a color (1, 3, 1, 1), got {tuple(background.shape)}")
    if foreground.is_floating_point():
        return _blend(foreground, alpha, background)
    background = background.expand(-1, -1, height, width)
    result = torch.empty_like(foreground)
    for rows in split_rows(height, width):
        strip = _blend(foreground[..., rows, :], alpha[..., rows, :], background[..., rows, :])
        result[..., rows, :] = to_depth(strip, result.dtype)
    return result


def _blend(foreground: torch.Tensor, alpha: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    foreground, background = check("foreground", foreground, 3), check("background", background, 3)
    alpha = check("alpha", alpha, 1)
    return alpha * foreground + (1 - alpha) * background


def cutout(matte: Matte) -> torch.Tensor:
    """Return the people alone: straight RGBA, the color never multiplied by alpha.

    Returns:
        (1, 4, H, W) in the depth of the photograph, alpha rounded to it.

    Example:
        write_image("cutout.png", cutout(matte))
    """
    batch, _, height, width = matte.foreground.shape
    result = matte.foreground.new_empty(batch, 4, height, width)
    result[:, :3] = matte.foreground
    for rows in split_rows(height, width):
        result[:, 3:, rows] = to_depth(matte.alpha[..., rows, :], result.dtype)
    return result


def place_people(matte: Matte, background: torch.Tensor | str | None = None) -> torch.Tensor:
    """Return the people of a photograph on a background, whatever it is.

    Args:
        matte: of the photograph.
        background: a color (1, 3, 1, 1); a picture (1, 3, h, w), which is made to cover the photograph's size; "blur", the
            photograph's own background out of focus; None, none at all.

    Returns:
        (1, 3, H, W) in the depth of the photograph; without a background (1, 4, H, W), the cut-out.

    Raises:
        ValueError: another word than "blur".
    """
    if background is None:
        return cutout(matte)
    if isinstance(background, str):
        if background != "blur":
            raise ValueError(f'background: expected "blur", a picture, a color or None, got "{background}"')
        background = blur_background(matte.image, matte.alpha)
    elif background.shape[-2:] != (1, 1):  # a color is spread by `composite`, without memory of its own
        background = fit_background(background, tuple(matte.image.shape[-2:]))
    return composite(matte.foreground, matte.alpha, background)


def parse_color(text: str) -> torch.Tensor:
    """Return a color as a background.

    Args:
        text: "#rrggbb", "#rgb", or the "rgb(r, g, b)" and "rgba(r, g, b, a)" of color pickers, with r, g, b from 0 to 255.
            A background is opaque: a is not used.

    Returns:
        (1, 3, 1, 1) float32 in [0, 1].

    Raises:
        ValueError: not a color.

    >>> parse_color("#3366ff").flatten()
    tensor([0.2000, 0.4000, 1.0000])
    """
    text = text.strip().lower()
    levels, number = [], r"\s*\d+(?:\.\d*)?\s*"
    if re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", text):
        digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
        levels = [int(digits[start : start + 2], 16) for start in (0, 2, 4)]
    elif re.fullmatch(rf"rgb\(({number},){{2}}{number}\)|rgba\(({number},){{3}}{number}\)", text):
        levels = [float(level) for level in text[text.index("(") + 1 : -1].split(",")[:3]]
    if len(levels) != 3 or max(levels) > 255:
        message = f'color: expected "#rrggbb", "#rgb" or "rgb(r, g, b)" with 0 to 255, got "{text}"'
        raise ChoiceError("no_color", message, got=text)
    return torch.tensor(levels, dtype=torch.float32).view(1, 3, 1, 1) / 255


def make_gradient(top: torch.Tensor, bottom: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a background that goes evenly from one color to another.

    Args:
        top, bottom: (1, 3, 1, 1) colors.
        size: (height, width) in pixels.

    Returns:
        (1, 3, height, width) float32; a view that takes the memory of one column.

    >>> make_gradient(parse_color("#000"), parse_color("#fff"), (3, 1))[0, 0].flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """
    share = torch.linspace(0, 1, size[0]).view(1, 1, -1, 1)
    column = torch.lerp(check("top", top, 3), check("bottom", bottom, 3), share)
    return column.expand(-1, -1, -1, size[1])


def fit_background(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a picture that covers `size`: the centered crop of its shape, resampled.

    Args:
        picture: (B, 3, h, w) floats in [0, 1], uint8 or uint16.
        size: (height, width) in pixels.

    Returns:
        (B, 3, height, width) in the picture's type.

    >>> fit_background(torch.tensor([[[[0, 9, 9, 0]]]], dtype=torch.uint8).expand(1, 3, 1, 4), (2, 4))[0, 0]
    tensor([[9, 9, 9, 9],
            [9, 9, 9, 9]], dtype=torch.uint8)
    """
    (height, width), (rows, columns) = size, picture.shape[-2:]
    scale = min(rows / height, columns / width)
    rows_kept, columns_kept = (max(1, round(length * scale)) for length in size)
    top, left = (rows - rows_kept) // 2, (columns - columns_kept) // 2
    picture = picture[..., top : top + rows_kept, left : left + columns_kept]
    planes = (to_depth(resize_image(plane, size, name="picture"), picture.dtype) for plane in picture.split(1, dim=1))
    return torch.cat(list(planes), dim=1)


def blur_background(image: torch.Tensor, alpha: torch.Tensor, *, strength_fraction: float = 0.02) -> torch.Tensor:
    """Return the photograph's own background out of focus, without the people and without their color bleeding in.

    Pixels weigh (1 − A)¹⁶; where people hide the background it is filled from its surroundings, coarse to fine (push-pull:
    Gortler et al., The Lumigraph, SIGGRAPH 1996), then B = Gaussian * filled. All of it runs at a reduced size, at which the
    blur is a few pixels wide.

    Args:
        image: (B, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (B, 1, H, W).
        strength_fraction: standard deviation of the blur as a fraction of the longer side.

    Returns:
        (B, 3, H, W) in the image's type.

    Raises:
        ValueError: the sizes differ, or the strength is not above zero.

    >>> image = torch.tensor([[[[0.2, 0.2, 0.9, 0.2]]]]).expand(1, 3, 1, 4)
    >>> blur_background(image, torch.tensor([[[[0.0, 0.0, 1.0, 0.0]]]]))[0, 0]
    tensor([[0.2000, 0.2000, 0.2000, 0.2000]])
    """
    size = height, width = tuple(image.shape[-2:])
    if tuple(alpha.shape[-2:]) != size:
        raise ValueError(f"alpha: expected the image's size {size}, got {tuple(alpha.shape[-2:])}")
    if not strength_fraction > 0:
        raise ValueError(f"strength_fraction: expected a number above 0, got {strength_fraction}")
    sigma = strength_fraction * max(size)
    scale = min(1.0, 4 / sigma)  # a Gaussian four pixels wide survives bilinear enlargement unseen
    working_size = tuple(max(1, round(length * scale)) for length in size)
    small = resize_image(image, working_size)
    # a pixel that is 20% person would already leave a halo of its color: only the clearest ones count
    weight = (1 - dilate(resize(check("alpha", alpha, 1), working_size), 1)) ** 16
    blurred = gaussian_blur(_fill_holes(small, weight), sigma * max(working_size) / max(size))
    result = torch.empty_like(image)
    for rows in split_rows(height, width):
        result[..., rows, :] = to_depth(enlarge_part(blurred, size, rows), image.dtype)
    return result


def _fill_holes(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the image where it has weight and the next coarser level where it has none."""
    height, width = image.shape[-2:]
    if height == width == 1:
        return image
    faith = 0.1  # weight of the coarser level: little beside a pixel in the open, much beside a half hidden one
    half = (height + 1) // 2, (width + 1) // 2
    total = resize(weight, half)
    coarse = _fill_holes(resize(weight * image, half) / total.clamp(min=1e-30), total)
    return (weight * image + faith * resize(coarse, (height, width))) / (weight + faith)
