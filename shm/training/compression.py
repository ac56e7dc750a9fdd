"""MODNet taken apart: what the T-Net and the matting head begin with.

Source: Ke, Sun, Li, Yan and Lau, MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition, AAAI 2022. Its
backbone and its branch of semantics become the T-Net, its branch of detail and its fusion the head, which gets a soft trimap in the
place of the semantics. Most of what lies behind the backbone is one convolution, of 1,280 channels, and what weighs these by the
picture. Here their weights are the mean ones, and that convolution is of low rank: the one that says most nearly the same of real
photographs, after which the branch learns to say what MODNet's says of them. So does the head's branch behind the trimap.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shm.filters import fit_size, gaussian_blur, resize
from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead, describe
from shm.segmentation import PRESETS, Segmenter, streamline
from shm.training.dataset import EDGE_RADIUS, read
from shm.training.networks import save_stage
from shm.trimap import trimap_from_alpha
from shm.trimap_network import TrimapNetwork, TrimapNetworkConfig

EXAMPLES, RATE = 4, 5e-4
"""Pictures a step of learning, and how far each step goes at first."""

LARGE = (96, 1280, 5, 5)
"""Shape of the large convolution's weights, which occurs once."""

BLUR = 3.0
"""Standard deviation in pixels with which an exact trimap becomes about as soft as one that a T-Net says."""

SHRUNK = 1e-4
"""Part of the largest variance that is added to all, so that none is nothing."""

Convolution = tuple[torch.Tensor, torch.Tensor]
"""Weight (outputs, inputs, height, width) and bias (outputs,)."""


@dataclass(frozen=True)
class Original:
    """Weights of MODNet.

    Attributes:
        convolutions: in the order in which they run, batch normalization folded.
        squeeze, excite: (1280, C) and (C, 1280), which say by the means of the deepest features how much each of them counts.
    """

    convolutions: list[Convolution]
    squeeze: torch.Tensor
    excite: torch.Tensor


def convert_network(source: Path, pictures: Path, folder: Path, *, count: int = 400, steps: int = 600) -> None:
    """Write folder/segmenter and folder/head, of rank 0, with the weights of MODNet as far as there is a place for them.

    The segmenter's classifier and presence are new, and have to be taught before it is of use; `shm.training.narrowing` makes the
    head cheaper.

    Args:
        source: MODNet in the ONNX format.
        pictures: folder of photographs, of which both are to say what MODNet says.
        folder: laid out as that of a training run.
        count: how many of the photographs are looked at, evenly spread over their names.
        steps: of learning, each upon four of them.

    Raises:
        ImportError: onnx is not installed.
        CheckpointError: code "unreadable", the file holds another network.
        FileNotFoundError: there are no photographs.
    """
    files = sorted(path for path in pictures.glob("*.*"))
    if not files:
        raise FileNotFoundError(f"{pictures}: expected photographs, found none")
    original = read_original(source)
    network, head = take_apart(original, str(source))
    chosen = files[:: math.ceil(len(files) / count)]
    imitate(network, head, original, [read(path, "RGB") for path in chosen], steps)
    save_stage(network, "segmenter", folder)
    save_stage(head, "head", folder)


def read_original(source: Path) -> Original:
    """Read MODNet from an ONNX file.

    Raises:
        ImportError: onnx is not installed.
        CheckpointError: code "unreadable", the file holds another network.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("an ONNX file is read by onnx: pip install onnx") from error
    graph = onnx.load(source).graph
    tensors = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    convolutions: list[Convolution] = []
    for node in graph.node:
        known = [tensors[name] for name in node.input if name in tensors]
        if node.op_type == "Conv" and len(known) == 2:
            convolutions.append((known[0], known[1]))
        elif node.op_type == "BatchNormalization":
            if not convolutions or len(known) != 4 or len(known[0]) > len(convolutions[-1][1]):
                raise refuse(str(source))
            epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 1e-5)
            convolutions[-1] = fold_half(*convolutions[-1], known, epsilon)
    products = [tensors[node.input[1]] for node in graph.node if node.op_type == "MatMul"]
    if len(products) != 2:
        raise refuse(str(source))
    return Original(convolutions, *products)


def fold_half(weight: torch.Tensor, bias: torch.Tensor, statistics: list[torch.Tensor], epsilon: float) -> Convolution:
    """Return a convolution followed by a batch normalization of its first channels as a convolution alone.

    Args:
        weight, bias: of the convolution.
        statistics: factor, term, mean and variance of the normalization.
        epsilon: added to the variance.
    """
    factor, term, mean, variance = statistics
    scale, count = factor / (variance + epsilon).sqrt(), len(factor)
    weight, bias = weight.clone(), bias.clone()
    weight[:count] *= scale.view(-1, 1, 1, 1)
    bias[:count] = (bias[:count] - mean) * scale + term
    return weight, bias


@torch.no_grad()
def take_apart(original: Original, source: str) -> tuple[TrimapNetwork, MattingHead]:
    """Return a T-Net, its batch normalization folded, and a head with the weights of MODNet where there is a place for them.

    Args:
        original: the weights.
        source: what to call them where they are those of another network.

    Raises:
        CheckpointError: code "unreadable", they are.
    """
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    classes = dict(enumerate(("background", "person", "unknown")))
    settings = {"id2label": classes, "label2id": {name: index for index, name in classes.items()}}
    network = streamline(TrimapNetwork(TrimapNetworkConfig(tf_padding=False, **settings)))
    head = MattingHead(MattingConfig(rank=0)).eval()
    backbone = [layer.convolution for layer in network.mobilenet_v2.modules() if isinstance(layer, MobileNetV2ConvLayer)]
    detail = head.detail
    branch = (detail.from_half, detail.down, detail.from_quarter, detail.mix, *detail.at_quarter, *detail.at_half)
    layers = (network.semantic.eighth, *branch, head.coarse, head.at_half, head.at_full)
    places = [*backbone, None, *(layer.convolution for layer in layers), head.alpha]
    shapes = [LARGE if place is None else tuple(place.weight.shape) for place in places]
    if [tuple(weight.shape) for weight, _ in original.convolutions] != shapes:
        raise refuse(source)
    beginning = [layer for layer in head.beginning.modules() if isinstance(layer, nn.Conv2d)]
    places, weights = places + beginning, original.convolutions + original.convolutions[: len(beginning)]
    for place, (weight, bias) in zip(places, weights):
        if place is not None:
            place.weight.copy_(weight)
            place.bias.copy_(bias)
    for layer in (network.classifier[0], network.classifier[2]):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    network.classifier[2].weight.mul_(0.1)  # unsure at first
    return network, head


@torch.no_grad()
def imitate(network: TrimapNetwork, head: MattingHead, original: Original, pictures: list[torch.Tensor], steps: int) -> None:
    """Give the two semantic branches the weights with which they say most nearly what MODNet's says of pictures.

    Args:
        network, head: as `take_apart` returns them.
        original: MODNet.
        pictures: (3, H, W) uint8.
        steps: of learning, for each of the two.
    """
    semantic, place = network.semantic, [tuple(weight.shape) for weight, _ in original.convolutions].index(LARGE)
    weight, bias = original.convolutions[place]
    true = deepcopy(semantic)
    true.sixteenth.convolution = nn.Conv2d(LARGE[1], LARGE[0], LARGE[2], padding=LARGE[2] // 2)
    true.sixteenth.convolution.weight.copy_(weight)
    true.sixteenth.convolution.bias.copy_(bias)
    moments, gates, deeply, behind = torch.zeros(LARGE[1], LARGE[1]), [], [], []
    for picture in pictures:
        size = fit_size(*picture.shape[-2:], PRESETS["embedded"].side, Segmenter.MULTIPLE)
        view = resize(picture[None].float() / 255, size) * 2 - 1
        deep = network.mobilenet_v2(view).last_hidden_state
        gate = ((deep.mean(dim=(2, 3)) @ original.squeeze).relu() @ original.excite).sigmoid()[..., None, None]
        weighed = deep * gate
        moments += weighed[0].flatten(1) @ weighed[0].flatten(1).T / weighed[0, 0].numel()
        gates.append(gate)
        said = true(weighed)
        half, quarter = head.beginning(view)
        alpha = head.decide(view, half, quarter, said).sigmoid()
        trimap = gaussian_blur(trimap_from_alpha((alpha * 1.04 - 0.02).clamp(0, 1), radius=EDGE_RADIUS), BLUR)
        deeply.append((deep.bfloat16(), said.bfloat16()))
        behind.append((describe(trimap, quarter).bfloat16(), said.bfloat16()))
    first, second = factorize(weight, moments / len(pictures), network.reduce.out_channels)
    network.reduce.weight.copy_(first * torch.cat(gates).mean(dim=0).view(1, -1, 1, 1))
    semantic.sixteenth.convolution.weight.copy_(second)
    semantic.sixteenth.convolution.bias.copy_(bias)
    teach_branch(nn.Sequential(network.reduce, semantic), deeply, steps=steps)
    teach_branch(head.semantic, behind, steps=steps)


@torch.enable_grad()
def teach_branch(branch: nn.Module, examples: list[tuple[torch.Tensor, torch.Tensor]], *, steps: int) -> None:
    """Train a network, in place, to say of the first of each pair nearly the second.

    Args:
        branch: (1, C, h, w) to (1, C', h', w').
        examples: of what it sees, and what it is to say.
        steps: how many, each upon `EXAMPLES` pairs; the rate falls to nothing along a cosine.
    """
    rng = np.random.default_rng(1)
    optimizer = torch.optim.AdamW(branch.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for _ in range(steps):
        optimizer.zero_grad()
        for index in rng.integers(0, len(examples), EXAMPLES):
            seen, wanted = (tensor.float() for tensor in examples[index])
            (functional.mse_loss(branch(seen), wanted) / EXAMPLES).backward()
        optimizer.step()
        schedule.step()


def factorize(weight: torch.Tensor, moments: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two convolutions, the first of 1x1, which in a row say most nearly what one says.

    The mean square of the difference is least, over inputs of these second moments: with S S^T the moments, the first is the
    first right singular vectors of W S, times S^-1.

    Args:
        weight: W (outputs, inputs, height, width).
        moments: (inputs, inputs), of the inputs.
        rank: channels between the two.

    Returns:
        (rank, inputs, 1, 1) and (outputs, rank, height, width).
    """
    values, vectors = torch.linalg.eigh(moments)
    lengths = (values.clamp(min=0) + SHRUNK * values.max()).sqrt()
    root = vectors * lengths
    rows = weight.permute(0, 2, 3, 1).flatten(0, 2) @ root
    chosen = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -rank:]
    first = (vectors / lengths @ chosen).T
    second = (rows @ chosen).view(weight.shape[0], *weight.shape[2:], rank).permute(0, 3, 1, 2)
    return first[:, :, None, None], second.contiguous()


def refuse(source: str) -> CheckpointError:
    """Return the error for weights of another network."""
    return CheckpointError("unreadable", f"{source}: expected MODNet in the ONNX format, got another network", source=source)
