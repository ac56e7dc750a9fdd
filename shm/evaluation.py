"""A folder of photographs with their true alphas -> a table of matting errors."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from shm import metrics
from shm.image_io import find_images, read_alpha, read_image
from shm.matte import ImageError, Matte


@dataclass(frozen=True)
class Score:
    """Errors of one predicted alpha, in the units of `shm.metrics`, or their means.

    Attributes:
        name: stem of the photograph, or "mean".
        sad, mad, mse, grad, conn: over the whole photograph.
        band_mad, band_mse: within `metrics.unknown_region`; nan where the true alpha has no edge.
        iou: in [0, 1].
        seconds: wall time of the matting alone.
    """

    name: str
    sad: float
    mad: float
    mse: float
    grad: float
    conn: float
    band_mad: float
    band_mse: float
    iou: float
    seconds: float


def evaluate(matting: Callable[[torch.Tensor], Matte], folder: str | Path) -> Iterator[tuple[str, Score | ImageError]]:
    """Score a matting on every pair of a folder; one that cannot be read does not stop the rest.

    Args:
        matting: image -> anything whose `alpha` has the photograph's size.
        folder: with image/* and alpha/*.png of the same stems.

    Yields:
        (stem, score), or (stem, error) where a file cannot be read or the sizes differ, in the order of `find_pairs`.

    Raises:
        ImageError: as `find_pairs`, before the first pair.
    """
    for image_path, alpha_path in find_pairs(folder):
        try:
            yield image_path.stem, score_pair(matting, image_path, alpha_path)
        except ImageError as error:
            yield image_path.stem, error


def find_pairs(folder: str | Path) -> list[tuple[Path, Path]]:
    """Return the paths of each photograph and its true alpha, sorted by name.

    Args:
        folder: with image/* and alpha/*.png of the same stems.

    Raises:
        ImageError: code "missing_pair" (a photograph or alpha without its partner, or two of one stem), or as `find_images`.
    """
    folder = Path(folder)
    images = find_images(folder / "image")
    alphas = [path for path in find_images(folder / "alpha") if path.suffix.lower() == ".png"]
    stems = [Counter(path.stem for path in paths) for paths in (images, alphas)]
    unpaired = [f"{path.parent.name}/{path.name}" for path in images + alphas if any(count[path.stem] != 1 for count in stems)]
    if unpaired:
        sentence = f"expected image/NAME.* and alpha/NAME.png for each NAME, but these do not pair: {', '.join(unpaired)}"
        raise ImageError("missing_pair", f"{folder.name}: {sentence}", name=folder.name, unpaired=unpaired)
    partners = {path.stem: path for path in alphas}
    return [(path, partners[path.stem]) for path in images]


def score_pair(matting: Callable[[torch.Tensor], Matte], image_path: Path, alpha_path: Path) -> Score:
    """Score a matting on one photograph.

    Raises:
        ImageError: code "size_mismatch", or as `read_image`.
    """
    image, true = read_image(image_path), read_alpha(alpha_path)
    sizes = [f"{tensor.shape[-1]} x {tensor.shape[-2]}" for tensor in (image, true)]
    if sizes[0] != sizes[1]:
        sentence = f"{alpha_path.name}: expected the photograph's size {sizes[0]}, got {sizes[1]}"
        raise ImageError("size_mismatch", sentence, name=alpha_path.name, expected=sizes[0], got=sizes[1])
    start = time.perf_counter()
    pred = matting(image).alpha
    return score_alpha(image_path.stem, pred, true, seconds=time.perf_counter() - start)


def score_alpha(name: str, pred: torch.Tensor, true: torch.Tensor, *, seconds: float = 0.0) -> Score:
    """Return every metric of a predicted alpha.

    >>> score_alpha("photo", torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).mad
    1000.0
    """
    band = metrics.unknown_region(true)
    return Score(
        name=name,
        sad=metrics.sad(pred, true),
        mad=metrics.mad(pred, true),
        mse=metrics.mse(pred, true),
        grad=metrics.grad(pred, true),
        conn=metrics.conn(pred, true),
        band_mad=metrics.mad(pred, true, band),
        band_mse=metrics.mse(pred, true, band),
        iou=metrics.iou(pred, true),
        seconds=seconds,
    )


def average_scores(scores: Sequence[Score]) -> Score:
    """Return the mean of each metric, named "mean", over the photographs in which it is a number.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("scores: expected at least one, got none")

    def average(field: str) -> float:
        values = [value for score in scores if not math.isnan(value := getattr(score, field))]
        return sum(values) / len(values) if values else math.nan

    return Score("mean", *(average(field.name) for field in dataclasses.fields(Score)[1:]))


def format_table(scores: Sequence[Score], *, per_photo: bool = False) -> str:
    """Return the scores as a Markdown table: the line of means, after one line per photograph if asked for.

    >>> print(format_table([score_alpha("photo", torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))]))
    | photo | SAD | MAD | MSE | Grad | Conn | band MAD | band MSE | IoU | seconds |
    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
    | mean | 0.004 | 1000.000 | 1000.000 | 0.000 | 0.004 | – | – | 0.000 | 0.000 |
    """
    header = ["photo", "SAD", "MAD", "MSE", "Grad", "Conn", "band MAD", "band MSE", "IoU", "seconds"]
    lines = [header, ["---"] * len(header)]
    for score in [*(scores if per_photo else ()), average_scores(scores)]:
        name, *values = dataclasses.astuple(score)
        lines.append([name.replace("|", "\\|"), *("–" if math.isnan(value) else f"{value:.3f}" for value in values)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
