"""The training set: a folder of pictures, held in memory as uint8, from which batches are drawn.

    DATA/labelled/image/NAME.*   photographs with and without people
    DATA/labelled/label/NAME.png gray and alpha, same size: the gray is the person's alpha, known where the other is 255
    DATA/cutout/NAME.png         straight RGBA people whose alpha is true
    DATA/background/NAME.*       photographs without people
    DATA/somebody/NAME.*         photographs with people and no label, for the stages "presence" and "tones"
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from shm.filters import resize
from shm.matte import ImageError, to_depth
from shm.matting import MattingConfig
from shm.pipeline import find_precision
from shm.segmentation import PRESETS, Segmenter
from shm.training.accessories import add_glasses, add_veil, cut_gap, cut_lace
from shm.training.figures import draw_crowd, draw_few, shift_color
from shm.training.grooming import add_beard, add_braid, add_collar, add_fringe
from shm.training.hair import Outline, add_hair, find_outline
from shm.training.synthesis import cut_layer, degrade_trimap, draw_composite, record, shift_tone, soften
from shm.trimap import soft_trimap, trimap_from_alpha

LAYER_SIDE = 640
"""Longest side of the layers that are kept, in pixels."""

Dressing = Callable[[np.random.Generator, np.ndarray, Outline], np.ndarray]

RARE_BELOW: tuple[tuple[Dressing, float], ...] = ((cut_gap, 0.15), (cut_lace, 0.03), (add_fringe, 0.03), (add_collar, 0.04))
"""What is under the hair of made layers, and how often."""

RARE_ABOVE: tuple[tuple[Dressing, float], ...] = ((add_beard, 0.04), (add_braid, 0.05), (add_glasses, 0.03), (add_veil, 0.03))
"""What is over it, and how often."""

EDGE_RADIUS = 6
"""How far unknown reaches from an edge in the segmenter's targets, in pixels of its input: about as near as it can tell."""

SEEN_FRACTION = PRESETS["embedded"].side / MattingConfig().side
"""Size at which the segmenter sees a square photograph, relative to the head."""

CUTOUT_FRACTION = 0.7
"""How often a person in a composite is a cut-out, else a made layer."""

CROWDED = 0.6
"""How often a composite shows a segmenter a crowd."""

SEGMENTED = 0.85
"""How often the head's soft trimap is a segmenter's."""


@dataclass(frozen=True)
class TrainingSet:
    """What training draws from.

    Attributes:
        photographs: pairs of image (3, H, W) and label (2, H, W), both uint8: alpha, and 255 where that is known, else 0.
        layers: (4, H, W) uint8 straight RGBA people, made from labelled photographs.
        cutouts: (4, H, W) uint8 straight RGBA people whose alpha is true.
        backgrounds: (3, H, W) uint8.
        somebody: (3, H, W) uint8, somewhere in each is a person.
    """

    photographs: list[tuple[torch.Tensor, torch.Tensor]]
    layers: list[torch.Tensor]
    cutouts: list[torch.Tensor]
    backgrounds: list[torch.Tensor]
    somebody: list[torch.Tensor]


def read_set(folder: Path, *, seed: int, made_layers: int) -> TrainingSet:
    """Read a training set, and make `made_layers` layers from its labelled photographs by the seed.

    Raises:
        FileNotFoundError: the folder holds no people.
        ImageError: code "size_mismatch", a label has another size than its photograph.
    """
    labels = sorted((folder / "labelled" / "label").glob("*.png"))
    images = {path.stem: path for path in (folder / "labelled" / "image").glob("*.*")}
    pairs = [(images[path.stem], path) for path in labels if path.stem in images]
    with ThreadPoolExecutor(2) as pool:
        photographs = list(pool.map(lambda pair: read_labelled(*pair), pairs))
        cutouts = list(pool.map(lambda path: read(path, "RGBA"), sorted((folder / "cutout").glob("*.png"))))
        backgrounds, somebody = (
            list(pool.map(lambda path: read(path, "RGB"), sorted((folder / part).glob("*.*"))))
            for part in ("background", "somebody")
        )
    people = [pair for pair in photographs if certain_person(pair[1]).mean() > 0.04]
    if not (people or cutouts or somebody):
        raise FileNotFoundError(f"{folder}: expected people in labelled/, cutout/ or somebody/, as shm/training/dataset.py says")
    order = np.random.default_rng(seed).permutation(len(people))
    made = [
        make_layer(np.random.default_rng((seed, number)), *people[order[number % len(people)]])
        for number in range(made_layers if people else 0)
    ]
    return TrainingSet(photographs, made, cutouts, backgrounds, somebody)


def read_labelled(image_path: Path, label_path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Read a photograph (3, H, W) and its label (2, H, W), both uint8.

    Raises:
        ImageError: code "size_mismatch".
    """
    image, label = read(image_path, "RGB"), read(label_path, "LA")
    sizes = [f"{tensor.shape[-1]} x {tensor.shape[-2]}" for tensor in (image, label)]
    if sizes[0] != sizes[1]:
        sentence = f"{label_path}: expected the size of {image_path.name}, {sizes[0]}, got {sizes[1]}"
        raise ImageError("size_mismatch", sentence, name=label_path.name, expected=sizes[0], got=sizes[1])
    return image, label


def read(path: Path, mode: str) -> torch.Tensor:
    """Read a picture, upright, in a mode of PIL as (C, H, W) uint8, its longer side at most `LAYER_SIDE`."""
    with Image.open(path) as picture:
        picture = ImageOps.exif_transpose(picture).convert(mode)
        picture.thumbnail((LAYER_SIDE, LAYER_SIDE), Image.Resampling.NEAREST if mode == "LA" else Image.Resampling.LANCZOS)
        array = np.array(picture)
    return torch.from_numpy(array[..., None] if array.ndim == 2 else array).permute(2, 0, 1).contiguous()


def certain_person(label: torch.Tensor) -> torch.Tensor:
    """Return 1.0 where a label (2, H, W) uint8 knows an opaque person, 0.0 elsewhere, (H, W)."""
    return ((label[0] > 242) & (label[1] == 255)).float()


def make_layer(rng: np.random.Generator, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cut the person out of a labelled photograph along a new edge, usually with new hair, seldom dressed anew.

    Returns:
        (4, H, W) uint8 straight RGBA.
    """
    layer = cut_layer(rng, image.permute(1, 2, 0).numpy(), certain_person(label).numpy())
    outline = find_outline(layer)
    if outline is not None:
        layer = dress(rng, layer, outline, RARE_BELOW)
        layer = add_hair(rng, layer, outline) if rng.random() < 0.85 else layer
        layer = dress(rng, layer, outline, RARE_ABOVE)
    return torch.from_numpy(layer).permute(2, 0, 1).contiguous()


def dress(rng: np.random.Generator, layer: np.ndarray, outline: Outline, rare: tuple[tuple[Dressing, float], ...]) -> np.ndarray:
    """Apply each of some dressings with its probability to a (H, W, 4) uint8 layer."""
    for add, probability in rare:
        if rng.random() < probability:
            layer = add(rng, layer, outline)
    return layer


def draw_labelled(
    rng: np.random.Generator, data: TrainingSet, side: int, *, radius: int = EDGE_RADIUS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a labelled photograph: a part of it on a gray square, perhaps mirrored, photographed anew.

    Args:
        rng: source of chance.
        data: what to draw from.
        side: of the square, in pixels.
        radius: how far from an edge unknown reaches, in pixels.

    Returns:
        image (1, 3, side, side) float32 in [0, 1]; target (1, side, side) int64, as `target_from_alpha` says.
    """
    image, label = data.photographs[rng.integers(len(data.photographs))]
    height, width = image.shape[-2:]
    longer = max(height, width)
    window = int(longer * rng.uniform(0.5, 1.0))
    rows, columns = min(window, height), min(window, width)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    size = max(32, round(side * rows / window)), max(32, round(side * columns / window))
    mirrored = rng.random() < 0.5

    def crop(tensor: torch.Tensor) -> torch.Tensor:
        part = tensor[None, :, top : top + rows, left : left + columns].float() / 255
        return resize(part.flip(-1) if mirrored else part, size)

    canvas, target = torch.full((1, 3, side, side), 0.5), torch.full((1, side, side), -1)
    y, x = rng.integers(0, side - size[0] + 1), rng.integers(0, side - size[1] + 1)
    place = np.s_[..., y : y + size[0], x : x + size[1]]
    canvas[place] = shift_color(rng, crop(image), 0.15)
    alpha, known = crop(label).split(1, dim=1)
    target[place] = target_from_alpha(alpha, radius, known)
    return record(rng, soften(rng, canvas)), target


def draw_layers(rng: np.random.Generator, data: TrainingSet) -> list[torch.Tensor]:
    """Return the cut-outs or, less often, the made layers; what there is where one of them is missing."""
    wanted = data.cutouts if rng.random() < CUTOUT_FRACTION else data.layers
    return wanted or data.layers or data.cutouts


def draw_segmenter_picture(rng: np.random.Generator, data: TrainingSet, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a picture for the segmenter: a labelled photograph or, as often, a composite.

    Returns:
        image (1, 3, side, side) float32 in [0, 1]; target (1, side, side) int64, as `target_from_alpha` says.
    """
    layers = draw_layers(rng, data)
    if data.photographs and (rng.random() < 0.5 or not layers):
        image, target = draw_labelled(rng, data, side)
    else:
        draw_people = draw_crowd if rng.random() < CROWDED else draw_few
        image, alpha, _, _ = draw_composite(rng, layers, data.backgrounds, side, draw_people=draw_people)
        target = target_from_alpha(alpha, EDGE_RADIUS)
    # now and then other colors than the world has, or none: a person is known by shape, not by the color of a shirt
    kind = rng.random()
    if kind < 0.12:
        image = image[:, rng.permutation(3)]
    elif kind < 0.3:
        image = shift_tone(rng, to_depth(image[0], torch.uint8))[None].float() / 255
    return image, target


def target_from_alpha(alpha: torch.Tensor, radius: int, known: torch.Tensor | None = None) -> torch.Tensor:
    """Return the segmenter's target for a true alpha: 0 background, 1 person, 2 unknown, -1 nobody knows.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        radius: how far from a soft pixel or an edge unknown reaches, in pixels.
        known: (B, 1, H, W) in [0, 1], where alpha counts; None for everywhere.

    Returns:
        (B, H, W) int64.
    """
    target = trimap_from_alpha((alpha * 1.04 - 0.02).clamp(0, 1), radius=radius).argmax(dim=1)
    return target if known is None else torch.where(known[:, 0] > 0.99, target, -1)


def draw_joint_batch(rng: np.random.Generator, data: TrainingSet, *, batch: int, side: int) -> dict[str, torch.Tensor]:
    """Draw a batch for both networks: composites with people as photographs show them, then as many labelled photographs.

    Returns:
        image (B, 3, side, side); target (B, side, side) int64, as `target_from_alpha` says; and of the composites alone foreground,
        background (C, 3, side, side) and alpha (C, 1, side, side), float32. C is half of B, rounded up, and all of it where there
        are no labelled photographs.
    """
    composites = (batch + 1) // 2 if data.photographs else batch
    layers = (draw_layers(rng, data) for _ in range(composites))
    planes = [draw_composite(rng, wanted, data.backgrounds, side) for wanted in layers]
    image, alpha, foreground, background = (torch.cat(plane) for plane in zip(*planes))
    radius = round(EDGE_RADIUS / SEEN_FRACTION)  # in pixels of what the segmenter will see
    labelled = [draw_labelled(rng, data, side, radius=radius) for _ in range(batch - composites)]
    return {
        "image": torch.cat([image, *(photograph for photograph, _ in labelled)]),
        "target": torch.cat([target_from_alpha(alpha, radius), *(target for _, target in labelled)]),
        "alpha": alpha,
        "foreground": foreground,
        "background": background,
    }


def draw_head_batch(
    rng: np.random.Generator, data: TrainingSet, *, batch: int, side: int, segmenter: Segmenter | None = None
) -> dict[str, torch.Tensor]:
    """Draw a batch for the matting head: composites with true alpha, and soft trimaps that are wrong in many ways.

    They are whole pictures, as what a head sees is normalized over all of it. With a segmenter most of the trimaps are its
    own, so that the head learns the mistakes that it will meet.

    Returns:
        image, foreground, background (B, 3, side, side), alpha (B, 1, side, side), probabilities (B, 3, side, side), float32.
    """
    names = ("image", "alpha", "foreground", "background", "probabilities")
    samples = []
    for _ in range(batch):
        planes = draw_composite(rng, draw_layers(rng, data), data.backgrounds, side)
        segmented = segmenter is not None and rng.random() < SEGMENTED
        samples.append((*planes, say_trimap(rng, planes[0], segmenter) if segmented else degrade_trimap(rng, planes[1])))
    return {name: torch.cat(tensors) for name, tensors in zip(names, zip(*samples))}


@torch.no_grad()
def say_trimap(rng: np.random.Generator, image: torch.Tensor, segmenter: Segmenter) -> torch.Tensor:
    """Return the soft trimap (1, 3, side, side) that a segmenter on the CPU says of an image (1, 3, side, side) seen smaller."""
    side = image.shape[-1]
    small = segmenter.MULTIPLE * max(1, round(side * SEEN_FRACTION * rng.uniform(0.7, 1.0) / segmenter.MULTIPLE))
    precision = find_precision(None, torch.device("cpu"))
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        classes = segmenter(resize(image, (small, small)))
    return resize(soft_trimap(classes, segmenter.class_names, segmenter.human_labels), (side, side))
