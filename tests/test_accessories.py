"""Lace, veils, glasses and gaps: alpha goes only where each of them may take it."""

from dataclasses import replace

import numpy as np
import pytest

from shm.training import accessories, hair


def draw_person():
    """A head on shoulders that the lower frame cuts, sharp on nothing: (240, 200, 4) uint8."""
    y, x = np.mgrid[0:240, 0:200]
    head = np.hypot((y - 70) / 45, (x - 100) / 34) < 1
    body = (np.hypot((y - 240) / 110, (x - 100) / 85) < 1) | ((y > 100) & (abs(x - 100) < 18))
    color = np.where(head[..., None], (220, 170, 140), (40, 60, 160))
    return np.dstack([color, 255 * (head | body)]).astype(np.uint8)


@pytest.mark.parametrize("add", [accessories.cut_gap, accessories.cut_lace, accessories.add_veil, accessories.add_glasses])
def test_a_seed_repeats_what_is_worn(add):
    layer = draw_person()
    outline, changed = hair.find_outline(layer), 0
    for seed in range(4):
        first, again = (add(np.random.default_rng(seed), layer, outline) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.uint8 and first.shape == layer.shape
        changed += (first != layer).sum()
    assert changed > 100


@pytest.mark.parametrize("cut", [accessories.cut_gap, accessories.cut_lace])
def test_cuts_take_alpha_below_the_head_and_leave_color(cut):
    layer = draw_person()
    outline = hair.find_outline(layer)
    for seed in range(6):
        result = cut(np.random.default_rng(seed), layer, outline)
        np.testing.assert_array_equal(result[..., :3], layer[..., :3])
        assert (result[..., 3] <= layer[..., 3]).all() and (result[..., 3] < layer[..., 3]).any()
        assert (result[:60] == layer[:60]).all()


def test_a_veil_is_smooth_and_never_solid():
    layer = draw_person()
    for seed in range(6):
        alpha = accessories.add_veil(np.random.default_rng(seed), layer, hair.find_outline(layer))[..., 3]
        veil = alpha[(layer[..., 3] == 0) & (alpha > 0)] / 255
        assert len(veil) > 100 and veil.max() <= 0.71
        assert np.median(veil) >= 0.15


def test_glasses_fit_heads_of_any_size():
    layer = draw_person()
    for size in range(4, 64, 3):
        outline = replace(hair.find_outline(layer), head_height=float(size))
        for seed in range(20):
            result = accessories.add_glasses(np.random.default_rng(seed), layer, outline)
            assert result.shape == layer.shape and (size >= accessories.SMALLEST_HEAD or result is layer)


def test_clear_lenses_stand_beyond_the_head():
    layer, clear = draw_person(), 0
    for seed in range(8):
        alpha = accessories.add_glasses(np.random.default_rng(seed), layer, hair.find_outline(layer))[..., 3]
        assert (alpha >= layer[..., 3]).all()
        clear += ((alpha > 0) & (alpha < 80) & (layer[..., 3] == 0)).sum()
    assert clear > 50


@pytest.mark.parametrize("add", [accessories.cut_gap, accessories.cut_lace, accessories.add_glasses])
def test_who_shows_no_such_part_stays_as_it_is(add):
    """A person who fills the picture but for the uppermost rows: no side of a head, and nothing below it."""
    layer = np.full((60, 50, 4), 255, np.uint8)
    layer[:8, :, 3] = 0
    np.testing.assert_array_equal(add(np.random.default_rng(0), layer, hair.find_outline(layer)), layer)
