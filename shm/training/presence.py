"""What the segmenter's presence learns from: whole pictures, each seen once by the rest of the network, which stays as it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shm.filters import fit_size, resize
from shm.segmentation import Segmenter
from shm.training.dataset import TrainingSet, certain_person

LEAST = 0.005
"""Share of a labelled photograph that a person fills at least, for somebody to be there."""

ENOUGH, SMALLEST = 0.1, 0.35
"""Share of a part that a person fills at least, and how long a part is at least, relative to the picture."""

SCALES = (0.8, 1.0)
"""Sizes at which pictures are seen, in turn, relative to the side that is asked for."""


def list_pictures(data: TrainingSet, *, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the photographs (3, H, W) in which somebody is, then those of nobody; and a float 1 or 0 for each.

    What fills the frame is what is taken for a person: so half of those of nobody are parts of pictures, and each person comes
    whole and, where a label says that enough of them is left, in part.
    """
    rng = np.random.default_rng(seed)
    people, nobody = list(data.somebody), []
    for image, label in data.photographs:
        person = certain_person(label)
        if person.mean() >= LEAST:
            part = cut_part(rng, image)
            people += [image] if person[part].mean() < ENOUGH else [image, image[:, *part]]
    for number, image in enumerate(data.backgrounds):
        nobody.append(image[:, *cut_part(rng, image)] if number % 2 else image)
    return people + nobody, (torch.arange(len(people) + len(nobody)) < len(people)).float()


def cut_part(rng: np.random.Generator, image: torch.Tensor) -> tuple[slice, slice]:
    """Return rows and columns of a part of an image (3, H, W), between `SMALLEST` and all of its height and width."""
    lengths = [max(1, round(length * rng.uniform(SMALLEST, 1.0))) for length in image.shape[-2:]]
    starts = [int(rng.integers(whole - length + 1)) for whole, length in zip(image.shape[-2:], lengths)]
    return tuple(slice(start, start + length) for start, length in zip(starts, lengths))


@torch.no_grad()
def pool_pictures(
    network: nn.Module, pictures: list[torch.Tensor], *, side: int, device: torch.device, precision: torch.dtype
) -> torch.Tensor:
    """Return the pooled features (N, C) that a network's presence would see in each of N pictures, of `side` pixels or some less."""
    pooled = []
    for number, picture in enumerate(pictures):
        size = fit_size(*picture.shape[-2:], round(side * SCALES[number // 2 % 2]), Segmenter.MULTIPLE)
        view = resize(picture[None].to(device).float() / 255, size) * 2 - 1
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            deep = network.mobilenet_v2(view).last_hidden_state
        pooled.append(network.presence.pool(deep.float()))
    return torch.cat(pooled)


def teach_presence(
    presence: nn.Module, pooled: torch.Tensor, there: torch.Tensor, *, steps: int, batch: int, learning_rate: float, seed: int
) -> float:
    """Train a presence on pooled features, in place, and return the mean loss of the last hundred steps.

    Half of what is drawn shows somebody, however few they are: a person who is lost is worse than a thing that is not.

    Args:
        presence: of a `TrimapNetwork`.
        pooled: (N, C).
        there: (N,), 1 where somebody is.
        steps, batch, learning_rate, seed: as in `TrainingConfig`; the rate falls to nothing along a cosine.
    """
    torch.manual_seed(seed)
    rng, losses = np.random.default_rng(seed), []
    optimizer = torch.optim.AdamW(presence.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    groups = [np.flatnonzero(there.cpu() == value) for value in (1, 0)]
    for _ in range(steps):
        drawn = torch.from_numpy(np.concatenate([rng.choice(group, (batch + 1) // 2) for group in groups])).to(pooled.device)
        said = presence.judge(pooled[drawn])
        loss = functional.binary_cross_entropy_with_logits(said, there[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses[-100:]))
