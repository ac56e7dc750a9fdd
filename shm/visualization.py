"""Pictures for people to look at: the label map over the photograph, its legend, outlines of people, reduced copies."""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from shm.filters import box_mean, dilate, erode, resize, resize_image
from shm.matte import check, to_depth

GOLDEN_RATIO = 0.618034
"""Steps of this share of the color wheel never come back near a color that was used before."""


DIGITS = ("111101101101111", "010110010010111", "111001111100111", "111001111001111", "101101111001001",
          "111100111001111", "111100111101111", "111001001010010", "111101111101111", "111101111001111")  # fmt: skip
"""0 to 9, five rows of three cells each."""


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


def outline_people(image: torch.Tensor, labels: torch.Tensor, chosen: Collection[int]) -> torch.Tensor:
    """Draw each person's outline and number over the photograph; those who are not chosen are grayed out.

    Args:
        image: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        labels: (1, 1, h, w) integers, the number of the person at each pixel, 0 where nobody is, such as `People.labels`.
        chosen: numbers of those who stay.

    Returns:
        (1, 3, H, W) uint8.

    Raises:
        ValueError: shapes that are not as above.
    """
    if labels.ndim != 4 or tuple(labels.shape[:2]) != (1, 1):
        raise ValueError(f"labels: expected shape (1, 1, h, w), got {tuple(labels.shape)}")
    result, size = check("image", image, channels=3), tuple(image.shape[-2:])
    width = max(1, round(max(size) / 300))
    for number in range(1, int(labels.max()) + 1):
        mask = (resize((labels == number).float(), size) > 0.5).float()
        color = torch.tensor(class_color(number)).view(1, 3, 1, 1) / 255
        if number not in chosen:
            gray = 0.35 + 0.5 * result.mean(dim=1, keepdim=True).expand_as(result)
            result, color = torch.lerp(result, gray, mask), torch.full((1, 3, 1, 1), 0.5)
        result = torch.lerp(result, color, dilate(mask, width) - erode(mask, width))
        result = _draw_number(result, number, mask, color)
    return to_depth(result, torch.uint8)


def _draw_number(image: torch.Tensor, number: int, mask: torch.Tensor, color: torch.Tensor) -> torch.Tensor:
    """Put a number, white on a plate of a color, over the deepest point of a mask (1, 1, H, W)."""
    if not mask.any():
        return image
    cells = torch.stack([torch.tensor([int(cell) for cell in DIGITS[int(digit)]]).view(5, 3) for digit in str(number)])
    cells = functional.pad(cells.float(), (0, 1)).permute(1, 0, 2).reshape(1, 1, 5, -1)
    cells = functional.pad(cells, (2, 1, 2, 2))
    side = max(1, round(max(image.shape[-2:]) / 180))
    plate = cells.repeat_interleave(side, -2).repeat_interleave(side, -1)
    if any(length > full for length, full in zip(plate.shape[-2:], image.shape[-2:])):
        return image
    depth = box_mean(mask, max(plate.shape[-2:])) + 1e-3 * mask
    deepest = int(depth.argmax())
    starts = [
        min(max(0, middle - length // 2), full - length)
        for middle, length, full in zip(divmod(deepest, image.shape[-1]), plate.shape[-2:], image.shape[-2:])
    ]
    result = image.clone()
    rows, columns = (slice(start, start + length) for start, length in zip(starts, plate.shape[-2:]))
    result[..., rows, columns] = torch.lerp(color.expand(-1, -1, *plate.shape[-2:]), torch.ones(1, 3, 1, 1), plate)
    return result


def find_close_up(alpha: torch.Tensor, *, side_fraction: float = 0.22) -> tuple[slice, slice]:
    """Return the rows and columns of the square that holds most hair: the sum of A·(1 − A)·|∇A|·(1 − d)².

    An edge counts 1/6 for each of its pixels of length, however soft it is, and a strand has two of them; what is half
    transparent all over counts little. Heads are above: d is the depth below the highest opaque row, beside the lowest's.

    Args:
        alpha: (1, 1, H, W) in [0, 1].
        side_fraction: side of the square as a fraction of the longer side; it is cut to the picture.

    >>> find_close_up(torch.tensor([[[[0.0, 0.0, 0.0, 0.5, 0.4, 1.0]]]]), side_fraction=0.34)
    (slice(0, 1, None), slice(3, 5, None))
    """
    height, width = alpha.shape[-2:]
    side = max(1, round(side_fraction * max(height, width)))
    rows, columns = min(side, height), min(side, width)
    alpha = functional.pad(check("alpha", alpha, 1), (1, 1, 1, 1), mode="replicate")
    slopes = alpha[..., 2:, 1:-1] - alpha[..., :-2, 1:-1], alpha[..., 1:-1, 2:] - alpha[..., 1:-1, :-2]
    middle = alpha[..., 1:-1, 1:-1]
    hair = middle * (1 - middle) * torch.hypot(*slopes) / 2
    opaque = (middle > 0.5).any(-1).flatten().nonzero().flatten().tolist() or [0]
    depth = (torch.arange(height, device=alpha.device) - opaque[0]) / (opaque[-1] - opaque[0] + 1)
    hair = hair * (1 - depth.clamp(0, 0.9)).square()[:, None]
    sums = functional.pad(hair.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    inside = sums[..., rows:, columns:] - sums[..., :-rows, columns:] - sums[..., rows:, :-columns] + sums[..., :-rows, :-columns]
    top, left = divmod(int(inside.argmax()), inside.shape[-1])
    return slice(top, top + rows), slice(left, left + columns)
