"""Files to tensors and back: upright, sRGB, in the file's depth; written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageChops, ImageCms, UnidentifiedImageError

from shm.filters import to_gray
from shm.matte import ImageError, check, to_depth

MAX_MEGAPIXELS = 200.0  # what the largest phone sensors have
READABLE = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif")
"""Endings that `find_images` takes for photographs; `read_image` goes by the content alone."""

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings that `write_image` knows, each with its format."""

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
# What Pillow's decoders raise on a damaged file.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, RuntimeError, struct.error, zlib.error)
# Of each 16-bit color value Pillow keeps one byte: "16B" takes the first, "16L" the second, "16N" the higher one here.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_OTHER_BYTE = {f"{mode};16{kept}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for kept, other in _OTHER.items()}

_limit_lock = threading.Lock()
_lifted_limits: list[int | None] = []


def read_image(source: str | Path | Image.Image | np.ndarray, *, max_megapixels: float = MAX_MEGAPIXELS) -> torch.Tensor:
    """Read a photograph upright, in sRGB, without alpha, in the file's depth; of a moving picture the first frame.

    Transparency: alpha, also that of a palette, is flattened over white. Grey becomes R = G = B.
    Color: an ICC profile is converted to sRGB, relative colorimetric with black point compensation. One that moves no color by
    more than a step of 8 bits is sRGB by another name and leaves the pixels exact; one that is broken or made for another kind
    of image is ignored: as without a profile, the numbers are taken as sRGB. A damaged EXIF orientation is ignored too.
    Depth: 16-bit grey, RGB and RGBA of PNG and TIFF stay uint16, unless a profile has to be converted, which has 8 bits. All
    else becomes uint8, also the 10 and 12 bits of AVIF and HEIC.

    Args:
        source: path of a JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF, or HEIC where pillow-heif is installed; a PIL image; or an
            sRGB array (H, W), (H, W, 3) or (H, W, 4) of uint8, uint16 or floats in [0, 1], which become uint16.
        max_megapixels: refuse more than this many million pixels, before anything is decoded.

    Returns:
        (1, 3, H, W) uint8 or uint16, contiguous, sharing no memory with the source.

    Raises:
        ImageError: code "not_found", "is_a_folder", "not_a_folder" (on the way), "unreadable", "empty_file", "not_an_image",
            "heic_support", "unsupported_depth", "truncated" or "too_large".
        TypeError, ValueError: another kind of source, or an array of another number type, shape or range.

    >>> read_image(np.array([[[255, 0, 0, 51]]], dtype=np.uint8)).flatten()
    tensor([255, 204, 204], dtype=torch.uint8)
    """
    if isinstance(source, np.ndarray):
        return _planes(_checked_array(source, max_megapixels))
    if isinstance(source, Image.Image):
        name = Path(os.fsdecode(getattr(source, "filename", ""))).name or "image"
        _check_size(name, source.size, max_megapixels)
        with _decoding(name):
            return _planes(_decode(source, name), source)
    if not isinstance(source, (str, Path)):
        raise TypeError(f"source: expected a path, a PIL image or a numpy array, got {type(source).__name__}")
    with _opening(source, max_megapixels) as (image, name, file):
        return _planes(_decode(image, name, file), image)


def read_alpha(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> torch.Tensor:
    """Read a true alpha: the alpha of a file that has one, else its luminance; upright, its numbers as they are.

    Returns:
        (1, 1, H, W) float32 in [0, 1].

    Raises:
        ImageError: as `read_image`.
    """
    with _opening(path, max_megapixels) as (image, name, file):
        image.info.pop("icc_profile", None)  # alpha is no color
        pixels = _decode(image, name, file)
        pixels = pixels[..., 3] if pixels.shape[2:] == (4,) else pixels
        return to_gray(check(name, _planes(pixels, image)))


def write_image(path: str | Path, image: torch.Tensor, *, png_compression: int = 1, dpi: float | None = None) -> None:
    """Write an image whole or not at all; the ending decides the format.

    .png and .webp are lossless and keep the color that is hidden under alpha = 0; .jpg and .jpeg have quality 95, no chroma
    subsampling and no alpha. Color carries an sRGB profile; grey carries none, it is mostly an alpha or a trimap. uint16 grey
    stays 16-bit in a PNG; all else is rounded to 8 bits, as Pillow writes no 16-bit color. An existing file is replaced.

    Args:
        path: file to write, in a folder that exists.
        image: (1, C, H, W), floats in [0, 1], uint8 or uint16; C = 1 grey, 3 RGB, 4 RGBA with straight alpha.
        png_compression: zlib level, 0 (fast) to 9 (small).
        dpi: pixels per inch for whoever prints it, up to 65535, noted in a PNG or JPEG; None notes nothing.

    Raises:
        ImageError: code "unknown_ending", "not_found" (the folder) or "unwritable".
        TypeError, ValueError: image or dpi is not as above; an alpha for a JPEG, or a dpi for a WebP, which have none.
    """
    path, picture = Path(path), to_pil(image)
    if (kind := WRITABLE.get(path.suffix.lower())) is None:
        raise _error("unknown_ending", path.name, f"expected a name ending in {', '.join(WRITABLE)}", expected=list(WRITABLE))
    if not 0 <= png_compression <= 9:
        raise ValueError(f"png_compression: expected 0 .. 9, got {png_compression}")
    if kind == "JPEG" and picture.mode == "RGBA":
        raise ValueError(f"{path.name}: JPEG has no alpha; expected 1 or 3 channels, or a .png, got 4 channels")
    if dpi is not None and (kind == "WEBP" or not 1 <= dpi <= 65535):
        raise ValueError(f"{path.name}: expected a dpi of 1 .. 65535 for a PNG or JPEG, got {dpi} for a {kind}")
    if kind != "PNG" and picture.mode == "I;16":
        picture = to_pil(to_depth(check("image", image), torch.uint8))
    if not path.parent.is_dir():
        raise _error("not_found", path.name, f"its folder {path.parent.name} does not exist")
    options = {
        # Level 1 against 6 on a 1-megapixel cut-out: 0.13 s and 1.80 MB against 0.55 s and 1.64 MB; level 3 0.25 s, 1.74 MB.
        "PNG": {"compress_level": png_compression},
        "JPEG": {"quality": 95, "subsampling": 0},
        # `exact` keeps hidden color. That picture at method 1, quality 0: 0.2 s and 1.10 MB; at 4 and 80: 0.9 s and 0.99 MB.
        "WEBP": {"lossless": True, "exact": True, "method": 1, "quality": 0},
    }[kind] | ({} if dpi is None else {"dpi": (dpi, dpi)})
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    srgb = srgb[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + srgb[36:]  # its creation time: same image, same file
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            picture.save(file, format=kind, icc_profile=srgb if picture.mode in ("RGB", "RGBA") else None, **options)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _error("unwritable", path.name, f"cannot be written: {reason}", reason=reason) from error
    finally:
        temporary.unlink(missing_ok=True)


def to_pil(image: torch.Tensor) -> Image.Image:
    """Return an image as a PIL image: L, RGB or RGBA with straight alpha; uint16 grey becomes I;16, all else has 8 bits.

    Args:
        image: (1, C, H, W), floats in [0, 1], uint8 or uint16; C = 1, 3 or 4.

    Raises:
        TypeError, ValueError: another shape, number type or range.

    >>> to_pil(torch.tensor([[[[0.0]], [[0.5]], [[1.0]]]])).getpixel((0, 0))
    (0, 128, 255)
    """
    if not isinstance(image, torch.Tensor):
        raise TypeError(f"image: expected a torch.Tensor of shape (1, C, H, W), got {type(image).__name__}")
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"image: expected shape (1, C, H, W) with C = 1, 3 or 4, got {tuple(image.shape)}")
    _, channels, height, width = image.shape
    depth = torch.uint16 if image.dtype == torch.uint16 and channels == 1 else torch.uint8
    pixels = torch.empty((height, width, channels), dtype=depth)
    for channel in range(channels):  # one at a time: the float copies of a whole photograph would be large
        plane = image[:, channel : channel + 1]
        pixels[..., channel] = (plane if plane.dtype == depth else to_depth(check("image", plane), depth))[0, 0]
    return Image.fromarray((pixels[..., 0] if channels == 1 else pixels).numpy())


def find_images(folder: str | Path) -> list[Path]:
    """Return the photographs of a folder by their endings, sorted by name, hidden files left out.

    Raises:
        ImageError: code "not_found", "not_a_folder", "unreadable" or "no_images".
    """
    folder = Path(folder)
    name = folder.name or str(folder)
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in READABLE and not path.name.startswith(".")]
        found = sorted(path for path in paths if path.is_file())
    except OSError as error:
        raise _read_error(error, name) from error
    if not found:
        raise _error("no_images", name, f"expected photographs ({' '.join(READABLE)}), found none")
    return found


def _error(code: str, name: str, sentence: str, **values: object) -> ImageError:
    return ImageError(code, f"{name}: {sentence}", name=name, **values)


def _read_error(error: OSError, name: str) -> ImageError:
    codes = {FileNotFoundError: "not_found", IsADirectoryError: "is_a_folder", NotADirectoryError: "not_a_folder"}
    return _error(codes.get(type(error), "unreadable"), name, f"cannot be read: {error.strerror}", reason=error.strerror)


def _find_formats(file: io.BufferedReader, name: str) -> list[str]:
    """Return the formats that the first bytes announce; HEIC is registered with Pillow when it is first met."""
    prefix = file.read(64)
    if not prefix:
        raise _error("empty_file", name, "expected a photograph, got an empty file")
    brands = prefix[8 : int.from_bytes(prefix[:4], "big")] if prefix[4:8] == b"ftyp" else b""
    if any(brand in brands for brand in _HEIC_BRANDS):
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise _error("heic_support", name, "HEIC needs one more package: pip install pillow-heif") from None
        register_heif_opener()
        return ["HEIF"]
    Image.init()
    formats = [kind for kind in _FORMATS if Image.OPEN[kind][1](prefix)]
    if not formats:
        raise _error("not_an_image", name, f"expected a photograph ({', '.join(_FORMATS)} or HEIC), got something else")
    return formats


def _check_size(name: str, size: tuple[int, int], limit: float) -> None:
    width, height = size
    megapixels = width * height / 1e6
    if megapixels > limit:
        sentence = f"expected at most {limit:g} megapixels, got {width} x {height} = {megapixels:.1f} megapixels"
        raise _error("too_large", name, sentence, width=width, height=height, megapixels=megapixels, limit=limit)


@contextmanager
def _opening(path: str | Path, max_megapixels: float) -> Iterator[tuple[Image.Image, str, io.BufferedReader]]:
    """Open a file; give the image, not yet decoded, the file's name, and the file."""
    name = Path(path).name or str(path)
    try:
        file = Path(path).open("rb")
    except OSError as error:
        raise _read_error(error, name) from error
    with file, _decoding(name), Image.open(file, formats=_find_formats(file, name)) as image:
        _check_size(name, image.size, max_megapixels)
        yield image, name, file


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn what Pillow raises on a damaged file into "truncated", and lift Pillow's own size limit meanwhile.

    That limit is one number for the whole process: the first reader to come takes it away, the last to go puts it back.
    """
    with _limit_lock:
        _lifted_limits.append(_lifted_limits[0] if _lifted_limits else Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    except ImageError:
        raise
    except _DAMAGE as error:
        reason = "unknown header" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise _error("truncated", name, f"expected a whole photograph, got a damaged one: {reason}", reason=reason) from error
    finally:
        with _limit_lock:
            limit = _lifted_limits.pop()
            Image.MAX_IMAGE_PIXELS = None if _lifted_limits else limit


def _decode(image: Image.Image, name: str, file: io.BufferedReader | None = None) -> np.ndarray:
    """Return sRGB pixels (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16; `file` is what the image was opened from."""
    wide, to_srgb = _decode_wide(image, file), _srgb_transform(image)
    if wide is not None and to_srgb is None:
        return wide
    if wide is not None:
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise _error("unsupported_depth", name, "expected 8 or 16 bits per channel, got 32", mode=image.mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    if to_srgb is not None:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        image = to_srgb.apply(image.convert(to_srgb.input_mode))
        if alpha is not None:
            image.putalpha(alpha)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image)


def _decode_wide(image: Image.Image, file: io.BufferedReader | None) -> np.ndarray | None:
    """Load the image; return its pixels as uint16 where it has 16 bits. Color is decoded once more, for the other byte."""
    low_tiles = []
    for tile in getattr(image, "tile", ()) if file else ():
        rawmode, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if rawmode in _OTHER_BYTE:
            low_tiles.append(tile._replace(args=(_OTHER_BYTE[rawmode], *rest)))
    image.load()
    if not low_tiles and not image.mode.startswith("I;16"):
        return None
    wide = np.array(image, dtype=np.uint16)
    if low_tiles:
        with Image.open(file, formats=[image.format]) as low:
            low.tile = low_tiles
            wide <<= 8
            wide |= np.asarray(low)
    if (key := image.info.get("transparency")) is not None:  # one transparent color, of 16 bits
        wide[(np.atleast_3d(wide) == key).all(-1)] = 65535
    return wide


def _srgb_transform(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from the image's profile to sRGB; None where there is nothing to convert or to go by."""
    grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I;16")
    modes = {"CMYK": "CMYK"} if image.mode == "CMYK" else {"GRAY": "L", "RGB": "RGB"} if grey else {"RGB": "RGB"}
    options = {"renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC, "flags": ImageCms.Flags.BLACKPOINTCOMPENSATION}
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"] or b""))
        mode = modes[profile.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", **options)
    except (ImageCms.PyCMSError, OSError, KeyError):
        return None
    probe = Image.fromarray(np.indices((6, 6, 6), dtype=np.uint8).reshape(3, 1, -1).T * np.uint8(51)).convert(mode)
    moved = ImageChops.difference(transform.apply(probe), probe.convert("RGB")).getextrema()
    return transform if max(high for _, high in moved) > 1 else None


def _checked_array(array: np.ndarray, max_megapixels: float) -> np.ndarray:
    """Return an array of the shapes and types that `read_image` takes, floats as uint16."""
    if array.size == 0 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(f"source: expected an array (H, W), (H, W, 3) or (H, W, 4), got shape {array.shape}")
    _check_size("array", array.shape[1::-1], max_megapixels)
    if array.dtype in (np.uint8, np.uint16):
        return array
    floats = torch.tensor(np.ascontiguousarray(array)).reshape(1, 1, len(array), -1)
    return to_depth(check("source", floats), torch.uint16).numpy().reshape(array.shape)


def _planes(pixels: np.ndarray, image: Image.Image | None = None) -> torch.Tensor:
    """Return pixels as a (1, 3, H, W) tensor, turned by the EXIF orientation of `image`, alpha flattened over white."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if image else 1
    except _DAMAGE:
        orientation = 1
    pixels = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    pixels = pixels[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
    planes = np.empty((1, 3, *pixels.shape[:2]), dtype=pixels.dtype.newbyteorder("="))
    white = np.iinfo(planes.dtype).max
    for channel, plane in enumerate(planes[0]):
        plane[...] = pixels if pixels.ndim == 2 else pixels[..., channel]
        if pixels.shape[2:] == (4,):  # white - alpha * (white - color), rounded; uint32 holds the product of two 16-bit values
            shade = np.multiply(white - plane, pixels[..., 3], dtype=np.uint32)
            plane[...] = white - (shade + white // 2) // white
    return torch.from_numpy(planes)
