"""How well the people in different kinds of photographs are found: one Markdown table.

python -m benchmarks.breakdown PHOTOS OPINIONS

PHOTOS/KIND/NAME.jpg are the photographs, a kind in each folder; OPINIONS/NAME.png are what three other models say of them, as
`shm.training.consensus.agree` takes it. No true alpha is known of such photographs: what is counted is the IoU at .5
with the alpha on which those models agree, over the pixels where they do, and how many photographs are lost.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import shm
from shm.filters import resize, to_gray
from shm.image_io import find_images
from shm.matte import Matte
from shm.training.consensus import agree

LOST = 0.5
"""IoU below which a photograph's people count as lost."""

LEAST = 0.01
"""What share of the picture people have to fill, by what the models agree on, for it to count."""


def score_photo(matting: Callable[[torch.Tensor], Matte], photo: Path, opinion: Path) -> float | None:
    """Return the IoU with what three models agree on, where they do; None where they agree on next to nobody.

    Args:
        matting: image (1, 3, H, W) uint8 or uint16 -> matte, as a `HumanMatting` is.
        photo: file of the photograph.
        opinion: file of what the models say of it, of any size.

    Raises:
        ImageError, OSError: a file that cannot be read.
    """
    with Image.open(opinion) as picture:
        opinions = np.asarray(picture.convert("RGB"), np.float32) / 255
    alpha, known = agree(opinions)
    if ((alpha > 0.5) & known).mean() < LEAST:
        return None
    found = resize(matting(shm.read_image(photo)).alpha, known.shape).clamp(0, 1)
    true, region = (torch.from_numpy(plane)[None, None] for plane in (alpha, known))
    return shm.metrics.iou(found, true, region)


def make_gray(image: torch.Tensor) -> torch.Tensor:
    """Return a photograph (1, 3, H, W) in black and white, in its own type.

    >>> make_gray(torch.tensor([[[[200]], [[100]], [[0]]]], dtype=torch.uint8)).flatten()
    tensor([118, 118, 118], dtype=torch.uint8)
    """
    return to_gray(image.float()).round().to(image.dtype).expand_as(image).contiguous()


def score_kind(matting: Callable[[torch.Tensor], Matte], folder: Path, opinions: Path) -> list[float]:
    """Return the IoU, in [0, 1], of every photograph of a folder that counts.

    Raises:
        FileNotFoundError: there is no opinion of a photograph.
        ImageError: the folder holds no photograph, or one that cannot be read.
    """
    found = []
    for photo in find_images(folder):
        opinion = opinions / f"{photo.stem}.png"
        if not opinion.is_file():
            raise FileNotFoundError(f"{opinion}: expected what other models say of {photo}, got no such file")
        found.append(score_photo(matting, photo, opinion))
    return [score for score in found if score is not None]


def format_rows(kinds: Sequence[tuple[str, list[float]]]) -> Iterator[str]:
    """Yield the lines of the table.

    >>> list(format_rows([("groups", [0.4, 0.9, 0.95])]))[-1]
    '| groups | 3 | .750 | .900 | 1 |'
    """
    yield "| kind | photographs | IoU, mean | IoU, median | lost |"
    yield "|---|---|---|---|---|"
    for kind, scores in kinds:
        mean, median = (f"{value:.3f}".lstrip("0") for value in (np.mean(scores), np.median(scores)))
        yield f"| {kind} | {len(scores)} | {mean} | {median} | {sum(score < LOST for score in scores)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("opinions", type=Path)
    parser.add_argument("--preset", default="embedded", help="name or folder (default: embedded)")
    parser.add_argument("--head", default=str(shm.segmentation.MODELS / "head"), help="folder of another matting head")
    parser.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    parser.add_argument("--precision", help="float32, bfloat16, float16 (default: what is fast and safe)")
    parser.add_argument("--gray", action="store_true", help="show it the photographs in black and white")
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.photos.glob("*") if path.is_dir())
    if not folders:
        parser.error(f"PHOTOS: expected a folder of folders, one for each kind, got {arguments.photos}")
    matting = shm.load(arguments.preset, head=arguments.head, device=arguments.device, precision=arguments.precision)
    see = (lambda image: matting(make_gray(image))) if arguments.gray else matting
    kinds = [(folder.name.replace("_", " "), score_kind(see, folder, arguments.opinions)) for folder in folders]
    print("\n".join(format_rows([(kind, scores) for kind, scores in kinds if scores])))


if __name__ == "__main__":
    main()
