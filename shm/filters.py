"""Image filters as pure functions of (B, C, H, W) float32 tensors; borders repeat the edge pixel unless said otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from shm.matte import check


def resize(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample to `size` bilinearly, averaging over the source area where it shrinks.

    Args:
        tensor: (B, C, H, W) floats.
        size: (height, width) in pixels.

    Returns:
        (B, C, height, width); the tensor itself where the size is already right.

    >>> resize(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]]]])
    """
    if tuple(tensor.shape[-2:]) == tuple(size):
        return tensor
    shrinks = size[0] < tensor.shape[-2] or size[1] < tensor.shape[-1]
    return functional.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def resize_image(image: torch.Tensor, size: tuple[int, int], *, name: str = "image") -> torch.Tensor:
    """Bring a photograph of any depth to `size`, one channel after the other: at most one is held as floats at full size.

    On a processor one of 8 bit shrinks as it is, and the result is rounded to 8 bit, which is much faster.

    Args:
        image: (B, C, H, W), floats in [0, 1], uint8 or uint16.
        size: (height, width) in pixels.
        name: what to call it in an error.

    Returns:
        (B, C, height, width) float32 in [0, 1].

    >>> resize_image(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), (1, 1))
    tensor([[[[0.5020]]]])
    """
    shrinks = all(length <= full for length, full in zip(size, image.shape[-2:]))
    if image.dtype == torch.uint8 and image.device.type == "cpu" and shrinks:
        image = functional.interpolate(image, size=size, mode="bilinear", antialias=True)
    planes = [resize(check(name, plane), size) for plane in image.split(1, dim=1)]
    return torch.cat(planes, dim=1).clamp_(0, 1)  # rounding may lead a hair's breadth out


def to_gray(image: torch.Tensor) -> torch.Tensor:
    """Return the luma of colors, Y = 0.299·R + 0.587·G + 0.114·B (ITU-R BT.601): exactly the gray value where all three are equal.

    Args:
        image: (B, 3, H, W) floats, of any range.

    Returns:
        (B, 1, H, W), in the image's type and range.

    >>> round(to_gray(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)).item(), 4)
    0.5925
    """
    red, green, blue = image.split(1, dim=1)
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


def split_rows(height: int, width: int, *, megapixels: float = 1.0) -> Iterator[slice]:
    """Cut a photograph into strips of rows, so that work at its full size needs the memory of one strip.

    Args:
        height, width: of the photograph, in pixels.
        megapixels: about how many a strip holds; at least one row.

    >>> list(split_rows(5, 1000, megapixels=0.002))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, int(megapixels * 1e6) // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def split_tiles(band: torch.Tensor, size: tuple[int, int], *, side: int = 512) -> Iterator[tuple[slice, slice]]:
    """Cut a photograph into squares and name those that hold any of a band, so that work at full size is done only there.

    Args:
        band: (1, 1, h, w) bool, at most as large as the photograph.
        size: (height, width) of the photograph, in pixels.
        side: of the squares, in pixels of the photograph; those at its end are cut.

    Yields:
        rows and columns of a square; every pixel onto which the enlarged band falls lies in one.

    >>> list(split_tiles(torch.tensor([[[[False, False, True, False]]]]), (2, 8), side=4))
    [(slice(0, 2, None), slice(0, 4, None)), (slice(0, 2, None), slice(4, 8, None))]
    """
    reach = [length / full for length, full in zip(band.shape[-2:], size)]
    for top in range(0, size[0], side):
        for left in range(0, size[1], side):
            rows, columns = (slice(start, min(start + side, full)) for start, full in zip((top, left), size))
            seen = [  # half a pixel of the band more on either side, from which bilinear enlargement draws
                slice(max(0, math.floor(part.start * share - 0.5)), math.ceil(part.stop * share + 0.5))
                for part, share in zip((rows, columns), reach)
            ]
            if band[..., seen[0], seen[1]].any():
                yield rows, columns


def enlarge_part(
    tensor: torch.Tensor, size: tuple[int, int], rows: slice, columns: slice | None = None
) -> torch.Tensor:
    """Return `resize(tensor, size)[..., rows, columns]` without making the rest; for enlarging only.

    Args:
        tensor: (B, C, h, w) floats.
        size: (height, width) in pixels of the whole, at least (h, w).
        rows, columns: which of its rows and columns; all columns unless given.

    >>> enlarge_part(torch.tensor([[[[0.0], [1.0]]]]), (4, 2), slice(1, 3))
    tensor([[[[0.2500, 0.2500],
              [0.7500, 0.7500]]]])
    """
    (height, width), columns = tensor.shape[-2:], columns or slice(0, size[1])
    kept, source = _find_source(height, size[0], rows)
    tensor = tensor[..., kept, :]
    if columns == slice(0, size[1]):
        tensor = functional.interpolate(tensor, (tensor.shape[-2], size[1]), mode="bilinear")
    else:  # as a product of matrices: of all ways to mix neighbors in a row by far the fastest
        kept, centers = _find_source(width, size[1], columns)
        weights = 1 - (centers - torch.arange(kept.stop - kept.start)[:, None]).abs()
        tensor = tensor[..., kept] @ weights.clamp_(min=0).to(tensor)
    before = source.long()
    after = (before + 1).clamp(max=tensor.shape[-2] - 1)
    upper, lower = (tensor.index_select(-2, row.to(tensor.device)) for row in (before, after))
    return upper.lerp_(lower, (source - before).to(tensor)[:, None])


def _find_source(length: int, full: int, part: slice) -> tuple[slice, torch.Tensor]:
    """Return which of `length` pixels a part of their enlargement draws from, and where among these its pixels lie."""
    centers = torch.arange(part.start, part.stop, dtype=torch.float32) + 0.5
    source = (centers * (length / full) - 0.5).clamp(0, length - 1)
    kept = slice(int(source[0]), min(length, int(source[-1]) + 2))
    return kept, source - kept.start


def find_band(alpha: torch.Tensor, reach: int, *, certain: float = 0.01) -> torch.Tensor:
    """Say where alpha, or an edge of it, is not certain.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        reach: how far the band goes beyond uncertain pixels and edges, in pixels; at least 1.
        certain: an alpha nearer than this to 0 or 1 is taken as known.

    Returns:
        (B, 1, H, W) bool.

    >>> find_band(torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]]]), 1).flatten()
    tensor([False, False,  True,  True, False, False])
    """
    return (dilate(alpha, reach) > certain) & (erode(alpha, reach) < 1 - certain)


def find_part(mask: torch.Tensor, *, margin: int, multiple: int) -> tuple[slice, slice] | None:
    """Return the rows and columns around all of a mask, or None where it is empty.

    Args:
        mask: (..., H, W) bool.
        margin: pixels around it that belong to the part too, as far as there are any.
        multiple: both lengths are multiples of it, or all that there is.

    >>> find_part(torch.tensor([[False, False, True, True, False]]), margin=0, multiple=3)
    (slice(0, 1, None), slice(2, 5, None))
    """
    part = []
    for dim, full in ((-1, mask.shape[-2]), (-2, mask.shape[-1])):
        inside = mask.any(dim).reshape(-1, full).any(0).nonzero().flatten().tolist()
        if not inside:
            return None
        start, stop = max(0, inside[0] - margin), min(full, inside[-1] + 1 + margin)
        length = min(full, math.ceil((stop - start) / multiple) * multiple)
        start = min(max(0, start - (length - stop + start) // 2), full - length)
        part.append(slice(start, start + length))
    return tuple(part)


def fit_size(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """Return the working size of a photograph: about as many pixels as a square of `side` has, both sides a multiple.

    So what is seen costs the same in every shape, and in a square photograph people are no larger than in an oblong one.

    Args:
        height, width: of the photograph, in pixels.
        side: of the square, in pixels; a multiple of `multiple`.
        multiple: both results are multiples of it and at least twice it, and none is longer than twice the side: very long
            photographs are squeezed.

    >>> fit_size(3000, 4000, side=544, multiple=32)
    (480, 640)
    >>> fit_size(1, 4000, side=512, multiple=32)
    (64, 1024)
    """
    scale = min(side / math.sqrt(height * width), 2 * side / max(height, width))
    return tuple(max(2 * multiple, round(length * scale / multiple) * multiple) for length in (height, width))


def limit_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the size of a photograph whose longer side is to be at most `side` pixels.

    >>> limit_size(3000, 4000, 512), limit_size(30, 40, 512)
    ((384, 512), (30, 40))
    """
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def gaussian_blur(tensor: torch.Tensor, sigma: float) -> torch.Tensor:
    """Convolve with a Gaussian of standard deviation `sigma` pixels, cut at three sigma.

    >>> gaussian_blur(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), 0.5).round(decimals=2)
    tensor([[[[0.0000, 0.1100, 0.7900, 0.1100, 0.0000]]]])
    """
    if sigma <= 0:
        return tensor
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=tensor.dtype, device=tensor.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    channels = tensor.shape[1]
    for shape, padding in (((1, 1, -1, 1), (0, 0, radius, radius)), ((1, 1, 1, -1), (radius, radius, 0, 0))):
        kernel = weights.view(shape).expand(channels, -1, -1, -1)
        tensor = functional.conv2d(functional.pad(tensor, padding, mode="replicate"), kernel, groups=channels)
    return tensor


def box_mean(tensor: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over the square of (2 * radius + 1) pixels a side; at the border over the part that lies inside.

    >>> box_mean(torch.tensor([[[[0.0, 3.0, 6.0]]]]), 1)
    tensor([[[[1.5000, 3.0000, 4.5000]]]])
    """
    side = 2 * radius + 1
    for dimension in (-2, -1) if radius > 0 else ():  # adding whole planes takes a fraction of the time of torch's pooling
        length = tensor.shape[dimension]
        place = torch.arange(length, device=tensor.device)
        count = (place + radius).clamp(max=length - 1) - (place - radius).clamp(min=0) + 1
        sums = functional.pad(tensor, (radius, radius) if dimension == -1 else (0, 0, radius, radius))
        total, start, reach = 0, 0, 1
        while True:  # sums of 1, 2, 4, ... pixels, of which those are taken that make up the side
            if side & reach:
                total = total + sums.narrow(dimension, start, length)
                start += reach
            if start == side:
                break
            rest = sums.shape[dimension] - reach
            sums, reach = sums.narrow(dimension, 0, rest) + sums.narrow(dimension, reach, rest), 2 * reach
        tensor = total.div_(count if dimension == -1 else count[:, None])
    return tensor


def dilate(tensor: torch.Tensor, radius: int) -> torch.Tensor:
    """Largest value within the square of (2 * radius + 1) pixels a side; nothing enters from outside.

    >>> dilate(torch.tensor([[[[0.0, 0.0, 1.0, 0.0]]]]), 1)
    tensor([[[[0., 1., 1., 1.]]]])
    """
    for dimension in (-2, -1) if radius > 0 else ():
        padding = (radius, radius) if dimension == -1 else (0, 0, radius, radius)
        tensor = functional.pad(tensor, padding, value=-math.inf)
        reach = 1
        while reach < 2 * radius + 1:  # each turn doubles how far a pixel has seen
            step = min(reach, 2 * radius + 1 - reach)
            length = tensor.shape[dimension] - step
            tensor = torch.maximum(tensor.narrow(dimension, 0, length), tensor.narrow(dimension, step, length))
            reach += step
    return tensor


def erode(tensor: torch.Tensor, radius: int) -> torch.Tensor:
    """Smallest value within the square of (2 * radius + 1) pixels a side; nothing enters from outside.

    >>> erode(torch.tensor([[[[1.0, 1.0, 0.0, 1.0]]]]), 1)
    tensor([[[[1., 0., 0., 0.]]]])
    """
    return -dilate(-tensor, radius)


Fit = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def guided_fit(guide: torch.Tensor, radius: int, epsilon: float) -> Fit:
    """Prepare to fit target = slope . guide + offset in windows (He, Sun and Tang, Guided Image Filtering, TPAMI 2013, eqs. 5-9).

    Args:
        guide: (B, 3, H, W) color.
        radius: of the window, in pixels.
        epsilon: regularization added to the guide's variance; larger is smoother.

    Returns:
        a function of a target (B, 1, H, W): slope (B, 3, H, W) and offset (B, 1, H, W), averaged over the windows that cover
        each pixel. They may be resampled and applied to a larger guide (He and Sun, Fast Guided Filter, arXiv 1505.00996).
    """
    mean_guide = box_mean(guide, radius)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    products = torch.cat([guide[:, i : i + 1] * guide[:, j : j + 1] for i, j in pairs], dim=1)
    expected = torch.cat([mean_guide[:, i : i + 1] * mean_guide[:, j : j + 1] for i, j in pairs], dim=1)
    rr, rg, rb, gg, gb, bb = (box_mean(products, radius) - expected).unbind(1)
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    # Elimination, not the adjugate: in a gray photograph the three colors are one, and only this stays exact in float32.
    red_green, red_blue = rg / rr, rb / rr
    gg, gb, bb = gg - red_green * rg, gb - red_green * rb, bb - red_blue * rb
    green_blue = gb / gg
    bb = bb - green_blue * gb

    def fit(target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, shared = box_mean(torch.cat([target, guide * target], dim=1), radius).split((1, 3), dim=1)
        r, g, b = (shared - mean_guide * mean).unbind(1)
        g, b = g - red_green * r, b - red_blue * r
        b = (b - green_blue * g) / bb
        g = g / gg - green_blue * b
        r = r / rr - red_green * g - red_blue * b
        slope = torch.stack([r, g, b], dim=1)
        offset = mean - (slope * mean_guide).sum(1, keepdim=True)
        return box_mean(torch.cat([slope, offset], dim=1), radius).split((3, 1), dim=1)

    return fit
