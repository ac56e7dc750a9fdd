"""Touch-up: strokes are read by color, and say with certainty what a pixel is."""

from __future__ import annotations

import pytest
import torch

from shm.compositing import parse_color
from shm.matte import to_depth
from shm.touch_up import BRUSHES, merge_strokes, paint_probabilities, read_strokes


def make_layer(*colors: str | None) -> torch.Tensor:
    """Return one row of painted pixels, (1, 4, 1, w)."""
    cells = [torch.zeros(1, 4, 1, 1) if color is None else torch.cat([parse_color(color), torch.ones(1, 1, 1, 1)], 1) for color in colors]
    return to_depth(torch.cat(cells, dim=-1), torch.uint8)


def test_each_brush_is_read_and_later_layers_are_on_top() -> None:
    first, second = make_layer(*BRUSHES.values(), None), make_layer(None, "#ee4040", None, None)
    assert read_strokes([first], (1, 4)).flatten().tolist() == [1, 2, 3, 0]
    assert read_strokes([first, second], (1, 4)).flatten().tolist() == [1, 1, 3, 0]
    assert read_strokes([], (2, 3)).shape == (1, 1, 2, 3)
    with pytest.raises(ValueError, match=r"layers: expected shape \(1, 4, 2, 3\), got \(1, 4, 1, 4\)"):
        read_strokes([first], (2, 3))


def test_what_is_painted_is_certain_and_the_rest_stays() -> None:
    probabilities = torch.rand(1, 3, 2, 3).softmax(1)
    strokes = torch.zeros(1, 1, 2, 3, dtype=torch.uint8)
    assert torch.equal(paint_probabilities(probabilities, strokes), probabilities)
    strokes[0, 0, 0] = torch.tensor([1, 2, 3])
    painted = paint_probabilities(probabilities, strokes)
    assert torch.equal(painted[0, :, 0], torch.eye(3)) and torch.equal(painted[..., 1, :], probabilities[..., 1, :])
    assert paint_probabilities(probabilities, torch.zeros(1, 1, 9, 7)).shape == (1, 3, 9, 7)
    with pytest.raises(ValueError, match=r"strokes: expected shape \(1, 1, H, W\), got \(2, 3\)"):
        paint_probabilities(probabilities, torch.zeros(2, 3))


def test_later_strokes_are_on_top() -> None:
    assert merge_strokes(torch.tensor([1, 1, 0, 0]), torch.tensor([0, 2, 3, 0])).tolist() == [1, 2, 3, 0]
