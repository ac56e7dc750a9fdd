"""Lace, veils, glasses, gaps between arm and body: where people let the background through; alpha is known exactly."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from shm.training.hair import SUPERSAMPLING, Outline, choose_stretch, over, premultiply_array, straighten

SMALLEST_HEAD = 16
"""Height below which no glasses fit a head, in pixels."""


def step_smoothly(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below `low`, 1 above `high`, between them the cubic 3t² - 2t³.

    >>> step_smoothly(np.array([0.0, 1.0, 3.0]), 0.0, 2.0)
    array([0. , 0.5, 1. ])
    """
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def thin_out(layer: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Multiply a layer's alpha by (H, W) in [0, 1]."""
    alpha = (layer[..., 3] * keep).round().astype(np.uint8)
    return np.concatenate([layer[..., :3], alpha[..., None]], axis=2)


def cut_gap(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Cut an elongated ellipse beside the contour, below the head, such as an arm leaves that is set akimbo.

    Args:
        rng: source of chance.
        layer: (H, W, 4) uint8 straight RGBA of a person.
        outline: of the person.

    Returns:
        (H, W, 4) uint8 straight RGBA; the layer itself where it shows nothing below a head.
    """
    spots, angles = choose_stretch(rng, outline, (1.1, 9.0), 0.02)
    if not len(spots):
        return layer
    across = outline.head_height * rng.uniform(0.03, 0.12)
    along = across * rng.uniform(1.5, 5)
    inward = outline.head_height * rng.uniform(0.1, 0.35) + across
    y, x = np.ogrid[: layer.shape[0], : layer.shape[1]]
    cos, sin = math.cos(angles[0]), math.sin(angles[0])
    right, down = x - (spots[0, 0] - inward * cos), y - (spots[0, 1] - inward * sin)
    bend = rng.normal(0, 0.3) / along
    side = right * -sin + down * cos
    out = right * cos + down * sin + bend * side**2
    distance = (np.hypot(out / across, side / along) - 1) * across  # about pixels from the edge
    softness = rng.uniform(0.5, 2.0)
    return thin_out(layer, step_smoothly(distance, -softness, softness))


def cut_lace(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Turn a stretch of the cloth along the contour into lace: a net of round holes in two sizes; like `cut_gap`."""
    tall = outline.head_height
    spots, _ = choose_stretch(rng, outline, (1.1, 9.0), 0.02)
    if not len(spots):
        return layer
    y, x = np.mgrid[: layer.shape[0], : layer.shape[1]].astype(np.float32)
    reach = tall * rng.uniform(0.3, 1.0)
    near = 1 - step_smoothly(np.hypot(x - spots[0, 0], y - spots[0, 1]), 0.9 * reach, reach)
    rim = (outline.depth < rng.uniform(0.8, 0.98)) & (outline.depth > 0.52)  # a seam stays at the very edge
    pitch, turn = max(5.0, tall * rng.uniform(0.02, 0.06)), rng.uniform(0, math.pi)
    warp = 0.2 * pitch * np.sin(y / (4 * pitch)), 0.2 * pitch * np.sin(x / (5 * pitch))
    u = ((x + warp[0]) * math.cos(turn) + (y + warp[1]) * math.sin(turn)) * math.pi / pitch
    v = ((y + warp[1]) * math.cos(turn) - (x + warp[0]) * math.sin(turn)) * math.pi / pitch
    flowers = 0.3 * np.sin(u / 3.1) * np.sin(v / 2.7)
    net = np.abs(np.sin(u) * np.sin(v)) + flowers
    threads = 1 - step_smoothly(net, rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.6))
    return thin_out(layer, 1 - near * rim * (1 - threads))


def add_veil(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Lay a veil over the head: thin cloth, wider downwards, its folds running together above; like `cut_gap`."""
    tall = outline.head_height
    y, x = np.ogrid[: layer.shape[0], : layer.shape[1]]
    top = outline.top - tall * rng.uniform(0.01, 0.05)
    down = np.maximum((y - top) / tall, 0)
    flare, length = rng.uniform(0.05, 0.35), rng.uniform(0.8, 2.5)
    half = tall * (rng.uniform(0.42, 0.5) * np.sqrt(np.clip(2.4 * down, 0, 1)) + flare * np.maximum(down - 0.3, 0)) + 1e-3
    sway = tall * rng.normal(0, 0.08) * down**2
    across = (x - outline.middle - sway) / half  # -1 and 1 at the edges
    folds = np.zeros(layer.shape[:2])
    for _ in range(3):
        turns, drift = rng.uniform(2, 11), rng.normal(0, 1.5)
        folds += np.sin(turns * (across + 0.1 * np.sin(3 * down + drift)) + drift * down + rng.uniform(0, 6)) / 3
    amount = rng.uniform(0.25, 0.55) + rng.uniform(0.1, 0.25) * folds * np.clip(down, 0.2, 1) + 0.15 * across**6
    low = down + 0.1 * across**2 + 0.03 * folds
    edge = 1 - step_smoothly(np.abs(across) * half - half, -1.5, 1.5)
    edge = edge * (1 - step_smoothly(low, length - 0.02, length))
    hem = rng.uniform(0, 0.4) * step_smoothly(np.abs(across), 0.96, 0.99)  # a seam, denser
    alpha = np.clip(amount + hem, 0.15, 0.7) * edge * (y > top)
    base = rng.choice([rng.uniform(200, 250), rng.uniform(10, 60), rng.uniform(80, 200)])
    color = np.clip(base * np.exp(rng.normal(0, 0.08, 3)), 0, 255) * (1 + 0.12 * folds[..., None])
    veil = np.concatenate([color.clip(0, 255) * alpha[..., None], alpha[..., None]], axis=2).astype(np.float32)
    body = premultiply_array(layer)
    return straighten(over(veil, body) if rng.random() < 0.5 else over(body, veil))


def add_glasses(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Put glasses on, nearly clear or dark, so far to one side that a lens stands out beyond the head; like `cut_gap`."""
    tall, scale = outline.head_height, SUPERSAMPLING
    row = outline.top + tall * rng.uniform(0.42, 0.55)
    beside = outline.points[np.abs(outline.points[:, 1] - row) < 0.05 * tall]
    if not len(beside) or tall < SMALLEST_HEAD:
        return layer
    turned = rng.choice([-1, 1])
    edge = beside[:, 0].max() if turned > 0 else beside[:, 0].min()
    wide, high = tall * rng.uniform(0.11, 0.17), tall * rng.uniform(0.08, 0.13)
    centers = [edge - turned * wide * rng.uniform(0.3, 0.9), edge - turned * wide * rng.uniform(2.6, 3.1)]
    size = layer.shape[1] * scale, layer.shape[0] * scale
    rim, tilt = max(1.0, tall * rng.uniform(0.005, 0.02)), rng.normal(0, 0.05) * tall
    lens, frame = Image.new("L", size), Image.new("L", size)
    for center, shift in zip(centers, (tilt, 0.0)):
        box = [scale * value for value in (center - wide, row + shift - high, center + wide, row + shift + high)]
        radius = scale * min(wide, high) * rng.uniform(0.6, 0.9)
        ImageDraw.Draw(lens).rounded_rectangle(box, radius, fill=255)
        ImageDraw.Draw(frame).rounded_rectangle(box, radius, outline=255, width=round(scale * rim))
    bridge = [(centers[0] - turned * wide, row + tilt), (centers[1] + turned * wide, row)]
    ear = centers[1] - turned * (wide + rng.uniform(0.15, 0.25) * tall), row + rng.uniform(-0.05, 0.05) * tall
    temple = [(centers[1] - turned * wide, row), ear]
    for line in (bridge, temple):
        ImageDraw.Draw(frame).line([(scale * x, scale * y) for x, y in line], fill=255, width=round(scale * rim))
    glass, wire = (np.asarray(picture.reduce(scale), np.float32)[..., None] / 255 for picture in (lens, frame))
    glass = glass * (rng.uniform(0.04, 0.25) if rng.random() < 0.7 else rng.uniform(0.5, 0.9))
    tone, metal = rng.uniform(10, 240), rng.uniform(5, 190) * np.exp(rng.normal(0, 0.2, 3))
    glare = tone * np.exp(rng.normal(0, 0.1, 3)) * (1.2 - 0.4 * np.linspace(0, 1, layer.shape[0])[:, None, None])
    lenses = np.concatenate([glare.clip(0, 255) * glass, glass], axis=2)
    frames = np.concatenate([metal.clip(0, 255) * wire, wire], axis=2)
    return straighten(over(over(frames, lenses), premultiply_array(layer)))
