"""The embedded weights on pictures of which all is known, each with a budget a little above what they reached.

tests/pictures holds two path-traced heads, straight RGBA with exact alpha, rendered for this project and never trained on.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import shm
from shm import metrics
from shm.image_io import read_alpha
from shm.trimap import trimap_from_alpha

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "tests" / "pictures"


@pytest.fixture(scope="module")
def matting() -> shm.HumanMatting:
    return shm.load(device="cpu", precision="float32")


def draw_room(size: tuple[int, int]) -> torch.Tensor:
    """A wall, lighter to one side, a dark shelf across it, and grain."""
    height, width = size
    wall = torch.linspace(0.35, 0.8, width).expand(1, 3, height, width) * torch.tensor([0.9, 1.0, 0.85]).view(1, 3, 1, 1)
    wall = wall.clone()
    wall[..., height // 5 : height // 5 + 30, :] *= 0.4
    return (wall + 0.02 * torch.randn(wall.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def draw_scene(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a rendered head in that room, and its alpha."""
    with Image.open(PICTURES / f"{name}.png") as picture:
        foreground = shm.read_image(picture.convert("RGB"))
    alpha = read_alpha(PICTURES / f"{name}.png")
    return shm.composite(foreground, alpha, draw_room(alpha.shape[-2:])), alpha


@pytest.mark.parametrize(("name", "band_mad", "grad"), [("short_hair", 215.0, 1.25), ("long_hair", 109.0, 0.65)])
def test_the_head_sees_strands_where_the_trimap_is_right(matting, name, band_mad, grad) -> None:
    image, true = draw_scene(name)
    trimap = trimap_from_alpha(true, radius=12)
    with torch.no_grad():
        pred = matting.predict_alpha(image / 255, trimap)
    assert metrics.mad(pred, true, metrics.unknown_region(true)) < band_mad
    assert metrics.grad(pred, true) < grad


@pytest.mark.parametrize(("name", "mad", "iou"), [("astronaut", 40.0, 0.94), ("grace_hopper", 27.0, 0.96)])
def test_a_portrait_before_another_wall_comes_out_whole(matting, name, mad, iou) -> None:
    matte = matting(shm.read_image(ROOT / "examples" / f"{name}.jpg"))
    scene = shm.composite(matte.foreground, matte.alpha, draw_room(matte.alpha.shape[-2:]))
    found = matting(scene).alpha
    assert 0.2 < matte.alpha.mean() < 0.8
    assert metrics.mad(found, matte.alpha) < mad
    assert metrics.iou(found, matte.alpha) > iou


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("astronaut", [(80, 190, 60, 50), (300, 100, 80, 60)], [(0, 0, 60, 60), (0, 440, 72, 72), (100, 330, 80, 60)]),
        ("grace_hopper", [(190, 200, 90, 90), (420, 90, 80, 80)], [(0, 0, 60, 60), (0, 440, 72, 72), (150, 420, 80, 80)]),
    ],
)  # fmt: skip
def test_people_in_photographs_are_solid_and_what_is_behind_them_is_gone(matting, name, inside, outside) -> None:
    alpha = matting(shm.read_image(ROOT / "examples" / f"{name}.jpg")).alpha
    for top, left, height, width in inside:
        assert alpha[..., top : top + height, left : left + width].min() > 0.98
    for top, left, height, width in outside:
        assert alpha[..., top : top + height, left : left + width].max() < 0.03


def test_a_picture_without_people_stays_empty(matting) -> None:
    matte = matting((255 * draw_room((300, 400))).to(torch.uint8))
    assert matte.alpha.mean() < 0.002
