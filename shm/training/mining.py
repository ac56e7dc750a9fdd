"""Hard negatives: pictures without people in which a segmenter sees somebody, so that training shows them oftener."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from shm.filters import fit_size, resize
from shm.segmentation import Segmenter
from shm.training.dataset import TrainingSet

SIDE = 384
"""Side of a square of as many pixels as a segmenter sees of each background."""

TIMES = 4
"""How often a hard background is drawn, compared with another one."""


@torch.no_grad()
def measure_hardness(network: nn.Module, background: torch.Tensor, *, device: torch.device, precision: torch.dtype) -> float:
    """Return the mean probability of person or unknown that a network sees in a picture without people.

    Args:
        network: RGB in [-1, 1] to logits of background, person, unknown.
        background: (3, H, W) uint8.
        device, precision: of the forward pass.
    """
    view = resize(background[None].to(device).float() / 255, fit_size(*background.shape[-2:], SIDE, Segmenter.MULTIPLE))
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        logits = network(view * 2 - 1).logits
    return 1 - logits.float().softmax(dim=1)[:, 0].mean().item()


def repeat_hard(
    data: TrainingSet, network: nn.Module, count: int, *, device: torch.device, precision: torch.dtype
) -> TrainingSet:
    """Return a set in which the `count` backgrounds that a network takes for people most are drawn `TIMES` times as often.

    Each of them also becomes a photograph in which everything is background.

    Args:
        data: what to draw from; it stays as it is.
        network, device, precision: as in `measure_hardness`.
        count: how many; all of them where there are fewer.
    """
    hardness = [measure_hardness(network, picture, device=device, precision=precision) for picture in data.backgrounds]
    ranked = sorted(range(len(hardness)), key=lambda index: -hardness[index])[:count]
    hard = [data.backgrounds[index] for index in ranked]
    nobody = [torch.stack([torch.zeros_like(picture[0]), torch.full_like(picture[0], 255)]) for picture in hard]
    return replace(data, photographs=data.photographs + list(zip(hard, nobody)), backgrounds=data.backgrounds + hard * (TIMES - 1))
