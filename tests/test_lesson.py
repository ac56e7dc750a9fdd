"""The method in numbers: the worked examples come out right."""

from __future__ import annotations

import pytest
import torch

import shm
from shm.compositing import composite, parse_color
from shm.lesson import (
    ALPHA, BACKGROUND, BRIGHTNESS, FOREGROUND, PROBABILITIES, THRESHOLD, blend_tables, find_person, read_cell, read_pixel,
)  # fmt: skip


def test_the_worked_example_is_summed_right() -> None:
    assert blend_tables(FOREGROUND, ALPHA, BACKGROUND) == [
        ["(80, 70, 60)", "(105, 90, 75)", "(130, 110, 90)"],
        ["(84, 74, 64)", "(106, 91, 76)", "(104, 94, 84)"],
        ["(90, 80, 70)", "(100, 90, 80)", "(110, 100, 90)"],
    ]
    for row in range(3):
        for column in range(3):
            assert sum(PROBABILITIES[row][column]) == pytest.approx(1)


def test_the_middle_row_is_the_person_and_opaque() -> None:
    person, alpha = find_person(BRIGHTNESS, THRESHOLD)
    assert person == [[False] * 3, [True] * 3, [False] * 3]
    assert alpha == [[0.0] * 3, [1.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("cell", ["", "200", "(1, 2)", "(1, 2, 3, 4)", "red", "(1, 2, x3)"])
def test_other_cells_are_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="cell: expected 3 numbers, got"):
        read_cell(cell, 3)


def test_tables_have_one_size_and_range() -> None:
    with pytest.raises(ValueError, match="rows of one length"):
        blend_tables([["(1, 2, 3)"], []], [["1"]], [["(1, 2, 3)"]])
    for empty in ([], [[]]):
        with pytest.raises(ValueError, match="rows of one length above 0"):
            blend_tables(empty, empty, empty)
    with pytest.raises(ValueError, match="alpha: expected shape"):
        blend_tables([["(1, 2, 3)"]], [["1", "1"]], [["(1, 2, 3)"]])
    with pytest.raises(ValueError, match=r"cell: expected values in \[0, 1\], got 1.5"):
        blend_tables([["(1, 2, 3)"]], [["1.5"]], [["(1, 2, 3)"]])


def test_a_pixel_is_read_where_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 65536, (1, 3, 6, 8), generator=generator).to(torch.uint16)
    probabilities = torch.rand(1, 3, 3, 4, generator=generator).softmax(1)
    alpha = torch.rand(1, 1, 6, 8, generator=generator)
    report = shm.Report("cpu", "float32", (3, 4), (6, 8), 0.0, {})
    matte = shm.Matte(image, probabilities, torch.zeros(1, 1, 3, 4, dtype=torch.long), ("background",), alpha, image, report)
    pixel = read_pixel(matte, parse_color("#204060"), 5, 7)
    assert pixel.probabilities == tuple(probabilities[0, :, 2, 3].tolist())
    assert pixel.alpha == alpha[0, 0, 5, 7].item() and pixel.background == (32, 64, 96)
    assert pixel.foreground == tuple(round(value / 257) for value in image[0, :, 5, 7].tolist())
    color = torch.tensor(pixel.foreground, dtype=torch.uint8).view(1, 3, 1, 1)
    assert pixel.result == tuple(composite(color, alpha[..., 5:, 7:], parse_color("#204060")).flatten().tolist())
    with pytest.raises(ValueError, match="expected below 6 and 8, got 6 and 0"):
        read_pixel(matte, parse_color("#204060"), 6, 0)
    with pytest.raises(ValueError, match=r"background: expected \(1, 3, 1, 1\)"):
        read_pixel(matte, torch.zeros(1, 3, 2, 2), 0, 0)
