"""A matting head made narrower where it is dearest, at the photograph's full size, and yet says nearly what it said.

Its last convolution but one becomes two in a row by the second moments of what it reads in photographs (`factorize`), the first of
them 1x1, before the features are enlarged. What that costs is mostly won back: the last layers learn to say of photographs what the
head said before.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shm.filters import limit_size, resize
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import Segmenter
from shm.training.compression import factorize
from shm.training.dataset import read
from shm.training.losses import laplacian_loss, masked_mean
from shm.training.networks import save_stage
from shm.trimap import soft_trimap

EXAMPLES, RATE = 4, 3e-4
"""Pictures a step of learning, and how far each step goes at its highest."""

SMALLEST = 0.7
"""Size of the smallest examples, relative to what the head sees at most."""

KNOWN = 0.02
"""What a known pixel counts beside an unknown one."""

LEARNING = ("at_half", "reduce", "at_full", "alpha")
"""Parts that learn; nothing before them changes."""

Example = tuple[torch.Tensor, torch.Tensor]
"""Image (1, 3, h, w) and soft trimap (1, 3, h, w), both uint8."""


def narrow_head(source: str, segmenter: str, pictures: Path, folder: Path, *, count: int = 400, steps: int = 240) -> None:
    """Write folder/head, a head with `MattingConfig.rank` that says nearly what another says, which has none.

    Args:
        source: folder of that other head.
        segmenter: preset or folder of the one whose trimaps it reads.
        pictures: folder of photographs of people.
        folder: laid out as that of a training run.
        count: how many of the photographs are looked at, drawn from all.
        steps: of learning, each upon four of them.

    Raises:
        CheckpointError: the head or the segmenter cannot be opened.
        FileNotFoundError: there are no photographs.
        ValueError: the head is narrow already.
    """
    wide = MattingHead.load(source)
    if wide.config.rank:
        raise ValueError(f"{source}: expected a head of rank 0, got one of rank {wide.config.rank}")
    files = sorted(pictures.glob("*.*"))
    if not files:
        raise FileNotFoundError(f"{pictures}: expected photographs, found none")
    rng, opened = np.random.default_rng(1), Segmenter.from_pretrained(segmenter)
    drawn = rng.permutation(len(files))[:count]
    examples = [look(rng, opened, wide.config, read(files[number], "RGB")) for number in drawn]
    head = factorize_head(wide, examples)
    teach_head(head, wide, examples, steps=steps)
    save_stage(head, "head", folder)


@torch.no_grad()
def look(rng: np.random.Generator, segmenter: Segmenter, config: MattingConfig, picture: torch.Tensor) -> Example:
    """Return a photograph (3, H, W) uint8, in half of the cases its mirror image, at a size drawn by chance, with its trimap."""
    image = picture[None].float() / 255
    if rng.random() < 0.5:
        image = image.flip(3)
    size = limit_size(*image.shape[-2:], round(config.side * rng.uniform(SMALLEST, 1.0)))
    trimap = soft_trimap(segmenter.segment(image), segmenter.class_names, segmenter.human_labels)
    return tuple((255 * resize(tensor, size)).round().to(torch.uint8) for tensor in (image, trimap))


@torch.no_grad()
def factorize_head(wide: MattingHead, examples: list[Example]) -> MattingHead:
    """Return a head whose convolution at full size says most nearly what it says in a head of rank 0.

    Args:
        wide: that head.
        examples: what it reads.
    """
    head = MattingHead(replace(wide.config, rank=MattingConfig.rank)).eval()
    weights, channels = wide.state_dict(), wide.config.channels
    last, moments = weights["at_full.convolution.weight"], measure_moments(wide, examples)[:channels, :channels]
    first, second = factorize(last[:, :channels], moments, head.config.rank)
    weights |= {"reduce.weight": first, "at_full.convolution.weight": torch.cat([second, last[:, channels:]], dim=1)}
    head.load_state_dict(weights)
    return head


@torch.no_grad()
def measure_moments(head: MattingHead, examples: list[Example]) -> torch.Tensor:
    """Return the mean second moments (C, C) of what a head reads at full size: C - 3 features, then the image."""
    moments = []

    def note(_: nn.Module, seen: tuple[torch.Tensor]) -> None:
        places = seen[0][0].flatten(1)
        moments.append(places @ places.T / places.shape[1])

    hook = head.at_full.register_forward_pre_hook(note)
    for example in examples:
        head(*unpack(example))
    hook.remove()
    return torch.stack(moments).mean(dim=0)


@torch.enable_grad()
def teach_head(head: MattingHead, wide: MattingHead, examples: list[Example], *, steps: int) -> None:
    """Train a head's last layers, in place, to say what another head says.

    Args:
        head, wide: the one that learns and the other.
        examples: what they read.
        steps: how many, each upon `EXAMPLES` of them; the rate rises for a tenth of them and falls along a cosine.
    """
    rng = np.random.default_rng(2)
    head.requires_grad_(False)
    learnt = [weight.requires_grad_() for name, weight in head.named_parameters() if name.startswith(LEARNING)]
    optimizer = torch.optim.AdamW(learnt, lr=RATE, weight_decay=0)
    for step in range(steps):
        rise, fall = (step + 1) / max(1, steps // 10), (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, rise) * fall
        optimizer.zero_grad()
        for index in rng.integers(0, len(examples), EXAMPLES):
            image, trimap = unpack(examples[index])
            with torch.no_grad():
                wanted = wide(image, trimap)
            (imitation_loss(head(image, trimap), wanted, trimap[:, 2:]) / EXAMPLES).backward()
        nn.utils.clip_grad_norm_(learnt, 1.0, error_if_nonfinite=True)
        optimizer.step()
    head.requires_grad_()


def imitation_loss(said: torch.Tensor, wanted: torch.Tensor, unknown: torch.Tensor) -> torch.Tensor:
    """Return how far an alpha_r is from another, all (B, 1, H, W): absolute error, mostly where unknown, and that of Laplacians."""
    return masked_mean((said - wanted).abs(), unknown + KNOWN) + 2 * laplacian_loss(said * unknown, wanted * unknown)


def unpack(example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and trimap as floats in [0, 1]."""
    image, trimap = (tensor.float() / 255 for tensor in example)
    return image, trimap
