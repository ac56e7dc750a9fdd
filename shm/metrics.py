"""Matting errors between a predicted and a true alpha, in the units in which papers print them.

Every function takes (1, 1, H, W) tensors, floats in [0, 1], uint8 or uint16, and returns a float. `region` is a bool mask
(1, 1, H, W) that says which pixels count, such as `unknown_region`; None counts all.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage

from shm.matte import check


def sad(pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None) -> float:
    """Sum of absolute differences, in thousands: Σ|α − α*| / 1000.

    >>> sad(torch.zeros(1, 1, 50, 50), torch.ones(1, 1, 50, 50))
    2.5
    """
    pred, true, counted = _read(pred, true, region)
    return float(np.abs(pred - true)[counted].sum() / 1000)


def mad(pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None) -> float:
    """Mean absolute difference × 1000; nan where the region is empty.

    >>> mad(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2))
    500.0
    """
    pred, true, counted = _read(pred, true, region)
    return float(np.abs(pred - true)[counted].mean() * 1000) if counted.any() else math.nan


def mse(pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None) -> float:
    """Mean squared difference × 1000; nan where the region is empty.

    >>> mse(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2))
    250.0
    """
    pred, true, counted = _read(pred, true, region)
    return float(np.square(pred - true)[counted].mean() * 1000) if counted.any() else math.nan


def grad(pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None, *, sigma: float = 1.4) -> float:
    """Gradient error: Σ(|∇α| − |∇α*|)² / 100, ∇ by derivatives of a Gaussian (Rhemann et al., CVPR 2009).

    Args:
        sigma: standard deviation of the Gaussian, in pixels.

    >>> grad(torch.zeros(1, 1, 5, 5), torch.ones(1, 1, 5, 5))
    0.0
    """
    pred, true, counted = _read(pred, true, region)
    difference = _gradient_magnitude(pred, sigma) - _gradient_magnitude(true, sigma)
    return float(np.square(difference)[counted].sum() / 100)


def conn(
    pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None, *, step: float = 0.1, theta: float = 0.15
) -> float:
    """Connectivity error, in thousands: Σ|φ(α) − φ(α*)| / 1000 (Rhemann et al., CVPR 2009).

    φ(α) = 1 − d·[d ≥ θ] with d = α − l; l is the last threshold before the pixel leaves the largest component (of four
    neighbors) in which both alphas reach the threshold.

    Args:
        step: between the thresholds.
        theta: distance to l below which a pixel counts as connected.

    >>> alpha = torch.tensor([[[[1.0, 1.0, 0.0, 0.8]]]])
    >>> round(1000 * conn(torch.zeros_like(alpha), alpha), 3)
    2.8
    """
    pred, true, counted = _read(pred, true, region)
    both = np.minimum(pred, true)
    last = np.ones_like(both)
    pending = np.ones(both.shape, bool)
    thresholds = np.arange(0, 1 + step, step)
    for lower, upper in zip(thresholds[:-1], thresholds[1:], strict=True):
        leaving = pending & ~_largest_component(both >= upper)
        last[leaving] = lower
        pending &= ~leaving
    return float(np.abs(_connectedness(pred, last, theta) - _connectedness(true, last, theta))[counted].sum() / 1000)


def iou(pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None = None) -> float:
    """Intersection over union of the pixels above one half; 0 where neither has any.

    >>> iou(torch.tensor([[[[0.9, 0.9, 0.1]]]]), torch.tensor([[[[0.9, 0.1, 0.1]]]]))
    0.5
    """
    pred, true, counted = _read(pred, true, region)
    pred, true = (pred > 0.5) & counted, (true > 0.5) & counted
    return float((pred & true).sum() / max(1, (pred | true).sum()))


def unknown_region(true: torch.Tensor, radius: int = 10) -> torch.Tensor:
    """Return where matting is hard: within `radius` steps of a soft or edge pixel of the true alpha.

    Args:
        true: (1, 1, H, W); soft is between 0.02 and 0.98, an edge runs at 0.5.
        radius: in steps to one of four neighbors, at least 1.

    Returns:
        (1, 1, H, W) bool mask.

    Raises:
        ValueError: the radius is below 1.

    >>> unknown_region(torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]]]), radius=1)
    tensor([[[[False,  True,  True,  True,  True, False]]]])
    """
    if radius < 1:
        raise ValueError(f"radius: expected at least 1, got {radius}")
    alpha, _, _ = _read(true, true, None)
    person = alpha >= 0.5
    edge = ndimage.binary_dilation(person) & ~ndimage.binary_erosion(person, border_value=1)
    soft = (alpha > 0.02) & (alpha < 0.98)
    return torch.from_numpy(ndimage.binary_dilation(soft | edge, iterations=radius))[None, None]


def _read(
    pred: torch.Tensor, true: torch.Tensor, region: torch.Tensor | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pred, true = check("pred", pred, 1), check("true", true, 1)
    shape = tuple(true.shape)
    if shape[0] != 1 or tuple(pred.shape) != shape:
        raise ValueError(f"pred, true: expected one shape (1, 1, H, W), got {tuple(pred.shape)} and {shape}")
    if region is None:
        region = torch.ones(shape, dtype=torch.bool)
    if region.dtype != torch.bool or tuple(region.shape) != shape:
        raise ValueError(f"region: expected a bool mask {shape}, got {region.dtype} {tuple(region.shape)}")
    return tuple(tensor.detach().cpu().numpy()[0, 0] for tensor in (pred, true, region))


def _gradient_magnitude(alpha: np.ndarray, sigma: float) -> np.ndarray:
    return np.hypot(*(ndimage.gaussian_filter(alpha, sigma, order=order) for order in ((0, 1), (1, 0))))


def _largest_component(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else mask


def _connectedness(alpha: np.ndarray, last: np.ndarray, theta: float) -> np.ndarray:
    distance = alpha - last
    return 1 - distance * (distance >= theta)
