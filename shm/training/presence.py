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

SCALES = (1.0, 4 / 3)
"""Sizes at which pictures are seen, in turn, relative to the side that is asked for."""

DROPPED = 0.2
"""How much of the pooled features is left out at a time, so that no few of them decide."""


def list_pictures(data: TrainingSet) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the photographs (3, H, W) in which somebody is, then those of nobody; and a float 1 or 0 for each."""
    people = [image for image, label in data.photographs if certain_person(label).mean() >= LEAST]
    pictures = people + data.backgrounds
    return pictures, (torch.arange(len(pictures)) < len(people)).float()


@torch.no_grad()
def pool_pictures(
    network: nn.Module, pictures: list[torch.Tensor], *, side: int, device: torch.device, precision: torch.dtype
) -> torch.Tensor:
    """Return the pooled features (N, C) that a network's presence would see in each of N pictures, of `side` pixels or some more."""
    pooled = []
    for number, picture in enumerate(pictures):
        longer = round(side * SCALES[number % len(SCALES)])
        size = fit_size(*picture.shape[-2:], longer, Segmenter.MULTIPLE)
        view = resize(picture[None].to(device).float() / 255, size) * 2 - 1
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            deep = network.mobilenet_v2(view, output_hidden_states=True).hidden_states[-1]
        pooled.append(network.presence.pool(deep.float()))
    return torch.cat(pooled)


def teach_presence(
    presence: nn.Module, pooled: torch.Tensor, there: torch.Tensor, *, steps: int, batch: int, learning_rate: float, seed: int
) -> float:
    """Train a presence on pooled features, in place, and return the mean loss of the last hundred steps.

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
    for _ in range(steps):
        drawn = torch.from_numpy(rng.integers(0, len(pooled), batch)).to(pooled.device)
        said = presence.judge(functional.dropout(pooled[drawn], DROPPED))
        loss = functional.binary_cross_entropy_with_logits(said, there[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses[-100:]))
