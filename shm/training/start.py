"""The networks as a training run begins with them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import silence_transformers


def open_network(stage: str, init: str) -> nn.Module:
    """Return the network that a stage trains, with its initial weights.

    Args:
        stage: "segmenter" or "head".
        init: folder of the weights; empty for a head that starts from random ones.

    Raises:
        CheckpointError: the folder holds no such network.
    """
    if stage == "head":
        return MattingHead.load(init) if init else MattingHead(MattingConfig())
    return open_segmenter(init)


def open_segmenter(folder: str) -> nn.Module:
    """Open a DeepLabV3 as a T-Net: its classes become background, person and unknown, its output stride 16, with a decoder.

    The classifier's rows for "background" and "person" are kept; "unknown" begins halfway between the two; a decoder that is not
    there yet begins by changing nothing.

    Raises:
        CheckpointError: the folder holds no such model, or one without these labels.
    """
    from shm.deeplab import Decoder, DeepLabPlus

    classes = ("background", "person", "unknown")
    try:
        with silence_transformers():
            settings = {"output_stride": 16, "dtype": torch.float32, "local_files_only": True, "output_loading_info": True}
            network, loaded = DeepLabPlus.from_pretrained(folder, **settings)
    except (OSError, ValueError) as error:
        raise CheckpointError("not_found", f"{folder}: expected a MobileNetV2 DeepLabV3, got: {error}") from error
    if any(name.startswith("decoder") for name in loaded["missing_keys"]):
        network.decoder = Decoder(network.config)
    for part in (network.mobilenet_v2.conv_stem, *network.mobilenet_v2.layer[:2]):  # half the cost, and nothing to relearn
        part.requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.dilation != (1, 1) and layer.groups > 1:
            layer.__class__ = PhasedConv
    names = [network.config.id2label[index] for index in range(network.config.num_labels)]
    if tuple(names) == classes:
        return network
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
    network.decoder = Decoder(network.config)
    return network


class PhasedConv(nn.Conv2d):
    """A dilated depthwise convolution as undilated ones over every d-th pixel: the same numbers, but a backward pass that is
    three times as fast on CPUs."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return what `nn.Conv2d` returns for (B, C, H, W) features."""
        step = self.dilation[0]
        batch, channels, height, width = features.shape
        padded = functional.pad(features, (0, -width % step, 0, -height % step))
        phases = padded.unflatten(3, (-1, step)).unflatten(2, (-1, step)).permute(3, 5, 0, 1, 2, 4).flatten(0, 2)
        phases = phases.contiguous(memory_format=torch.channels_last)
        filtered = functional.conv2d(phases, self.weight, self.bias, groups=self.groups)
        filtered = filtered.unflatten(0, (step, step, batch)).permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)
        lost = [span * (size - 1) for span, size in zip(self.dilation, self.kernel_size)]
        return filtered[..., : height - lost[0], : width - lost[1]]
