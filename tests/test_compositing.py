"""Compositing against the equation, pixel by pixel, and the backgrounds."""

from __future__ import annotations

import math

import pytest
import torch

from shm.compositing import (
    blur_background,
    composite,
    cutout,
    fit_background,
    make_gradient,
    parse_color,
    place_people,
)
from shm.filters import resize
from shm.matte import DEPTHS, Matte, Report, check, to_depth

TYPES = [*DEPTHS, torch.float32]
ROWS = [
    [(200, 150, 100), (210, 160, 110), (220, 170, 120)],
    [(180, 130, 80), (190, 140, 90), (200, 150, 100)],
    [(170, 120, 70), (180, 130, 80), (190, 140, 90)],
]
ALPHA = [[0.2, 0.3, 0.4], [0.2, 0.3, 0.2], [0.2, 0.2, 0.2]]
GREYS = [[50, 60, 70], [60, 70, 80], [70, 80, 90]]
RED, BLUE = parse_color("#ff0000"), parse_color("#0000ff")


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return to_depth(torch.rand(shape, generator=torch.Generator().manual_seed(0)), dtype)


def disc(height: int, width: int, radius: float, softness: float) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    return ((radius - torch.hypot(x, y)) / softness + 0.5).clamp(0, 1)[None, None]


def make_matte(foreground: torch.Tensor, alpha: torch.Tensor) -> Matte:
    none = torch.zeros(1, 1, 1, 1)
    report = Report("cpu", "float32", (1, 1), (1, 1), 0.0, {})
    return Matte(foreground, none, none.long(), ("person",), alpha, foreground, report)


def test_worked_example_follows_the_equation_at_every_pixel() -> None:
    foreground = torch.tensor(ROWS, dtype=torch.uint8).permute(2, 0, 1)[None]
    background = torch.tensor(GREYS, dtype=torch.uint8)[None, None].expand(1, 3, 3, 3)
    result = composite(foreground, torch.tensor(ALPHA)[None, None], background)
    for y in range(3):
        for x in range(3):
            expected = [ALPHA[y][x] * color + (1 - ALPHA[y][x]) * GREYS[y][x] for color in ROWS[y][x]]
            assert result[0, :, y, x].tolist() == [round(value) for value in expected]
    assert result[0, :, 0].T.tolist() == [[80, 70, 60], [105, 90, 75], [130, 110, 90]]


def test_worked_example_of_a_threshold_keeps_the_middle_row() -> None:
    intensity = torch.tensor([[120, 130, 110], [200, 210, 220], [150, 160, 140]], dtype=torch.uint8)[None, None]
    image = intensity.expand(1, 3, 3, 3)
    alpha = (intensity > 175).float()
    result = composite(image, alpha, parse_color("#000"))
    assert result[0, 0].tolist() == [[0, 0, 0], [200, 210, 220], [0, 0, 0]]
    assert cutout(make_matte(image, alpha))[0, 3].tolist() == [[0, 0, 0], [255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_alpha_of_one_is_the_foreground_and_of_zero_the_background(dtype: torch.dtype, size: tuple[int, int]) -> None:
    foreground, background = noise(2, 3, *size, dtype=dtype), noise(2, 3, *size, dtype=dtype).flip(0)
    assert torch.equal(composite(foreground, torch.ones(2, 1, *size), background), foreground)
    assert torch.equal(composite(foreground, torch.zeros(1, 1, *size), background), background)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_integers_and_floats_agree_within_rounding(dtype: torch.dtype) -> None:
    foreground, background, alpha = noise(1, 3, 37, 53), noise(1, 3, 37, 53).flip(2), noise(1, 1, 37, 53).flip(3)
    exact = composite(foreground, alpha, background)
    result = composite(to_depth(foreground, dtype), alpha, background)
    assert result.dtype == dtype
    torch.testing.assert_close(result.float() / DEPTHS[dtype], exact, atol=1.01 / DEPTHS[dtype], rtol=0)


def test_strips_join_without_a_seam() -> None:
    foreground, alpha = noise(1, 3, 1500, 1000, dtype=torch.uint8), noise(1, 1, 1500, 1000)
    expected = alpha * (foreground.float() / 255) + (1 - alpha) * BLUE
    assert torch.equal(composite(foreground, alpha, BLUE), to_depth(expected, torch.uint8))


def test_composite_is_differentiable_in_all_three() -> None:
    inputs = [noise(2, channels, 4, 5).double().requires_grad_() for channels in (3, 1, 3)]
    composite(*inputs).sum().backward()
    foreground, alpha, background = inputs
    torch.testing.assert_close(alpha.grad, (foreground - background).sum(1, keepdim=True).detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(foreground.grad, alpha.expand_as(foreground).detach())
    torch.testing.assert_close(background.grad, (1 - alpha).expand_as(foreground).detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("foreground", [(3, 4, 4), (1, 1, 4, 4), (1, 3, 4, 4)]),
        ("foreground", [(1, 4, 4, 4), (1, 1, 4, 4), (1, 3, 4, 4)]),
        ("alpha", [(1, 3, 4, 4), (1, 1, 4, 5), (1, 3, 4, 4)]),
        ("alpha", [(1, 3, 4, 4), (1, 3, 4, 4), (1, 3, 4, 4)]),
        ("background", [(1, 3, 4, 4), (1, 1, 4, 4), (1, 3, 5, 4)]),
        ("background", [(1, 3, 4, 4), (1, 1, 4, 4), (1, 1, 4, 4)]),
        ("background", [(1, 3, 4, 4), (1, 1, 4, 4), (2, 3, 4, 4)]),
    ],
)
def test_composite_names_the_input_that_does_not_fit(name: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected shape"):
        composite(*(torch.zeros(shape) for shape in shapes))


def test_composite_refuses_alpha_beyond_one() -> None:
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\]"):
        composite(noise(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 1, 2, 2), 255.0), BLUE)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_cutout_is_straight_not_premultiplied(dtype: torch.dtype) -> None:
    color = torch.tensor([200, 160, 120]).to(dtype).view(1, 3, 1, 1).expand(1, 3, 2, 2).contiguous()
    result = cutout(make_matte(color, torch.full((1, 1, 2, 2), 0.5)))
    assert result.dtype == dtype and result.shape == (1, 4, 2, 2)
    assert result[0, :, 0, 0].tolist() == [200, 160, 120, round(0.5 * DEPTHS[dtype] + 0.1)]


@pytest.mark.parametrize("text", ["#3366ff", "#36f", " #36F ", "rgb(51, 102, 255)", "rgba(51.0, 102.0, 255.0, 0.5)"])
def test_parse_color_reads_every_spelling(text: str) -> None:
    color = parse_color(text)
    assert color.shape == (1, 3, 1, 1) and color.dtype == torch.float32
    torch.testing.assert_close(color.flatten(), torch.tensor([0.2, 0.4, 1.0]))


@pytest.mark.parametrize("text", ["", "red", "#12345", "#ggg", "3366ff", "rgb(1, 2)", "rgb(1, 2, 256)", "rgb(1.2.3, 4, 5)"])
def test_parse_color_refuses_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match="color: expected"):
        parse_color(text)


def test_gradient_goes_from_top_to_bottom_and_composites() -> None:
    gradient = make_gradient(RED, BLUE, (5, 2))
    assert gradient.shape == (1, 3, 5, 2)
    assert gradient[0, 0, :, 1].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    foreground = torch.zeros(1, 3, 5, 2, dtype=torch.uint8)
    assert composite(foreground, torch.zeros(1, 1, 5, 2), gradient)[0, 2, :, 0].tolist() == [0, 64, 128, 191, 255]
    assert torch.equal(make_gradient(RED, BLUE, (1, 1)), RED)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("picture_size", "size"), [((1, 1), (37, 53)), ((37, 53), (1, 1)), ((37, 53), (53, 37)), ((64, 8), (5, 90))]
)
def test_fit_background_has_the_size_and_the_type(dtype, picture_size, size) -> None:
    result = fit_background(noise(1, 3, *picture_size, dtype=dtype), size)
    assert tuple(result.shape) == (1, 3, *size) and result.dtype == dtype


def test_fit_background_keeps_the_center_and_the_proportions() -> None:
    picture = torch.zeros(1, 3, 40, 120)
    picture[..., 40:80] = 1.0  # the middle third is the square that is kept
    assert torch.equal(fit_background(picture, (40, 40)), torch.ones(1, 3, 40, 40))
    torch.testing.assert_close(fit_background(picture, (20, 60)), resize(picture, (20, 60)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (300, 200)])
def test_blurred_background_is_free_of_the_person(dtype: torch.dtype, size: tuple[int, int]) -> None:
    alpha = disc(*size, radius=min(size) / 4, softness=min(size) / 10)
    image = to_depth(composite(RED.expand(1, 3, *size), alpha, BLUE), dtype)
    result = blur_background(image, alpha)
    assert result.dtype == dtype and result.shape == image.shape
    red, _, blue = check("result", result).unbind(1)
    assert red.max() < 0.03 and (size == (1, 1) or blue.min() > 0.97)


def test_blur_has_the_strength_asked_for() -> None:
    edge = torch.zeros(1, 3, 200, 400)
    edge[..., 200:] = 1.0
    result = blur_background(edge, torch.zeros(1, 1, 200, 400), strength_fraction=0.05)
    for offset in (-30, -10, 10, 30):  # a blurred step is the normal distribution: sigma is 0.05 · 400 = 20 pixels
        expected = 0.5 * (1 + math.erf((offset + 0.5) / 20 / math.sqrt(2)))
        assert result[0, 0, 100, 200 + offset].item() == pytest.approx(expected, abs=0.02)


def test_blur_commutes_with_a_flip() -> None:
    image, alpha = noise(1, 3, 60, 81), disc(60, 81, 20, 5)
    result = blur_background(image, alpha).flip(-1)
    torch.testing.assert_close(blur_background(image.flip(-1), alpha.flip(-1)), result, atol=1e-5, rtol=0)


def test_blur_names_what_is_wrong() -> None:
    image = noise(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"alpha: expected the image's size \(4, 4\), got \(4, 5\)"):
        blur_background(image, torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match="strength_fraction: expected a number above 0, got 0"):
        blur_background(image, torch.zeros(1, 1, 4, 4), strength_fraction=0)


@pytest.mark.parametrize(("background", "channels"), [(None, 4), ("blur", 3), ("color", 3), ("picture", 3)])
def test_people_are_placed_on_any_kind_of_background(background, channels) -> None:
    alpha = torch.zeros(1, 1, 40, 50)
    alpha[..., 10:30, 10:30] = 1
    image = (255 * torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))).to(torch.uint8)
    report = Report("cpu", "float32", (64, 64), (40, 50), 1.0, {})
    matte = Matte(image, torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64, dtype=torch.int64), ("person",), alpha, image, report)
    given = {"color": parse_color("#3366ff"), "picture": torch.rand(1, 3, 7, 9)}.get(background, background)
    placed = place_people(matte, given)
    assert placed.shape == (1, channels, 40, 50) and placed.dtype == torch.uint8
    assert torch.equal(placed[:, :3, 10:30, 10:30], image[..., 10:30, 10:30])
    if background == "color":
        assert placed[0, :, 0, 0].tolist() == [51, 102, 255]


def test_an_unknown_background_is_refused() -> None:
    matte = Matte(*[torch.zeros(1, 3, 4, 4)] * 3, ("person",), torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4), None)
    with pytest.raises(ValueError, match='expected "blur", a picture, a color or None, got "bokeh"'):
        place_people(matte, "bokeh")
