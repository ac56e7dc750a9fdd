"""Braids, beards, fur collars and fringe: where they lie, and that they hide the background and never the person's own alpha."""

import numpy as np
import pytest

from shm.training import grooming, hair

ADD = [grooming.add_braid, grooming.add_beard, grooming.add_collar, grooming.add_fringe]


def draw_person():
    """A head on shoulders that the lower frame cuts, sharp on nothing: (240, 200, 4) uint8."""
    y, x = np.mgrid[0:240, 0:200]
    head = np.hypot((y - 70) / 45, (x - 100) / 34) < 1
    body = (np.hypot((y - 240) / 110, (x - 100) / 85) < 1) | ((y > 100) & (abs(x - 100) < 18))
    color = np.where(head[..., None], (220, 170, 140), (40, 60, 160))
    return np.dstack([color, 255 * (head | body)]).astype(np.uint8)


@pytest.mark.parametrize("add", ADD)
def test_strands_add_to_alpha_and_a_seed_repeats_them(add):
    layer = draw_person()
    outline, grown = hair.find_outline(layer), 0
    for seed in range(4):
        first, again = (add(np.random.default_rng(seed), layer, outline) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.uint8 and first.shape == layer.shape
        assert (first[..., 3].astype(int) >= layer[..., 3].astype(int) - 1).all()
        grown += ((first[..., 3] > 0) & (layer[..., 3] == 0)).sum()
    assert grown > 40


@pytest.mark.parametrize("add, low, high", [(grooming.add_beard, 80, 200), (grooming.add_collar, 95, 240)])
def test_strands_stay_where_they_belong(add, low, high):
    layer = draw_person()
    for seed in range(4):
        dressed = add(np.random.default_rng(seed), layer, hair.find_outline(layer))
        rows = np.flatnonzero(((dressed != layer).any(axis=2) & (dressed[..., 3] > 0)).any(axis=1))
        assert len(rows) and rows[0] >= low - 25 and rows[-1] < high


def test_a_braid_is_plaited_of_three():
    path = np.stack([np.full(129, 50.0), np.linspace(0, 200, 129)], axis=1)
    strands, light, bundles = grooming.braid_strands(np.random.default_rng(0), path, 6.0)
    assert len(strands) == len(light) == len(bundles) and set(bundles) == {0, 1, 2}
    assert np.abs(strands[..., 0] - 50).max() < 2 * 6.0 and 0 < light.min() and light.max() <= 1
    for bundle in range(3):
        across = strands[bundles == bundle][..., 0]
        assert across.min() < 46 and across.max() > 54  # each comes to both sides
