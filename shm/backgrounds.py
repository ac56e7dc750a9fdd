"""Backgrounds drawn by rule: ten scenes to put people in front of, the same on every computer, with no file behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import torch

from shm.compositing import parse_color
from shm.filters import gaussian_blur, resize
from shm.matte import ChoiceError, to_depth

SIZE = (1024, 1536)
"""Height and width of every scene in pixels; all are soft, so that they can be enlarged."""

Stops = Sequence[tuple[float, str]]
"""Places in [0, 1], rising, each with its color."""


def draw_background(name: str) -> torch.Tensor:
    """Return one of the scenes.

    Args:
        name: a key of `SCENES`.

    Returns:
        (1, 3, 1024, 1536) uint8; drawn once and then shared, so not to be changed.

    Raises:
        ValueError: no such scene.

    >>> draw_background("studio").shape
    torch.Size([1, 3, 1024, 1536])
    """
    if name not in SCENES:
        message = f'name: expected one of {", ".join(SCENES)}, got "{name}"'
        raise ChoiceError("not_among", message, name="name", known=", ".join(SCENES), got=name)
    return _draw_once(name)


@cache
def _draw_once(name: str) -> torch.Tensor:
    scene = SCENES[name]() + _noise(7, 1) / 255  # less than a step of 8 bits each way: no banding
    return to_depth(scene, torch.uint8)


def _grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the place of each row (1, 1, H, 1) and column (1, 1, 1, W), from 0 to 1."""
    height, width = SIZE
    return torch.linspace(0, 1, height).view(1, 1, -1, 1), torch.linspace(0, 1, width).view(1, 1, 1, -1)


def _ramp(place: torch.Tensor, stops: Stops) -> torch.Tensor:
    """Return the color at each place (1, 1, h, w), mixed between the stops around it."""
    result = parse_color(stops[0][1]).expand(-1, -1, *place.shape[-2:])
    for (start, _), (stop, color) in zip(stops, stops[1:]):
        share = ((place - start) / (stop - start)).clamp(0, 1)
        result = torch.lerp(result, parse_color(color).expand_as(result), share.expand_as(result))
    return result


def _noise(seed: int, cell: int, *, stretch: int = 1) -> torch.Tensor:
    """Return smooth noise (1, 1, H, W) in [-0.5, 0.5], its cells `cell` pixels high and `stretch` times as wide."""
    generator = torch.Generator().manual_seed(seed)
    size = tuple(math.ceil(length / cell) + 1 for length in (SIZE[0], SIZE[1] / stretch))
    return resize(torch.rand(1, 1, *size, generator=generator), SIZE) - 0.5


def _clouds(seed: int, *, stretch: int = 1) -> torch.Tensor:
    """Return noise of five octaves (1, 1, H, W), mostly within [-0.5, 0.5]."""
    return sum(_noise(seed + octave, 512 >> octave, stretch=stretch) * 0.6**octave for octave in range(5))


def _glow(center: tuple[float, float], radius: float) -> torch.Tensor:
    """Return a Gaussian spot (1, 1, H, W), 1 at its center (right, down); lengths in heights of the scene."""
    rows, columns = _grid()
    distance = (columns * SIZE[1] / SIZE[0] - center[0]) ** 2 + (rows - center[1]) ** 2
    return torch.exp(-distance / (2 * radius**2))


def _spot(inner: str, outer: str, *, center: tuple[float, float] = (0.75, 0.42), radius: float = 0.5) -> torch.Tensor:
    return _ramp(1 - _glow(center, radius), ((0, inner), (1, outer)))


def _discs(scene: torch.Tensor, seed: int, colors: Sequence[str], count: int, radii: tuple[float, float]) -> torch.Tensor:
    """Lay lights out of focus over a scene: even discs of `radii` heights of it, each a little brighter at its rim."""
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    scene = scene.clone()
    for index in range(count):
        right, down, size, strength = torch.rand(4, generator=generator).tolist()
        radius = height * (radii[0] + (radii[1] - radii[0]) * size**2)
        top, left = (max(0, int(middle - 1.1 * radius)) for middle in (down * height, right * width))
        part = scene[..., top : int(down * height + 1.1 * radius), left : int(right * width + 1.1 * radius)]
        rows, columns = (torch.arange(length).float() for length in part.shape[-2:])
        distance = torch.hypot(rows[:, None] + top - down * height, columns + left - right * width) / radius
        disc = ((1.03 - distance) / 0.06).clamp(0, 1) * (0.75 + 0.25 * distance.clamp(max=1) ** 6)
        part += (0.1 + 0.4 * strength) * disc * parse_color(colors[index % len(colors)]) * (1 - part)
    return scene


def _draw_sky() -> torch.Tensor:
    rows, _ = _grid()
    blue = _ramp(rows, ((0, "#3d7fc4"), (0.7, "#a9d0ee"), (1, "#e4f0f7"))).expand(-1, -1, *SIZE)
    cover = ((_clouds(3, stretch=2) + 0.02) * 2.6).clamp(0, 1) * (0.4 + 0.6 * rows)
    return torch.lerp(blue, torch.ones(1, 3, 1, 1), gaussian_blur(cover, 4.0))


def _draw_sunset() -> torch.Tensor:
    rows, _ = _grid()
    place = (rows + 0.1 * _clouds(11, stretch=4)).clamp(0, 1)
    colors = ((0, "#29305c"), (0.35, "#7d4a78"), (0.6, "#e07a5f"), (0.78, "#f6bd60"), (1, "#fbe3b0"))
    return _ramp(place, colors) + 0.35 * _glow((1.1, 0.78), 0.22) * parse_color("#fff2cc")


def _draw_sea() -> torch.Tensor:
    rows, _ = _grid()
    sky = _ramp(rows / 0.55, ((0, "#6fb3dd"), (1, "#e9f3f2")))
    water = _ramp((rows - 0.55) / 0.45, ((0, "#3f93a8"), (1, "#0c4a66"))) + 0.09 * _noise(21, 6, stretch=16) * rows
    return torch.lerp(sky.expand_as(water), water, ((rows - 0.548) / 0.006).clamp(0, 1))


def _draw_meadow() -> torch.Tensor:
    rows, _ = _grid()
    place = (rows + 0.16 * _noise(31, 200) * (rows > 0.3)).clamp(0, 1)
    colors = ((0, "#dcebc9"), (0.4, "#b5d99c"), (0.6, "#6ea35c"), (1, "#2f6b3a"))
    return _discs(gaussian_blur(_ramp(place, colors), 20.0), 32, ("#f4ffd9", "#d9f2a3"), 50, (0.02, 0.07))


def _draw_forest() -> torch.Tensor:
    shade = (0.5 + 1.3 * _clouds(41)).clamp(0, 1)
    leaves = gaussian_blur(_ramp(shade, ((0, "#0f2a1c"), (0.5, "#2c5a37"), (1, "#9cc46a"))), 24.0)
    return _discs(leaves, 42, ("#eaf7b0", "#bfe07f"), 70, (0.015, 0.06))


def _draw_city() -> torch.Tensor:
    rows, _ = _grid()
    night = _ramp(rows, ((0, "#0b1026"), (0.6, "#1d2347"), (1, "#0a0d1c"))).expand(-1, -1, *SIZE)
    return _discs(night, 51, ("#ffb454", "#ff6b6b", "#6ec6ff", "#ffe3a3", "#c792ea"), 110, (0.02, 0.085))


def _draw_aurora() -> torch.Tensor:
    rows, columns = _grid()
    crest = 0.55 + 0.12 * torch.sin(2.2 * math.pi * columns + 0.6) + 0.05 * torch.sin(7 * math.pi * columns)
    above = crest - rows
    veil = torch.exp(-(above.clamp(min=0) / 0.3)) * torch.exp(-((above.clamp(max=0) / 0.03) ** 2))
    veil = veil * (0.75 + 0.5 * _noise(61, 1100, stretch=1) + 0.25 * torch.sin(40 * columns + 6 * torch.sin(5 * columns)))
    night = _ramp(rows, ((0, "#070b1f"), (0.7, "#10284a"), (1, "#0b1626")))
    return night + 0.75 * veil.clamp(0, 1) * _ramp((above / 0.5).clamp(0, 1), ((0, "#3ef0a0"), (1, "#7a5cff")))


SCENES: Mapping[str, Callable[[], torch.Tensor]] = MappingProxyType({
    "studio": lambda: _spot("#f2f2f0", "#9a9a98"),
    "slate": lambda: _spot("#8fa3b8", "#27313d"),
    "sand": lambda: _spot("#fbefdc", "#c9a27a", center=(0.55, 0.35), radius=0.6),
    "sky": _draw_sky,
    "sunset": _draw_sunset,
    "sea": _draw_sea,
    "meadow": _draw_meadow,
    "forest": _draw_forest,
    "city": _draw_city,
    "aurora": _draw_aurora,
})  # fmt: skip
"""The ten scenes by name, each with what draws it: (1, 3, 1024, 1536) floats about [0, 1]."""
