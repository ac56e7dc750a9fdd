"""What our own networks have in common: how they are opened, and their building block."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn

from shm.matte import CheckpointError

Network = TypeVar("Network", bound=nn.Module)


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


def load_network(build: Callable[..., Network], source: str) -> Network:
    """Open a network of our own, in evaluation mode on the CPU in float32; a folder and a hub repository alike.

    Args:
        build: makes the network out of what config.json holds.
        source: folder or hub repository with config.json and model.safetensors.

    Raises:
        CheckpointError: no such folder or repository, or no way to reach the hub ("not_found"); a file that is damaged or of
            another network ("unreadable").
    """
    try:
        folder = Path(source)
        if not folder.is_dir():
            folder = Path(snapshot_download(source, allow_patterns=["config.json", "model.safetensors"]))
        network = build(**json.loads((folder / "config.json").read_text()))
        load_model(network, folder / "model.safetensors")
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            "not_found" if isinstance(error, (OSError, HFValidationError)) else "unreadable",
            f"{source}: expected the folder or a reachable hub repository of a network with config.json and "
            f"model.safetensors, got: {str(error).strip().partition(chr(10))[0]}",
            source=source,
        ) from error
    return network.eval()
