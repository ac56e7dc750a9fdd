"""Filters against scipy, numpy and sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from shm.filters import (
    box_mean,
    dilate,
    enlarge_part,
    erode,
    find_band,
    find_part,
    fit_size,
    gaussian_blur,
    guided_fit,
    resize,
    resize_image,
    split_rows,
    split_tiles,
    to_gray,
)

SIZES = [(1, 1), (37, 53)]
FILTERS = [lambda x: gaussian_blur(x, 1.7), lambda x: box_mean(x, 3), lambda x: dilate(x, 2), lambda x: erode(x, 2)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("function", FILTERS)
def test_filters_keep_shape_and_type_and_commute_with_flips(function, size) -> None:
    tensor = noise(2, 3, *size)
    result = function(tensor)
    assert result.shape == tensor.shape and result.dtype == torch.float32
    torch.testing.assert_close(function(tensor.flip(-1)), result.flip(-1))
    torch.testing.assert_close(function(tensor.flip(-2)), result.flip(-2))


@pytest.mark.parametrize("function", FILTERS)
def test_filters_keep_a_constant(function) -> None:
    torch.testing.assert_close(function(torch.full((1, 2, 5, 7), 0.3)), torch.full((1, 2, 5, 7), 0.3))


@pytest.mark.parametrize("function", [gaussian_blur, box_mean, dilate, erode])
def test_nothing_happens_at_radius_zero(function) -> None:
    tensor = noise(1, 1, 3, 3)
    assert torch.equal(function(tensor, 0), tensor)


def test_gaussian_blur_equals_scipy() -> None:
    tensor = noise(1, 1, 37, 53)
    expected = scipy.ndimage.gaussian_filter(tensor[0, 0].numpy(), 2.0, mode="nearest", radius=6)
    np.testing.assert_allclose(gaussian_blur(tensor, 2.0)[0, 0], expected, atol=1e-5)


def test_dilate_and_erode_equal_scipy() -> None:
    tensor = noise(1, 1, 37, 53)
    for function, oracle, outside in ((dilate, "grey_dilation", 0.0), (erode, "grey_erosion", 1.0)):
        expected = getattr(scipy.ndimage, oracle)(tensor[0, 0].numpy(), size=(5, 5), mode="constant", cval=outside)
        np.testing.assert_array_equal(function(tensor, 2)[0, 0], expected)


def test_box_mean_averages_what_lies_inside() -> None:
    tensor = noise(1, 1, 7, 9)
    for y, x, rows, columns in ((0, 0, slice(0, 3), slice(0, 3)), (3, 8, slice(1, 6), slice(6, 9))):
        torch.testing.assert_close(box_mean(tensor, 2)[0, 0, y, x], tensor[0, 0, rows, columns].mean())


def test_resize_averages_areas_where_it_shrinks() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 1, 16, 16)
    torch.testing.assert_close(resize(stripes, (4, 4))[..., 1:-1], torch.full((1, 1, 4, 2), 0.5), atol=0.02, rtol=0)
    assert resize(stripes, (16, 16)) is stripes


@pytest.mark.parametrize("size", [(1, 1), (40, 53), (111, 222), (37, 54)])
def test_enlarged_strips_join_to_the_resized_whole(size: tuple[int, int]) -> None:
    tensor = noise(2, 3, min(37, size[0]), min(53, size[1]))
    strips = [enlarge_part(tensor, size, rows) for rows in split_rows(*size, megapixels=0.0009)]
    torch.testing.assert_close(torch.cat(strips, dim=-2), resize(tensor, size), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (100, 30), (7, 10_000)])
def test_split_rows_covers_each_row_once(height: int, width: int) -> None:
    rows = [row for strip in split_rows(height, width, megapixels=0.001) for row in range(strip.start, strip.stop)]
    assert rows == list(range(height))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (9000, 4500), (37, 53), (4000, 6000), (600, 601)])
def test_fit_size_gives_multiples_and_as_many_pixels_in_every_shape(height: int, width: int) -> None:
    size = fit_size(height, width, side=512, multiple=32)
    assert not any(length % 32 for length in size)
    assert size[0] * size[1] == pytest.approx(512**2, rel=0.08) and size[0] / size[1] == pytest.approx(height / width, rel=0.1)


def test_fit_size_squeezes_what_is_very_long() -> None:
    assert fit_size(1, 9000, side=512, multiple=32) == (64, 1024)
    assert fit_size(9000, 900, side=512, multiple=32) == (1024, 96)


def test_tiles_cover_all_that_the_enlarged_band_touches() -> None:
    for seed, (small, size, side) in enumerate([((9, 13), (37, 53), 8), ((1, 1), (5, 3), 2), ((37, 53), (37, 53), 16)]):
        band = torch.rand(1, 1, *small, generator=torch.Generator().manual_seed(seed)) > 0.9
        missed = resize(band.float(), size) > 0
        tiles = list(split_tiles(band, size, side=side))
        for rows, columns in tiles:
            missed[..., rows, columns] = False
        assert not missed.any() and len(tiles) == len(set(map(str, tiles)))
    assert not list(split_tiles(torch.zeros(1, 1, 9, 13, dtype=torch.bool), (37, 53), side=8))


def test_a_part_of_the_enlarged_picture_is_that_part() -> None:
    tensor = torch.rand(2, 3, 9, 13, generator=torch.Generator().manual_seed(0))
    for rows, columns in ((slice(3, 20), slice(40, 53)), (slice(0, 37), slice(0, 1))):
        torch.testing.assert_close(enlarge_part(tensor, (37, 53), rows, columns), resize(tensor, (37, 53))[..., rows, columns])


def test_the_band_reaches_beyond_soft_pixels_and_edges() -> None:
    alpha = torch.tensor([[[[0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]]]])
    assert find_band(alpha, 1).flatten().tolist() == [False, False, True, True, True, False, False]
    assert not find_band(torch.full((1, 1, 4, 4), 0.995), 1).any()


@pytest.mark.parametrize("marked", [(0, 0, 0, 0), (36, 52, 36, 52), (3, 9, 30, 31), (0, 0, 36, 52)])
def test_a_part_holds_all_of_a_mask_its_margin_and_few_shapes(marked) -> None:
    top, left, bottom, right = marked
    mask = torch.zeros(1, 1, 37, 53, dtype=torch.bool)
    mask[..., top, left] = mask[..., bottom, right] = True
    rows, columns = find_part(mask, margin=4, multiple=8)
    for part, first, last, full in ((rows, top, bottom, 37), (columns, left, right, 53)):
        assert 0 <= part.start <= max(0, first - 4) and min(full, last + 5) <= part.stop <= full
        length = part.stop - part.start
        assert length == full or (length % 8 == 0 and length - 8 < last + 1 - first + 8)


def test_an_empty_mask_has_no_part() -> None:
    assert find_part(torch.zeros(1, 1, 5, 7, dtype=torch.bool), margin=4, multiple=8) is None


def test_guided_fit_recover_a_linear_target() -> None:
    guide = noise(1, 3, 20, 24)
    target = 0.2 * guide[:, :1] - 0.5 * guide[:, 1:2] + 0.7 * guide[:, 2:] + 0.1
    slope, offset = guided_fit(guide, radius=3, epsilon=1e-7)(target)
    torch.testing.assert_close(slope, torch.tensor([0.2, -0.5, 0.7]).view(1, 3, 1, 1).expand_as(slope), atol=1e-3, rtol=0)
    torch.testing.assert_close((slope * guide).sum(1, keepdim=True) + offset, target, atol=1e-3, rtol=0)


def test_guided_fit_equal_ridge_regression_in_one_window() -> None:
    guide, target, epsilon = noise(1, 3, 5, 5), noise(1, 1, 5, 5), 0.01
    slope, offset = guided_fit(guide, radius=5, epsilon=epsilon)(target)
    x, y = guide[0].flatten(1).numpy(), target.flatten().numpy()
    expected = np.linalg.solve(np.cov(x, bias=True) + epsilon * np.eye(3), (x * (y - y.mean())).mean(1))
    np.testing.assert_allclose(slope[0, :, 2, 2], expected, atol=1e-4)
    np.testing.assert_allclose(offset[0, 0, 2, 2], y.mean() - expected @ x.mean(1), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.float32])
def test_a_white_photograph_stays_in_range_at_any_size(dtype) -> None:
    white = torch.ones(1, 3, 61, 83) if dtype == torch.float32 else torch.full((1, 3, 61, 83), 65535, dtype=dtype)
    for size in ((37, 50), (13, 17), (60, 81), (61, 83)):
        small = resize_image(white, size)
        assert torch.allclose(small, torch.ones(())) and small.max() <= 1


def test_gray_weighs_the_colors_and_keeps_what_is_gray_already() -> None:
    weights = [to_gray(torch.eye(3)[:, channel].view(1, 3, 1, 1)).item() for channel in range(3)]
    assert weights == pytest.approx([0.299, 0.587, 0.114])
    gray = noise(2, 1, 37, 53)
    assert torch.equal(to_gray(gray.expand(2, 3, 37, 53)), gray)
