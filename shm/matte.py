"""The ground that every room stands on: the tensor contract, the result, the errors.

Stages compute on (B, C, H, W) float32 in [0, 1]; C = 3 for color, C = 1 for probability, trimap or alpha. Color is sRGB-encoded
and straight, never premultiplied. What rests at the photograph's size keeps the file's depth: image and foreground are uint8 or
uint16, alpha is float32. Every public function takes floats in [0, 1] and integers alike and says what it returns. H, W are those
of the upright photograph unless a docstring says "working size" (h, w).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

DEPTHS = {torch.uint8: 255, torch.uint16: 65535}
"""Integer types that a photograph may rest in, each with the value that stands for 1.0."""


class CodedError(Exception):
    """An error that a caller can say in another language.

    Args:
        code: short stable key, such as "not_an_image".
        message: one English sentence: what was expected and what came.
        **values: the numbers and names in the sentence.
    """

    def __init__(self, code: str, message: str, **values: object) -> None:
        super().__init__(code, message)  # both, so that it comes whole out of another process
        self.code = code
        self.values: Mapping[str, object] = values

    def __str__(self) -> str:
        return self.args[1]


class ImageError(CodedError, ValueError):
    """A photograph that cannot be read or written."""


class ChoiceError(CodedError, ValueError):
    """A value that a person may have chosen or typed and that cannot be used."""


class CheckpointError(CodedError, RuntimeError):
    """Weights that cannot be found, opened or understood."""


@dataclass(frozen=True)
class Report:
    """How a matte was made.

    Attributes:
        device: where the networks ran, such as "cpu" or "cuda:0".
        precision: number format of the networks: "float32", "bfloat16" or "float16".
        working_size: (h, w) in pixels of the segmentation's input.
        detail_size: (h, w) in pixels of the photograph as the matting head sees it, or a part of it.
        refined_fraction: share of the photograph's pixels whose alpha was refined at full size, in [0, 1].
        seconds: wall time of each stage by name, in the order in which they ran.
    """

    device: str
    precision: str
    working_size: tuple[int, int]
    detail_size: tuple[int, int]
    refined_fraction: float
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Matte:
    """Everything that is known about one photograph, fields in the order they are learnt.

    Attributes:
        image: (1, 3, H, W) uint8 or uint16, the upright photograph.
        probabilities: (1, 3, h, w) float32, soft trimap (background, foreground, unknown); sums to 1; working size.
        labels: (1, 1, h, w) int64, class map S of the semantic model; working size.
        class_names: name of each label.
        alpha: (1, 1, H, W) float32 in [0, 1].
        foreground: (1, 3, H, W) in the image's type; equals the image where alpha = 1, arbitrary where alpha = 0.
        report: how it was made.
    """

    image: torch.Tensor
    probabilities: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]
    alpha: torch.Tensor
    foreground: torch.Tensor
    report: Report


def check(name: str, tensor: torch.Tensor, channels: int | None = None) -> torch.Tensor:
    """Return a tensor as the contract has it: (B, C, H, W) float32 in [0, 1].

    Args:
        name: what to call it in an error.
        tensor: (B, C, H, W), floats in [0, 1], or uint8 or uint16.
        channels: the C that is expected; None takes any.

    Returns:
        float32 on the same device: the tensor itself where it already conforms, integers divided by their largest value.

    Raises:
        TypeError: not a tensor, or of another number type.
        ValueError: not of four dimensions, empty, another number of channels, or values outside [0, 1] or not finite.

    >>> check("alpha", torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8), channels=1)
    tensor([[[[0.0000, 0.2000, 1.0000]]]])
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor of shape (B, C, H, W), got {type(tensor).__name__}")
    shape = tuple(tensor.shape)
    if tensor.ndim != 4 or 0 in shape or channels not in (None, shape[1]):
        raise ValueError(f"{name}: expected shape (B, {channels or 'C'}, H, W), got {shape}")
    if tensor.dtype in DEPTHS:
        return tensor.to(torch.float32) / DEPTHS[tensor.dtype]
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: expected floats in [0, 1], uint8 or uint16, got {tensor.dtype}")
    tensor = tensor.to(torch.float32)
    low, high = (value.item() for value in tensor.detach().aminmax())
    if not (low >= 0.0 and high <= 1.0):  # also catches NaN
        message = f"{name}: expected values in [0, 1], got {low:.4g} .. {high:.4g}"
        raise ChoiceError("out_of_range", message, name=name, low=0, high=1, got=f"{low:.4g} .. {high:.4g}")
    return tensor


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse a number outside [low, high].

    Raises:
        ChoiceError: code "out_of_range".

    >>> check_range("radius", 31, 0, 30, " pixels")
    Traceback (most recent call last):
    shm.matte.ChoiceError: radius: expected 0 .. 30 pixels, got 31
    """
    if not low <= value <= high:  # also catches NaN
        message = f"{name}: expected {low:g} .. {high:g}{unit}, got {value}"
        raise ChoiceError("out_of_range", message, name=name, low=low, high=high, got=value)


def to_depth(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return floats in [0, 1] in the depth that a photograph rests in.

    Args:
        tensor: floats in [0, 1], any shape; values outside are clipped.
        dtype: torch.uint8, torch.uint16 (rounded to the nearest step) or a float type (converted).

    Raises:
        ValueError: another type.

    >>> to_depth(torch.tensor([0.0, 0.5, 1.0]), torch.uint8)
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    tensor = tensor.clamp(0, 1)
    if dtype.is_floating_point:
        return tensor.to(dtype)
    if dtype not in DEPTHS:
        raise ValueError(f"dtype: expected uint8, uint16 or a float type, got {dtype}")
    return (tensor * DEPTHS[dtype]).round().to(dtype)
