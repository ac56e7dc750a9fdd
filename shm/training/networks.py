"""The networks that training begins with, and what it leaves behind."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from shm.filters import fit_size, resize
from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead
from shm.pipeline import find_precision
from shm.segmentation import PRESETS, Segmenter, open_network, silence_transformers, streamline
from shm.training.dataset import SEEN_FRACTION

BRANCHES = ("reduce", "semantic", "classifier", "presence")
"""Parts of the segmenter that learn: all but its backbone."""

NEW_PART = "classifier"
"""That of them which may begin untrained: during the warm-up it learns alone."""


class EndToEnd(nn.Module):
    """Both networks in a row, so that what is wrong with alpha reaches the segmenter as well.

    As in the pipeline each sees pictures at a size of its own.

    Args:
        segmenter: image in [-1, 1] to logits of background, person, unknown.
        head: image and probabilities to alpha_r.
    """

    def __init__(self, segmenter: nn.Module, head: MattingHead) -> None:
        super().__init__()
        self.segmenter, self.head = segmenter, head

    def forward(self, image: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        """Return what both say of a batch.

        Args:
            image: (B, 3, H, W) float32 in [0, 1].
            count: how many of the first pictures go on to the head.

        Returns:
            the segmenter's logits (B, 3, h, w), and of the first pictures the probabilities (count, 3, H, W) and alpha_r
            (count, 1, H, W).
        """
        size = tuple(image.shape[-2:])
        small = resize(image, fit_size(*size, round(SEEN_FRACTION * max(size)), Segmenter.MULTIPLE))
        deep = self.segmenter.see(small * 2 - 1)  # the presence has stages of its own
        logits = self.segmenter.classifier(self.segmenter.semantic(deep)).float()
        probabilities = (PRESETS["embedded"].sharpness * resize(logits[:count], size)).softmax(dim=1)
        return logits, probabilities, self.head(image[:count], probabilities)


def find_training_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of a name; without one the device's best, but not float16, in which small gradients vanish.

    Raises:
        ValueError: no such name, or float16.
    """
    precision = find_precision(name or None, device)
    if precision != torch.float16:
        return precision
    if name:
        raise ValueError("precision: expected float32 or bfloat16, got float16")
    return torch.float32


def open_stage(stage: str, init: str, segmenter: str) -> nn.Module:
    """Return the network that a stage trains, with its initial weights; the arguments are those of `TrainingConfig`.

    Raises:
        CheckpointError: weights that cannot be found, opened or understood.
    """
    if stage not in ("head", "joint"):
        return open_segmenter(init)
    head = MattingHead.load(init) if init else MattingHead(MattingConfig())
    return head if stage == "head" else EndToEnd(open_segmenter(segmenter), head)


def save_stage(network: nn.Module, stage: str, folder: Path) -> None:
    """Write what a stage trained, in float16, each network into a folder of its own that is laid out as a hub repository."""
    parts = dict(network.named_children()) if stage == "joint" else {stage: network}
    with silence_transformers():
        for name, part in parts.items():
            whole = deepcopy(part) if isinstance(part, MattingHead) else unfold(part)
            whole.half().save_pretrained(folder / name)


def open_segmenter(folder: str) -> nn.Module:
    """Open a T-Net to train: streamlined (`shm.segmentation.streamline`), in evaluation mode, its backbone as it is.

    The backbone never learns: it is the costliest part, and what was learned behind it keeps fitting what it says.

    Raises:
        CheckpointError: the folder holds no such model ("not_found"), or a damaged one or another's ("unreadable").
    """
    from shm.trimap_network import TrimapNetwork

    network = open_network(folder)
    if not isinstance(network, TrimapNetwork):
        sentence = f"{folder}: expected a TrimapNetwork, got a {type(network).__name__}"
        raise CheckpointError("unreadable", sentence, source=folder)
    streamline(network).requires_grad_()
    network.mobilenet_v2.requires_grad_(False)
    return network


@torch.no_grad()
def unfold(network: nn.Module) -> nn.Module:
    """Return a copy of a streamlined network as transformers reads it: its batch normalizations add a bias and do nothing else."""
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    from shm.trimap_network import TrimapNetwork

    whole, folded = TrimapNetwork(network.config), dict(network.named_modules())
    for part in BRANCHES:
        getattr(whole, part).load_state_dict(getattr(network, part).state_dict())
    for name, layer in whole.named_modules():
        if isinstance(layer, MobileNetV2ConvLayer):
            source, normalization = folded[name].convolution, layer.normalization
            layer.convolution.weight.copy_(source.weight)
            normalization.bias.copy_(source.bias)
            normalization.running_var.fill_(1 - normalization.eps)
    return whole.eval()
