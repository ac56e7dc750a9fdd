"""People: who is in a photograph, told apart by number, and the alpha of some of them alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from shm.filters import enlarge_part, resize, split_rows
from shm.matte import ChoiceError, check

NECK = 0.5  # people touch where the bridge between them is less than this times as thick as the thinner of the two
SMALLEST_PERSON = 0.2  # of the larger person's area: what a bridge separates and is smaller is an arm, a bag, a head
SMALLEST_PART = 0.02  # of the largest region's area: smaller regions that touch nobody are not counted
STACKED = 0.5  # share of the narrower one's width: what stands above or below by this much is a part of the same person


@dataclass(frozen=True)
class Person:
    """One of the people found.

    Attributes:
        number: 1, 2, ... from left to right.
        box: (left, top, right, bottom) of their silhouette in pixels of the photograph, right and bottom exclusive.
        area_fraction: share of the photograph that they cover, in [0, 1].
    """

    number: int
    box: tuple[int, int, int, int]
    area_fraction: float


@dataclass(frozen=True)
class People:
    """Everybody found in one photograph.

    Attributes:
        persons: from left to right; empty where nobody is.
        labels: (1, 1, h, w) int64, the number of the person at each pixel of the working size, 0 where nobody is.
    """

    persons: tuple[Person, ...]
    labels: torch.Tensor


def find_people(alpha: torch.Tensor, probabilities: torch.Tensor) -> People:
    """Find the people of a photograph by shape: regions of their silhouette, cut where two people touch.

    The silhouette is where alpha and 1 − P(background) exceed 1/2, at the working size. A region is cut in two where it has
    a thin neck: with D the distance to the silhouette's edge, two peaks of D are two people if every way between them leads
    over a point with D below half of the lower peak, if neither is less than a fifth of the other's area, and if they stand
    beside each other and not one above the other. The cut follows the watershed of D (Beucher and Meyer, 1993). So arms, heads and
    legs stay with their person; people who embrace, or overlap by more than a thin bridge, are counted as one.

    Args:
        alpha: (1, 1, H, W) in [0, 1].
        probabilities: (1, 3, h, w) soft trimap, such as `Matte.probabilities`.

    Raises:
        ValueError: another shape, or values outside [0, 1].

    >>> alpha = torch.tensor([[[[0.0, 1.0, 1.0, 0.0, 0.0, 1.0]]]])
    >>> find_people(alpha, torch.cat([1 - alpha, alpha, 0 * alpha], dim=1)).labels
    tensor([[[[0, 1, 1, 0, 0, 2]]]])
    """
    alpha, probabilities = _check_one("alpha", alpha, 1), _check_one("probabilities", probabilities, 3)
    size = tuple(probabilities.shape[-2:])
    silhouette = ((resize(alpha, size) > 0.5) & (probabilities[:, :1] < 0.5))[0, 0].numpy(force=True)
    regions, count = ndimage.label(silhouette, structure=np.ones((3, 3)))
    areas = np.bincount(regions.ravel(), minlength=count + 1)
    found = []
    for region in range(1, count + 1):
        if areas[region] >= SMALLEST_PART * areas[1:].max():
            found += _split_touching(regions == region)
    found.sort(key=lambda mask: np.flatnonzero(mask.any(0)).mean())
    labels = np.zeros(size, dtype=np.int64)
    for number, mask in enumerate(found, start=1):
        labels[mask] = number
    scale = [full / small for full, small in zip(alpha.shape[-2:], size, strict=True)]
    persons = tuple(_describe(number, mask, scale) for number, mask in enumerate(found, start=1))
    return People(persons, torch.from_numpy(labels)[None, None])


def choose_people(alpha: torch.Tensor, people: People, numbers: Collection[int]) -> torch.Tensor:
    """Return the alpha of some people, the others removed, soft edges kept.

    Every pixel belongs to the person nearest to it at the working size, so hair goes with its head; where two people touch,
    the cut is as soft as a pixel of the working size.

    Args:
        alpha: (1, 1, H, W) in [0, 1], at any size of the photograph.
        people: from `find_people`.
        numbers: of those to keep; all of them leave the alpha as it is, none leaves nobody.

    Returns:
        (1, 1, H, W) float32.

    Raises:
        ValueError: no person has such a number, or not an alpha.

    >>> alpha = torch.tensor([[[[0.5, 1.0, 0.0, 0.0, 1.0, 0.3]]]])
    >>> people = find_people(alpha, torch.cat([1 - alpha, alpha, 0 * alpha], dim=1))
    >>> choose_people(alpha, people, [2])
    tensor([[[[0.0000, 0.0000, 0.0000, 0.0000, 1.0000, 0.3000]]]])
    """
    alpha = _check_one("alpha", alpha, 1)
    known = {person.number for person in people.persons}
    strangers = sorted(set(numbers) - known)
    if strangers:
        message = f"numbers: expected some of {sorted(known)}, got {strangers}"
        raise ChoiceError("not_among", message, name="numbers", known=sorted(known), got=strangers)
    if set(numbers) == known:
        return alpha
    labels = people.labels[0, 0].numpy()
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    chosen = np.isin(labels[tuple(nearest)], list(numbers))
    size = tuple(alpha.shape[-2:])
    weight = torch.from_numpy(chosen).to(alpha.device, alpha.dtype)[None, None]
    weight = resize(weight, tuple(map(min, size, weight.shape[-2:])))  # the strips below only enlarge
    result = torch.empty_like(alpha)
    for rows in split_rows(*size):
        result[..., rows, :] = alpha[..., rows, :] * enlarge_part(weight, size, rows)
    return result


def _check_one(name: str, tensor: torch.Tensor, channels: int) -> torch.Tensor:
    tensor = check(name, tensor, channels)
    if tensor.shape[0] != 1:
        raise ValueError(f"{name}: expected shape (1, {channels}, H, W), got {tuple(tensor.shape)}")
    return tensor


def _describe(number: int, mask: np.ndarray, scale: list[float]) -> Person:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom = round(rows[0] * scale[0]), round((rows[-1] + 1) * scale[0])
    left, right = round(columns[0] * scale[1]), round((columns[-1] + 1) * scale[1])
    return Person(number, (left, top, max(right, left + 1), max(bottom, top + 1)), float(mask.mean()))


def _split_touching(region: np.ndarray) -> list[np.ndarray]:
    """Cut a region into its people, given the rules of `find_people`; the lowest cut first, then each part again."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    waiting, people = [region], []
    while waiting:
        mask = waiting.pop()
        parts = _cut(np.where(mask, depth, 0))
        if parts:
            waiting += parts
        else:
            people.append(mask)
    return people


def _cut(depth: np.ndarray) -> list[np.ndarray]:
    """Return the parts at the lowest level at which a region falls into people; none where it is one person."""
    for level in np.arange(0.5, NECK * depth.max(), 1.0):
        cores, count = ndimage.label(depth > level)
        if count < 2:
            continue
        peaks = ndimage.maximum(depth, cores, index=np.arange(1, count + 1))
        deep = 1 + np.flatnonzero(level < NECK * peaks)
        while len(deep) > 1:
            parts = _flood(depth, np.where(np.isin(cores, deep), cores, 0), level)
            areas = [np.count_nonzero(parts == core) for core in deep]
            order = np.argsort(areas)
            doubtful = [index for index in order[:-1] if _belongs(parts, deep, areas, index)]
            if not doubtful:
                return [parts == core for core in deep]
            deep = np.delete(deep, doubtful[0])  # the smallest of them; its pixels go to its neighbors
    return []


def _belongs(parts: np.ndarray, cores: np.ndarray, areas: list[int], index: int) -> bool:
    """Tell whether a part is too small to be a person beside the largest, or stands above or below a larger one."""
    if areas[index] < SMALLEST_PERSON * max(areas):
        return True
    mine = (parts == cores[index]).any(0)
    for other, area in enumerate(areas):
        theirs = (parts == cores[other]).any(0)
        if area > areas[index] and (mine & theirs).sum() > STACKED * min(mine.sum(), theirs.sum()):
            return True
    return False


def _flood(depth: np.ndarray, markers: np.ndarray, level: float) -> np.ndarray:
    """Grow markers from a level down to the edge, one pixel of depth at a time, each newly open pixel joining the nearest.

    Not scipy's watershed_ift, whose cost is the largest step on the way and not the shallowest point.
    """
    for floor in (*np.arange(level - 1, 0, -1), 0):
        nearest = ndimage.distance_transform_edt(markers == 0, return_distances=False, return_indices=True)
        markers = np.where(depth > floor, markers[tuple(nearest)], 0)
    return markers
