"""Time, memory and Grad of the pipeline by the photograph's size, on two threads of a processor: one Markdown table.

python -m benchmarks.speed --init DEEPLAB --megapixels 1 4 12 --u2net u2net.onnx

The photograph is a portrait, cut out, enlarged and put before a drawn wall, with strands drawn on it at the photograph's own
size: its alpha is known and its detail as fine as in a sharp photograph. Time runs from decoded pixels to alpha and foreground,
in milliseconds; what is in parentheses is in units of u, one float32 forward of DeepLabV3 over MobileNetV2 with PASCAL VOC's
classes, at output stride 8 and 512 x 512, in the same process. "CPU" is the processor's time for all, of all threads: unlike
the rest, it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import shm
from benchmarks.peers import THREADS, open_u2net
from shm.filters import resize, resize_image, split_rows
from shm.image_io import to_pil
from shm.matte import Matte
from shm.segmentation import open_network
from shm.training.hair import SUPERSAMPLING, draw_strands, draw_style, find_outline, gather_locks, grow_strands

PORTRAIT = Path(__file__).parent.parent / "examples" / "astronaut.jpg"
HAIR_COLOR = np.array((120.0, 92.0, 58.0))  # near the portrait's own
TILE = 1024  # pixels a side: `draw_strands` takes about 100 bytes for each pixel
UNKNOWN_FRACTION = 0.05
UNIT_SIDE, UNIT_REPEATS = 512, 7
STAGES = ("segmentation", "matting", "refinement", "foreground")


@dataclass(frozen=True)
class Measurement:
    """What one size took.

    Attributes:
        size: (height, width) of the photograph, in pixels.
        grad: against the known alpha.
        bilinear_grad: the same of the alpha before refinement, enlarged bilinearly.
        refined_fraction: share of the pixels whose alpha was refined, in [0, 1].
        precision: number format of the networks.
        peak_bytes: most memory that the process held, program, weights and photograph included.
        seconds: median wall time of each stage and of "all", processor time of all of it ("CPU"), and wall time of "u2net"
            where it was asked for.
        unit_seconds: u.
    """

    size: tuple[int, int]
    grad: float
    bilinear_grad: float
    refined_fraction: float
    precision: str
    peak_bytes: int
    seconds: dict[str, float]
    unit_seconds: float


def draw_photograph(megapixels: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a portrait in a room, 4 : 3, strip by strip, so that it needs little more memory than its result.

    Args:
        megapixels: of the photograph.

    Returns:
        image (3, H, W) uint8, and its alpha (H, W) uint8; the person fills a third or more, the unknown band 5 % or more.
    """
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    width = round(height * 4 / 3)
    left = (width - height) // 2
    matte = shm.load(device="cpu", precision="float32")(shm.read_image(PORTRAIT))
    person = to_pil(shm.cutout(matte)).convert("RGBa")  # premultiplied: the color under alpha = 0 must not seep in
    layer = np.asarray(person)
    person = np.asarray(person.resize((height, height), Image.Resampling.BICUBIC))
    image, alpha = np.empty((3, height, width), np.uint8), np.zeros((height, width), np.uint8)
    rng = np.random.default_rng(0)
    wall = np.linspace(0.35, 0.8, width, dtype=np.float32) * np.array([0.9, 1.0, 0.85], np.float32)[:, None, None]
    for rows in split_rows(height, width):
        strip = np.repeat(wall, rows.stop - rows.start, axis=1)
        strip[:, np.arange(rows.start, rows.stop) % (height // 3) < height // 20] *= 0.4  # shelves
        color, cover = np.split(person[rows].transpose(2, 0, 1) / np.float32(255), (3,))
        strip[..., left : left + height] = color + (1 - cover) * strip[..., left : left + height]
        strip += 0.02 * rng.standard_normal(strip.shape, np.float32)  # grain
        image[:, rows] = np.rint(255 * strip.clip(0, 1))
        alpha[rows, left : left + height] = person[rows, :, 3]
    rng, share = np.random.default_rng(1), 0.0  # the same hair at every size
    while share < UNKNOWN_FRACTION:
        strands, locks, thickness = grow_hair(rng, layer, scale=height / len(layer))
        lay_strands(image, alpha, strands + (left, 0), locks, thickness, seed=int(rng.integers(1 << 32)))
        share = measure_unknown(alpha)
    return image, alpha


def grow_hair(rng: np.random.Generator, layer: np.ndarray, *, scale: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Grow hair from the upper contour of a person, RGBA (h, w, 4) uint8, enlarged `scale` times.

    Returns:
        strands (N, K, 2) in enlarged pixels, the lock of each (N,), and their width, which is not enlarged.
    """
    outline = replace(find_outline(layer), head_height=len(layer) / 4)  # long hair, whatever the outline says of the head
    style = draw_style(rng)
    high = outline.points[:, 1] < outline.top + outline.head_height
    picked = rng.integers(0, high.sum(), style.strands)
    roots = scale * (outline.points[high][picked] + rng.uniform(0, 1, (style.strands, 2)))
    locks = gather_locks(rng, roots, style.clumps)
    strands = grow_strands(rng, roots, outline.angles[high][picked], style, scale * outline.head_height, locks)
    return strands, locks, style.width


def lay_strands(
    image: np.ndarray, alpha: np.ndarray, strands: np.ndarray, locks: np.ndarray, width: float, *, seed: int
) -> None:
    """Lay strands (N, K, 2) over image (3, H, W) and alpha (H, W), both uint8, in place and tile by tile."""
    strands = np.rint(strands * SUPERSAMPLING) / SUPERSAMPLING  # where Pillow rounds alike in every tile
    low, high = strands.min(axis=1) - width, strands.max(axis=1) + width
    for top in range(0, alpha.shape[0], TILE):
        for left in range(0, alpha.shape[1], TILE):
            corner = np.array((left, top))
            if not ((high > corner) & (low < corner + TILE)).all(axis=1).any():
                continue
            tile = np.s_[..., top : top + TILE, left : left + TILE]
            # The same seed in each tile: a strand keeps its tone and width where it crosses from one to the next.
            rng = np.random.default_rng(seed)
            drawn = draw_strands(rng, strands - corner, width, HAIR_COLOR, alpha[tile].shape, locks=locks).transpose(2, 0, 1)
            image[tile] = np.rint(drawn[:3] + (1 - drawn[3]) * image[tile])
            alpha[tile] = np.rint(255 * drawn[3] + (1 - drawn[3]) * alpha[tile])


def measure_unknown(alpha: np.ndarray) -> float:
    """Return the share of the pixels of an alpha (H, W) that are in `metrics.unknown_region`, strip by strip."""
    height, width = alpha.shape
    count, margin = 0, 12  # the region reaches 10 pixels, an edge one more
    for rows in split_rows(height, width):
        start = max(0, rows.start - margin)
        region = shm.metrics.unknown_region(torch.from_numpy(alpha[start : rows.stop + margin])[None, None])
        count += int(region[..., rows.start - start : rows.stop - start, :].sum())
    return count / alpha.size


def write_photograph(folder: Path, megapixels: float) -> float:
    """Write image.npy and alpha.npy into a folder; return the share of the unknown band."""
    image, alpha = draw_photograph(megapixels)
    np.save(folder / "image.npy", image)
    np.save(folder / "alpha.npy", alpha)
    return measure_unknown(alpha)


def time_pipeline(
    matting: Callable[[torch.Tensor], Matte], image: torch.Tensor, repeats: int
) -> tuple[Matte, dict[str, float]]:
    """Return the last matte, and the median seconds of each stage, "all" and "CPU", after one call that does not count."""
    matting(image)
    runs: dict[str, list[float]] = {name: [] for name in (*STAGES, "all", "CPU")}
    for _ in range(repeats):
        matte = None  # let go of the last one: two at once would count as memory
        start, worked = time.perf_counter(), time.process_time()
        matte = matting(image)
        totals = {"all": time.perf_counter() - start, "CPU": time.process_time() - worked}
        for name, seconds in (matte.report.seconds | totals).items():
            runs[name].append(seconds)
    return matte, {name: statistics.median(seconds) for name, seconds in runs.items()}


def time_call(call: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after one that does not count."""
    call()
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)


@torch.no_grad()
def measure_pipeline(folder: Path, init: Path, repeats: int, u2net: Path | None) -> Measurement:
    """Measure the photograph in a folder; for a process of its own, whose memory is the pipeline's until it is read."""
    torch.set_num_threads(THREADS)
    image, matting = torch.from_numpy(np.load(folder / "image.npy"))[None], shm.load(device="cpu")
    matte, seconds = time_pipeline(matting, image, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    network, batch = open_network(str(init)).eval(), torch.rand(1, 3, UNIT_SIDE, UNIT_SIDE)
    unit_seconds = time_call(lambda: network(batch), UNIT_REPEATS)
    if u2net:
        predict = open_u2net(u2net, THREADS)
        seconds["u2net"] = time_call(lambda: predict(image), repeats)
    true = torch.from_numpy(np.load(folder / "alpha.npy"))[None, None]
    size = tuple(image.shape[-2:])
    unrefined = matting.predict_alpha(resize_image(image, matte.report.detail_size), matte.probabilities)
    return Measurement(
        size=size,
        grad=shm.metrics.grad(matte.alpha, true),
        bilinear_grad=shm.metrics.grad(resize(unrefined, size).clamp(0, 1), true),
        refined_fraction=matte.report.refined_fraction,
        precision=matte.report.precision,
        peak_bytes=peak,
        seconds=seconds,
        unit_seconds=unit_seconds,
    )


def run_apart(function: Callable, *arguments: object) -> object:
    """Call a function in a new process, which starts empty, and return what it returns."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def format_header(columns: Sequence[str]) -> str:
    """Return the first two lines of the table."""
    times = [f"{name}, ms (u)" for name in columns]
    names = ["MP", "size", "unknown %", "refined %", "Grad", "Grad, bilinear", *times, "u, ms", "peak MB", "networks"]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def format_row(megapixels: float, unknown_fraction: float, found: Measurement) -> str:
    """Return one line of the table, its times in the order of `Measurement.seconds`."""
    times = [f"{1000 * seconds:.0f} ({seconds / found.unit_seconds:.2f})" for seconds in found.seconds.values()]
    shares = [f"{100 * share:.1f}" for share in (unknown_fraction, found.refined_fraction)]
    grads = [f"{grad:.2f}" for grad in (found.grad, found.bilinear_grad)]
    size = f"{found.size[1]} x {found.size[0]}"
    rest = [f"{1000 * found.unit_seconds:.0f}", f"{found.peak_bytes / 1e6:.0f}", found.precision]
    return f"| {' | '.join([f'{megapixels:g}', size, *shares, *grads, *times, *rest])} |"


def main() -> None:
    """Print the table, each line as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    unit = "folder of the DeepLab whose forward is u: the repository of the preset deeplabv3-mobilenetv2"
    parser.add_argument("--init", type=Path, required=True, help=unit)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 4, 12, 24, 48, 100], metavar="MP")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is printed (default: 3)")
    parser.add_argument("--u2net", type=Path, metavar="FILE", help="time U2-Net as well; benchmarks.peers says where it is")
    arguments = parser.parse_args()
    if min(arguments.megapixels) < 0.01 or arguments.repeats < 1:
        parser.error("expected --megapixels of at least 0.01 and --repeats of at least 1")
    if not arguments.init.is_dir():
        parser.error(f"--init: expected a folder, got {arguments.init}, which is none")
    if arguments.u2net and not arguments.u2net.is_file():
        parser.error(f"--u2net: expected a file, got {arguments.u2net}, which is none")
    print(format_header([*STAGES, "all", "CPU", *(["U2-Net"] if arguments.u2net else [])]), flush=True)
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as folder:
            share = run_apart(write_photograph, Path(folder), megapixels)
            found = run_apart(measure_pipeline, Path(folder), arguments.init, arguments.repeats, arguments.u2net)
        print(format_row(megapixels, share, found), flush=True)


if __name__ == "__main__":
    main()
