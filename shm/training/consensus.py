"""Labels from teachers: alpha is taught where several models agree; where they do not, nothing is.

The opinions are those of a portrait matting model (MODNet), a selfie model (ML Kit) and a semantic model (DeepLab's class person). What
asks them is not here: any program will do that writes the three as red, green and blue of a picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy import ndimage

from shm.foreground import estimate_foreground
from shm.training.dataset import LAYER_SIDE

CERTAIN = 0.05
"""How near to 0 or 1 an opaque or transparent pixel's alpha is."""

AWAY = 0.06
"""How far from a person two teachers are enough against the third, as a fraction of the longer side."""

LARGE = 0.1
"""What fraction of the picture that person fills at least."""


def agree(opinions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the alpha that is taught, and where the teachers agree on it.

    Alpha is the matting model's. A person has to be seen by one of the others as well; background is what none of the three
    takes for a person, and away from a large person what the matting model and one of the others do not: the sofa that one teacher
    takes along is what has to be learned. Near a person the semantic model is not asked, which is too coarse to see a gap
    between arm and body. What is partly opaque counts as far as it is near a person. Specks of person are doubted.

    Args:
        opinions: (H, W, 3) float in [0, 1]: matte, selfie, semantic.

    Returns:
        alpha (H, W) float in [0, 1], and (H, W) bool, True where it is known.
    """
    matte, selfie, semantic = np.moveaxis(opinions, -1, 0)
    person = (matte > 1 - CERTAIN) & ((selfie > 0.5) | (semantic > 0.5))
    pieces, count = ndimage.label(person)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    person &= (sizes >= 0.004 * person.size)[pieces]
    near = np.zeros_like(person)
    if person.any():
        near = ndimage.distance_transform_edt(~person) <= AWAY * max(person.shape)
    alone = person.mean() > LARGE  # small people stand among others whom only one teacher sees
    denied = (selfie < 0.5).astype(int) + (semantic < 0.5)
    background = (matte < CERTAIN) & ((denied == 2) | near & (selfie < 0.5) | ~near & alone & (denied == 1))
    soft = (matte >= CERTAIN) & (matte <= 1 - CERTAIN) & near
    return matte, person | background | soft


def is_useful(alpha: np.ndarray, known: np.ndarray) -> bool:
    """Say whether a label shows a person and leaves less than 30 % open."""
    return bool((known & (alpha > 1 - CERTAIN)).mean() >= 0.03 and known.mean() >= 0.7)


def is_whole(alpha: np.ndarray, known: np.ndarray) -> bool:
    """Say whether the people of a label can be cut out: next to nothing of them is in doubt."""
    return bool((~known).mean() <= 0.02 and (~known & (alpha > CERTAIN)).mean() <= 0.005 and (alpha > 0.5).mean() >= 0.08)


def label_folder(photos: Path, opinions: Path, out: Path) -> tuple[int, int, int]:
    """Label every photograph of a folder on which there are opinions, and cut out the people whom no teacher doubts.

    Args:
        photos: holds NAME.jpg.
        opinions: holds NAME.png, red, green and blue as `agree` takes them, of any size.
        out: becomes the folder of a training set (`shm.training.dataset`).

    Returns:
        how many were labelled, how many of these cut out, how many left out.

    Raises:
        OSError: a file that cannot be read or written.
    """
    for part in ("labelled/image", "labelled/label", "cutout"):
        (out / part).mkdir(parents=True, exist_ok=True)
    labelled = cut = left = 0
    for path in sorted(opinions.glob("*.png")):
        with Image.open(photos / f"{path.stem}.jpg") as photograph:
            image = ImageOps.exif_transpose(photograph).convert("RGB")
        image.thumbnail((LAYER_SIDE, LAYER_SIDE), Image.Resampling.LANCZOS)
        alpha, known = agree(np.asarray(Image.open(path).resize(image.size, Image.Resampling.BICUBIC), np.float32) / 255)
        if not is_useful(alpha, known):
            left += 1
            continue
        image.save(out / "labelled" / "image" / f"{path.stem}.jpg", quality=95)
        planes = [np.rint(255 * alpha), 255 * known]
        Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "LA").save(out / "labelled" / "label" / path.name)
        labelled += 1
        if is_whole(alpha, known):
            cut_out(image, alpha * known).save(out / "cutout" / path.name)
            cut += 1
    return labelled, cut, left


def cut_out(image: Image.Image, alpha: np.ndarray) -> Image.Image:
    """Return people as straight RGBA in their own color, given their alpha (H, W) in [0, 1]."""
    photograph = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    opacity = torch.from_numpy(alpha)[None, None].float()
    foreground = estimate_foreground(photograph, opacity)
    rgba = torch.cat([foreground, (255 * opacity).round().to(torch.uint8)], dim=1)
    return Image.fromarray(rgba[0].permute(1, 2, 0).numpy(), "RGBA")
