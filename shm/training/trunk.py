"""The trunk of another portrait matting network, MODNet (Ke et al., MODNet: Real-Time Trimap-Free Portrait Matting via Objective
Decomposition, AAAI 2022), as a segmenter to train: both are MobileNetV2 1.0, and MODNet's has seen people and their hair."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from shm.matte import CheckpointError
from shm.trimap_network import TrimapNetwork, TrimapNetworkConfig

SPREAD = 0.25
"""About the standard deviation of what MODNet's trunk says: the new head is drawn to fit it."""


def convert_trunk(source: Path, folder: Path) -> None:
    """Write a T-Net with the trunk of a network in an ONNX file; all behind it is new.

    Args:
        source: MODNet in the ONNX format, its batch normalization folded into its convolutions.
        folder: for config.json and model.safetensors.

    Raises:
        ImportError: onnx is not installed.
        CheckpointError: code "unreadable", the file begins with another network.
    """
    build_segmenter(read_convolutions(source), str(source)).save_pretrained(folder)


def read_convolutions(source: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weight and bias of each convolution of an ONNX file, in the order in which they run.

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
def build_segmenter(convolutions: list[tuple[torch.Tensor, torch.Tensor]], source: str) -> TrimapNetwork:
    """Return a T-Net whose trunk has the weights and biases of the first convolutions, and a new head.

    Raises:
        CheckpointError: code "unreadable", the convolutions are those of another network.
    """
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    classes = dict(enumerate(("background", "person", "unknown")))
    settings = {"id2label": classes, "label2id": {name: index for index, name in classes.items()}}
    network = TrimapNetwork(TrimapNetworkConfig(output_stride=16, tf_padding=False, **settings)).eval()
    layers = [layer for layer in network.mobilenet_v2.modules() if isinstance(layer, MobileNetV2ConvLayer)]
    wanted = [tuple(layer.convolution.weight.shape) for layer in layers]
    got = [tuple(weight.shape) for weight, _ in convolutions[: len(layers)]]
    if got != wanted:
        sentence = f"{source}: expected a network that begins with the {len(wanted)} convolutions of MobileNetV2 1.0, got another"
        raise CheckpointError("unreadable", sentence, source=source)
    for layer, (weight, bias) in zip(layers, convolutions):
        layer.convolution.weight.copy_(weight)
        layer.normalization.bias.copy_(bias)
        layer.normalization.running_var.fill_(1 - layer.normalization.eps)  # it adds the bias and does nothing else
    for layer in network.segmentation_head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    head = network.segmentation_head
    for layer in (head.conv_pool, head.conv_aspp):
        layer.convolution.weight.div_(SPREAD)
    head.classifier.convolution.weight.mul_(0.05)
    return network
