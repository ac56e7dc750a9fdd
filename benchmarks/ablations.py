"""What each part of the embedded pipeline is worth: errors with one thing changed at a time, as a Markdown table.

python -m benchmarks.ablations PAIRS --every 2

PAIRS is laid out as for benchmarks.quality.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.quality import format_means
from shm.evaluation import average_scores, find_pairs, score_pair
from shm.pipeline import HumanMatting, load

Change = Callable[[HumanMatting], None]


def see_at(side: int) -> Change:
    """Let the segmenter see photographs at another size."""

    def change(matting: HumanMatting) -> None:
        matting.segmenter.preset = replace(matting.segmenter.preset, side=side)

    return change


def sharpen(factor: float) -> Change:
    """Multiply the segmenter's logits by another factor."""

    def change(matting: HumanMatting) -> None:
        matting.segmenter.preset = replace(matting.segmenter.preset, sharpness=factor)

    return change


def look_at(side: int) -> Change:
    """Let the head see photographs at another size."""

    def change(matting: HumanMatting) -> None:
        matting.head.config = replace(matting.head.config, side=side)

    return change


def leave_out_presence(matting: HumanMatting) -> None:
    """Take it that somebody is there."""
    matting.segmenter.network.presence.forward = lambda deep: deep.new_full((len(deep), 1, 1, 1), 30.0)


def leave_out_head(matting: HumanMatting) -> None:
    """Take half for the opacity of what is unknown."""
    matting.head.forward = lambda image, probabilities: torch.full_like(image[:, :1], 0.5)


def mirror_too(matting: HumanMatting) -> None:
    """Average the probabilities of the photograph and of its mirror image."""
    forward = matting.segmenter.forward
    matting.segmenter.forward = lambda image: (forward(image) + forward(image.flip(-1)).flip(-1)) / 2


CHANGES: dict[str, Change] = {
    "as shipped": lambda matting: None,
    "segmenter sees 512": see_at(512),
    "segmenter sees 768": see_at(768),
    "segmenter sees 1024": see_at(1024),
    "segmenter sees the mirror image too": mirror_too,
    "segmenter without its presence": leave_out_presence,
    "logits as they are": sharpen(1.0),
    "head sees 1024": look_at(1024),
    "head sees 768": look_at(768),
    "head sees 512": look_at(512),
    "no head": leave_out_head,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--every", type=int, default=1, help="measure on every N-th pair only (default: 1)")
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="CHANGE", help=f"some of: {', '.join(CHANGES)}")
    parser.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    parser.add_argument("--precision", help="float32, bfloat16, float16 (default: what is fast and safe)")
    arguments = parser.parse_args()
    if arguments.every < 1:
        parser.error(f"--every: expected at least 1, got {arguments.every}")
    pairs, means = find_pairs(arguments.pairs)[:: arguments.every], []
    for name in arguments.only or CHANGES:
        matting = load(device=arguments.device, precision=arguments.precision)
        CHANGES[name](matting)
        means.append(replace(average_scores([score_pair(matting, *pair) for pair in pairs]), name=name))
    print(f"Over {len(pairs)} photographs.\n", format_means(means, "change"), sep="\n")


if __name__ == "__main__":
    main()
