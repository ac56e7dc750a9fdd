"""What the segmenter's branches learn from: pictures, each seen once by the backbone, which stays as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from shm.training.dataset import TrainingSet, draw_segmenter_picture
from shm.trimap_network import TrimapNetwork

AT_ONCE = 16
"""Pictures that are drawn before the backbone sees them."""

MEMORY = 0.5
"""Weight of what the segmenter said before, where nobody knows the truth, beside the trimap's cross entropy."""

HELD = 40
"""One of so many views is kept for validation."""


@dataclass(frozen=True)
class Views:
    """What a segmenter's branches see in pictures, and what they are to say.

    Attributes:
        deep: (N, C, h, w) float16, the deepest features.
        target: (N, H, W) int8, as `shm.training.dataset.target_from_alpha` says, of every second row and column.
        said: (N, 3, h', w') uint8, the probabilities that the branches give before they learn, times 255.
    """

    deep: torch.Tensor
    target: torch.Tensor
    said: torch.Tensor

    def draw_batch(self, rng: np.random.Generator, *, batch: int, held: bool) -> dict[str, torch.Tensor]:
        """Draw `batch` views, of those that are held back for validation or of the others; target as int64, the rest as float32."""
        numbers = np.arange(len(self.deep))
        drawn = rng.choice(numbers[(numbers % HELD == 0) == held], batch)
        return {"deep": self.deep[drawn].float(), "target": self.target[drawn].long(), "said": self.said[drawn].float() / 255}


@torch.no_grad()
def view_set(
    network: TrimapNetwork,
    data: TrainingSet,
    *,
    count: int,
    side: int,
    seed: int,
    device: torch.device,
    precision: torch.dtype,
) -> Views:
    """Draw pictures from a training set and look at each.

    Args:
        network: a segmenter, on the device.
        data: what to draw from.
        count: of the pictures.
        side: of each, in pixels, a multiple of 32.
        seed: each picture is drawn by it and by its number.
        device, precision: of the forward pass.

    Returns:
        the views, on the CPU.
    """
    deep, targets, said = [], [], []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            drawn = pool.map(lambda number: draw_segmenter_picture(np.random.default_rng((seed, number)), data, side), numbers)
            for image, target in drawn:
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    seen = network.see(2 * image.to(device) - 1)
                    logits = network.classifier(network.semantic(seen))
                deep.append(seen.half().cpu())
                targets.append(target[:, ::2, ::2].to(torch.int8))
                said.append((255 * logits.float().softmax(dim=1)).round().to(torch.uint8).cpu())
    return Views(torch.cat(deep), torch.cat(targets), torch.cat(said))
