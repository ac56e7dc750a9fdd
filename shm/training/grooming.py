"""What else is made of strands: braids, beards, fur collars, cloth fringe; on layers, so that coverage is alpha here too."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from shm.training.hair import (
    HairStyle,
    Outline,
    choose_stretch,
    draw_color,
    draw_strands,
    gather_locks,
    grow_strands,
    over,
    premultiply_array,
    straighten,
)

PLAIN = HairStyle(1, 0.1, 1.0, 0.2, 0.0, 0.1, 1.0, 0.5, 40, 0.03)


def braid_strands(
    rng: np.random.Generator, path: np.ndarray, thickness: float, *, bundle: int = 22, pieces: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plait three bundles of strands about a path: across it they swing as sin p, towards the viewer as sin 2p, a third apart.

    Args:
        rng: source of chance.
        path: (K, 2) x, y in pixels, K - 1 a multiple of `pieces`.
        thickness: half the width of a bundle at the root, in pixels.
        bundle: strands of each bundle.
        pieces: of a strand between one change of depth and the next.

    Returns:
        strands (N, pieces + 2, 2) x, y in pixels, the nearest last; brightness (N,); the bundle (N,) of each, 0 to 2.
    """
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / np.linalg.norm(tangent, axis=1).clip(1e-6)[:, None]
    way = np.linalg.norm(tangent, axis=1).cumsum()
    phase = 2 * math.pi * (way / (rng.uniform(7, 9) * thickness) + np.arange(3)[:, None] / 3)  # (3, K)
    slim = thickness * np.linspace(1, 0.5, len(path))
    offset = np.sort(rng.uniform(-1, 1, bundle))
    across = 0.8 * np.sin(phase)[:, None] + 0.85 * offset[None, :, None]  # (3, bundle, K)
    curves = path + (slim * across)[..., None] * normal
    starts = np.arange(0, len(path) - pieces - 1, pieces)
    parts = np.stack([curves[:, :, start : start + pieces + 2] for start in starts], axis=1)
    nearness = np.sin(2 * phase)[:, starts + pieces // 2]  # (3, S)
    order = np.argsort(nearness.ravel())
    light = np.sqrt(1 - (0.9 * offset) ** 2) * (0.8 + 0.2 * nearness[..., None])
    bundles = np.broadcast_to(np.arange(3)[:, None, None], light.shape)
    flat = [array.reshape(-1, bundle)[order].ravel() for array in (light, bundles)]
    return parts.reshape(-1, bundle, pieces + 2, 2)[order].reshape(-1, pieces + 2, 2), flat[0], flat[1]


def add_braid(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Hang a braid from one side of the head, with a tuft at its end and loose hairs along it.

    Args:
        rng: source of chance.
        layer: (H, W, 4) uint8 straight RGBA of a person.
        outline: of the person.

    Returns:
        (H, W, 4) uint8 straight RGBA; the layer itself where it shows no side of a head.
    """
    spots, angles = choose_stretch(rng, outline, (0.4, 0.9), 0.02)
    if not len(spots):
        return layer
    tall, size = outline.head_height, layer.shape[:2]
    thickness = tall * rng.uniform(0.025, 0.06)
    hanging = replace(PLAIN, length=rng.uniform(0.6, 1.6), gravity=4.0, curl=0.15, curl_turns=16.0, frizz=0.005, clump=0.0)
    root = spots[:1] - 2 * thickness * np.array([[math.cos(angles[0]), 0.0]])
    path = grow_strands(rng, root.astype(float), angles[:1], replace(hanging, curl=0.0), tall, np.zeros(1, int))[0]
    color = draw_color(rng, layer, outline)
    strands, light, bundles = braid_strands(rng, path, thickness)
    braid = draw_strands(rng, strands, 0.12 * thickness + 0.5, color * light[:, None], size, locks=bundles, taper=0.0)
    tuft = replace(PLAIN, length=3 * thickness / tall, lift=0.25, gravity=1.0)
    ends = path[-1] + rng.normal(0, 0.4 * thickness, (120, 2))
    falling = np.full(120, math.atan2(*(path[-1] - path[-4])[::-1]))
    tip = draw_strands(
        rng, grow_strands(rng, ends, falling, tuft, tall, np.arange(120) % 6), 1.2, 0.9 * color, size, locks=np.arange(120) % 6
    )
    loose = replace(PLAIN, length=2 * thickness / tall, lift=0.6, clump=0.0, frizz=0.15)
    roots = path[rng.integers(0, len(path), 90)] + rng.normal(0, 0.7 * thickness, (90, 2))
    outward = math.pi / 2 + rng.normal(0, 0.9, 90)
    flying = draw_strands(
        rng, grow_strands(rng, roots, outward, loose, tall, np.arange(90)), 0.7, color, size, locks=np.arange(90)
    )
    whole = over(flying, over(braid, tip))
    body = premultiply_array(layer)
    return straighten(over(whole, body) if rng.random() < 0.6 else over(body, whole))


def add_beard(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Grow stubble or a beard along the lower contour of the face, from ear to ear; like `add_braid`."""
    tall, count = outline.head_height, int(rng.uniform(500, 1800))
    low = (outline.points[:, 1] - outline.top) / tall
    sides = outline.points[(low > 0.5) & (low < 0.75), 0]
    if not len(sides):
        return layer
    left, right = float(sides.min()), float(sides.max())
    arc = rng.uniform(-0.1, math.pi + 0.1, count)
    inward = 1 - rng.exponential(0.09, count).clip(0, 0.4)
    reach = np.array([(right - left) / 2, tall * rng.uniform(0.35, 0.45)])
    center = np.array([(left + right) / 2, outline.top + 0.6 * tall])
    roots = center + reach * inward[:, None] * np.stack([np.cos(arc), np.sin(arc)], axis=1)
    length = rng.uniform(0.01, 0.03) if rng.random() < 0.4 else rng.uniform(0.04, 0.25)
    style = replace(PLAIN, length=length, lift=0.35, gravity=rng.uniform(0.3, 2), curl=rng.uniform(0, 1), curl_turns=2.0)
    locks = np.sort(gather_locks(rng, roots, style.clumps))
    strands = grow_strands(rng, roots, arc, style, tall, locks)
    color = draw_color(rng, layer, outline) * rng.uniform(0.6, 1.0)
    beard = draw_strands(rng, strands, rng.uniform(0.5, 1.3), color, layer.shape[:2], locks=locks)
    return straighten(over(beard, premultiply_array(layer)))


def add_collar(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Trim the shoulders with fur: short strands, thick as the contour is long; like `add_braid`."""
    low = (outline.points[:, 1] - outline.top) / outline.head_height
    band = (low > 0.95) & (low < rng.uniform(1.3, 1.9))
    spots, angles = outline.points[band], outline.angles[band]
    if len(spots) < 20:
        return layer
    count = 1800
    picked = rng.integers(0, len(spots), count)
    angles, tall = angles[picked], outline.head_height
    inward = rng.uniform(0, rng.uniform(0.08, 0.25), (count, 1)) * tall
    order = np.argsort(inward[:, 0])  # what lies further inside lies over
    roots = (spots[picked] - inward * np.stack([np.cos(angles), np.sin(angles)], axis=1))[order]
    style = replace(PLAIN, length=rng.uniform(0.05, 0.14), lift=0.4, curl=rng.uniform(0, 1), strays=0.1)
    style = replace(style, clump=rng.uniform(0.3, 0.9), clumps=150)
    locks = gather_locks(rng, roots, style.clumps)
    strands = grow_strands(rng, roots, angles[order], style, tall, locks)
    color = rng.uniform(20, 235) * np.exp(rng.normal(0, 0.12, 3))
    fur = draw_strands(rng, strands, rng.uniform(0.6, 1.6), color, layer.shape[:2], locks=locks)
    return straighten(over(fur, premultiply_array(layer)))


def add_fringe(rng: np.random.Generator, layer: np.ndarray, outline: Outline) -> np.ndarray:
    """Hang threads from a stretch of the contour that looks downwards: the fringe of a shawl or a sleeve; like `add_braid`."""
    spots, angles = choose_stretch(rng, outline, (1.1, 9.0), rng.uniform(0.4, 1.5))
    hanging = np.sin(angles) > -0.3
    spots = spots[hanging]
    if len(spots) < 20:
        return layer
    picked = spots[rng.integers(0, len(spots), 400)].astype(float)
    pitch = rng.uniform(3, 9)
    locks = (picked[:, 0] // pitch).astype(int)
    locks -= locks.min()
    picked[:, 0] = pitch * np.round(picked[:, 0] / pitch) + rng.normal(0, 0.12 * pitch, len(picked))  # threads in tassels
    style = replace(PLAIN, length=rng.uniform(0.06, 0.25), lift=0.06, curl=rng.uniform(0, 0.2), clump=0.85, frizz=0.015)
    strands = grow_strands(rng, picked, np.full(len(picked), math.pi / 2), style, outline.head_height, locks)
    x, y = spots[rng.integers(len(spots))]
    colors = layer[max(0, y - 12) : y + 4, max(0, x - 8) : x + 8].reshape(-1, 4)
    solid = colors[colors[:, 3] > 200, :3]
    color = solid.mean(axis=0) if len(solid) else rng.uniform(20, 230, 3)
    threads = draw_strands(rng, strands, rng.uniform(0.8, 1.8), color, layer.shape[:2], locks=locks, taper=0.2)
    return straighten(over(premultiply_array(layer), threads))
