"""Labels from teachers: a pixel is labelled where several models agree; where they do not, nothing is taught.

The opinions are those of a salient object model (U2-Net), a selfie model (ML Kit) and a semantic model (DeepLab's class person). What
asks them is not here: any program will do that writes the three as red, green and blue of a picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from shm.training.dataset import LAYER_SIDE

PERSON, DOUBT, BACKGROUND = 255, 128, 0
"""Values of a label."""

AWAY = 0.06
"""How far from a person two teachers are enough against the third, as a fraction of the longer side."""

LARGE = 0.1
"""What fraction of the picture that person fills at least."""


def agree(opinions: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return the label on which the teachers agree.

    Person is what the salient object model and one of the others are sure of, or both others; background, what none of the three
    takes for a person, and away from a large person what two of them do not: the sofa that one teacher takes along is what has
    to be learned. Near a person the semantic model is not asked, which is too coarse to see a gap between arm and body. With a
    mask drawn by hand, one teacher's support is enough inside, and background lies outside. Specks of person become doubt.

    Args:
        opinions: (H, W, 3) float in [0, 1]: salient object, selfie, semantic.
        mask: (H, W) bool, or None.

    Returns:
        (H, W) uint8 of `PERSON`, `DOUBT` and `BACKGROUND`.
    """
    salient, selfie, semantic = np.moveaxis(opinions, -1, 0)
    gap = (salient < 0.05) & (selfie < 0.5)
    if mask is None:
        person = (salient > 0.8) & ((selfie > 0.7) | (semantic > 0.8)) | (selfie > 0.9) & (semantic > 0.9)
    else:
        person = mask & ((salient > 0.8) | (selfie > 0.4) | (semantic > 0.4))
    pieces, count = ndimage.label(person)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    person &= (sizes >= 0.004 * person.size)[pieces]
    if mask is None:
        denied = (salient < 0.1).astype(int) + (selfie < 0.3) + (semantic < 0.3)
        near = person.any() & (ndimage.distance_transform_edt(~person) <= AWAY * max(person.shape))
        alone = person.mean() > LARGE  # small people stand among others whom only one teacher sees
        background = (denied == 3) | (denied == 2) & ~near & alone | gap & near
    else:
        background = ~mask & ((salient < 0.5) & (selfie < 0.3) & (semantic < 0.3) | gap)
    return np.select([person, background], [PERSON, BACKGROUND], DOUBT).astype(np.uint8)


def is_useful(label: np.ndarray) -> bool:
    """Say whether a label shows a person and leaves less than 30 % open besides the borders of what it knows."""
    doubt = ndimage.binary_erosion(label == DOUBT, iterations=6)
    return bool((label == PERSON).mean() >= 0.03 and doubt.mean() <= 0.3)


def label_folder(photos: Path, opinions: Path, out: Path, masks: Path | None = None) -> tuple[int, int]:
    """Label every photograph of a folder on which there are opinions.

    Args:
        photos: holds NAME.jpg.
        opinions: holds NAME.png, red, green and blue as `agree` takes them, of any size.
        out: becomes the folder labelled/ of a training set (`shm.training.dataset`).
        masks: holds NAME.png, a person drawn by hand in white, for some of them.

    Returns:
        how many were labelled, how many left out.

    Raises:
        OSError: a file that cannot be read or written.
    """
    for part in ("image", "label"):
        (out / part).mkdir(parents=True, exist_ok=True)
    kept = left = 0
    for path in sorted(opinions.glob("*.png")):
        image = Image.open(photos / f"{path.stem}.jpg").convert("RGB")
        image.thumbnail((LAYER_SIDE, LAYER_SIDE), Image.Resampling.LANCZOS)
        heard = np.asarray(Image.open(path).resize(image.size, Image.Resampling.BICUBIC), np.float32) / 255
        drawn = masks / path.name if masks else None
        mask = np.asarray(Image.open(drawn).convert("L").resize(image.size)) > 127 if drawn and drawn.exists() else None
        label = agree(heard, mask)
        if not is_useful(label):
            left += 1
            continue
        image.save(out / "image" / f"{path.stem}.jpg", quality=95)
        Image.fromarray(label).save(out / "label" / path.name)
        kept += 1
    return kept, left
