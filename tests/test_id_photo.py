"""ID photos of a drawn bust whose crown and chin are known."""

from __future__ import annotations

import pytest
import torch

from shm.compositing import parse_color
from shm.id_photo import (
    COLORS,
    FORMATS,
    PAPERS,
    Head,
    PhotoFormat,
    adjust_crop,
    find_head,
    make_id_photo,
    make_sheet,
    place_crop,
    plan_sheet,
)
from shm.image_io import write_image
from shm.matte import DEPTHS, ImageError, check, to_depth

TYPES = [*DEPTHS, torch.float32]


def ellipse(size: tuple[int, int], x: float, y: float, half_width: float, half_height: float) -> torch.Tensor:
    rows, columns = torch.arange(size[0])[:, None] + 0.5 - y, torch.arange(size[1]) + 0.5 - x
    return ((1 - torch.hypot(columns / half_width, rows / half_height)) * 20 + 0.5).clamp(0, 1)[None, None]


def bust(neck: float = 40, scale: float = 1.0) -> torch.Tensor:
    """Crown at row 60, chin at 172, middle at column 140, head 80 wide; a neck of so many pixels; shoulders cut off below."""
    size = round(340 * scale), round(280 * scale)
    shapes = [(140, 116, 40, 56), (140, 340, 110, 130)]
    alpha = torch.stack([ellipse(size, *(scale * number for number in shape)) for shape in shapes]).amax(0)
    alpha[..., round(150 * scale) : round(230 * scale), round((140 - neck / 2) * scale) : round((140 + neck / 2) * scale)] = 1
    return alpha


@pytest.mark.parametrize("scale", [1.0, 0.31, 3.7])
def test_crown_and_chin_are_found(scale: float) -> None:
    head = find_head(bust(scale=scale))
    assert head.top == pytest.approx(60 * scale, abs=4 * scale + 1)
    assert head.chin == pytest.approx(172 * scale, abs=0.1 * 112 * scale)  # the neck hides the tip of the ellipse
    assert head.center == pytest.approx(140 * scale, abs=2 * scale)
    assert head.width == pytest.approx(80 * scale, abs=5 * scale)


def test_hair_that_hides_the_neck_leaves_the_ellipse() -> None:
    head = find_head(torch.maximum(bust(), ellipse((340, 280), 140, 175, 39, 100)))
    assert head.chin - head.top == pytest.approx(1.4 * head.width, rel=0.1)


@pytest.mark.parametrize("disturb", ["tuft", "hand"])
def test_tufts_and_raised_hands_are_no_head(disturb: str) -> None:
    plain, alpha = find_head(bust()), bust()
    if disturb == "tuft":
        alpha[..., 40:70, 140:146] = 1
    else:
        alpha[..., 70:300, 8:30] = 1
    head = find_head(alpha)
    assert (head.top, head.chin, head.center) == pytest.approx((plain.top, plain.chin, plain.center), abs=4)


@pytest.mark.parametrize(
    ("code", "alpha"),
    [
        ("nobody", torch.zeros(1, 1, 37, 53)),
        ("no_head", torch.ones(1, 1, 1, 1)),
        ("no_head", torch.ones(1, 1, 37, 53)),
        ("no_head", bust()[..., :120, :]),
    ],
)
def test_where_no_head_is_a_code_says_so(code: str, alpha: torch.Tensor) -> None:
    with pytest.raises(ImageError, match="alpha: expected") as caught:
        find_head(alpha)
    assert caught.value.code == code


@pytest.mark.parametrize("name", FORMATS)
def test_the_crop_holds_the_head_as_the_format_wants(name: str) -> None:
    wanted, head = FORMATS[name], Head(top=500, chin=900, center=700, width=280)
    left, top, right, bottom = place_crop(head, wanted, 3000)
    assert (head.chin - head.top) / (bottom - top) == pytest.approx(wanted.head_fraction)
    assert (head.top - top) / (bottom - top) == pytest.approx(wanted.top_fraction)
    assert (left + right) / 2 == pytest.approx(head.center)
    assert (right - left) / (bottom - top) == pytest.approx(wanted.width_mm / wanted.height_mm)
    low = place_crop(head, wanted, 950)  # the photograph ends just below the chin
    assert low[3] == pytest.approx(950) and (low[0] + low[2]) / 2 == pytest.approx(head.center)
    assert (head.top - low[1]) / (low[3] - low[1]) == pytest.approx(wanted.top_fraction)


@pytest.mark.parametrize(
    ("name", "size"),
    [("35x45 mm", (531, 413)), ("2x2 inch", (600, 600)), ("1 inch", (413, 295)), ("2 inch", (579, 413))],
)
def test_formats_have_their_sizes_at_300_dpi(name: str, size: tuple[int, int]) -> None:
    assert FORMATS[name].size == size and FORMATS[name].dpi == 300


def test_formats_follow_their_authorities() -> None:
    passport, visa = FORMATS["35x45 mm"], FORMATS["2x2 inch"]
    assert 32 <= 45 * passport.head_fraction <= 36
    assert 1 <= 2 * visa.head_fraction <= 1.375
    eyes = 2 * (1 - visa.top_fraction - visa.head_fraction / 2)  # halfway down the head, in inches above the lower side
    assert 1.125 <= eyes <= 1.375


@pytest.mark.parametrize("dtype", TYPES)
def test_the_photo_has_the_head_in_place_and_the_background(dtype: torch.dtype) -> None:
    alpha, wanted = bust(), PhotoFormat(35, 45, dpi=150)
    skin = to_depth(parse_color("#c09070").expand(1, 3, 340, 280), dtype)
    head = find_head(alpha)
    photo = make_id_photo(skin, alpha, place_crop(head, wanted, 340), wanted, parse_color(COLORS["blue"]))
    assert photo.dtype == dtype and tuple(photo.shape[-2:]) == wanted.size
    red = check("photo", photo)[0, 0]
    assert red[0, 0].item() == pytest.approx(0x43 / 255, abs=0.003)
    nose = round(wanted.size[0] * (wanted.top_fraction + wanted.head_fraction / 2))
    assert red[nose, wanted.size[1] // 2].item() == pytest.approx(0xC0 / 255, abs=0.01)
    crown = (red[:, wanted.size[1] // 2] > 0.5).nonzero()[0].item()
    assert crown == pytest.approx(wanted.top_fraction * wanted.size[0], abs=3)
    assert (red[-1] > 0.5).any()  # nobody ends in mid-air


def test_a_crop_is_adjusted_in_its_proportions() -> None:
    box = (10.0, 20.0, 110.0, 220.0)
    assert adjust_crop(box) == box
    left, top, right, bottom = adjust_crop(box, scale=1.3, shift=(0.2, -0.1))
    assert (right - left) / (bottom - top) == pytest.approx(0.5)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((60 + 20, 120 - 20))


@pytest.mark.parametrize(
    ("name", "paper", "count"),
    [("1 inch", "6 inch", 12), ("2 inch", "6 inch", 4), ("2x2 inch", "6 inch", 2), ("1 inch", "A4", 50)],
)
def test_the_sheet_holds_whole_copies_with_lines_around(name: str, paper: str, count: int) -> None:
    wanted = FORMATS[name]
    height, width = wanted.size
    photo = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    photo[:, 0, 0, 0] = 7  # a mark in the corner
    sheet = make_sheet(photo, wanted, PAPERS[paper])
    expected = {round(length / 25.4 * 300) for length in PAPERS[paper]}
    assert set(sheet.shape[-2:]) == expected and sheet.dtype == torch.uint8
    corners = (sheet[0, 0] == 7).nonzero().tolist()
    assert len(corners) == count
    for top, left in corners:
        assert torch.equal(sheet[..., top : top + height, left : left + width], photo)
        for y, x in ((top - 1, left), (top + height, left), (top, left - 1), (top, left + width)):
            assert sheet[0, :, y, x].tolist() == [153] * 3
    margin = 35  # 3 mm at 300 dpi
    tops, lefts = zip(*corners, strict=True)
    assert min(tops) >= margin and min(lefts) >= margin
    assert max(tops) + height + margin <= sheet.shape[-2] + 1 and max(lefts) + width + margin <= sheet.shape[-1] + 1
    assert sheet[0, 0, corners[0][0] - 1, 0] == 153 and sheet[0, 0, 0, 0] == 255  # lines reach the side; the rest is white


def test_a_photo_at_the_sheet_s_edge_has_lines_on_its_other_sides_alone() -> None:
    wanted = PhotoFormat(35, 45)
    photo = torch.zeros(1, 3, *wanted.size)
    assert torch.equal(make_sheet(photo, wanted, (35, 45), margin_mm=0), photo)
    sheet = make_sheet(photo, wanted, (35, 100), margin_mm=0, gap_mm=10)
    gray = (sheet[0, 0, :, 0] == sheet.new_tensor(0.6)).nonzero().flatten().tolist()
    assert gray == [531, 648, 1180] and sheet.shape[-2] == 1181  # 118 pixels apart, and one to spare below


@pytest.mark.parametrize("dtype", TYPES)
def test_a_sheet_keeps_the_type_and_can_be_written(dtype: torch.dtype, tmp_path) -> None:
    small = PhotoFormat(25, 35, dpi=72)
    sheet = make_sheet(torch.zeros(1, 3, *small.size).to(dtype), small, PAPERS["6 inch"])
    assert sheet.dtype == dtype
    write_image(tmp_path / "sheet.jpg", sheet, dpi=small.dpi)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PhotoFormat(2, 45), r"width_mm: expected 5 \.\. 300, got 2"),
        (lambda: PhotoFormat(35, 45, dpi=5000), r"dpi: expected 72 \.\. 1200, got 5000"),
        (lambda: PhotoFormat(35, float("nan")), "height_mm: expected"),
        (lambda: PhotoFormat(35, 45, head_fraction=1), "head_fraction: expected"),
        (lambda: adjust_crop((0, 0, 1, 1), scale=0), r"scale: expected 0.1 \.\. 10, got 0"),
        (lambda: make_sheet(torch.zeros(1, 3, 4, 4), FORMATS["1 inch"], (210, 297)), r"photo: expected shape \(1, 3, 413"),
        (lambda: make_sheet(torch.zeros(1, 3, 1772, 1772), PhotoFormat(150, 150), (152, 102)), "paper: expected room"),
        (lambda: plan_sheet(FORMATS["1 inch"], (210, 297), margin_mm=-1), r"margin_mm: expected 0 \.\. 100, got -1"),
        (lambda: plan_sheet(FORMATS["1 inch"], (210, 297), gap_mm=-30), r"gap_mm: expected 0 \.\. 100, got -30"),
        (lambda: find_head(torch.ones(1, 3, 4, 4)), r"alpha: expected shape \(B, 1, H, W\)"),
    ],
)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
