"""ID photos: sizes, where the head goes, the photo itself, and a sheet of them to print and cut."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from shm.compositing import composite
from shm.filters import limit_size, resize
from shm.matte import ChoiceError, ImageError, check, check_range, to_depth
from shm.placement import crop_person

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the photograph; a crop may reach beyond it, where the background shows."""

MM_PER_INCH = 25.4
PROFILE_SIDE = 512  # pixels of the copy of alpha on which a head is looked for
HEAD_RATIO = 1.4  # height of a head to its width, hair included; a bald one has about 1.5
NECK_RATIO = 0.85  # a neck is at most this wide beside the head
NARROWEST_HEAD = 0.1  # beside the widest row of the person; what is narrower above it is a tuft of hair
CROWN = 0.2  # beside the head's width: the first row as wide as this is the crown
LINE_GRAY = 0.6  # of the cutting lines


def to_pixels(length_mm: float, dpi: float) -> int:
    """Return a length on paper in whole pixels.

    >>> to_pixels(25.4, 300)
    300
    """
    return round(length_mm / MM_PER_INCH * dpi)


@dataclass(frozen=True)
class PhotoFormat:
    """Size of an ID photo, and where the head goes in it.

    Attributes:
        width_mm, height_mm: 5 to 300.
        dpi: pixels per inch, 72 to 1200.
        head_fraction: height from crown to chin as a share of the photo's, 0.2 to 0.9.
        top_fraction: space above the crown as a share of the photo's height, 0 to 0.5.

    Raises:
        ValueError: a number outside its range.

    >>> PhotoFormat(35, 45).size
    (531, 413)
    """

    width_mm: float
    height_mm: float
    dpi: float = 300
    head_fraction: float = 0.65
    top_fraction: float = 0.09

    def __post_init__(self) -> None:
        fractions = {"head_fraction": (0.2, 0.9), "top_fraction": (0, 0.5)}
        ranges = {"width_mm": (5, 300), "height_mm": (5, 300), "dpi": (72, 1200)} | fractions
        for name, (low, high) in ranges.items():
            check_range(name, getattr(self, name), low, high)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return to_pixels(self.height_mm, self.dpi), to_pixels(self.width_mm, self.dpi)


FORMATS: Mapping[str, PhotoFormat] = MappingProxyType({
    # ICAO Doc 9303: crown to chin 70 to 80% of 45 mm, so 31.5 to 36 mm
    "35x45 mm": PhotoFormat(35, 45, head_fraction=0.74, top_fraction=0.09),
    # US passport: crown to chin 1 to 1 3/8 inch, eyes 1 1/8 to 1 3/8 inch above the lower side
    "2x2 inch": PhotoFormat(50.8, 50.8, head_fraction=0.6, top_fraction=0.08),
    "1 inch": PhotoFormat(25, 35, head_fraction=0.65, top_fraction=0.09),
    "2 inch": PhotoFormat(35, 49, head_fraction=0.62, top_fraction=0.1),
})  # fmt: skip
"""Common formats by name; the last two are China's."""

COLORS: Mapping[str, str] = MappingProxyType({"white": "#ffffff", "blue": "#438edb", "red": "#ff0000", "gray": "#d3d3d3"})
"""Usual backgrounds; any other color goes as well."""

PAPERS: Mapping[str, tuple[float, float]] = MappingProxyType({"6 inch": (152.4, 101.6), "A4": (210.0, 297.0)})
"""Width and height of papers in mm."""


@dataclass(frozen=True)
class Head:
    """Where a head is, in pixels of the photograph.

    Attributes:
        top: crown, hair included.
        chin: as `find_head` estimates it.
        center: middle of the head from left to right.
        width: at half of its height, hair included.
    """

    top: float
    chin: float
    center: float
    width: float


def find_head(alpha: torch.Tensor) -> Head:
    """Find the head of one person by the width of their silhouette, row by row from the top.

    The rule, with w(y) the width of the silhouette (alpha above 1/2) at depth y below the crown: a head is an ellipse 1.4
    times as high as wide, so half of its height is the first y with y ≥ 0.7·w(y). Crown: the first row at least a fifth as
    wide as the head there; what is above is a tuft. Chin: the narrowest row between 0.75 and 1.3 heads below the crown (the
    neck), if at most 0.85 times as wide as the head and wider again below, held within 15% of the ellipse; where hair or a
    collar hides the neck, the ellipse's lower end.

    Args:
        alpha: (1, 1, H, W) of one person: `choose_people` and `keep_connected` remove others and stray parts.

    Raises:
        ImageError: code "nobody": no pixel is mostly opaque; "no_head": the silhouette is too wide for a head at its top,
            or cut off above the chin.
        ValueError: not an alpha.
    """
    alpha = check("alpha", alpha, 1)
    small = resize(alpha, limit_size(*alpha.shape[-2:], PROFILE_SIDE))
    start, runs = _trace_runs(small[0, 0] > 0.5)
    widths = [right - left for left, right in runs]
    least = NARROWEST_HEAD * max(widths)
    for _ in range(2):  # the crown is known once the width is, and the width once the crown is
        top = next(y for y, width in enumerate(widths) if width >= least)
        depths = enumerate(widths[top:], start=1)
        half = next((depth for depth, width in depths if depth >= HEAD_RATIO / 2 * width), len(widths))
        chin = _find_chin(widths, top, half)
        if chin > len(widths):
            raise ImageError("no_head", "alpha: expected a whole head, got none or one cut off above the chin")
        least = CROWN * widths[top + half - 1]
    lefts, rights = zip(*runs[top : math.ceil(chin)], strict=True)
    center = (sum(lefts) + sum(rights)) / 2 / len(lefts)
    down, across = (full / length for full, length in zip(alpha.shape[-2:], small.shape[-2:], strict=True))
    return Head((start + top) * down, (start + chin) * down, center * across, widths[top + half - 1] * across)


def place_crop(head: Head, photo_format: PhotoFormat, photo_height: int) -> Box:
    """Return the crop that puts the head where the format wants it.

    Where it would reach below the photograph, and people would end in mid-air, it is made smaller about the head: the head
    then is larger than the format says.

    Args:
        head: from `find_head`.
        photo_format: of the ID photo.
        photo_height: of the photograph, in pixels.

    >>> place_crop(Head(top=100, chin=300, center=250, width=140), PhotoFormat(30, 40, head_fraction=0.5, top_fraction=0.1), 900)
    (100.0, 60.0, 400.0, 460.0)
    """
    height = (head.chin - head.top) / photo_format.head_fraction
    height = min(height, (photo_height - head.top) / (1 - photo_format.top_fraction))
    width = height * photo_format.width_mm / photo_format.height_mm
    left, top = head.center - width / 2, head.top - photo_format.top_fraction * height
    return left, top, left + width, top + height


def adjust_crop(box: Box, *, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Box:
    """Return a crop enlarged about its middle and moved, its proportions kept.

    Args:
        box: the crop.
        scale: 0.1 to 10; above 1 the crop is larger and the person in it smaller.
        shift: how far to the right and down, as fractions of the width and height of the crop before.

    Raises:
        ValueError: another scale.

    >>> adjust_crop((100.0, 100.0, 200.0, 300.0), scale=0.5, shift=(0.1, 0.0))
    (135.0, 150.0, 185.0, 250.0)
    """
    check_range("scale", scale, 0.1, 10)
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 + shift[0] * width, (box[1] + box[3]) / 2 + shift[1] * height
    return x - scale * width / 2, y - scale * height / 2, x + scale * width / 2, y + scale * height / 2


def make_id_photo(
    foreground: torch.Tensor, alpha: torch.Tensor, box: Box, photo_format: PhotoFormat, background: torch.Tensor
) -> torch.Tensor:
    """Return the ID photo: the crop at the size of the format, over a color.

    Args:
        foreground: (1, 3, H, W) floats in [0, 1], uint8 or uint16.
        alpha: (1, 1, H, W).
        box: from `place_crop`.
        photo_format: its size is that of the result.
        background: (1, 3, 1, 1), such as `parse_color(COLORS["blue"])`.

    Returns:
        (1, 3, height, width) in the foreground's type.

    Raises:
        ValueError: shapes or values that do not fit.

    Example:
        head = find_head(matte.alpha)
        box = place_crop(head, FORMATS["35x45 mm"], matte.image.shape[-2])
        photo = make_id_photo(matte.foreground, matte.alpha, box, FORMATS["35x45 mm"], parse_color(COLORS["white"]))
        write_image("id.jpg", photo, dpi=FORMATS["35x45 mm"].dpi)
    """
    return composite(*crop_person(foreground, alpha, box, photo_format.size), background)


@dataclass(frozen=True)
class Sheet:
    """Where the copies of an ID photo go on a paper, in pixels.

    Attributes:
        size: (height, width) of the sheet.
        tops, lefts: where each row and each column of photos starts.
    """

    size: tuple[int, int]
    tops: list[int]
    lefts: list[int]


def plan_sheet(photo_format: PhotoFormat, paper: tuple[float, float], *, margin_mm: float = 3.0, gap_mm: float = 2.0) -> Sheet:
    """Place as many copies of an ID photo as a paper holds; it is turned if more fit so.

    Args:
        photo_format: of the photo; the sheet has its dpi.
        paper: width and height in mm, such as `PAPERS["A4"]`.
        margin_mm: left free around, 0 to 100; most printers cannot print to the edge.
        gap_mm: between photos, 0 to 100.

    Raises:
        ChoiceError: code "no_room": the photo does not fit on the paper; "out_of_range": another margin or gap.

    >>> plan_sheet(PhotoFormat(25, 35), PAPERS["6 inch"]).size
    (1800, 1200)
    """
    check_range("margin_mm", margin_mm, 0, 100)
    check_range("gap_mm", gap_mm, 0, 100)
    height, width = photo_format.size
    margin, gap = (to_pixels(length, photo_format.dpi) for length in (margin_mm, gap_mm))
    sheets = []
    for sides in (paper, paper[::-1]):
        columns, rows = (to_pixels(length, photo_format.dpi) for length in sides)
        sheets.append(Sheet((rows, columns), _space_out(rows, height, margin, gap), _space_out(columns, width, margin, gap)))
    sheet = max(sheets, key=lambda sheet: len(sheet.tops) * len(sheet.lefts))  # the first of two equals: paper as given
    if not sheet.tops or not sheet.lefts:
        message = f"paper: expected room for {photo_format.width_mm:g} x {photo_format.height_mm:g} mm, got {paper} mm"
        raise ChoiceError("no_room", message, width_mm=photo_format.width_mm, height_mm=photo_format.height_mm, paper=paper)
    return sheet


def make_sheet(
    photo: torch.Tensor,
    photo_format: PhotoFormat,
    paper: tuple[float, float],
    *,
    margin_mm: float = 3.0,
    gap_mm: float = 2.0,
) -> torch.Tensor:
    """Return a white sheet with as many copies of an ID photo as it holds, and gray lines to cut along.

    The lines run from side to side of the sheet along every side of a photo, just outside.

    Args:
        photo: (1, 3, height, width) of the format's size.
        photo_format, paper, margin_mm, gap_mm: as in `plan_sheet`.

    Returns:
        (1, 3, H, W) in the photo's type.

    Raises:
        ValueError: the photo has another size, or does not fit on the paper as in `plan_sheet`.

    >>> make_sheet(torch.zeros(1, 3, *PhotoFormat(25, 35).size), PhotoFormat(25, 35), PAPERS["6 inch"]).shape
    torch.Size([1, 3, 1800, 1200])
    """
    height, width = photo_format.size
    if tuple(photo.shape) != (1, 3, height, width):
        raise ValueError(f"photo: expected shape {(1, 3, height, width)}, got {tuple(photo.shape)}")
    plan = plan_sheet(photo_format, paper, margin_mm=margin_mm, gap_mm=gap_mm)
    white, gray = (to_depth(torch.tensor(level), photo.dtype).item() for level in (1.0, LINE_GRAY))
    sheet = torch.full((1, 3, *plan.size), white, dtype=photo.dtype)
    for line in (row for top in plan.tops for row in (top - 1, top + height) if 0 <= row < plan.size[0]):
        sheet[..., line, :] = gray
    for line in (column for left in plan.lefts for column in (left - 1, left + width) if 0 <= column < plan.size[1]):
        sheet[..., line] = gray
    for top in plan.tops:
        for left in plan.lefts:
            sheet[..., top : top + height, left : left + width] = photo
    return sheet


def _trace_runs(mask: torch.Tensor) -> tuple[int, list[tuple[int, int]]]:
    """Follow a person down from their topmost pixel: the first row, and of each row the widest run below the one before."""
    runs: list[tuple[int, int]] = []
    start = 0
    for y, row in enumerate(mask.int()):
        steps = torch.nn.functional.pad(row, (1, 1)).diff()
        found = list(zip((steps == 1).nonzero().flatten().tolist(), (steps == -1).nonzero().flatten().tolist(), strict=True))
        if runs:
            found = [(left, right) for left, right in found if left < runs[-1][1] and right > runs[-1][0]]
        if found:
            start = start if runs else y
            runs.append(max(found, key=lambda run: run[1] - run[0]))
        elif runs:
            break
    if not runs:
        raise ImageError("nobody", "alpha: expected a person, got nobody")
    return start, runs


def _find_chin(widths: list[int], top: int, half: int) -> float:
    """Return the row of the chin, given the row of the crown and half the height of the head; the rule is in `find_head`."""
    height = 2.0 * half
    first, last = top + round(0.75 * height), min(len(widths), top + round(1.3 * height) + 1)
    if last - first < 3:
        return top + height
    neck = min(range(first, last), key=widths.__getitem__)
    if widths[neck] > NECK_RATIO * widths[top + half - 1] or neck == last - 1:
        return top + height
    return top + min(max(neck - top, 0.85 * height), 1.15 * height)


def _space_out(full: int, length: int, margin: int, gap: int) -> list[int]:
    """Return where as many pieces as fit start, the whole of them centered; all in pixels."""
    count = max(0, (full - 2 * margin + gap) // (length + gap))
    first = (full - count * (length + gap) + gap) // 2
    return [first + index * (length + gap) for index in range(count)]
