"""What the segmenter's head and decoder learn from: drawn pictures, each seen once by the trunk, which stays as it is.

Behind a trunk that is good already, this is far faster than training through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from shm.training.dataset import TrainingSet, draw_segmenter_batch
from shm.training.losses import trimap_loss
from shm.trimap_network import EIGHTH, QUARTER

GROUP = 8
"""Pictures that are drawn and seen at a time."""

SHRINK = 2
"""Targets are kept at one pixel of so many across and down: the decoder says less than that."""


@dataclass(frozen=True)
class Seen:
    """What a trunk saw in N pictures, and what is true of them; on the CPU.

    Attributes:
        deep, eighth, quarter: (N, C, h, w) bfloat16, its features at these sizes.
        target: (N, H, W) int8, as `target_from_alpha` says.
    """

    deep: torch.Tensor
    eighth: torch.Tensor
    quarter: torch.Tensor
    target: torch.Tensor


@torch.no_grad()
def see_pictures(
    network: nn.Module, data: TrainingSet, *, pictures: int, side: int, seed: int, device: torch.device, precision: torch.dtype
) -> Seen:
    """Draw pictures of `side` pixels by the seed and return what the network's trunk sees in them.

    Args:
        network: a `TrimapNetwork`, in evaluation mode.
        data: what to draw from.
        pictures: how many.
        side, seed, device, precision: as in `TrainingConfig`.
    """
    parts: list[tuple[torch.Tensor, ...]] = []
    for start in range(0, pictures, GROUP):
        drawn = draw_segmenter_batch(np.random.default_rng((seed, start)), data, batch=min(GROUP, pictures - start), side=side)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            view = (drawn["image"].to(device) * 2 - 1).contiguous(memory_format=torch.channels_last)
            levels = network.mobilenet_v2(view, output_hidden_states=True).hidden_states
        features = (levels[index].to("cpu", torch.bfloat16) for index in (-1, EIGHTH, QUARTER))
        parts.append((*features, drawn["target"][:, ::SHRINK, ::SHRINK].to(torch.int8)))
    return Seen(*(torch.cat(tensors) for tensors in zip(*parts)))


def teach_decoder(
    network: nn.Module, seen: Seen, *, steps: int, batch: int, rate: Callable[[int], float], seed: int, device: torch.device
) -> float:
    """Train a `TrimapNetwork`'s head and decoder upon what its trunk saw, in place; return the mean loss of the last hundred steps.

    Args:
        network: on the device.
        seen: what `see_pictures` returns.
        steps, batch, seed, device: as in `TrainingConfig`.
        rate: step -> the decoder's learning rate; the head's, which may know something, is half of it.
    """
    rng, losses = np.random.default_rng(seed), []
    head, decoder = network.segmentation_head, network.decoder
    learnt = [*head.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW([{"params": part.parameters()} for part in (head, decoder)], weight_decay=1e-3)
    for step in range(steps):
        for group, share in zip(optimizer.param_groups, (0.5, 1.0)):
            group["lr"] = share * rate(step)
        drawn = torch.from_numpy(rng.integers(0, len(seen.target), batch))
        mirrored = rng.random() < 0.5
        planes = (getattr(seen, name)[drawn].to(device).float() for name in ("deep", "eighth", "quarter", "target"))
        deep, eighth, quarter, target = (plane.flip(-1) if mirrored else plane for plane in planes)
        loss = trimap_loss(decoder(head(deep), deep, eighth, quarter), target.long())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0, error_if_nonfinite=True)
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-100:]))
