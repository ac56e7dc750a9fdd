"""The networks that training begins with, and what it leaves behind."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from shm.filters import fit_size, resize
from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import PRESETS, Segmenter, silence_transformers, streamline
from shm.training.dataset import SEEN_FRACTION

NEW_PARTS = ("segmentation_head", "decoder", "presence")
"""Parts of the segmenter that may begin untrained: during the warm-up they learn alone."""

FROZEN = 6
"""Layers of the trunk that never learn, down to a sixteenth of the input's size: two thirds of the cost, and nothing to relearn."""


class EndToEnd(nn.Module):
    """Both networks in a row, so that what is wrong with alpha reaches the segmenter as well.

    As in the pipeline the segmenter sees pictures smaller than the head does, but at one scale.

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
            the segmenter's logits (B, 3, h, w) and presence (B, 1, 1, 1), and of the first pictures the probabilities
            (count, 3, H, W) and alpha_r (count, 1, H, W).
        """
        size = tuple(image.shape[-2:])
        small = resize(image, fit_size(*size, round(SEEN_FRACTION * max(size)), Segmenter.MULTIPLE))
        said = self.segmenter(small * 2 - 1)
        logits = said.logits.float()
        probabilities = (PRESETS["embedded"].sharpness * resize(logits[:count], size)).softmax(dim=1)
        return logits, said.presence, probabilities, self.head(image[:count], probabilities)


def open_stage(stage: str, init: str, segmenter: str) -> nn.Module:
    """Return the network that a stage trains, with its initial weights; the arguments are those of `TrainingConfig`.

    Raises:
        CheckpointError: weights that cannot be found, opened or understood.
    """
    if stage in ("segmenter", "decoder", "presence"):
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
    """Open a DeepLabV3 as a T-Net: its classes become background, person and unknown, its output stride 16.

    The classifier's rows for "background" and "person" are kept; "unknown" begins halfway between the two. A decoder and a
    presence are added where there are none; at first they correct next to nothing. It comes folded (`fold`), in evaluation mode.

    Raises:
        CheckpointError: the folder holds no such model ("not_found"), a damaged one or another's ("unreadable"), or one without
            these labels ("unknown_label").
    """
    from shm.trimap_network import TrimapNetwork

    classes = ("background", "person", "unknown")
    settings = {"output_stride": 16, "dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    try:
        with silence_transformers():
            network, loaded = TrimapNetwork.from_pretrained(folder, local_files_only=True, **settings)
        missing = {name.partition(".")[0] for name in loaded["missing_keys"]}
        if missing - {"decoder", "presence"}:
            raise ValueError(f"a model that lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        code = "not_found" if isinstance(error, OSError) else "unreadable"
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(code, f"{folder}: expected a MobileNetV2 DeepLabV3, got: {reason}", source=folder) from error
    names = [network.config.id2label[index] for index in range(network.config.num_labels)]
    if tuple(names) != classes:
        replace_classifier(network, names, classes, folder)
    if "decoder" in missing or tuple(names) != classes:
        network.add_decoder()
    if "presence" in missing:
        network.add_presence()
    return fold(network)


def fold(network: nn.Module) -> nn.Module:
    """Make a `TrimapNetwork` faster to train, in place, with the same result: fewer passes over memory.

    It is streamlined as for use (`shm.segmentation.streamline`), since its batch normalization keeps its statistics; dilated
    convolutions become `PhasedConv`; the first `FROZEN` layers stay as they are.
    """
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    for layer in streamline(network).modules():
        if isinstance(layer, MobileNetV2ConvLayer):
            conv = layer.convolution.requires_grad_()
            if conv.dilation != (1, 1) and conv.groups > 1:
                conv.__class__ = PhasedConv
    for part in (network.mobilenet_v2.conv_stem, *network.mobilenet_v2.layer[:FROZEN]):
        part.requires_grad_(False)
    return network


@torch.no_grad()
def unfold(network: nn.Module) -> nn.Module:
    """Return a copy of a folded network as transformers reads it: its batch normalizations add a bias and do nothing else."""
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    from shm.trimap_network import TrimapNetwork

    whole, folded = TrimapNetwork(network.config), dict(network.named_modules())
    for part in ("decoder", "presence"):
        getattr(whole, part).load_state_dict(getattr(network, part).state_dict())
    for name, layer in whole.named_modules():
        if not isinstance(layer, MobileNetV2ConvLayer):
            continue
        if name == "mobilenet_v2.conv_1x1":  # the classification branch; no segmentation uses it
            nn.init.zeros_(layer.convolution.weight)
            continue
        source, normalization = folded[name].convolution, layer.normalization
        layer.convolution.weight.copy_(source.weight)
        if normalization is None:
            layer.convolution.bias.copy_(source.bias)
        else:
            normalization.bias.copy_(source.bias)
            normalization.running_var.fill_(1 - normalization.eps)
    return whole.eval()


def replace_classifier(network: nn.Module, names: list[str], classes: tuple[str, str, str], folder: str) -> None:
    """Give a DeepLabV3 the classes background, person and unknown.

    Raises:
        CheckpointError: code "unknown_label", it lacks background or person.
    """
    if not {"background", "person"} <= set(names):
        raise CheckpointError("unknown_label", f"{folder}: expected labels background and person, got {', '.join(names)}")
    head = network.segmentation_head
    old = head.classifier.convolution
    new = nn.Conv2d(old.in_channels, len(classes), old.kernel_size)
    for tensor, source in ((new.weight, old.weight), (new.bias, old.bias)):
        background, person = (source.detach()[names.index(name)] for name in classes[:2])
        tensor.data = torch.stack([background, person, (background + person) / 2])
    head.classifier.convolution = new
    network.config.id2label = dict(enumerate(classes))
    network.config.label2id = {name: index for index, name in enumerate(classes)}


class PhasedConv(nn.Conv2d):
    """A dilated depthwise convolution as undilated ones over every d-th pixel: the same numbers, but a faster backward pass on CPUs."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return what `nn.Conv2d` returns for (B, C, H, W) features."""
        step = self.dilation[0]
        around = self.padding[0]
        features = functional.pad(features, (around, around, around, around))
        batch, channels, height, width = features.shape
        padded = functional.pad(features, (0, -width % step, 0, -height % step))
        phases = padded.unflatten(3, (-1, step)).unflatten(2, (-1, step)).permute(3, 5, 0, 1, 2, 4).flatten(0, 2)
        phases = phases.contiguous(memory_format=torch.channels_last)
        filtered = functional.conv2d(phases, self.weight, self.bias, groups=self.groups)
        filtered = filtered.unflatten(0, (step, step, batch)).permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)
        lost = [span * (size - 1) for span, size in zip(self.dilation, self.kernel_size)]
        return filtered[..., : height - lost[0], : width - lost[1]]
