"""Training pictures whose alpha is known exactly: layers of people, procedural hair, composites, one camera over all.

The lens softens picture and alpha alike; noise and JPEG touch the picture alone. Everything is drawn from the generator that is
passed in, so that a seed repeats it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from shm.compositing import composite
from shm.filters import box_mean, erode, gaussian_blur, resize, to_gray
from shm.matte import to_depth
from shm.training.figures import draw_few, shift_color
from shm.training.hair import draw_strands, draw_style, gather_locks, grow_strands
from shm.trimap import trimap_from_alpha


def cut_layer(rng: np.random.Generator, image: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """Cut a person out along a new edge well inside the certain region, where every color is the person's own.

    Args:
        rng: source of chance.
        image: (H, W, 3) uint8.
        certain: (H, W) float32, 1 where a person is, and is opaque, beyond doubt.

    Returns:
        (H, W, 4) uint8 straight RGBA with an edge of random softness.
    """
    person = torch.from_numpy(certain)[None, None]
    softness = rng.uniform(0.4, 2.0)
    inner = erode(person, math.ceil(2 * softness))
    wavy = gaussian_blur(inner, rng.uniform(1.0, 4.0)) > 0.5  # rounds the corners that labels have
    alpha = gaussian_blur((wavy * inner).float(), softness) * person
    return np.concatenate([image, (alpha[0, 0, ..., None].numpy() * 255).round().astype(np.uint8)], axis=2)


def draw_background(rng: np.random.Generator, pictures: list[torch.Tensor], side: int) -> torch.Tensor:
    """Draw a background: a crop of a photograph, sharp or defocused, a hanging cloth, or a plain, shaded or noisy wall.

    Args:
        rng: source of chance.
        pictures: (3, H, W) uint8 photographs without people.
        side: of the result, in pixels.

    Returns:
        (1, 3, side, side) float32 in [0, 1].
    """
    kind = rng.random()
    if kind < 0.1:
        return draw_cloth(rng, side)
    if kind > 0.94:
        return draw_thicket(rng, draw_background(rng, pictures, side))
    if pictures and kind < 0.84:
        picture = pictures[rng.integers(len(pictures))]
        height, width = picture.shape[-2:]
        window = int(min(height, width) * rng.uniform(0.35, 1.0))
        top, left = rng.integers(0, height - window + 1), rng.integers(0, width - window + 1)
        crop = picture[None, :, top : top + window, left : left + window].float() / 255
        background = resize(crop.flip(-1) if rng.random() < 0.5 else crop, (side, side))
        return defocus(background, 1 + rng.exponential(3.0)) if rng.random() < 0.4 else background
    corners = torch.from_numpy(rng.uniform(0, 1, (1, 3, 1, 1)) + rng.normal(0, 0.15, (1, 3, 2, 2))).float()
    noise = torch.from_numpy(rng.normal(0, rng.exponential(0.04), (1, 3, side, side))).float()
    return (resize(corners, (side, side)) + gaussian_blur(noise, rng.uniform(0, 2))).clamp(0, 1)


def draw_thicket(rng: np.random.Generator, background: torch.Tensor) -> torch.Tensor:
    """Draw branches, grass or fur over a background: what looks like hair and belongs to nobody.

    Args:
        rng: source of chance.
        background: (1, 3, side, side) float32 in [0, 1].

    Returns:
        the same shape and range.
    """
    side, style = background.shape[-1], draw_style(rng)
    count = min(style.strands, 5000 // style.steps)  # a crop stays cheap
    roots, angles = rng.uniform(0, side, (count, 2)), rng.uniform(0, 2 * math.pi) + rng.normal(0, 0.8, count)
    locks = gather_locks(rng, roots, style.clumps)
    strands = grow_strands(rng, roots, angles, style, side * rng.uniform(0.2, 1.0), locks)
    color = rng.uniform(10, 220) * np.exp(rng.normal(0, 0.15, 3))
    width = style.width * rng.uniform(1, 3)
    drawn = torch.from_numpy(draw_strands(rng, strands, width, color, (side, side), locks=locks)).permute(2, 0, 1)[None]
    return (drawn[:, :3] / 255 + (1 - drawn[:, 3:]) * background).clamp(0, 1)


def draw_cloth(rng: np.random.Generator, side: int) -> torch.Tensor:
    """Draw a hanging cloth, striped and in folds: flags and curtains, which a segmenter takes for clothes.

    Returns:
        (1, 3, side, side) float32 in [0, 1].
    """
    y, x = np.mgrid[0:side, 0:side] / side
    along, fold = rng.uniform(0, 2 * math.pi, 2)
    drape = np.sin(2 * math.pi * rng.uniform(1, 6) * (x * np.cos(fold) + y * np.sin(fold)) + rng.uniform(0, 6))
    place = x * np.cos(along) + y * np.sin(along) + rng.uniform(0, 0.06) * drape
    stripe = np.clip(8 * np.sin(2 * math.pi * rng.uniform(1, 9) * place) + 0.5, 0, 1)[..., None]
    colors = rng.uniform(0, 1, (2, 3))
    cloth = (stripe * colors[0] + (1 - stripe) * colors[1]) * (1 + rng.uniform(0.05, 0.4) * drape[..., None])
    return torch.from_numpy(cloth.clip(0, 1)).permute(2, 0, 1)[None].float()


def defocus(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Blur (B, C, H, W) by about `factor` pixels, at that much smaller a size."""
    small = tuple(max(2, round(length / factor)) for length in image.shape[-2:])
    return resize(gaussian_blur(resize(image, small), 1.0), image.shape[-2:])


def shift_tone(rng: np.random.Generator, image: torch.Tensor) -> torch.Tensor:
    """Return a photograph (3, H, W) uint8 in black and white (40 of 100), toned (35), dim (12) or faded (13)."""
    color, kind = image.float() / 255, rng.random()
    if kind > 0.87:
        share = rng.uniform(0.3, 0.8)
        color = rng.uniform(0, 1 - share) + share * color
    elif kind > 0.75:
        color = color * rng.uniform(0.2, 0.7)
    else:
        gray = to_gray(color[None])[0]
        gray = gray.clamp(min=1e-3) ** float(np.exp(rng.normal(0, 0.3)))
        if rng.random() < 0.6:  # harder or softer paper
            gray = (gray - 0.5) * float(np.exp(rng.normal(0.15, 0.3))) + 0.5 + rng.normal(0, 0.05)
        tint, kept = torch.ones(3, 1, 1), 0.0
        if kind > 0.4:
            tint = torch.from_numpy(np.exp(rng.normal(0, 0.22, 3))).float().sort(descending=bool(rng.random() < 0.7)).values
            tint = (tint / tint.mean()).view(3, 1, 1)  # brown, oftener than blue
            kept = rng.uniform(0, 0.4) if rng.random() < 0.5 else 0.0
        color = (1 - kept) * gray * tint + kept * color
    return to_depth(color.clamp(0, 1), torch.uint8)


def soften(rng: np.random.Generator, planes: torch.Tensor) -> torch.Tensor:
    """Blur (1, C, side, side) a little, or take it through a lower resolution, or neither: what a lens does to picture and alpha."""
    side = planes.shape[-1]
    if rng.random() < 0.3:
        planes = gaussian_blur(planes, rng.uniform(0.3, 0.9))
    if rng.random() < 0.15:
        small = int(side * rng.uniform(0.5, 0.9))
        planes = resize(resize(planes, (small, small)), (side, side))
    return planes


def record(rng: np.random.Generator, image: torch.Tensor) -> torch.Tensor:
    """Record a softened picture as a camera does: color cast, noise, JPEG.

    Args:
        rng: source of chance.
        image: (1, 3, side, side) float32 in [0, 1].

    Returns:
        the same shape and range.
    """
    image = shift_color(rng, image, 0.08)
    if rng.random() < 0.7:
        noise = torch.from_numpy(rng.normal(0, rng.exponential(0.015), tuple(image.shape))).float()
        image = (image + (gaussian_blur(noise, 0.7) if rng.random() < 0.3 else noise)).clamp(0, 1)
    if rng.random() < 0.7:
        picture = Image.fromarray((image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.uniform(45, 97)))
        image = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 255
    return image


def draw_composite(
    rng: np.random.Generator,
    layers: list[torch.Tensor],
    pictures: list[torch.Tensor],
    side: int,
    *,
    draw_people: Callable[[np.random.Generator, list[torch.Tensor], int], torch.Tensor] = draw_few,
) -> tuple[torch.Tensor, ...]:
    """Draw people over a background, as photographs show them, by one camera.

    Args:
        rng: source of chance.
        layers: (4, H, W) uint8 straight RGBA people.
        pictures: (3, H, W) uint8 photographs without people.
        side: of the result, in pixels.
        draw_people: `draw_few` or `draw_crowd`.

    Returns:
        image (1, 3, side, side), alpha (1, 1, side, side), foreground (spread from nearby where alpha is 0) and background
        (1, 3, side, side), all float32 in [0, 1].
    """
    people = draw_people(rng, layers, side)
    alpha = people[:, 3:].clamp(0, 1)
    foreground, known = (people[:, :3] / alpha.clamp(min=1e-3)).clamp(0, 1), (alpha > 0.01).float()
    foreground = spread_colors(foreground * known, known)
    background = shift_color(rng, draw_background(rng, pictures, side), 0.2)
    scene = composite(foreground, alpha, background)
    image, alpha = soften(rng, torch.cat([scene, alpha], dim=1)).clamp(0, 1).split((3, 1), dim=1)
    return record(rng, image), alpha, foreground, background


def spread_colors(weighted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Spread the colors of weighty pixels over the others, by pull-push (Gortler et al., The Lumigraph, SIGGRAPH 1996).

    Args:
        weighted: (B, C, h, w), color times weight.
        weight: (B, 1, h, w) in [0, 1].

    Returns:
        (B, C, h, w): a pixel's own color as far as it has weight, else a mean of those around it, nearer ones first; 0.5 where
        there is none at all.

    >>> spread_colors(torch.tensor([[[[0.8, 0.0, 0.0, 0.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])).round(decimals=2)
    tensor([[[[0.8000, 0.8000, 0.8000, 0.8000]]]])
    """
    if max(weight.shape[-2:]) == 1:
        return weighted + (1 - weight) * 0.5
    halves = functional.avg_pool2d(torch.cat([weighted, weight], dim=1), 2, ceil_mode=True, count_include_pad=False)
    gain = (4 * halves[:, -1:]).clamp(max=1) / halves[:, -1:].clamp(min=1e-6)  # one known pixel of four is enough
    coarse = spread_colors(halves[:, :-1] * gain, halves[:, -1:] * gain)
    return weighted + (1 - weight) * resize(coarse, weight.shape[-2:])


def degrade_trimap(rng: np.random.Generator, alpha: torch.Tensor) -> torch.Tensor:
    """Return a soft trimap such as a coarse, unsure or mistaken semantic model would give for a true alpha.

    Mostly that of a network of stride 16: classes blend over 16 to 32 pixels, unknown comes to 0.8 to 1 in the middle of its
    band, and person and background leak into it where alpha is on their side.

    Args:
        rng: source of chance.
        alpha: (1, 1, side, side) in [0, 1].

    Returns:
        (1, 3, side, side) float32, sums to 1.
    """
    side = alpha.shape[-1]
    trimap = trimap_from_alpha((alpha * 1.04 - 0.02).clamp(0, 1), radius=int(rng.uniform(3, 28)))
    stride = int(rng.choice([4, 8, 16, 24, 32], p=[0.1, 0.2, 0.5, 0.1, 0.1]))
    grid = math.ceil(side / stride), math.ceil(side / stride)
    coarse, near = resize(trimap, grid), box_mean(resize(alpha, grid), 1)
    leaks = torch.cat([rng.uniform(0, 0.2) * (1 - near), rng.uniform(0, 0.35) * near], dim=1)
    unknown = coarse[:, 2:]
    coarse = torch.cat([coarse[:, :2] + unknown * leaks, unknown * (1 - leaks.sum(dim=1, keepdim=True))], dim=1)
    noise = torch.from_numpy(rng.normal(0, rng.exponential(0.5), tuple(coarse.shape))).float()
    logits = (coarse + 0.01).log() / float(np.exp(rng.normal(0, 0.3))) + box_mean(noise, 1)
    soft = resize(logits, (side, side)).softmax(dim=1)
    if rng.random() < 0.3:  # somewhere it does not know what it sees
        spot = torch.from_numpy(rng.normal(0, 1, (1, 1, 5, 5))).float()
        doubt = (resize(spot, (side, side)) - rng.uniform(0.6, 1.5)).clamp(0, 1)
        soft = soft * (1 - doubt) + doubt * torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    return soft
