"""The method in numbers: the worked examples by which it is taught, and the sum of one pixel of a photograph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from shm.compositing import composite
from shm.matte import ChoiceError, Matte, check, to_depth

BRIGHTNESS = ((120, 130, 110), (200, 210, 220), (150, 160, 140))
"""A picture of 3 x 3 gray pixels, for the simplest segmentation there is: bright is a person."""

THRESHOLD = 175
"""Brighter than this is a person in `BRIGHTNESS`."""

FOREGROUND = (
    ((200, 150, 100), (210, 160, 110), (220, 170, 120)),
    ((180, 130, 80), (190, 140, 90), (200, 150, 100)),
    ((170, 120, 70), (180, 130, 80), (190, 140, 90)),
)
"""F: red, green, blue of 3 x 3 pixels, 0 to 255."""

PROBABILITIES = (
    ((0.1, 0.8, 0.1), (0.3, 0.6, 0.1), (0.2, 0.7, 0.1)),
    ((0.1, 0.8, 0.1), (0.2, 0.7, 0.1), (0.1, 0.8, 0.1)),
    ((0.1, 0.8, 0.1), (0.1, 0.8, 0.1), (0.1, 0.8, 0.1)),
)
"""P: background, person, unknown of each pixel."""

ALPHA = ((0.2, 0.3, 0.4), (0.2, 0.3, 0.2), (0.2, 0.2, 0.2))
"""A: how opaque each pixel is, 0 to 1."""

BACKGROUND = (
    ((50, 50, 50), (60, 60, 60), (70, 70, 70)),
    ((60, 60, 60), (70, 70, 70), (80, 80, 80)),
    ((70, 70, 70), (80, 80, 80), (90, 90, 90)),
)
"""B: red, green, blue of each pixel."""

Table = Sequence[Sequence[object]]


def find_person(brightness: Table, threshold: float) -> tuple[list[list[bool]], list[list[float]]]:
    """Segment a table of numbers by a threshold, and give each pixel its alpha: 1, opaque, where a person is, else 0.

    >>> find_person([[120, 200]], 175)
    ([[False, True]], [[0.0, 1.0]])
    """
    person = [[read_cell(cell, 1)[0] > threshold for cell in row] for row in brightness]
    return person, [[float(cell) for cell in row] for row in person]


def blend_tables(foreground: Table, alpha: Table, background: Table) -> list[list[str]]:
    """Return M = A·F + (1 − A)·B of three tables of one size, as text.

    Args:
        foreground, background: cells of three numbers, 0 to 255, such as "(200, 150, 100)".
        alpha: cells of one number, 0 to 1.

    Raises:
        ValueError: a cell that holds something else, or tables of different sizes.

    >>> blend_tables([["(200, 150, 100)"]], [["0.2"]], [["(50, 50, 50)"]])
    [['(80, 70, 60)']]
    """
    color, cover, behind = (
        _read_table(table, numbers, scale) for table, numbers, scale in ((foreground, 3, 255), (alpha, 1, 1), (background, 3, 255))
    )
    mixed = composite(to_depth(color, torch.uint8), cover, behind)
    return [[write_cell(mixed[0, :, y, x].tolist()) for x in range(mixed.shape[3])] for y in range(mixed.shape[2])]


def read_cell(cell: object, count: int) -> list[float]:
    """Return the numbers in a cell of a table.

    Raises:
        ValueError: not as many numbers as expected.

    >>> read_cell("(200, 150, 100)", 3)
    [200.0, 150.0, 100.0]
    """
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?|-?\.\d+", str(cell))]
    if len(numbers) != count or re.search(r"[^\d\s.,;()\[\]+-]", str(cell)):
        message = f'cell: expected {count} number{"s" * (count > 1)}, got "{cell}"'
        raise ChoiceError("no_number", message, count=count, got=cell)
    return numbers


def write_cell(numbers: Sequence[float]) -> str:
    """Return numbers as a cell of a table.

    >>> write_cell([200, 150, 100]), write_cell([0.2])
    ('(200, 150, 100)', '0.2')
    """
    texts = [f"{number:g}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _read_table(table: Table, count: int, scale: float) -> torch.Tensor:
    """Return a table as (1, count, rows, columns) float32, its numbers divided by `scale`."""
    rows = [[read_cell(cell, count) for cell in row] for row in table]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        message = f"table: expected rows of one length above 0, got {[len(row) for row in rows]}"
        raise ChoiceError("no_table", message, got=[len(row) for row in rows])
    return check("cell", torch.tensor(rows, dtype=torch.float32).permute(2, 0, 1)[None] / scale, count)


@dataclass(frozen=True)
class PixelSum:
    """What is known about one pixel, and how its color comes about.

    Attributes:
        row, column: of the photograph, from 0.
        probabilities: of background, person and unknown.
        alpha: in [0, 1].
        foreground, background, result: red, green, blue, 0 to 255.
    """

    row: int
    column: int
    probabilities: tuple[float, float, float]
    alpha: float
    foreground: tuple[int, int, int]
    background: tuple[int, int, int]
    result: tuple[int, int, int]


def read_pixel(matte: Matte, background: torch.Tensor, row: int, column: int) -> PixelSum:
    """Return all that is known about one pixel of a photograph.

    Args:
        matte: of the photograph.
        background: (1, 3, 1, 1) a color.
        row, column: from 0.

    Raises:
        ValueError: a pixel outside the photograph, or no color.
    """
    height, width = matte.alpha.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"row, column: expected below {height} and {width}, got {row} and {column}")
    if tuple(background.shape) != (1, 3, 1, 1):
        raise ValueError(f"background: expected (1, 3, 1, 1), got {tuple(background.shape)}")
    small = matte.probabilities.shape[-2:]
    near = [place * length // full for place, length, full in zip((row, column), small, (height, width))]
    probabilities = matte.probabilities[0, :, near[0], near[1]].tolist()
    alpha = matte.alpha[..., row : row + 1, column : column + 1]
    color = to_depth(check("foreground", matte.foreground[..., row : row + 1, column : column + 1], 3), torch.uint8)
    behind = to_depth(background, torch.uint8)
    colors = (tuple(part.flatten().tolist()) for part in (color, behind, composite(color, alpha, behind)))
    return PixelSum(row, column, tuple(probabilities), alpha.item(), *colors)
