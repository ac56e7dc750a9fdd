"""Matting errors of presets, and of alphas that other programs have written, on the same photographs: one Markdown table.

python -m benchmarks.quality PAIRS --preset embedded --alphas OTHERS/u2net OTHERS/isnet --sheet sheet.png

PAIRS holds image/* and alpha/*.png of the same stems; a folder of alphas holds NAME.png for each of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import shm
from shm.evaluation import Score, average_scores, find_pairs, format_table, score_alpha, score_pair
from shm.image_io import find_images, read_alpha
from shm.matte import Matte, check
from shm.segmentation import MODELS
from shm.visualization import shrink

GREEN = (0.0, 0.69, 0.25)

Pair = tuple[Path, Path]


def score_folder(folder: Path, pairs: Sequence[Pair]) -> list[Score]:
    """Score the alphas of a folder against the true ones; how long they took is not known."""
    return [score_alpha(true.stem, read_alpha(folder / true.name), read_alpha(true), seconds=math.nan) for _, true in pairs]


def draw_row(matting: Callable[[torch.Tensor], Matte], path: Path, *, height: int) -> torch.Tensor:
    """Return photograph, alpha and composite on green side by side, (1, 3, height, w) float32; lower if the photograph is."""
    matte = matting(shm.read_image(path))
    green = torch.tensor(GREEN).view(1, 3, 1, 1)
    pictures = (matte.image, matte.alpha.expand(-1, 3, -1, -1), shm.composite(matte.foreground, matte.alpha, green))
    tall, wide = matte.image.shape[-2:]
    side = round(height * max(1, wide / tall))
    return torch.cat([check("picture", shrink(picture, side=side)) for picture in pictures], dim=-1)


def draw_sheet(rows: Sequence[torch.Tensor], *, columns: int = 2) -> torch.Tensor:
    """Return rows `columns` abreast, the first at the top left, white where they are smaller than the largest.

    Args:
        rows: (1, 3, h, w) float32 each.
        columns: how many stand side by side.

    Returns:
        (1, 3, H, W) float32.
    """
    height, width = (max(row.shape[dimension] for row in rows) for dimension in (-2, -1))
    sheet = rows[0].new_ones(1, 3, height * math.ceil(len(rows) / columns), width * columns)
    for number, row in enumerate(rows):
        top, left = number // columns * height, number % columns * width
        sheet[..., top : top + row.shape[-2], left : left + row.shape[-1]] = row
    return sheet


def choose_extremes(scores: Sequence[Score], pairs: Sequence[Pair], count: int) -> list[Path]:
    """Return the photographs with the smallest, the middle and the largest MAD, `count` of each, each once, best first."""
    ranked = [image for _, (image, _) in sorted(zip(scores, pairs), key=lambda scored: scored[0].mad)]
    middle = max(0, (len(ranked) - count) // 2)
    return list(dict.fromkeys(ranked[:count] + ranked[middle : middle + count] + ranked[-count:]))


def measure_empty(matting: Callable[[torch.Tensor], Matte], folder: Path) -> dict[str, float]:
    """Return the mean alpha of each photograph of a folder in which there are no people."""
    return {path.name: float(matting(shm.read_image(path)).alpha.mean()) for path in find_images(folder)}


def format_means(means: Sequence[Score], heading: str) -> str:
    """Return a Markdown table of means, each a line under its name; `heading` stands over the names."""
    lines = format_table(means, per_photo=True).replace("| photo |", f"| {heading} |", 1).splitlines()
    return "\n".join(lines[:-1])  # the last line would be the mean of the means


def main() -> None:
    """Print the table; draw the contact sheet of the first preset if asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--preset", nargs="*", default=["embedded"], help="names or folders (default: embedded)")
    parser.add_argument("--head", default=str(MODELS / "head"), help="folder of another matting head")
    parser.add_argument("--alphas", nargs="*", default=[], type=Path, help="folders of alphas to score as well")
    parser.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    parser.add_argument("--precision", help="float32, bfloat16, float16 (default: what is fast and safe)")
    parser.add_argument("--empty", type=Path, metavar="FOLDER", help="photographs without people: print their mean alpha as well")
    parser.add_argument("--sheet", type=Path, help="where to write the best, middle and worst photographs on green")
    parser.add_argument("--count", type=int, default=10, help="how many of each on the sheet (default: 10)")
    arguments = parser.parse_args()
    if not arguments.preset and (arguments.sheet or arguments.empty or not arguments.alphas):
        parser.error("--preset: expected at least one, for --sheet and --empty or where there are no --alphas")
    if arguments.count < 1:
        parser.error(f"--count: expected at least 1, got {arguments.count}")
    pairs, means, chosen, empty = find_pairs(arguments.pairs), [], [], []
    for preset in arguments.preset:
        matting = shm.load(preset, head=arguments.head, device=arguments.device, precision=arguments.precision)
        scores = [score_pair(matting, *pair) for pair in pairs]
        means.append(replace(average_scores(scores), name=preset))
        if arguments.empty:
            found = measure_empty(matting, arguments.empty)
            worst = ", ".join(f"{name} {alpha:.3f}" for name, alpha in sorted(found.items(), key=lambda item: -item[1])[:5])
            mean = sum(found.values()) / len(found)
            empty.append(f"Mean alpha of {preset} over {len(found)} photographs without people: {mean:.4f}; most in {worst}.")
        if arguments.sheet and not chosen:
            chosen = choose_extremes(scores, pairs, arguments.count)
            shm.write_image(arguments.sheet, draw_sheet([draw_row(matting, path, height=256) for path in chosen]))
    means += [replace(average_scores(score_folder(folder, pairs)), name=folder.name) for folder in arguments.alphas]
    print(*empty, f"Over {len(pairs)} photographs.\n", format_means(means, "means"), sep="\n")


if __name__ == "__main__":
    main()
