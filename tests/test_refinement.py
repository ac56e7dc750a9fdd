"""Refinement: strands of known alpha at four times the working size, tiles without seams, and what the refiner is told."""

from __future__ import annotations

import json

import pytest
import torch

from shm.compositing import composite
from shm.filters import dilate, gaussian_blur, resize
from shm.matte import to_depth
from shm.metrics import grad, mse
from shm.refinement import Refiner, RefinerConfig, find_colors, refine_alpha
from shm.segmentation import MODELS

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


@pytest.fixture(scope="module")
def embedded() -> Refiner:
    return Refiner.load(str(MODELS / "refiner"))


@pytest.fixture
def untaught() -> Refiner:
    """A refiner that changes every pixel by something that depends on all pixels within its reach."""
    torch.manual_seed(0)
    refiner = Refiner(RefinerConfig(channels=6, layers=2)).eval()
    torch.nn.init.normal_(refiner.last.weight, std=0.1)
    return refiner


@torch.no_grad()
def refine(refiner: Refiner, image: torch.Tensor, small: torch.Tensor, **options: int) -> tuple[torch.Tensor, float]:
    return refine_alpha(image, small, refiner, reach=refiner.reach, **options)


def test_strands_come_back_sharper_than_enlarged(embedded, scene) -> None:
    image, true, small = scene
    refined, share = refine(embedded, image, small)
    enlarged = resize(small, true.shape[-2:])
    assert mse(refined, true) < 0.3 * mse(enlarged, true)
    assert grad(refined, true) < 0.3 * grad(enlarged, true)
    assert 0.1 < share < 0.8


def test_a_blurred_working_alpha_is_no_obstacle(embedded, scene) -> None:
    image, true, small = scene
    blurred = gaussian_blur(small, 0.8).clamp(0, 1)
    refined, _ = refine(embedded, image, blurred)
    enlarged = resize(blurred, true.shape[-2:])
    assert mse(refined, true) < 0.5 * mse(enlarged, true) and grad(refined, true) < 0.6 * grad(enlarged, true)


def test_nothing_happens_at_the_same_size(untaught) -> None:
    alpha = noise(1, 1, 37, 53)
    refined, share = refine(untaught, noise(1, 3, 37, 53), alpha)
    assert torch.equal(refined, alpha) and share == 1.0


@pytest.mark.parametrize("small, size", [((1, 1), (1, 1)), ((1, 1), (37, 53)), ((19, 27), (37, 53)), ((1, 100), (1, 4000))])
def test_any_size(untaught, small, size) -> None:
    refined, share = refine(untaught, noise(1, 3, *size), noise(1, 1, *small))
    assert refined.shape == (1, 1, *size) and refined.dtype == torch.float32
    assert refined.min() >= 0 and refined.max() <= 1 and 0 <= share <= 1


def test_alpha_is_doubled_until_it_has_the_size_of_the_photograph() -> None:
    seen = []

    def note(image: torch.Tensor, alpha: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(image.shape[-2:]))
        assert alpha.shape[-2:] == image.shape[-2:] and [2 * length for length in colors.shape[-2:]] == list(image.shape[-2:])
        return alpha

    refine_alpha(noise(1, 3, 500, 300), torch.full((1, 1, 100, 60), 0.5), note, side=10000)
    assert seen == [(126, 76), (250, 150), (500, 300)]  # even, so one pixel more than 125 x 75


def test_a_refiner_that_does_nothing_leaves_the_enlarged_alpha(scene) -> None:
    image, _, small = scene
    refined, _ = refine_alpha(image, small, lambda image, alpha, colors: alpha)
    torch.testing.assert_close(refined, resize(resize(small, (192, 192)), (384, 384)), rtol=0, atol=1e-5)


def test_what_is_certain_is_only_enlarged(untaught, scene) -> None:
    image, true, small = scene
    enlarged = resize(resize(small, (192, 192)), true.shape[-2:])
    uncertain = dilate(((small > 0.01) & (small < 0.99)).float(), 4)
    known = resize(uncertain, true.shape[-2:]) == 0
    refined, _ = refine(untaught, image, small)
    assert known.any() and torch.equal(refined[known], enlarged[known])
    assert (refined != enlarged).float().mean() > 0.1


def test_an_empty_and_a_full_picture_stay_so(untaught) -> None:
    for value in (0.0, 1.0):
        refined, share = refine(untaught, noise(1, 3, 40, 60), torch.full((1, 1, 10, 15), value))
        assert (refined == value).all() and share == 0.0


@pytest.mark.parametrize("crop", [0, 1])
def test_tiles_leave_no_seam(untaught, scene, crop) -> None:
    image, _, small = scene
    image = image[..., crop:, crop:]
    whole, share = refine(untaught, image, small, side=10000)
    tiles, same_share = refine(untaught, image, small, side=50)
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)
    assert same_share == share


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integers_are_read_as_well(untaught, scene, dtype) -> None:
    image, _, small = scene
    stored = to_depth(image, dtype)
    levels = 255 if dtype == torch.uint8 else 65535
    torch.testing.assert_close(refine(untaught, stored, small)[0], refine(untaught, stored.float() / levels, small)[0])


def test_known_colors_are_those_of_certain_pixels() -> None:
    alpha = torch.cat([torch.zeros(1, 1, 8, 16), torch.full((1, 1, 8, 4), 0.5), torch.ones(1, 1, 8, 12)], dim=3)
    image = torch.where(alpha == 1, 0.9, torch.where(alpha == 0, 0.2, 0.5)).expand(1, 3, 8, 32)
    colors = find_colors(image, alpha)
    torch.testing.assert_close(colors[:, :3], torch.full((1, 3, 8, 32), 0.9), rtol=0, atol=0.02)
    torch.testing.assert_close(colors[:, 3:], torch.full((1, 3, 8, 32), 0.2), rtol=0, atol=0.02)
    assert max(find_colors(noise(1, 3, 1000, 300), noise(1, 1, 1000, 300)).shape[-2:]) == 256


def test_a_pixel_is_felt_as_far_as_reach_says(untaught) -> None:
    image = noise(1, 3, 64, 64).requires_grad_()
    untaught(image, noise(1, 1, 64, 64), noise(1, 6, 32, 32)).clamp(1e-3, 1 - 1e-3)[0, 0, 32, 32].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert untaught.reach % 2 == 0 and 0 < max(32 - int(rows[0]), int(rows[-1]) - 32) <= untaught.reach


def test_a_saved_refiner_comes_back_whole(untaught, tmp_path) -> None:
    untaught.save_pretrained(tmp_path)
    assert RefinerConfig(**json.loads((tmp_path / "config.json").read_text())) == untaught.config
    back, inputs = Refiner.load(str(tmp_path)), (noise(1, 3, 8, 8), noise(1, 1, 8, 8), noise(1, 6, 4, 4))
    assert torch.equal(back(*inputs), untaught(*inputs)) and not back.training


def test_wrong_input_is_named(untaught) -> None:
    with pytest.raises(ValueError, match=r"image: expected shape \(1, 3, H, W\), got \(1, 1, 8, 8\)"):
        refine(untaught, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\]"):
        refine(untaught, torch.zeros(1, 3, 8, 8), torch.full((1, 1, 4, 4), 2.0))
    with pytest.raises(ValueError, match=r"image: expected values in \[0, 1\]"):
        refine(untaught, torch.full((1, 3, 8, 8), 2.0), torch.full((1, 1, 4, 4), 0.5))
    with pytest.raises(ValueError, match=r"RefinerConfig: expected positive numbers"):
        RefinerConfig(layers=0)
