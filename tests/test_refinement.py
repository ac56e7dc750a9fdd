"""Refinement: strands of known alpha at four times the working size, and the guided filter against least squares by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shm import refinement
from shm.compositing import composite
from shm.filters import dilate, find_band, gaussian_blur, guided_fit, resize
from shm.matte import to_depth
from shm.metrics import grad, mse
from shm.refinement import refine_alpha

SIDE, SCALE = 96, 4


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def draw_strands(height: int, width: int) -> torch.Tensor:
    """A person's edge from which waving strands taper away to the right; exact coverage of straight pixels."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    alpha = ((0.35 * width - columns) / 2 + 0.5).clamp(0, 1).expand(height, width)
    for index, (start, wave, reach) in enumerate(noise(40, 3, seed=3).tolist()):
        along = ((columns / width - 0.33) / (0.2 + 0.4 * reach)).clamp(0, 1)
        center = height * (start + 0.04 * torch.sin(20 * wave * along + index))
        thick = 5 * (1 - along)
        cover = (thick / 2 + 0.5 - (rows - center).abs()).clamp(0, 1).minimum(thick.clamp(max=1))
        alpha = torch.maximum(alpha, torch.where((along > 0) & (along < 1), cover, 0.0))
    return alpha[None, None]


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Photograph and true alpha at full size, true alpha at working size; colors vary slowly, sensor noise on top."""
    size = (SIDE * SCALE, SIDE * SCALE)
    true = draw_strands(*size)
    person = torch.tensor([0.35, 0.2, 0.1]).view(1, 3, 1, 1) + 0.15 * resize(noise(1, 3, 6, 6, seed=1), size)
    background = 0.45 + 0.5 * resize(noise(1, 3, 8, 8, seed=2), size)
    image = composite(person, true, background)
    grain = 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(4))
    return (image + grain).clamp(0, 1), true, resize(true, (SIDE, SIDE)).clamp(0, 1)


def test_strands_come_back_sharper_than_enlarged(scene) -> None:
    image, true, small = scene
    refined, share = refine_alpha(image, small)
    enlarged = resize(small, true.shape[-2:])
    assert mse(refined, true) < 0.05 * mse(enlarged, true)
    assert grad(refined, true) < 0.05 * grad(enlarged, true)
    assert 0.1 < share < 0.8


def test_gray_photographs_are_refined_as_well(scene) -> None:
    image, true, small = scene
    refined, _ = refine_alpha(image[:, :1].expand(-1, 3, -1, -1), small)
    assert mse(refined, true) < 0.25 * mse(resize(small, true.shape[-2:]), true)


def test_a_blurred_working_alpha_is_no_obstacle(scene) -> None:
    image, true, small = scene
    blurred = gaussian_blur(small, 0.8).clamp(0, 1)
    refined, _ = refine_alpha(image, blurred)
    enlarged = resize(blurred, true.shape[-2:])
    assert mse(refined, true) < 0.5 * mse(enlarged, true) and grad(refined, true) < 0.6 * grad(enlarged, true)


def test_what_is_fitted_around_the_band_alone_is_what_would_be_fitted_everywhere(scene, monkeypatch) -> None:
    image, _, small = scene
    small = torch.nn.functional.pad(small, (40, 70, 30, 20), mode="replicate")
    small[..., :30, :], small[..., 30 + SIDE :, :] = 0, 0
    image = torch.nn.functional.pad(image, [SCALE * length for length in (40, 70, 30, 20)], mode="reflect")
    found, share = refine_alpha(image, small)
    rows, columns = refinement.find_part(find_band(small, 1), margin=5, multiple=1)
    assert rows.stop - rows.start < 0.9 * small.shape[-2] and columns.stop - columns.start < 0.9 * small.shape[-1]
    monkeypatch.setattr(refinement, "find_part", lambda mask, **shape: (slice(None), slice(None)))
    expected, expected_share = refine_alpha(image, small)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert share == expected_share


def test_nothing_happens_at_the_same_size() -> None:
    alpha = noise(1, 1, 37, 53)
    refined, share = refine_alpha(noise(1, 3, 37, 53), alpha)
    assert torch.equal(refined, alpha) and share == 1.0


@pytest.mark.parametrize("small, size", [((1, 1), (1, 1)), ((1, 1), (37, 53)), ((19, 27), (37, 53)), ((1, 100), (1, 4000))])
def test_any_size(small, size) -> None:
    refined, share = refine_alpha(noise(1, 3, *size), noise(1, 1, *small))
    assert refined.shape == (1, 1, *size) and refined.dtype == torch.float32
    assert refined.min() >= 0 and refined.max() <= 1 and 0 <= share <= 1


def test_what_is_certain_is_only_enlarged(scene) -> None:
    image, true, small = scene
    enlarged = resize(small, true.shape[-2:])
    uncertain = dilate(((small > 0.01) & (small < 0.99)).float(), 2)
    known = resize(uncertain, true.shape[-2:]) == 0
    refined, _ = refine_alpha(image, small)
    assert known.any() and torch.equal(refined[known], enlarged[known])


def test_an_edge_without_partly_opaque_pixels_is_refined_too() -> None:
    true = (torch.arange(80) < 41).float().expand(1, 1, 40, 80).contiguous()
    small = (torch.arange(20) < 10).float().expand(1, 1, 10, 20).contiguous()
    image = (0.2 + 0.6 * true).expand(1, 3, 40, 80)
    refined, share = refine_alpha(image, small)
    assert mse(refined, true) < 0.2 * mse(resize(small, (40, 80)), true)
    assert share < 0.3


def test_an_empty_and_a_full_picture_stay_so() -> None:
    for value in (0.0, 1.0):
        refined, share = refine_alpha(noise(1, 3, 40, 60), torch.full((1, 1, 10, 15), value))
        assert (refined == value).all() and share == 0.0


def test_tiles_leave_no_seam(scene) -> None:
    image, _, small = scene
    whole, share = refine_alpha(image, small, side=10000)
    tiles, same_share = refine_alpha(image, small, side=50)
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)
    assert same_share == pytest.approx(share, abs=1e-4)


def test_a_flip_of_all_flips_the_result(scene) -> None:
    image, _, small = scene
    flipped, _ = refine_alpha(image.flip(3), small.flip(3))
    torch.testing.assert_close(flipped.flip(3), refine_alpha(image, small)[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integers_are_read_as_well(scene, dtype) -> None:
    image, _, small = scene
    stored = to_depth(image, dtype)
    levels, step = (255, 0.02) if dtype == torch.uint8 else (65535, 0.0)  # what is of 8 bit is shrunk in 8 bit
    expected = refine_alpha(stored.float() / levels, small)[0]
    torch.testing.assert_close(refine_alpha(stored, small)[0], expected, atol=step, rtol=0)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"image: expected shape \(1, 3, H, W\), got \(1, 1, 8, 8\)"):
        refine_alpha(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\]"):
        refine_alpha(torch.zeros(1, 3, 8, 8), torch.full((1, 1, 4, 4), 2.0))
    with pytest.raises(ValueError, match=r"image: expected values in \[0, 1\]"):
        refine_alpha(torch.full((1, 3, 8, 8), 2.0), torch.full((1, 1, 4, 4), 0.5))


@pytest.mark.parametrize("radius, epsilon", [(1, 1e-2), (2, 1e-4)])
def test_guided_fit_equal_least_squares_in_every_window(radius, epsilon) -> None:
    height, width = 7, 9
    guide, target = noise(1, 3, height, width), noise(1, 1, height, width, seed=1)
    colors, values = guide[0].double().permute(1, 2, 0).numpy(), target[0, 0].double().numpy()
    fits = np.zeros((height, width, 4))
    for row, column in np.ndindex(height, width):
        window = np.s_[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
        x, y = colors[window].reshape(-1, 3), values[window].ravel()
        centered = x - x.mean(0)
        ridge = np.sqrt(len(y) * epsilon) * np.eye(3)
        slope = np.linalg.lstsq(np.vstack([centered, ridge]), np.append(y - y.mean(), np.zeros(3)), rcond=None)[0]
        fits[row, column] = *slope, y.mean() - slope @ x.mean(0)
    averaged = np.zeros_like(fits)
    for row, column in np.ndindex(height, width):
        window = np.s_[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
        averaged[row, column] = fits[window].reshape(-1, 4).mean(0)
    found = torch.cat(guided_fit(guide, radius, epsilon)(target), dim=1)[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, averaged, atol=1e-4)


def test_guided_fit_survive_a_black_and_white_photograph() -> None:
    target = (noise(1, 1, 37, 53) > 0.5).float()
    guide = (0.05 + 0.9 * target).expand(1, 3, 37, 53)
    slope, offset = guided_fit(guide, 2, 1e-5)(target)
    torch.testing.assert_close((slope * guide).sum(1, keepdim=True) + offset, target, rtol=0, atol=1e-3)
