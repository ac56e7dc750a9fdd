"""Backgrounds drawn by rule."""

from __future__ import annotations

import pytest
import torch

from shm.backgrounds import SCENES, SIZE, draw_background


def test_there_are_ten_all_different() -> None:
    assert len(SCENES) == 10
    means = torch.stack([draw_background(name).float().mean((0, 2, 3)) for name in SCENES])
    assert torch.pdist(means).min() > 5


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_a_smooth_picture_and_always_the_same(name: str) -> None:
    scene = draw_background(name)
    assert scene.shape == (1, 3, *SIZE) and scene.dtype == torch.uint8
    assert draw_background(name) is scene
    assert torch.equal((SCENES[name]().clamp(0, 1) * 255 - scene.float()).abs() > 1.01, torch.zeros_like(scene, dtype=torch.bool))
    assert scene.float().std() > 8
    assert scene.float().diff(dim=-1).abs().mean() < 3


def test_an_unknown_scene_is_named() -> None:
    with pytest.raises(ValueError, match='expected one of studio, .*, got "moon"'):
        draw_background("moon")
