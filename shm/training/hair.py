"""Procedural hair: strands grown as curves in the picture plane, drawn larger and averaged down, so that coverage is alpha."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 4
"""Strands are drawn this many times larger and averaged down: alpha in steps of 1/16, widths in steps of 1/4 pixel."""

PIECES = 26000
"""At most so many straight pieces in a head of hair: a style that needs more of them per strand has fewer strands."""

NATURAL_COLORS = np.array([(20, 16, 14), (60, 40, 28), (110, 75, 45), (190, 150, 95), (120, 60, 35), (170, 170, 170)])


@dataclass(frozen=True)
class HairStyle:
    """How strands grow; lengths as a fraction of the head's height.

    Attributes:
        strands: how many.
        length: of a strand, before variation.
        width: of a strand at its root, before variation, in pixels; it tapers to about a third.
        lift: spread of the angle at which strands leave the head, in radians.
        gravity: how far a strand has turned to the ground at its tip: by 1 - exp(-gravity) of the whole turn.
        curl: amplitude of the curl, in radians; curl_turns along the strand.
        clump: how strongly the strands of a lock share angle and phase of the curl and come together at their tips, in [0, 1].
        clumps: how many locks.
        frizz: noise of each strand's direction, in radians.
        lay: how far strands lie along the head instead of standing on it, in [0, 1].
        coil: radius of the ringlets, which turn curl_turns times as well.
        strays: fraction of strands that belong to no lock and stand off.
    """

    strands: int
    length: float
    width: float
    lift: float
    gravity: float
    curl: float
    curl_turns: float
    clump: float
    clumps: int
    frizz: float
    lay: float = 0.0
    coil: float = 0.0
    strays: float = 0.0

    @property
    def steps(self) -> int:
        """Straight pieces of a strand: eight a turn, so that curls are round."""
        return max(12, math.ceil(8 * self.curl_turns))


@dataclass(frozen=True)
class Outline:
    """The contour of a layer's person.

    Attributes:
        top: uppermost row of the person, in pixels; middle: column of the head's middle.
        head_height: guessed from the widths of the person, in pixels.
        points: (N, 2) x, y near the contour, in pixels; angles: (N,) outward, in radians, y pointing down.
        depth: (H, W) about 0.5 on the contour, rising to 1 inside.
    """

    top: float
    middle: float
    head_height: float
    points: np.ndarray
    angles: np.ndarray
    depth: np.ndarray


def find_outline(layer: np.ndarray) -> Outline | None:
    """Return the contour of the person in a (H, W, 4) uint8 layer; None where the person is too small to dress."""
    inside = layer[..., 3] > 127
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) < 32:
        return None
    widths, heights = inside[rows[0] :].sum(axis=1), np.arange(16, len(rows))
    enough = np.flatnonzero(heights >= 1.3 * widths[heights // 2])  # a head is about 1.3 times as high as wide at its middle
    head_height = float(heights[enough[0]]) if len(enough) else float(len(rows))
    softness = ImageFilter.GaussianBlur(max(1.5, head_height / 25))
    depth = np.asarray(Image.fromarray(inside.astype(np.uint8) * 255).filter(softness), np.float32) / 255
    ys, xs = np.nonzero((depth > 0.25) & (depth < 0.75))
    if len(ys) < 20:
        return None
    slope_y, slope_x = np.gradient(depth)
    angles = np.arctan2(-slope_y[ys, xs], -slope_x[ys, xs])
    head = np.flatnonzero(inside[rows[0] : int(rows[0] + head_height)].any(axis=0))
    return Outline(float(rows[0]), float(np.median(head)), head_height, np.stack([xs, ys], axis=1), angles, depth)


def choose_stretch(
    rng: np.random.Generator, outline: Outline, rows: tuple[float, float], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (N, 2) and angles (N,) of a stretch of the contour about a point picked by chance.

    Args:
        rng: source of chance.
        outline: of the person.
        rows: between which the point lies, in heights of the head below its top.
        reach: how far the stretch goes from the point, in heights of the head.
    """
    low = (outline.points[:, 1] - outline.top) / outline.head_height
    spots = np.flatnonzero((low >= rows[0]) & (low <= rows[1]))
    if not len(spots):
        return outline.points[:0], outline.angles[:0]
    center = outline.points[spots[rng.integers(len(spots))]]
    near = np.linalg.norm(outline.points - center, axis=1) < reach * outline.head_height
    return outline.points[near], outline.angles[near]


def draw_style(rng: np.random.Generator) -> HairStyle:
    """Draw a hair style: straight, wavy, curly, afro, coils, short or fly-away, or something between."""
    kind = rng.choice(["straight", "wavy", "curly", "afro", "coils", "short", "fly-away"])
    curl, turns, length, gravity, lay = {
        "straight": (rng.uniform(0.0, 0.2), 1.0, rng.uniform(0.15, 0.8), rng.uniform(1, 4), rng.uniform(0.7, 1.1)),
        "wavy": (rng.uniform(0.3, 0.8), rng.uniform(1, 3), rng.uniform(0.15, 0.7), rng.uniform(1, 3), rng.uniform(0.5, 1.0)),
        "curly": (rng.uniform(0.8, 1.6), rng.uniform(2, 4), rng.uniform(0.1, 0.4), rng.uniform(0.5, 2), rng.uniform(0.3, 0.9)),
        "afro": (rng.uniform(1.0, 2.0), rng.uniform(2, 4), rng.uniform(0.06, 0.25), 0.0, 0.0),
        "coils": (0.2, rng.uniform(3, 6), rng.uniform(0.15, 0.4), rng.uniform(0.5, 3), rng.uniform(0.3, 0.9)),
        "short": (0.2, 1.0, rng.uniform(0.02, 0.09), 0.3, rng.uniform(0.3, 1.0)),
        "fly-away": (rng.uniform(0.2, 0.8), rng.uniform(1, 3), rng.uniform(0.1, 0.4), rng.uniform(-0.3, 1), rng.uniform(0, 0.8)),
    }[kind]
    few = kind == "fly-away"
    style = HairStyle(
        strands=int(rng.uniform(60, 300) if few else rng.uniform(1000, 2200)),
        length=length,
        width=rng.uniform(0.9, 2.4) if kind == "coils" else rng.uniform(0.4, 1.7),
        lift=rng.uniform(0.15, 0.7),
        gravity=gravity,
        curl=curl,
        curl_turns=turns,
        clump=0.0 if few else rng.uniform(0.3, 0.95),
        clumps=int(rng.uniform(30, 160)),
        frizz=rng.uniform(0.01, 0.12),
        lay=lay,
        coil=rng.uniform(0.008, 0.022) if kind == "coils" else 0.0,
        strays=rng.uniform(0.0, 0.12),
    )
    return HairStyle(**vars(style) | {"strands": min(style.strands, PIECES // style.steps)})


def gather_locks(rng: np.random.Generator, roots: np.ndarray, count: int) -> np.ndarray:
    """Return (N,) for each root (N, 2) the number of its lock: the nearest of `count` roots picked by chance."""
    guides = roots[rng.integers(0, len(roots), count)]
    return ((roots[:, None] - guides[None]) ** 2).sum(axis=-1).argmin(axis=1)


def grow_strands(
    rng: np.random.Generator, roots: np.ndarray, angles: np.ndarray, style: HairStyle, head_height: float, locks: np.ndarray
) -> np.ndarray:
    """Grow strands from roots as curves in the picture plane.

    Args:
        rng: source of chance.
        roots: (N, 2) x, y in pixels.
        angles: (N,) direction away from the head, radians, y pointing down.
        style: how they grow.
        head_height: in pixels.
        locks: (N,) number of each strand's lock, as `gather_locks` says.

    Returns:
        (N, style.steps + 1, 2) x, y in pixels.
    """
    count, steps, number = len(roots), style.steps, int(locks.max()) + 1
    along = np.linspace(0, 1, steps)[None]
    stray = rng.random(count) < style.strays
    clump = np.where(stray, 0, style.clump)[:, None]
    length = style.length * head_height * rng.uniform(0.25, 1.25, (count, 1))  # so that hair thins out to its end

    def shared(spread: float) -> np.ndarray:  # a value per lock, which its strands share
        own, common = rng.normal(0, spread, (count, 1)), rng.normal(0, spread, (number, 1))[locks]
        return (1 - clump) * own + clump * common

    theta = angles[:, None] + shared(style.lift) * np.where(stray, 2, 1)[:, None]
    fall = (math.pi / 2 - theta + math.pi) % (2 * math.pi) - math.pi  # the turn to the ground, the shorter way
    theta = theta + fall * (1 - np.exp(-style.gravity * np.where(stray, 0.4, 1)[:, None] * along))
    turn = 2 * math.pi * style.curl_turns * along + shared(math.pi)
    theta = theta + style.curl * along**0.5 * np.sin(turn)
    theta = theta + np.cumsum(rng.normal(0, style.frizz, (count, steps)), axis=1)
    step = (length / steps)[..., None] * np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    path = np.cumsum(step, axis=1)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    path = path + style.coil * head_height * np.minimum(1, 4 * along)[..., None] * (ring - ring[:, :1])
    sums = np.stack([np.bincount(locks, roots[:, axis], number) for axis in (0, 1)], axis=1)
    centers = sums / np.maximum(np.bincount(locks, minlength=number), 1)[:, None]
    path = path + 0.8 * (clump * along)[..., None] * (centers[locks] - roots)[:, None]
    return roots[:, None] + np.concatenate([np.zeros((count, 1, 2)), path], axis=1)


def shade_strands(rng: np.random.Generator, color: np.ndarray, pieces: int, locks: np.ndarray) -> np.ndarray:
    """Return colors (N, pieces, 3) uint8: locks differ, later strands are lighter, sheen crosses neighbors at one place.

    Args:
        rng: source of chance.
        color: (3,) or (N, 3) in 0..255.
        pieces: of a strand.
        locks: (N,) number of each strand's lock.
    """
    count, number, along = len(locks), int(locks.max()) + 1, (np.arange(pieces) + 0.5) / pieces
    tone = rng.normal(1, 0.1, count) * rng.normal(1, 0.13, number)[locks] * np.linspace(0.75, 1.1, count)
    place = rng.uniform(0.1, 0.8) + rng.normal(0, 0.06, number)[locks] + rng.normal(0, 0.04, count)
    sheen = rng.uniform(0, 0.6) * np.exp(-(((along - place[:, None]) / rng.uniform(0.08, 0.25)) ** 2))
    fade = 1 + rng.uniform(-0.1, 0.35) * (along - 0.3)  # tips, bleached by the sun
    tint = color * np.exp(rng.normal(0, 0.05, (number, 3)))[locks]
    shade = np.clip(tone, 0.35, 1.7)[:, None] * fade * (1 + sheen)
    return (tint[:, None] * shade[..., None] + rng.uniform(0, 70) * sheen[..., None]).clip(0, 255).astype(np.uint8)


def draw_strands(
    rng: np.random.Generator,
    strands: np.ndarray,
    width: float,
    color: np.ndarray,
    size: tuple[int, int],
    *,
    locks: np.ndarray,
    taper: float = 0.67,
) -> np.ndarray:
    """Draw strands, later ones over earlier ones.

    Args:
        rng: source of chance.
        strands: (N, K, 2) x, y in pixels.
        width: at the root, before variation, in pixels.
        color: (3,) or (N, 3) in 0..255.
        size: (height, width) of the picture.
        locks: (N,) number of each strand's lock.
        taper: how much of its width a strand loses to its tip.

    Returns:
        (height, width, 4) float32: premultiplied color in 0..255, alpha in [0, 1].
    """
    scale, pieces = SUPERSAMPLING, strands.shape[1] - 1
    picture = np.zeros((*size, 4), np.float32)
    low, high = strands.min(axis=(0, 1)) - width, strands.max(axis=(0, 1)) + width
    low, high = (np.clip(corner, 0, size[::-1]).astype(int) for corner in (np.floor(low), np.ceil(high)))
    columns, rows = high - low
    if columns <= 0 or rows <= 0:
        return picture
    near = ((strands.max(axis=1) + width > low) & (strands.min(axis=1) - width < high)).all(axis=1)  # the others need no drawing
    canvas = Image.new("CMYK", (int(columns) * scale, int(rows) * scale))  # four plain channels: premultiplied color and alpha
    draw = ImageDraw.Draw(canvas)
    shades = shade_strands(rng, color, pieces, locks)
    shades = np.concatenate([shades, np.full_like(shades[..., :1], 255)], axis=2)[near].tolist()
    thick = width * scale * rng.uniform(0.5, 1.2, (len(strands), 1)) * (1 - taper * np.arange(pieces) / pieces)
    thick = np.maximum(thick.round(), 1)[near].astype(int).tolist()
    points = ((strands[near] - low) * scale).round(1)
    lines = np.concatenate([points[:, :-1], points[:, 1:]], axis=2).tolist()
    for strand in zip(lines, shades, thick):
        for line, shade, thickness in zip(*strand):
            draw.line(line, tuple(shade), thickness)
    picture[low[1] : high[1], low[0] : high[0]] = np.asarray(canvas.reduce(scale), np.float32)  # nothing is drawn as 0
    picture[..., 3] /= 255
    return picture


def draw_color(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Draw a hair color (3,) in 0..255: mostly one found at the top of the layer's head, else one that hair has."""
    if rng.random() < 0.25:
        return NATURAL_COLORS[rng.integers(len(NATURAL_COLORS))] * rng.uniform(0.6, 1.1)
    rows = slice(int(outline.top), int(outline.top + 0.2 * outline.head_height) + 1)
    part = layer[rows]
    colors = part[(outline.depth[rows] > 0.6) & (part[..., 3] > 127)][:, :3]
    if not len(colors):
        colors = layer[layer[..., 3] > 127][:, :3]
    return np.median(colors[rng.integers(0, len(colors), 50)], axis=0).astype(float)


def add_hair(rng: np.random.Generator, layer: np.ndarray, outline: Outline | None = None) -> np.ndarray:
    """Grow hair from the upper contour of a layer, mostly in the colors found there.

    Args:
        rng: source of chance.
        layer: (H, W, 4) uint8 straight RGBA of a person.
        outline: of the person, where it is known already.

    Returns:
        (H, W, 4) uint8 straight RGBA, the hair partly over and partly behind the person; the layer itself where it does not show
        the top of a head.
    """
    outline = outline or find_outline(layer)
    if outline is None:
        return layer
    high = outline.points[:, 1] < outline.top + outline.head_height * rng.uniform(0.3, 0.9)
    spots, angles = outline.points[high], outline.angles[high]
    if len(spots) < 20:
        return layer
    style, size = draw_style(rng), layer.shape[:2]
    picked = rng.integers(0, len(spots), style.strands)
    angles = angles[picked]
    upward = np.maximum(-np.sin(angles), 0.2)  # at the sides the face is near
    inward = (upward * rng.exponential(0.06, style.strands)).clip(0, 0.2)[:, None] * outline.head_height
    outward = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    roots = spots[picked] + rng.normal(0, 1.5, (style.strands, 2)) - inward * outward
    locks = gather_locks(rng, roots, style.clumps)
    order = np.argsort(locks, kind="stable")  # a lock is drawn at a time, over the one before it
    roots, angles, locks = roots[order], angles[order], locks[order]
    part = outline.middle + rng.normal(0, 0.15) * outline.head_height
    angles = angles + np.where(roots[:, 0] > part, 1, -1) * style.lay * math.pi / 2
    strands = grow_strands(rng, roots, angles, style, outline.head_height, locks)
    color = draw_color(rng, layer, outline)
    split = np.searchsorted(locks, int(rng.uniform(0.2, 0.9) * style.clumps)).clip(1, style.strands - 1)
    behind = draw_strands(rng, strands[:split], style.width, color * rng.uniform(0.5, 0.9), size, locks=locks[:split])
    before = draw_strands(rng, strands[split:], style.width, color, size, locks=locks[split:])
    return straighten(over(before, over(premultiply_array(layer), behind)))


def premultiply_array(layer: np.ndarray) -> np.ndarray:
    """Return straight RGBA uint8 as float32: premultiplied color in 0..255, alpha in [0, 1]."""
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.concatenate([layer[..., :3] * alpha, alpha], axis=2)


def over(front: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Lay one premultiplied RGBA picture over another (Porter and Duff, Compositing Digital Images, SIGGRAPH 1984)."""
    return front + (1 - front[..., 3:]) * back


def straighten(premultiplied: np.ndarray) -> np.ndarray:
    """Divide premultiplied color in 0..255 by alpha in [0, 1]; returns straight RGBA uint8."""
    alpha = premultiplied[..., 3:]
    color = premultiplied[..., :3] / np.maximum(alpha, 1e-4)
    return np.concatenate([color.clip(0, 255), alpha * 255], axis=2).round().astype(np.uint8)
