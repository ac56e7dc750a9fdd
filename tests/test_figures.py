"""People in training pictures: they stand as photographs show them, the nearer before the farther."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from shm.training import figures

SIDE = 96

STILL = SimpleNamespace(normal=lambda *_: 0.0, choice=lambda values: 1.0)
"""A generator that turns nothing and mirrors nothing."""


@pytest.mark.parametrize("side_cut", ["none", "bottom", "left", "left and right"])
def test_nobody_ends_in_mid_air(side_cut):
    layer = torch.full((4, 120, 90), 255, dtype=torch.uint8)
    layer[3] = 0
    layer[3, 20 : 120 if side_cut == "bottom" else 100, 0 if "left" in side_cut else 20 : 90 if "right" in side_cut else 70] = 255
    turned = 0.5 * (math.cos(0.12) + math.sin(0.12))  # how far the corners of a square reach when it is turned that much
    for seed in range(30):
        rng = np.random.default_rng(seed)
        (x, y), scale = figures.place_person(rng, layer, SIDE)
        reach = turned * SIDE / scale
        assert side_cut != "bottom" or y + reach <= 120
        assert "left" not in side_cut or x - reach >= 0
        assert "right" not in side_cut or x + reach <= 90
        assert figures.sample_affine(rng, layer, (x, y), scale, SIDE)[:, 3].mean() > 0.005


def test_sampling_a_layer_as_it_is_only_cuts_it_out():
    layer = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 120, 90), dtype=np.uint8))
    square = figures.sample_affine(STILL, layer, (45, 70), 1.0, 32)
    torch.testing.assert_close(square, figures.premultiply(layer[:, 54:86, 29:61]))


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_sampling_brings_the_center_to_the_middle_at_its_scale(scale):
    layer = torch.zeros(4, 120, 90, dtype=torch.uint8)
    layer[:, 60:80, 40:60] = 255
    for seed in range(4):
        alpha = figures.sample_affine(np.random.default_rng(seed), layer, (50.0, 70.0), scale, 64)[0, 3]
        middle = [(alpha.sum(dim=1 - axis) * (torch.arange(64) + 0.5)).sum() / alpha.sum() for axis in (0, 1)]
        assert middle == pytest.approx([32, 32], abs=0.1)
        assert alpha.sum().item() == pytest.approx((20 * scale) ** 2, rel=0.03)
    outside = figures.sample_affine(STILL, layer, (0.0, 0.0), scale, 64)
    assert (outside[..., :30, :] == 0).all() and (outside[..., :30] == 0).all()


def test_a_square_that_misses_the_person_still_shows_the_layer():
    class Far(np.random.Generator):
        def normal(self, *_):
            return 9.0

    layer = torch.full((4, 64, 30), 255, dtype=torch.uint8)
    layer[..., :1], layer[..., 29:] = 0, 0  # cut above and below, so enlarged
    rng = Far(np.random.PCG64(0))
    assert figures.sample_affine(rng, layer, *figures.place_person(rng, layer, 64), 64).shape == (1, 4, 64, 64)


def draw_standing(*, cut: bool) -> torch.Tensor:
    """A layer of a narrow figure, in the middle or cut below."""
    layer = torch.zeros(4, 100, 60, dtype=torch.uint8)
    layer[:, 20 : 100 if cut else 80, 20:40] = 255
    return layer


@pytest.mark.parametrize("whole", [True, False])
def test_who_stands_in_a_crowd_is_whole_or_cut_below(whole):
    layers = [draw_standing(cut=cut) for cut in (True, False)] + [torch.full((4, 50, 50), 255, dtype=torch.uint8)]
    for seed in range(10):
        layer, rows, columns = figures.choose_standing(np.random.default_rng(seed), layers, whole=whole)
        assert layer is layers[whole] and (rows, columns) == ((20, 80 if whole else 100), (20, 40))


def test_a_crowd_is_many_people_who_stand_on_the_ground(monkeypatch):
    layers, drawn, depths = [draw_standing(cut=cut) for cut in (True, False)], [], []
    draw_person = figures.draw_person
    monkeypatch.setattr(figures, "draw_person", lambda *values: drawn.append(values) or draw_person(*values))
    for seed in range(24):
        people = figures.draw_crowd(np.random.default_rng(seed), layers, SIDE)
        assert people.shape == (1, 4, SIDE, SIDE) and people.min() >= 0 and (people[:, :3] <= people[:, 3:] + 1e-5).all()
        solid = people[0, 3].numpy() > 0.5
        depths.append(np.flatnonzero(solid.any(axis=1))[-1] if solid.any() else 0)
    assert len(drawn) > 5 * 24
    assert 0.3 < np.mean(np.array(depths) == SIDE - 1) < 0.9  # else one sees the ground before their feet
    assert np.mean(depths) > 0.7 * SIDE


@pytest.mark.parametrize("corner, place, part", [
    ((2, 3), np.s_[2:6, 3:7], np.s_[:, :]),
    ((-1, 6), np.s_[0:3, 6:8], np.s_[1:, :2]),
    ((9, 0), np.s_[0:0, 0:0], np.s_[0:0, 0:0]),
    ((0, -7), np.s_[0:0, 0:0], np.s_[0:0, 0:0]),
])  # fmt: skip
def test_the_nearer_hides_the_farther_as_far_as_it_is_opaque(corner, place, part):
    people, person = torch.rand(1, 4, 8, 8), torch.rand(1, 4, 4, 4)
    expected = people.clone()
    expected[..., *place] = person[..., *part] + (1 - person[:, 3:][..., *part]) * people[..., *place]
    figures.put_before(people, person, corner)
    torch.testing.assert_close(people, expected)
