"""The trunk of another portrait matting network as a segmenter to train: both are MobileNetV2 1.0.

Source: Ke et al., MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition, AAAI 2022.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from shm.matte import CheckpointError
from shm.segmentation import streamline
from shm.training.networks import save_stage
from shm.trimap_network import TrimapNetwork, TrimapNetworkConfig

SPREAD = 0.25
"""About the standard deviation of what MODNet's trunk says: the new head is drawn to fit it."""

Convolution = tuple[torch.Tensor, torch.Tensor]
"""Weight (outputs, inputs, height, width) and bias (outputs,)."""


def convert_trunk(source: Path, folder: Path) -> None:
    """Write folder/segmenter, a T-Net with the trunk of a network in an ONNX file; all behind it is new.

    Args:
        source: MODNet in the ONNX format, its batch normalization folded into its convolutions.
        folder: laid out as that of a training run.

    Raises:
        ImportError: onnx is not installed.
        CheckpointError: code "unreadable", the file begins with another network.
    """
    save_stage(build_segmenter(read_convolutions(source), str(source)), "segmenter", folder)


def read_convolutions(source: Path) -> list[Convolution]:
    """Return each convolution of an ONNX file that has a bias, in the order in which they run.

    Raises:
        ImportError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("an ONNX file is read by onnx: pip install onnx") from error
    graph = onnx.load(source).graph
    tensors = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    inputs = [node.input for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    return [(tensors[weight], tensors[bias]) for _, weight, bias in inputs]


@torch.no_grad()
def build_segmenter(convolutions: list[Convolution], source: str) -> TrimapNetwork:
    """Return a T-Net, its batch normalization folded, with the first convolutions for its trunk and a new head.

    Args:
        convolutions: of a network that begins with MobileNetV2, in the order in which they run.
        source: what to call that network where it is another one.

    Raises:
        CheckpointError: code "unreadable", the convolutions are those of another network.
    """
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    classes = dict(enumerate(("background", "person", "unknown")))
    settings = {"id2label": classes, "label2id": {name: index for index, name in classes.items()}}
    network = streamline(TrimapNetwork(TrimapNetworkConfig(output_stride=16, tf_padding=False, **settings)))
    layers = [layer.convolution for layer in network.mobilenet_v2.modules() if isinstance(layer, MobileNetV2ConvLayer)]
    wanted = [tuple(layer.weight.shape) for layer in layers]
    if [tuple(weight.shape) for weight, _ in convolutions[: len(layers)]] != wanted:
        sentence = f"{source}: expected a network that begins with the {len(wanted)} convolutions of MobileNetV2 1.0, got another"
        raise CheckpointError("unreadable", sentence, source=source)
    for layer, (weight, bias) in zip(layers, convolutions):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    head = network.segmentation_head
    for layer in (head.conv_pool, head.conv_aspp, head.conv_projection, head.classifier):
        nn.init.kaiming_normal_(layer.convolution.weight, nonlinearity="relu")
    for layer in (head.conv_pool, head.conv_aspp):
        layer.convolution.weight.div_(SPREAD)
    head.classifier.convolution.weight.mul_(0.05)  # unsure at first
    return network
