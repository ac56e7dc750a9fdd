"""Procedural hair: strands have the length, area and place that were asked for; coverage is alpha."""

import numpy as np
import pytest

from shm.training import hair


def draw_person():
    """A head on shoulders that the lower frame cuts, sharp on nothing: (240, 200, 4) uint8."""
    y, x = np.mgrid[0:240, 0:200]
    head = np.hypot((y - 70) / 45, (x - 100) / 34) < 1
    body = (np.hypot((y - 240) / 110, (x - 100) / 85) < 1) | ((y > 100) & (abs(x - 100) < 18))
    color = np.where(head[..., None], (220, 170, 140), (40, 60, 160))
    return np.dstack([color, 255 * (head | body)]).astype(np.uint8)


def test_the_outline_of_a_person_is_measured():
    outline = hair.find_outline(draw_person())
    assert outline.top == pytest.approx(26, abs=1) and outline.middle == pytest.approx(100, abs=2)
    assert outline.head_height == pytest.approx(90, rel=0.15)
    right = (outline.points[:, 0] > 125) & (abs(outline.points[:, 1] - 70) < 4)
    np.testing.assert_allclose(outline.angles[right], 0, atol=0.25)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (31, 200)])
def test_who_is_too_small_for_hair_gets_none(size):
    layer = np.full((*size, 4), 255, np.uint8)
    layer[24:] = 0
    assert hair.find_outline(layer) is None
    np.testing.assert_array_equal(hair.add_hair(np.random.default_rng(0), layer), layer)


def test_strands_start_at_their_roots_and_have_their_length():
    rng = np.random.default_rng(0)
    style = hair.HairStyle(50, 0.5, 1.0, 0.1, 0.0, 0.0, 1.0, 0.0, 5, 0.0)
    roots = rng.uniform(0, 100, (50, 2))
    strands = hair.grow_strands(rng, roots, np.zeros(50), style, 80.0, np.arange(50))
    np.testing.assert_allclose(strands[:, 0], roots)
    length = np.linalg.norm(np.diff(strands, axis=1), axis=-1).sum(axis=1)
    assert 0.25 * 40 - 1e-6 <= length.min() and length.max() <= 1.25 * 40 + 1e-6
    assert length.mean() == pytest.approx(0.75 * 40, rel=0.15)


def test_coverage_of_a_strand_is_its_area():
    """Fifty strands of 40 pixels, 2 wide before variation (0.85 of it in the mean), two thirds of that after the taper."""
    across, down = np.linspace(10, 50, 15), 10.0 + 8 * np.arange(50)
    strands = np.stack([np.broadcast_to(across, (50, 15)), np.broadcast_to(down[:, None], (50, 15))], axis=2)
    drawn = hair.draw_strands(np.random.default_rng(0), strands, 2.0, np.array([200.0, 100.0, 50.0]), (420, 60), locks=np.arange(50))
    area, color = drawn[..., 3].sum(), drawn[..., :3].sum(axis=(0, 1)) / drawn[..., 3].sum()
    assert area / 50 == pytest.approx(40 * 2 * 0.85 * 0.69, rel=0.15)
    assert color[0] > color[1] > color[2] > 0
    assert (drawn[..., 3] > 0).any(axis=1).sum() <= 4 * 50  # rows that a thin horizontal strand touches


def test_locks_come_together_and_hang_to_the_ground():
    roots = np.array([[10.0, 0.0], [30.0, 0.0], [110.0, 0.0], [130.0, 0.0]])
    style = hair.HairStyle(4, 1.0, 1.0, 0.0, 50.0, 0.0, 1.0, 1.0, 2, 0.0)
    locks = np.array([0, 0, 1, 1])
    strands = hair.grow_strands(np.random.default_rng(0), roots, np.full(4, -0.5), style, 400.0, locks)
    assert (strands[:, -1, 1] > 90).all()
    assert abs(strands[0, -1, 0] - strands[1, -1, 0]) < 0.3 * 20 + 8
    assert strands[2:, -1, 0].min() - strands[:2, -1, 0].max() > 60


def test_a_lock_is_what_lies_near_one_root():
    roots = np.concatenate([np.random.default_rng(1).normal(center, 1, (40, 2)) for center in (0, 100)])
    locks = hair.gather_locks(np.random.default_rng(2), roots, 12)
    assert set(locks[:40]).isdisjoint(locks[40:])


@pytest.mark.parametrize("seed", range(6))
def test_hair_adds_partly_opaque_pixels_outside_the_person(seed):
    layer = draw_person()
    haired, again = (hair.add_hair(np.random.default_rng(seed), layer) for _ in range(2))
    outside = layer[..., 3] == 0
    assert haired.dtype == np.uint8 and haired.shape == layer.shape
    assert ((haired[..., 3] > 0) & (haired[..., 3] < 255) & outside).sum() > 50
    assert (haired[..., 3].astype(int) >= layer[..., 3].astype(int) - 1).all()
    np.testing.assert_array_equal(haired, again)
