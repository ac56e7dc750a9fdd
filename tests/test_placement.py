"""Placement on scenes small enough to know every pixel, and shadow and color match by their own definitions."""

from __future__ import annotations

import math

import pytest
import torch

from shm.compositing import composite, fit_background, parse_color
from shm.filters import gaussian_blur
from shm.matte import DEPTHS, check, to_depth
from shm.placement import _from_oklab, _to_oklab, cast_shadow, crop_person, match_color, move_person, place_person

TYPES = [*DEPTHS, torch.float32]
RED, BLUE = parse_color("#ff0000"), parse_color("#0000ff")


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return to_depth(torch.rand(shape, generator=torch.Generator().manual_seed(0)), dtype)


def person(size: tuple[int, int], softness: float = 3.0) -> torch.Tensor:
    """A soft ellipse, a quarter of the frame wide and half of it high, that stands at three quarters of its height."""
    y, x = (torch.arange(length) + 0.5 - length / 2 for length in size)
    inside = 1 - torch.hypot(y[:, None] / (size[0] / 4), x / (size[1] / 8))
    return (inside * min(size) / 8 / softness + 0.5).clamp(0, 1)[None, None]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_the_defaults_are_the_equation_alone(dtype: torch.dtype, size: tuple[int, int]) -> None:
    foreground, alpha, picture = noise(1, 3, *size, dtype=dtype), noise(1, 1, *size), noise(1, 3, 20, 70, dtype=dtype)
    expected = composite(foreground, alpha, fit_background(picture, size))
    assert torch.equal(place_person(foreground, alpha, picture), expected)
    assert torch.equal(place_person(foreground, alpha, BLUE), composite(foreground, alpha, BLUE))


@pytest.mark.parametrize("dtype", TYPES)
def test_all_together_keep_size_and_type(dtype: torch.dtype) -> None:
    foreground, alpha = noise(1, 3, 37, 53, dtype=dtype), person((37, 53))
    options = {"scale": 0.7, "shift": (0.2, -0.1), "shadow_opacity": 0.5, "color_match": 0.5}
    for background in (BLUE, noise(1, 3, 20, 70), noise(1, 3, 20, 70, dtype=torch.uint8)):
        result = place_person(foreground, alpha, background, **options)
        assert result.shape == foreground.shape and result.dtype == dtype


@pytest.mark.parametrize("dtype", TYPES)
def test_whole_pixels_move_exactly(dtype: torch.dtype) -> None:
    foreground, alpha = noise(1, 3, 40, 50, dtype=dtype), noise(1, 1, 40, 50)
    color, cover = move_person(foreground, alpha, shift=(0.2, -0.1))
    assert torch.equal(color[..., :36, 10:], foreground[..., 4:, :40])
    assert torch.equal(cover[..., :36, 10:], alpha[..., 4:, :40])
    assert cover[..., 36:, :].max() == 0 and cover[..., :10].max() == 0


@pytest.mark.parametrize("scale", [0.4, 0.75, 1.5])
def test_scale_keeps_the_point_people_stand_on(scale: float) -> None:
    size = (160, 240)
    alpha = person(size)
    _, cover = move_person(noise(1, 3, *size), alpha, scale=scale)
    for axis in (-2, -1):
        before, after = ((tensor > 0.5).any(axis).flatten().nonzero() for tensor in (alpha, cover))
        assert len(after) == pytest.approx(scale * len(before), abs=2)
        if axis == -1:
            assert after[-1].item() == pytest.approx(before[-1].item(), abs=1)
        else:
            assert after.float().mean().item() == pytest.approx(before.float().mean().item(), abs=1)
    assert cover.sum().item() == pytest.approx(scale**2 * alpha.sum().item(), rel=0.03)


@pytest.mark.parametrize("scale", [0.3, 0.8, 2.5])
def test_what_alpha_hides_does_not_shine_through(scale: float) -> None:
    alpha = person((80, 120))
    foreground = torch.where(alpha > 0, RED, parse_color("#00ff00")).contiguous()
    color, cover = move_person(foreground, alpha, scale=scale)
    assert color[:, 1:2][cover > 0.01].max() < 0.01 and color[:, :1][cover > 0.01].min() > 0.99


def test_a_crop_beyond_the_photograph_is_empty_there() -> None:
    foreground, alpha = noise(1, 3, 6, 8, dtype=torch.uint8), torch.ones(1, 1, 6, 8)
    color, cover = crop_person(foreground, alpha, (-4, -6, 12, 6), (12, 16))
    assert torch.equal(color[..., 6:, 4:12], foreground) and cover.sum() == 48 and cover[..., 6:, 4:12].min() == 1
    for box in ((20, 0, 30, 6), (0, -9, 8, -3)):
        assert crop_person(foreground, alpha, box, (5, 5))[1].max() == 0


def test_a_crop_at_fractions_of_a_pixel_is_where_it_should_be() -> None:
    ramp = torch.linspace(0, 1, 40).expand(1, 3, 30, 40)
    color, _ = crop_person(ramp, torch.ones(1, 1, 30, 40), (10.5, 3.25, 20.5, 13.25), (80, 80))
    centers = (10.5 + (torch.arange(80) + 0.5) / 8 - 0.5) / 39
    torch.testing.assert_close(color[0, 0, 40], centers, atol=0.5 / 8 / 39 + 1e-3, rtol=0)


def test_a_shadow_on_a_wall_is_the_blurred_alpha_moved() -> None:
    size = (100, 200)
    alpha = person(size)
    shadow = cast_shadow(alpha, opacity=0.4, offset=(0.1, -0.05), blur_fraction=0.01)
    expected = 0.4 * gaussian_blur(alpha, 2.0).roll((-10, 20), (-2, -1))
    torch.testing.assert_close(shadow, expected, atol=1e-4, rtol=0)


def test_a_wide_blur_is_made_small_and_stays_a_gaussian() -> None:
    alpha = torch.zeros(1, 1, 300, 400)
    alpha[..., 200:] = 1
    shadow = cast_shadow(alpha, opacity=1, offset=(0, 0), blur_fraction=0.05)
    for offset in (-30, -10, 10, 30):
        expected = 0.5 * (1 + math.erf((offset + 0.5) / 20 / math.sqrt(2)))
        assert shadow[0, 0, 150, 200 + offset].item() == pytest.approx(expected, abs=0.02)


def test_a_shadow_on_the_ground_lies_at_the_feet() -> None:
    alpha = person((160, 240))
    shadow = cast_shadow(alpha, opacity=1, offset=(0, 0), blur_fraction=0, height=0.2)
    before, after = ((tensor > 0.5).any(-1).flatten().nonzero().flatten() for tensor in (alpha, shadow))
    assert after[-1].item() == pytest.approx(before[-1].item(), abs=1)
    assert len(after) == pytest.approx(0.2 * len(before), abs=2)
    assert (shadow > 0.5).any(-2).sum().item() == pytest.approx((alpha > 0.5).any(-2).sum().item(), abs=1)


def test_the_shadow_darkens_the_background_and_not_the_person() -> None:
    alpha, foreground = person((80, 120)), noise(1, 3, 80, 120, dtype=torch.uint8)
    plain, shaded = (place_person(foreground, alpha, BLUE, shadow_opacity=opacity) for opacity in (0, 0.6))
    opaque = (alpha == 1).expand_as(plain)
    assert torch.equal(plain[opaque], shaded[opaque])
    assert shaded[:, 2].min() < 130 and bool((shaded <= plain).all()) and shaded[0, 2, 0, 0] == 255


def test_oklab_knows_gray_and_comes_back() -> None:
    color = noise(1, 3, 37, 53)
    torch.testing.assert_close(_from_oklab(_to_oklab(color)), color, atol=1e-3, rtol=0)
    gray = _to_oklab(torch.linspace(0, 1, 9).view(1, 1, 1, 9).expand(1, 3, 1, 9))
    assert gray[:, 1:].abs().max() < 1e-4 and gray[0, 0, 0, -1].item() == pytest.approx(1, abs=1e-4)
    # Ottosson's page gives pure red as L = 0.628, a = 0.225, b = 0.126
    torch.testing.assert_close(_to_oklab(RED).flatten(), torch.tensor([0.628, 0.2249, 0.1258]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_match_brings_light_tint_and_contrast_nearer(dtype: torch.dtype) -> None:
    pattern = noise(1, 1, 40, 60)
    foreground = to_depth(0.4 + 0.2 * pattern.expand(1, 3, -1, -1), dtype)
    background = to_depth((0.4 + 0.26 * pattern.flip(-1)) * torch.tensor([1.05, 1.0, 0.95]).view(1, 3, 1, 1), dtype)
    alpha = torch.ones(1, 1, 40, 60)
    goal, start = (_to_oklab(check("color", color)) for color in (background, foreground))
    for strength in (0, 0.5, 1):
        result = match_color(foreground, alpha, background, strength=strength)
        assert result.dtype == dtype
        lab = _to_oklab(check("color", result))
        mean = torch.lerp(start.mean((0, 2, 3)), goal.mean((0, 2, 3)), strength)
        torch.testing.assert_close(lab.mean((0, 2, 3)), mean, atol=3e-3, rtol=0)
        spread = torch.lerp(start[:, 0].std(), goal[:, 0].std(), strength).item()
        assert lab[:, 0].std().item() == pytest.approx(spread, rel=0.05)


def test_the_match_has_limits_and_counts_people_alone() -> None:
    foreground = torch.full((1, 3, 40, 60), 0.5)
    foreground[..., 30:] = 0.9
    alpha = torch.zeros(1, 1, 40, 60)
    alpha[..., :30] = 1
    for background in (RED, parse_color("#fff"), noise(1, 3, 37, 53)):
        moved = _to_oklab(match_color(foreground, alpha, background, strength=1)) - _to_oklab(foreground)
        assert moved[:, :1, :, :30].abs().max() < 0.125 and moved[:, 1:, :, :30].norm(dim=1).max() < 0.045
    same = match_color(foreground, alpha, foreground[..., :1, :1], strength=1)
    torch.testing.assert_close(same[..., :30], foreground[..., :30], atol=2e-3, rtol=0)


def test_black_stays_black_in_any_light() -> None:
    foreground = torch.cat([torch.zeros(1, 3, 40, 60), torch.full((1, 3, 40, 60), 0.8)], dim=2)
    result = match_color(foreground, torch.ones(1, 1, 80, 60), BLUE, strength=1)
    assert result[..., :40, :].max() < 0.01 and (result - foreground)[..., 40:, :].abs().max() > 0.05


def test_nobody_changes_nothing() -> None:
    foreground, nobody = noise(1, 3, 37, 53, dtype=torch.uint8), torch.zeros(1, 1, 37, 53)
    assert match_color(foreground, nobody, BLUE, strength=1) is foreground
    result = place_person(foreground, nobody, BLUE, scale=2, shift=(0.1, 0.1), shadow_opacity=1, color_match=1)
    assert torch.equal(result, to_depth(BLUE, torch.uint8).expand(1, 3, 37, 53))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda color, alpha: move_person(color, alpha, scale=0), r"scale: expected 0.05 \.\. 20, got 0"),
        (lambda color, alpha: move_person(color, alpha, shift=(0, math.nan)), "shift: expected -2 .. 2"),
        (lambda color, alpha: crop_person(color, alpha[..., 1:], (0, 0, 4, 4), (4, 4)), "foreground, alpha: expected"),
        (lambda color, alpha: crop_person(color, alpha, (4, 0, 4, 4), (4, 4)), "box, size: expected left < right"),
        (lambda color, alpha: crop_person(color, alpha, (0, 0, 4, 4), (0, 4)), "at least 1 pixel"),
        (lambda color, alpha: cast_shadow(alpha, opacity=2), r"opacity: expected 0 \.\. 1, got 2"),
        (lambda color, alpha: cast_shadow(alpha, blur_fraction=1), "blur_fraction: expected"),
        (lambda color, alpha: cast_shadow(alpha, height=0), "height: expected"),
        (lambda color, alpha: cast_shadow(alpha, offset=(2, 0)), "offset: expected -1 .. 1"),
        (lambda color, alpha: match_color(color, alpha, color, strength=-1), r"strength: expected 0 \.\. 1, got -1"),
    ],
)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.ones(1, 3, 4, 4), torch.ones(1, 1, 4, 4))
