"""A contact sheet of what training draws: image, alpha, trimap for the head; image, target for the segmenter.

python -m benchmarks.samples DATA -o sheet.png --stage head --count 48 --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import shm
from benchmarks.quality import draw_sheet
from shm.training.dataset import TrainingSet, draw_head_batch, draw_segmenter_picture, read_set

TRIMAP_COLORS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.9, 0.2, 0.2]])
"""Of background, foreground and unknown."""

TARGET_COLORS = torch.cat([TRIMAP_COLORS, torch.tensor([[0.4, 0.4, 0.5]])])
"""Of background, person, unknown, and, as -1 picks the last, of what nobody knows."""


def draw_head_row(rng: np.random.Generator, data: TrainingSet, side: int) -> torch.Tensor:
    """Return image, alpha and soft trimap of one sample of the head side by side, (1, 3, side, 3 * side)."""
    sample = draw_head_batch(rng, data, batch=1, side=side)
    trimap = torch.einsum("bkhw,kc->bchw", sample["probabilities"], TRIMAP_COLORS)
    return torch.cat([sample["image"], sample["alpha"].expand(-1, 3, -1, -1), trimap], dim=-1)


def draw_segmenter_row(rng: np.random.Generator, data: TrainingSet, side: int) -> torch.Tensor:
    """Return image and target of one sample of the segmenter side by side, (1, 3, side, 2 * side)."""
    image, target = draw_segmenter_picture(rng, data, side)
    return torch.cat([image, TARGET_COLORS[target].permute(0, 3, 1, 2)], dim=-1)


def main() -> None:
    """Write the contact sheet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="training set, laid out as shm/training/dataset.py says")
    parser.add_argument("-o", "--out", type=Path, required=True, help="PNG or JPEG to write")
    parser.add_argument("--stage", choices=["head", "segmenter"], default="head")
    parser.add_argument("--count", type=int, default=48, help="samples (default: 48)")
    parser.add_argument("--columns", type=int, default=4, help="samples side by side (default: 4)")
    parser.add_argument("--side", type=int, default=256, help="of a picture, in pixels (default: 256)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name in ("count", "columns", "side"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    data = read_set(arguments.data, seed=arguments.seed, made_layers=2 * arguments.count)
    draw_row, rng = {"head": draw_head_row, "segmenter": draw_segmenter_row}[arguments.stage], np.random.default_rng(arguments.seed)
    rows = [draw_row(rng, data, arguments.side) for _ in range(arguments.count)]
    shm.write_image(arguments.out, draw_sheet(rows, columns=arguments.columns))


if __name__ == "__main__":
    main()
