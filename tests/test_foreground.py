"""Foreground estimation on scenes whose image, alpha, foreground and background are all known."""

from __future__ import annotations

import pytest
import torch

from shm.filters import find_band, resize, split_tiles
from shm.foreground import estimate_foreground
from shm.matte import DEPTHS, check, to_depth

TYPES = [*DEPTHS, torch.float32]


def make_scene(height: int = 240, width: int = 320) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return image, alpha and foreground: a softly shaded disc with a soft rim over bright stripes."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    radius = torch.hypot(x * width / height, y)
    alpha = ((0.6 - radius) / 0.3 + 0.5).clamp(0, 1)[None, None]
    foreground = torch.stack([0.3 + 0.1 * x, 0.2 + 0.1 * y, 0.1 + 0.05 * x * y])[None]
    stripes = ((x * 8).floor() % 2)[None, None]
    background = torch.cat([0.2 + 0.7 * stripes, 0.9 - 0.3 * stripes, 0.95 - 0.1 * stripes], dim=1)
    return alpha * foreground + (1 - alpha) * background, alpha, foreground


def mean_error(pred: torch.Tensor, true: torch.Tensor, alpha: torch.Tensor) -> float:
    """Mean absolute difference where the background shows through, in steps of 8 bits."""
    soft = ((alpha > 0.02) & (alpha < 0.98)).expand_as(true)
    return 255 * (check("pred", pred) - true).abs()[soft].mean().item()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("side", [1024, 160])
def test_old_background_leaves_the_soft_rim(dtype: torch.dtype, side: int) -> None:
    image, alpha, foreground = make_scene()
    image = to_depth(image, dtype)
    error = mean_error(estimate_foreground(image, alpha, side=side), foreground, alpha)
    assert error < 10.5 and error < mean_error(image, foreground, alpha) / 7


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 60), (37, 53), (240, 320)])
def test_opaque_pixels_keep_the_image_exactly(dtype: torch.dtype, size: tuple[int, int]) -> None:
    image, alpha, _ = make_scene(*size)
    alpha[..., : size[0] // 2 + 1, :] = 1.0
    image = to_depth(image, dtype)
    foreground = estimate_foreground(image, alpha, side=32)
    assert foreground.dtype == dtype and foreground.shape == image.shape
    opaque = (alpha == 1).expand_as(image)
    assert torch.equal(check("foreground", foreground)[opaque], check("image", image)[opaque])


def test_full_size_explains_the_image() -> None:
    """The background that F leaves, (I − A·F) / (1 − A), is a color."""
    image, alpha, _ = make_scene()
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    image = (image + 0.2 * (noise - 0.5)).clamp(0, 1)  # detail that the working size cannot hold
    foreground = estimate_foreground(image, alpha, side=32)
    soft = (alpha > 0.5).expand_as(image)
    background = ((image - alpha * foreground) / (1 - alpha).clamp(min=1e-6))[soft]
    assert background.min() > -0.15 and background.max() < 1.15


def test_transparent_pixels_continue_the_person_smoothly() -> None:
    image, alpha, _ = make_scene()
    foreground = estimate_foreground(image, alpha)
    hidden = ((alpha[..., 1:] == 0) & (alpha[..., :-1] == 0)).expand(-1, 3, -1, -1)
    assert image.diff(dim=-1).abs()[hidden].max() > 0.6
    assert foreground.diff(dim=-1).abs()[hidden].max() < 0.05


def test_it_commutes_with_a_flip() -> None:
    """All but exactly: the steps end before they have converged, and a flip may change which half of the pixels goes first."""
    image, alpha, _ = make_scene(101, 140)
    for dim in (-1, -2):
        flipped = estimate_foreground(image.flip(dim), alpha.flip(dim), side=64)
        difference = (flipped.flip(dim) - estimate_foreground(image, alpha, side=64)).abs()
        difference = difference[(alpha > 0.02).expand_as(image)]
        assert difference.max() < 0.03 and difference.mean() < 2e-3


def test_photographs_of_a_batch_do_not_touch() -> None:
    image, alpha, _ = make_scene(37, 53)
    images, alphas = torch.cat([image, image.flip(1)]), torch.cat([alpha, 1 - alpha])
    both = estimate_foreground(images, alphas)
    for index in range(2):
        alone = estimate_foreground(images[index : index + 1], alphas[index : index + 1])
        torch.testing.assert_close(both[index : index + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", TYPES)
def test_nobody_and_nothing_but_a_person(dtype: torch.dtype) -> None:
    image = to_depth(make_scene(37, 53)[0], dtype)
    everywhere = torch.ones(1, 1, 37, 53)
    assert torch.equal(estimate_foreground(image, everywhere), image)
    assert bool(check("foreground", estimate_foreground(image, 0 * everywhere)).isfinite().all())


def test_tiles_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha, _ = make_scene(200, 300)
    whole = estimate_foreground(image, alpha, side=150)
    monkeypatch.setattr("shm.foreground.split_tiles", lambda band, size, side=512: split_tiles(band, size, side=side // 8))
    near = find_band(alpha, 6).expand_as(image)
    torch.testing.assert_close(estimate_foreground(image, alpha, side=150)[near], whole[near], atol=2e-3, rtol=0)


def test_the_working_image_of_the_caller_is_taken() -> None:
    image, alpha, _ = make_scene()
    alone = estimate_foreground(image, alpha, side=160)
    assert torch.equal(estimate_foreground(image, alpha, side=160, detail=resize(image, (120, 160))), alone)


def test_alpha_of_another_size_is_refused() -> None:
    image, alpha, _ = make_scene(37, 53)
    with pytest.raises(ValueError, match=r"alpha: expected the image's size \(37, 53\), got \(37, 52\)"):
        estimate_foreground(image, alpha[..., :-1])
