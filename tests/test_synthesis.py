"""Training pictures: what is known exactly stays exact; trimaps err as networks do."""

import numpy as np
import pytest
import torch

from shm.training import figures, synthesis

SIDE = 96


def draw_person(rng):
    """A bright ellipse on a dark wall, and where it is certain: not along its edge."""
    y, x = np.mgrid[0:120, 0:90]
    distance = np.hypot((y - 70) / 50, (x - 45) / 30)
    image = np.where((distance < 1)[..., None], (220, 170, 140), (30, 60, 50)) + rng.integers(0, 20, (120, 90, 3))
    return image.astype(np.uint8), (distance < 0.92).astype(np.float32)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(synthesis.cut_layer(rng, *draw_person(rng))).permute(2, 0, 1).contiguous() for _ in range(3)]


def test_layers_take_every_color_from_the_certain_inside():
    rng = np.random.default_rng(0)
    image, certain = draw_person(rng)
    layer = synthesis.cut_layer(rng, image, certain)
    assert (layer[..., 3][certain == 0] == 0).all()
    assert layer[70, 45, 3] == 255
    np.testing.assert_array_equal(layer[..., :3], image)


def test_a_composite_without_camera_obeys_the_equation(layers, monkeypatch):
    monkeypatch.setattr(synthesis, "soften", lambda rng, planes: planes)
    monkeypatch.setattr(synthesis, "record", lambda rng, image: image)
    image, alpha, foreground, background = synthesis.draw_composite(
        np.random.default_rng(3), layers, [], SIDE
    )
    torch.testing.assert_close(image, alpha * foreground + (1 - alpha) * background)
    assert 0 < alpha.mean() < 1


def test_the_lens_softens_picture_and_alpha_alike(monkeypatch):
    monkeypatch.setattr(synthesis, "soften", lambda rng, planes: synthesis.gaussian_blur(planes, 2.0))
    monkeypatch.setattr(synthesis, "record", lambda rng, image: image)
    layer = torch.full((4, 64, 64), 255, dtype=torch.uint8)
    layer[3, :, 32:] = 0
    monkeypatch.setattr(synthesis, "draw_background", lambda rng, pictures, side: torch.zeros(1, 3, side, side))
    for room in (synthesis, figures):
        monkeypatch.setattr(room, "shift_color", lambda rng, image, strength: image)
    for seed in range(4):
        image, alpha, _, _ = synthesis.draw_composite(np.random.default_rng(seed), [layer], [], SIDE)
        torch.testing.assert_close(image, alpha.expand_as(image), atol=1e-3, rtol=0)


def test_degraded_trimaps_are_trimaps():
    rng, side = np.random.default_rng(0), 160
    alpha = torch.zeros(1, 1, side, side)
    alpha[..., 48:112, 48:112] = 1  # twice the coarsest stride: what is smaller may be lost
    for _ in range(20):
        soft = synthesis.degrade_trimap(rng, alpha)
        assert soft.shape == (1, 3, side, side) and soft.min() >= 0
        torch.testing.assert_close(soft.sum(1), torch.ones(1, side, side))
        assert soft[:, 1, 78:82, 78:82].mean() + 0.5 * soft[:, 2, 78:82, 78:82].mean() >= 0.4
        assert soft[:, 0, :4].mean() > soft[:, 1, :4].mean()


def test_degraded_trimaps_are_unsure_where_hair_is_and_sure_elsewhere():
    alpha = torch.zeros(1, 1, 256, 256)
    alpha[..., :96], alpha[..., 96:160] = 1.0, 0.5
    rng = np.random.default_rng(1)
    mean = torch.cat([synthesis.degrade_trimap(rng, alpha) for _ in range(40)]).mean(dim=(0, 2))
    assert 0.6 < mean[2, 120:136].mean() < 0.97 and mean[1, 120:136].mean() > 0.03
    assert mean[1, :16].mean() > 0.8 and mean[0, -16:].mean() > 0.8


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (1, 200)])
def test_colors_spread_at_any_size_and_stay_where_they_are_known(size):
    color = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(synthesis.spread_colors(color, torch.ones(1, 1, *size)), color)
    nothing = synthesis.spread_colors(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size))
    torch.testing.assert_close(nothing, torch.full_like(color, 0.5))
    weight = (torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(3)) > 0.7).float()
    spread = synthesis.spread_colors(color * weight, weight)
    assert spread.shape == color.shape and spread.min() >= 0 and spread.max() <= 1
    torch.testing.assert_close(spread * weight, color * weight)
