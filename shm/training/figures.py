"""People in training pictures: where they stand, alone, in pairs or in a crowd, each in a light of their own.

A layer is a straight RGBA picture of people, (4, H, W) uint8. What is drawn of them is premultiplied RGBA in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from shm.filters import gaussian_blur, resize

REACH = 0.57
"""How far from its middle a square of side 1 reaches to either side when it is turned a little, as `sample_affine` does."""


def premultiply(layer: torch.Tensor) -> torch.Tensor:
    """Return a straight uint8 RGBA layer (4, H, W) as premultiplied float32 (1, 4, H, W) in [0, 1]."""
    layer = layer[None].float() / 255
    return torch.cat([layer[:, :3] * layer[:, 3:], layer[:, 3:]], dim=1)


def sample_affine(
    rng: np.random.Generator, layer: torch.Tensor, center: tuple[float, float], scale: float, side: int
) -> torch.Tensor:
    """Sample a square of a layer, turned, mirrored and scaled about a point of it.

    Args:
        rng: source of chance.
        layer: (4, H, W) uint8 straight RGBA.
        center: x, y of the layer's point that comes to the middle, in pixels.
        scale: pixels of the result per pixel of the layer.
        side: of the result, in pixels.

    Returns:
        (1, 4, side, side) float32, premultiplied RGBA in [0, 1]; transparent outside the layer.
    """
    reach = math.ceil(0.8 * side / scale)  # half the diagonal of the square, and some
    top, left = (max(0, int(middle) - reach) for middle in center[::-1])
    layer = layer[:, top : int(center[1]) + reach, left : int(center[0]) + reach]
    center = center[0] - left, center[1] - top
    premultiplied = premultiply(layer)
    if scale < 1:  # average first, so that strands fade instead of breaking up
        premultiplied = resize(premultiplied, tuple(max(1, round(length * scale)) for length in layer.shape[-2:]))
        scale, center = 1.0, (center[0] * scale, center[1] * scale)
    angle, mirror = rng.normal(0, 0.12), rng.choice([-1.0, 1.0])
    height, width = premultiplied.shape[-2:]
    cos, sin = math.cos(angle) * side / scale, math.sin(angle) * side / scale
    theta = torch.tensor(
        [[mirror * cos / width, -sin / width, 2 * center[0] / width - 1],
         [mirror * sin / height, cos / height, 2 * center[1] / height - 1]]
    )  # fmt: skip
    grid = functional.affine_grid(theta[None].float(), [1, 4, side, side], align_corners=False)
    return functional.grid_sample(premultiplied, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def shift_color(rng: np.random.Generator, image: torch.Tensor, strength: float) -> torch.Tensor:
    """Change exposure, contrast, gamma and white balance of (1, 3, H, W) in [0, 1]."""
    gain = torch.from_numpy(np.exp(rng.normal(0, strength, (1, 1, 1, 1)) + rng.normal(0, strength / 3, (1, 3, 1, 1)))).float()
    gamma = float(np.exp(rng.normal(0, strength)))
    return (image.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1)


def blur_layer(rng: np.random.Generator, layer: torch.Tensor) -> torch.Tensor:
    """Defocus a premultiplied layer (1, 4, H, W), or smear it by motion; rarely."""
    if rng.random() < 0.15:
        return gaussian_blur(layer, rng.uniform(0.5, 2.5))
    if rng.random() < 0.06:
        radius = int(rng.uniform(2, 7))
        turned = layer.transpose(2, 3) if rng.random() < 0.3 else layer
        smeared = functional.avg_pool2d(turned, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)
        return smeared.transpose(2, 3) if turned is not layer else smeared
    return layer


def place_person(rng: np.random.Generator, layer: torch.Tensor, side: int) -> tuple[tuple[float, float], float]:
    """Return the center x, y and the scale at which a square shows a layer's person as photographs do.

    A person whom the layer's own frame cuts is cut by the square's frame on the same side, so that nobody ends in mid-air; a
    person cut on both sides is enlarged until the square cuts them too.
    """
    height, width = layer.shape[-2:]
    spans = find_spans(layer)
    if not spans:
        return (width / 2, height / 2), side / max(height, width)
    low, high = zip(*spans)
    extent = [end - start for start, end in zip(low, high)]
    cut = [(start < 0.02 * length, end > 0.98 * length) for start, end, length in zip(low, high, (height, width))]
    scale = side / max(extent) * float(np.exp(rng.uniform(math.log(0.3), math.log(1.5))))
    scale = max([scale] + [2 * REACH * side / length for length, ends in zip(extent, cut) if all(ends)])
    half, center = REACH * side / scale, []
    for start, end, ends in zip(low, high, cut):
        middle = (start + end) / 2 + rng.normal(0, 0.25) * (end - start)
        middle = min(max(middle, start - half), end + half)  # the square may miss the person, not the layer
        middle = max(middle, start + half) if ends[0] else middle
        center.append(min(middle, end - half) if ends[1] else middle)
    return (center[1], center[0]), scale


def find_spans(layer: torch.Tensor) -> list[tuple[float, float]]:
    """Return where a layer's people begin and end, (top, bottom) and (left, right), in pixels; nothing where nobody is."""
    solid = layer[3] > 127
    lines = [torch.nonzero(solid.any(dim=dim)).flatten() for dim in (1, 0)]
    return [(float(line[0]), float(line[-1]) + 1) for line in lines if len(line)]


def draw_person(
    rng: np.random.Generator, layer: torch.Tensor, center: tuple[float, float], scale: float, side: int
) -> torch.Tensor:
    """Draw a layer's people in a light of their own, perhaps out of focus; arguments and result are those of `sample_affine`."""
    person = blur_layer(rng, sample_affine(rng, layer, center, scale, side))
    person[:, :3] = shift_color(rng, person[:, :3] / person[:, 3:].clamp(min=1e-3), 0.2) * person[:, 3:]
    return person


def draw_few(rng: np.random.Generator, layers: list[torch.Tensor], side: int) -> torch.Tensor:
    """Draw one layer's people, seldom two's, as photographs show them: (1, 4, side, side)."""
    people = torch.zeros(1, 4, side, side)
    for _ in range(1 if rng.random() < 0.85 else 2):
        layer = layers[rng.integers(len(layers))]
        put_before(people, draw_person(rng, layer, *place_person(rng, layer, side), side), (0, 0))
    return people


def draw_crowd(rng: np.random.Generator, layers: list[torch.Tensor], side: int) -> torch.Tensor:
    """Draw people side by side in one to three rows, the nearer before the farther: (1, 4, side, side).

    Either everybody is seen to their feet, or everybody is cut below, by the square or by those in front.
    """
    people, whole = torch.zeros(1, 4, side, side), rng.random() < 0.5
    rows, tall = int(rng.integers(1, 4)), side * math.exp(rng.uniform(math.log(0.14), math.log(0.75 if whole else 0.5)))
    ground = side * (rng.uniform(0.6, 1.05) if whole else rng.uniform(1.0, 1.2))
    first, last = side * rng.uniform(-0.15, 0.35), side * rng.uniform(0.65, 1.15)
    apart, step = rng.uniform(0.5, 1.1), tall * rng.uniform(0.2, 0.45)
    for row in reversed(range(rows)):
        x = first + side * rng.uniform(-0.05, 0.05)
        while x < last:
            layer, (top, bottom), (left, right) = choose_standing(rng, layers, whole=whole)
            scale = tall * 0.9**row * rng.uniform(0.85, 1.15) / (bottom - top)
            width, height = (right - left) * scale, (bottom - top) * scale
            own = math.ceil(1.25 * max(width, height))  # side of a square in which nothing is cut when it is turned a little
            person = draw_person(rng, layer, ((left + right) / 2, (top + bottom) / 2), scale, own)
            middle = ground - row * step - height / 2, x + width / 2
            put_before(people, person, tuple(round(place - own / 2) for place in middle))
            x += width * apart * rng.uniform(0.7, 1.3) + (side * rng.uniform(0.1, 0.4) if rng.random() < 0.12 else 0.0)
    return people


def choose_standing(
    rng: np.random.Generator, layers: list[torch.Tensor], *, whole: bool, tries: int = 20
) -> tuple[torch.Tensor, tuple[float, float], tuple[float, float]]:
    """Return a layer and its spans whose frame cuts nobody or, unless `whole`, cuts below alone; another where none is found."""
    for _ in range(tries):
        layer = layers[rng.integers(len(layers))]
        spans = find_spans(layer) or [(0.0, float(length)) for length in layer.shape[-2:]]
        (top, bottom), (left, right) = spans
        height, width = layer.shape[-2:]
        if min(top / height, left / width, 1 - right / width) > 0.01 and (bottom > 0.98 * height) != whole:
            break
    return layer, *spans


def put_before(people: torch.Tensor, person: torch.Tensor, corner: tuple[int, int]) -> None:
    """Put somebody before others, in place; `corner` is where their upper left one comes, y, x, which may be outside."""
    spans = zip(corner, person.shape[-2:], people.shape[-2:])
    place = [tuple(min(max(0, edge), whole) for edge in (start, start + own)) for start, own, whole in spans]
    seen = person[..., *(slice(low - start, high - start) for (low, high), start in zip(place, corner))]
    behind = people[..., *(slice(low, high) for low, high in place)]
    behind.copy_(seen + (1 - seen[:, 3:]) * behind)
