"""Files to tensors and back: orientation, modes, depth, color, refusals, and files written whole or not at all."""

from __future__ import annotations

import io
import os
import struct
import sys
import types
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from shm.image_io import READABLE, WRITABLE, find_images, read_alpha, read_image, to_pil, write_image
from shm.matte import ImageError

RNG = np.random.default_rng(7)
COLOR = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (37, 53, 1), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tensor(array: np.ndarray) -> torch.Tensor:
    array = np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))[None]


def over_white(color: np.ndarray, alpha: np.ndarray) -> torch.Tensor:
    white = np.iinfo(color.dtype).max
    share = alpha.astype(float) / white
    return tensor(np.floor(color * share + white * (1 - share) + 0.5).astype(color.dtype))


def png(array: np.ndarray, chunks: tuple[tuple[bytes, bytes], ...] = (), size: tuple[int, int] | None = None) -> bytes:
    """A PNG of 8 or 16 bits with 1, 3 or 4 channels, written by its specification; `size` lies about (width, height)."""
    array = np.atleast_3d(array)
    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)
    header = struct.pack(">2I5B", *(size or (width, height)), 8 * array.itemsize, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def tiff(array: np.ndarray, order: str, compression: int, orientation: int = 1) -> bytes:
    """A 16-bit RGB TIFF of one strip, written by its specification; compression 1 is none, 8 is deflate."""
    height, width, channels = array.shape
    pixels = array.astype(array.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if compression == 8 else pixels
    tags = [(256, width), (257, height), (258, 0), (259, compression), (262, 2), (273, 0), (274, orientation),
            (277, channels), (278, height), (279, len(pixels))]  # fmt: skip
    depths = 8 + 2 + 12 * len(tags) + 4
    strip = depths + 2 * channels
    body = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, value in tags:
        count, value = (channels, depths) if tag == 258 else (1, strip if tag == 273 else value)
        body += struct.pack(f"{order}HHI", tag, 3 if tag == 258 else 4, count) + struct.pack(f"{order}I", value)
    return body + struct.pack(f"{order}I{channels}H", 0, *[16] * channels) + pixels


def swapped_profile() -> bytes:
    """sRGB with the red and the green primary exchanged."""
    return SRGB.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


def linear_grey_profile() -> bytes:
    """A grey profile whose numbers are proportional to light."""
    tags = ((b"wtpt", b"XYZ " + struct.pack(">4I", 0, 63190, 65536, 54061)), (b"kTRC", b"curv" + struct.pack(">2I", 0, 0)))
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for kind, content in tags:
        table += struct.pack(">4s2I", kind, offset + len(data), len(content))
        data += content
    size = offset + len(data)
    header = struct.pack(">I4sI4s4s4s12s4s28s3I48s", size, b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"", b"acsp", b"",
                         63190, 65536, 54061, b"")  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + data


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    """Read bytes as if they were a file of that name."""

    def read_bytes(data: bytes, name: str = "photo.jpg", **options) -> torch.Tensor:
        (tmp_path / name).write_bytes(data)
        return read_image(tmp_path / name, **options)

    return read_bytes


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
def test_orientation(read, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    quadrants = np.kron(np.array([[0, 90], [180, 255], [30, 220]], dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind in ("AVIF", "JPEG") else {}
    image = read(saved(Image.fromarray(np.stack([quadrants] * 3, axis=2)), kind, exif=exif.tobytes(), **options))
    oracle = Image.fromarray(quadrants)
    oracle.info["exif"] = exif.tobytes()
    upright = np.asarray(ImageOps.exif_transpose(oracle))
    assert image.shape == (1, 3, *upright.shape) and image.is_contiguous()
    torch.testing.assert_close(image.int(), tensor(upright).int(), atol=2 if kind in ("AVIF", "JPEG") else 0, rtol=0)


def test_orientation_of_pil_image():
    picture = Image.fromarray(COLOR)
    picture.getexif()[0x0112] = 6
    assert torch.equal(read_image(picture), tensor(np.rot90(COLOR, -1)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("damage", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\xff\xff\xff\xff"])
def test_damaged_exif_is_ignored(damage):
    picture = Image.fromarray(COLOR)
    picture.info["exif"] = damage
    assert torch.equal(read_image(picture), tensor(COLOR))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_lossless_color_is_exact(read, kind):
    image = read(saved(Image.fromarray(COLOR), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert image.dtype == torch.uint8 and torch.equal(image, tensor(COLOR))


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_color_is_close(read, kind):
    flat = np.full((37, 53, 3), (200, 120, 40), dtype=np.uint8)
    assert (read(saved(Image.fromarray(flat), kind, quality=95)).int() - tensor(flat).int()).abs().max() <= 3


@pytest.mark.parametrize("from_file", [True, False])
def test_modes(read, from_file):
    def check(picture: Image.Image, kind: str, expected: torch.Tensor, **options) -> None:
        image = read(saved(picture, kind, **options)) if from_file else read_image(picture)
        assert image.dtype == torch.uint8 and torch.equal(image, expected)

    grey, alpha = COLOR[..., 0], Image.fromarray(ALPHA[..., 0])
    palette = Image.fromarray(COLOR).quantize(16)
    check(Image.fromarray(grey), "PNG", tensor(grey))
    check(palette, "PNG", tensor(np.asarray(palette.convert("RGB"))))
    check(palette, "GIF", tensor(np.asarray(palette.convert("RGB"))))
    check(Image.fromarray(grey > 99), "PNG", tensor(np.where(grey > 99, 255, 0).astype(np.uint8)))
    check(Image.fromarray(np.concatenate([COLOR, ALPHA], axis=2)), "PNG", over_white(COLOR, ALPHA))
    check(Image.merge("LA", [Image.fromarray(grey), alpha]), "PNG", over_white(np.stack([grey] * 3, axis=2), ALPHA))
    cmyk = Image.fromarray(COLOR).convert("CMYK")
    check(cmyk, "TIFF", tensor(np.asarray(cmyk.convert("RGB"))))


def test_transparent_palette_is_white(read):
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    white_green = torch.tensor([[255, 255, 0], [0, 255, 0], [0, 255, 255]], dtype=torch.uint8).view(1, 3, 1, 3)
    assert torch.equal(read(saved(palette, "PNG", transparency=1)), white_green)
    assert torch.equal(read(saved(palette, "GIF", transparency=1)), white_green)
    half = read(saved(palette, "PNG", transparency=bytes([255, 51, 255])))
    assert half[0, :, 0, 1].tolist() == [204, 255, 204]


def test_cmyk_jpeg(read):
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = read(saved(flat, "JPEG", quality=95)).float()
    assert (image[0, 0] > 250).all() and (image[0, 1:] < 5).all()


def test_first_frame(read):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    assert read(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, :, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_wide_grey_keeps_its_depth(read, kind):
    image = read(saved(Image.fromarray(WIDE[..., 0]), kind))
    assert image.dtype == torch.uint16 and torch.equal(image, tensor(WIDE[..., 0]))


def test_wide_color_png_keeps_its_depth(read):
    image = read(png(WIDE))
    assert image.dtype == torch.uint16 and torch.equal(image, tensor(WIDE))
    alpha = RNG.integers(0, 65536, (5, 7, 1), dtype=np.uint16)
    assert torch.equal(read(png(np.concatenate([WIDE, alpha], axis=2))), over_white(WIDE, alpha))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
def test_wide_color_tiff_keeps_its_depth(read, order, compression):
    assert torch.equal(read(tiff(WIDE, order, compression)), tensor(WIDE))
    assert torch.equal(read(tiff(WIDE, order, compression, orientation=6)), tensor(np.rot90(WIDE, -1)))


def test_wide_transparent_color_is_white(read):
    key = struct.pack(">3H", *WIDE[2, 3].tolist())
    expected = WIDE.copy()
    expected[2, 3] = 65535
    assert torch.equal(read(png(WIDE, ((b"tRNS", key),))), tensor(expected))
    grey = read(png(WIDE[..., 0], ((b"tRNS", key[:2]),)))
    assert torch.equal(grey, tensor(np.where(WIDE[..., 0] == WIDE[2, 3, 0], 65535, WIDE[..., 0]).astype(np.uint16)))


def test_profile_is_converted(read):
    red = Image.new("RGB", (3, 2), (250, 20, 20))
    image = read(saved(red, "PNG", icc_profile=swapped_profile()))
    assert image.dtype == torch.uint8
    torch.testing.assert_close(image[0, :, 0, 0].int(), torch.tensor([20, 250, 20]).int(), atol=2, rtol=0)
    red.putalpha(51)
    image = read(saved(red, "PNG", icc_profile=swapped_profile()))
    torch.testing.assert_close(image[0, :, 0, 0].int(), torch.tensor([208, 254, 208]).int(), atol=2, rtol=0)


def test_wide_color_with_a_profile_is_converted_at_eight_bits(read):
    chunk = (b"iCCP", b"swapped\0\0" + zlib.compress(swapped_profile()))
    wide = np.full((2, 3, 3), (250 * 257, 20 * 257, 20 * 257), dtype=np.uint16)
    wide[1, 2] = 99
    image = read(png(wide, (chunk, (b"tRNS", struct.pack(">3H", 99, 99, 99)))))
    assert image.dtype == torch.uint8 and image[0, :, 1, 2].tolist() == [255, 255, 255]
    torch.testing.assert_close(image[0, :, 0, 0].int(), torch.tensor([20, 250, 20]).int(), atol=2, rtol=0)


def test_srgb_profile_leaves_pixels_exact(read):
    assert torch.equal(read(saved(Image.fromarray(COLOR), "PNG", icc_profile=SRGB)), tensor(COLOR))
    assert torch.equal(read(png(WIDE, ((b"iCCP", b"sRGB\0\0" + zlib.compress(SRGB)),))), tensor(WIDE))


def test_grey_profile_is_converted(read):
    for grey in (np.full((2, 2), 128, np.uint8), np.full((2, 2), 128 * 257, np.uint16)):
        image = read(saved(Image.fromarray(grey), "PNG", icc_profile=linear_grey_profile()))
        encoded = 255 * (1.055 * (128 / 255) ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
        assert image.dtype == torch.uint8 and (image.float() - encoded).abs().max() <= 1.5


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200], linear_grey_profile()])
def test_unusable_profile_is_ignored(read, profile):
    assert torch.equal(read(saved(Image.fromarray(COLOR), "PNG", icc_profile=profile)), tensor(COLOR))


def test_arrays():
    alpha16 = RNG.integers(0, 65536, (5, 7, 1), dtype=np.uint16)
    assert torch.equal(read_image(COLOR), tensor(COLOR))
    assert torch.equal(read_image(COLOR[:, ::-1, ::-1]), tensor(COLOR[:, ::-1, ::-1]))
    assert torch.equal(read_image(COLOR[..., 0]), tensor(COLOR[..., 0]))
    assert torch.equal(read_image(np.concatenate([COLOR, ALPHA], axis=2)), over_white(COLOR, ALPHA))
    assert torch.equal(read_image(WIDE), tensor(WIDE))
    assert torch.equal(read_image(np.concatenate([WIDE, alpha16], axis=2)), over_white(WIDE, alpha16))
    for dtype in (np.float32, np.float64):
        assert torch.equal(read_image((COLOR / 255).astype(dtype)[::-1]), tensor((COLOR * np.uint16(257))[::-1]))
    assert torch.equal(read_image(np.ones((2, 2), np.float16)), torch.full((1, 3, 2, 2), 65535, dtype=torch.uint16))


def test_result_shares_no_memory():
    source = COLOR.copy()
    read_image(source).fill_(0)
    assert np.array_equal(source, COLOR)


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 3, 2), (2, 3, 1), (1, 3, 4, 4), (5,)])
def test_array_of_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"expected an array \(H, W\)"):
        read_image(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_array_out_of_range(value):
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        read_image(np.full((2, 2), value))


@pytest.mark.parametrize("source", [None, b"photo.jpg", torch.zeros(1, 3, 2, 2), [[0]], np.zeros((2, 2), np.int32)])
def test_other_sources(source):
    with pytest.raises(TypeError, match="source: expected"):
        read_image(source)


@pytest.mark.parametrize("size", [(1, 1), (4000, 1), (1, 4000)])
@pytest.mark.parametrize("ending", [".png", ".webp", ".jpg"])
def test_odd_sizes(tmp_path, size, ending):
    image = torch.full((1, 3, *size), 77, dtype=torch.uint8)
    write_image(tmp_path / f"a{ending}", image)
    assert (read_image(tmp_path / f"a{ending}").int() - image.int()).abs().max() <= 1


def code_of(call, *args, **options) -> ImageError:
    """The ImageError of a call, which is one line and says the name of the file."""
    with pytest.raises(ImageError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value) and caught.value.values["name"] in str(caught.value)
    return caught.value


def test_missing_folder_and_empty(tmp_path, read):
    assert code_of(read_image, tmp_path / "none.jpg").code == "not_found"
    assert code_of(read_image, str(tmp_path / "none" / "none.jpg")).code == "not_found"
    assert code_of(read_image, tmp_path).code == "is_a_folder"
    assert code_of(read, b"").code == "empty_file"
    (tmp_path / "file").write_bytes(b"x")
    assert code_of(read_image, tmp_path / "file" / "none.jpg").code == "not_a_folder"


@pytest.mark.parametrize("data", [b"Dear Sir or Madam", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF"])
def test_not_an_image(read, data):
    assert code_of(read, data).code == "not_an_image"


def test_unreadable(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "photo.jpg").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    error = code_of(read_image, tmp_path / "photo.jpg")
    assert (error.code, error.values["reason"]) == ("unreadable", "Permission denied")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF"])
def test_truncated(read, kind):
    whole = saved(Image.fromarray(COLOR), kind)
    for share in (0.4, 0.6, 0.8, 0.95):
        assert code_of(read, whole[: int(len(whole) * share)]).code == "truncated"
    assert code_of(read, whole[:20]).code == "truncated"


def test_truncated_pil_image():
    data = saved(Image.fromarray(COLOR), "JPEG")
    with Image.open(io.BytesIO(data[: len(data) // 2])) as picture:
        assert code_of(read_image, picture).code == "truncated"


@pytest.mark.parametrize("picture", [Image.new("F", (2, 2)), Image.new("I", (2, 2))])
def test_unsupported_depth(picture):
    assert code_of(read_image, picture).code == "unsupported_depth"


def test_too_large_is_refused_from_the_header(read):
    error = code_of(read, png(COLOR, size=(30000, 30000)), "huge.png")
    assert error.code == "too_large" and "huge.png" in str(error)
    assert error.values == {"name": "huge.png", "width": 30000, "height": 30000, "megapixels": 900.0, "limit": 200.0}
    limit = COLOR.shape[0] * COLOR.shape[1] / 1e6
    for source in (COLOR, Image.fromarray(COLOR)):
        assert read_image(source, max_megapixels=limit).shape == (1, 3, 37, 53)
        assert code_of(read_image, source, max_megapixels=limit - 1e-6).code == "too_large"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF"])
def test_limit_of_pillow_is_lifted_and_put_back(read, monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = saved(Image.fromarray(COLOR), kind)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda number: read(data, f"{number}.png"), range(32)))
    assert all(image.shape == (1, 3, 37, 53) for image in images) and Image.MAX_IMAGE_PIXELS == 10
    code_of(read, data[:-200])
    assert Image.MAX_IMAGE_PIXELS == 10


HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"heic") + bytes(40)


def test_heic_without_its_package(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = code_of(read, HEIC, "photo.heic")
    assert error.code == "heic_support" and "pip install pillow-heif" in str(error)


def test_heic_with_its_package(read, monkeypatch):
    def open_heic(file, name):
        return PngImagePlugin.PngImageFile(io.BytesIO(saved(Image.fromarray(COLOR), "PNG")))

    def register():
        monkeypatch.setitem(Image.OPEN, "HEIF", (open_heic, lambda prefix: True))

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    assert torch.equal(read(HEIC), tensor(COLOR))


@pytest.mark.parametrize("ending", [".png", ".webp", ".WEBP"])
def test_straight_alpha_round_trip_keeps_hidden_color(tmp_path, ending):
    cutout = torch.cat([tensor(COLOR), tensor(ALPHA)], dim=1)
    cutout[:, 3, :20] = 0
    write_image(tmp_path / f"a{ending}", cutout)
    with Image.open(tmp_path / f"a{ending}") as picture:
        assert picture.mode == "RGBA" and np.array_equal(np.asarray(picture), cutout[0].permute(1, 2, 0).numpy())
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    assert profile.profile.xcolor_space == "RGB " and "sRGB" in ImageCms.getProfileDescription(profile)


def test_write_color(tmp_path):
    for image in (tensor(COLOR), tensor(COLOR) / 255, tensor(COLOR * np.uint16(257))):
        write_image(tmp_path / "a.png", image)
        assert torch.equal(read_image(tmp_path / "a.png"), tensor(COLOR))
    flat = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    write_image(str(tmp_path / "a.jpeg"), flat.clone().requires_grad_())
    assert (read_image(tmp_path / "a.jpeg") / 255 - flat).abs().max() < 0.02


def test_write_grey(tmp_path):
    alpha = tensor(WIDE[..., :1])
    write_image(tmp_path / "a.png", alpha)
    assert torch.equal(read_image(tmp_path / "a.png"), tensor(WIDE[..., 0]))
    rounded = np.rint(WIDE[..., 0] / 257).astype(np.uint8)
    write_image(tmp_path / "a.webp", alpha)
    assert torch.equal(read_image(tmp_path / "a.webp"), tensor(rounded))
    write_image(tmp_path / "b.png", alpha / 65535)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.mode == "L" and "icc_profile" not in picture.info and np.array_equal(np.asarray(picture), rounded)


def test_same_image_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, tensor(COLOR))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:  # the profile's creation time does not follow the clock
        assert picture.info["icc_profile"][24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


def test_png_compression(tmp_path):
    smooth = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64)
    sizes = []
    for level in (0, 1, 9):
        write_image(tmp_path / "a.png", smooth, png_compression=level)
        sizes.append((tmp_path / "a.png").stat().st_size)
    assert sizes[0] > sizes[1] >= sizes[2]
    with pytest.raises(ValueError, match="png_compression: expected 0 .. 9, got 10"):
        write_image(tmp_path / "a.png", smooth, png_compression=10)


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 2, 4, 4), (1, 3, 0, 4)])
def test_write_wrong_shape(tmp_path, shape):
    with pytest.raises(ValueError, match=r"expected shape \(1, C, H, W\)"):
        write_image(tmp_path / "a.png", torch.zeros(shape))
    assert not list(tmp_path.iterdir())


def test_write_wrong_values(tmp_path):
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        write_image(tmp_path / "a.png", torch.full((1, 1, 2, 2), 255.0))
    with pytest.raises(TypeError, match="torch.int64"):
        write_image(tmp_path / "a.png", torch.zeros((1, 1, 2, 2), dtype=torch.int64))
    with pytest.raises(TypeError, match="expected a torch.Tensor"):
        write_image(tmp_path / "a.png", COLOR)
    with pytest.raises(ValueError, match="JPEG has no alpha"):
        write_image(tmp_path / "a.jpg", torch.zeros(1, 4, 2, 2))


def test_write_refusals(tmp_path):
    image = torch.zeros(1, 3, 2, 2)
    (tmp_path / "folder.png").mkdir()
    assert code_of(write_image, tmp_path / "a.gif", image).code == "unknown_ending"
    assert code_of(write_image, tmp_path / "png", image).code == "unknown_ending"
    assert code_of(write_image, tmp_path / "none" / "a.png", image).code == "not_found"
    assert code_of(write_image, tmp_path / "folder.png", image).code == "unwritable"
    assert code_of(write_image, tmp_path / "a.webp", torch.zeros(1, 3, 1, 17000)).code == "unwritable"
    assert code_of(write_image, tmp_path / f"{'a' * 300}.png", image).code == "unwritable"
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("target", ["save", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, target, error):
    def fail(picture, file, **_):
        if target == "save":
            file.write(b"half a file")
        raise error

    (tmp_path / "a.png").write_bytes(b"the old one")
    monkeypatch.setattr(*((Image.Image, "save") if target == "save" else (os, "replace")), fail)
    with pytest.raises(ImageError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_image(tmp_path / "a.png", torch.zeros(1, 3, 2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"the old one"
    if isinstance(error, OSError):
        assert caught.value.code == "unwritable" and "No space left on device" in str(caught.value)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_to_pil(channels, mode):
    image = torch.arange(channels * 6, dtype=torch.uint8).view(1, channels, 2, 3)
    picture = to_pil(image)
    assert (picture.mode, picture.size) == (mode, (3, 2))
    assert np.array_equal(np.atleast_3d(picture), image[0].permute(1, 2, 0).numpy())


def test_find_images(tmp_path):
    for name in ("b.JPG", "a.png", "c.heic", ".hidden.png", "notes.txt", "a.png.part"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_images(str(tmp_path))] == ["a.png", "b.JPG", "c.heic"]
    assert set(WRITABLE) <= set(READABLE)


def test_find_images_refusals(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert code_of(find_images, tmp_path / "empty").code == "no_images"
    assert code_of(find_images, tmp_path / "none").code == "not_found"
    assert code_of(find_images, tmp_path / "file").code == "not_a_folder"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("L", ALPHA), ("1", 255 * (ALPHA > 127)), ("LA", ALPHA), ("RGBA", ALPHA), ("RGB", ALPHA)],
)
def test_true_alpha_is_the_alpha_channel_or_the_grey_value(tmp_path: Path, mode: str, expected: np.ndarray) -> None:
    picture = alpha = Image.fromarray(ALPHA[..., 0])
    if mode.endswith("A"):
        picture = Image.fromarray(COLOR).convert(mode)
        picture.putalpha(alpha)
    picture.convert(mode, dither=Image.Dither.NONE).save(tmp_path / "alpha.png")
    result = read_alpha(tmp_path / "alpha.png")
    assert result.dtype == torch.float32 and result.shape == (1, 1, 37, 53)
    assert torch.equal(result[0, 0], torch.from_numpy(expected[..., 0].astype(np.float32)) / 255)


@pytest.mark.parametrize("channels", [1, 4])
def test_true_alpha_keeps_16_bits(tmp_path: Path, channels: int) -> None:
    wide = RNG.integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    (tmp_path / "alpha.png").write_bytes(png(wide))
    assert torch.equal(read_alpha(tmp_path / "alpha.png")[0, 0], torch.from_numpy(wide[..., -1].astype(np.float32)) / 65535)


def test_true_alpha_of_colors_is_their_luminance(tmp_path: Path) -> None:
    Image.fromarray(COLOR).save(tmp_path / "alpha.png")
    expected = COLOR.astype(float) @ [0.299, 0.587, 0.114] / 255
    np.testing.assert_allclose(read_alpha(tmp_path / "alpha.png")[0, 0], expected, atol=1e-6)


def test_true_alpha_is_turned_but_no_profile_touches_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = Image.fromarray(ALPHA[..., 0])
    alpha.save(tmp_path / "alpha.png", exif=exif, icc_profile=linear_grey_profile())
    expected = torch.from_numpy(np.rot90(ALPHA[..., 0], -1).astype(np.float32)) / 255
    assert torch.equal(read_alpha(tmp_path / "alpha.png")[0, 0], expected)


def test_true_alpha_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"alpha.png: cannot be read") as caught:
        read_alpha(tmp_path / "alpha.png")
    assert caught.value.code == "not_found"
    (tmp_path / "alpha.png").write_bytes(png(ALPHA)[:-200])
    with pytest.raises(ImageError, match=r"alpha.png: expected a whole photograph"):
        read_alpha(tmp_path / "alpha.png")


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_dpi_is_noted(tmp_path, ending):
    for dpi, expected in ((300, 300), (None, None)):
        write_image(tmp_path / f"photo{ending}", torch.zeros(1, 3, 4, 5), dpi=dpi)
        with Image.open(tmp_path / f"photo{ending}") as image:
            noted = image.info.get("dpi")
        assert noted == (expected and pytest.approx((expected, expected), abs=0.01))


@pytest.mark.parametrize(("name", "dpi"), [("a.png", 0), ("a.jpg", 70000), ("a.jpg", float("nan")), ("a.webp", 300)])
def test_a_dpi_that_cannot_be_noted(tmp_path, name, dpi):
    with pytest.raises(ValueError, match=r"expected a dpi of 1 \.\. 65535 for a PNG or JPEG, got"):
        write_image(tmp_path / name, torch.zeros(1, 3, 4, 5), dpi=dpi)
