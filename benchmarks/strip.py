"""A strip of pictures for README.md: photograph, segmentation, trimap, alpha, composite.

python -m benchmarks.strip examples/astronaut.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import shm
from shm.compositing import make_gradient, parse_color
from shm.matte import Matte, check
from shm.trimap import hard_trimap
from shm.visualization import color_labels, shrink


def draw_strip(matte: Matte, *, side: int, gap: int) -> torch.Tensor:
    """Return the stages of a matte side by side, as an image.

    Args:
        matte: of any photograph.
        side: longer side of each picture, in pixels.
        gap: white pixels between them.

    Returns:
        (1, 3, h, w) float32.
    """
    size = matte.image.shape[-2:]
    background = make_gradient(parse_color("#2a9d8f"), parse_color("#e9c46a"), size)
    pictures = [
        matte.image,
        color_labels(matte.image, matte.labels),
        hard_trimap(matte.probabilities, size).expand(-1, 3, -1, -1),
        matte.alpha.expand(-1, 3, -1, -1),
        shm.composite(matte.foreground, matte.alpha, background),
    ]
    small = [check("picture", shrink(picture, side=side)) for picture in pictures]
    space = torch.ones(1, 3, small[0].shape[-2], gap)
    return torch.cat([part for picture in small for part in (picture, space)][:-1], dim=-1)


def main() -> None:
    """Write the strip of one photograph."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strip", description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("examples/strip.png"))
    parser.add_argument("--side", type=int, default=360, help="longer side of each picture, in pixels")
    arguments = parser.parse_args()
    matte = shm.load(device="cpu", precision="float32")(shm.read_image(arguments.photo))
    shm.write_image(arguments.out, draw_strip(matte, side=arguments.side, gap=6))


if __name__ == "__main__":
    main()
