"""Metrics against sums done by hand and against plain numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from shm import metrics
from shm.filters import gaussian_blur
from shm.matte import DEPTHS, to_depth

ALL = [metrics.sad, metrics.mad, metrics.mse, metrics.grad, metrics.conn]


def pair(height: int = 37, width: int = 53) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two smooth, different alphas with flat parts, full range, in the steps of 8 bits."""
    noise = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(3))
    alphas = ((gaussian_blur(noise, 3.0) - 0.5) * 8 + 0.5).clamp(0, 1)
    return tuple(((alpha * 255).round() / 255)[None] for alpha in alphas)


def alpha_of(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows)[None, None]


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_nothing_differs_from_itself(metric, size: tuple[int, int]) -> None:
    alpha = pair(*size)[0]
    assert metric(alpha, alpha) == 0.0


@pytest.mark.parametrize("metric", [*ALL, metrics.iou])
def test_flipping_both_changes_nothing(metric) -> None:
    pred, true = pair()
    assert metric(pred.flip(-1), true.flip(-1)) == pytest.approx(metric(pred, true), rel=1e-5)


@pytest.mark.parametrize("metric", [*ALL, metrics.iou])
def test_integers_and_floats_agree(metric) -> None:
    pred, true = pair()
    for dtype in DEPTHS:
        assert metric(to_depth(pred, dtype), to_depth(true, dtype)) == pytest.approx(metric(pred, true), rel=1e-5)


def test_sums_and_means_by_hand() -> None:
    pred, true = alpha_of([[0.0, 0.5], [1.0, 1.0]]), alpha_of([[0.0, 1.0], [0.0, 0.75]])
    assert metrics.sad(pred, true) == pytest.approx((0.5 + 1 + 0.25) / 1000)
    assert metrics.mad(pred, true) == pytest.approx((0.5 + 1 + 0.25) / 4 * 1000)
    assert metrics.mse(pred, true) == pytest.approx((0.25 + 1 + 0.0625) / 4 * 1000)
    assert metrics.iou(pred, true) == pytest.approx(1 / 3)  # 0.5 itself is not above one half


def test_region_counts_only_its_pixels() -> None:
    pred, true = alpha_of([[0.0, 0.5], [1.0, 1.0]]), alpha_of([[0.0, 1.0], [0.0, 0.75]])
    region = torch.tensor([[[[True, True], [False, False]]]])
    assert metrics.sad(pred, true, region) == pytest.approx(0.0005)
    assert metrics.mad(pred, true, region) == pytest.approx(250)
    assert metrics.mse(pred, true, region) == pytest.approx(125)
    assert metrics.iou(pred, true, region) == 0.0


@pytest.mark.parametrize("metric", [metrics.sad, metrics.grad, metrics.conn])
def test_a_sum_over_the_region_and_over_the_rest_is_the_sum(metric) -> None:
    pred, true = pair()
    region = metrics.unknown_region(true, radius=1) & (torch.arange(53) < 30)
    assert region.any() and not region.all()
    assert metric(pred, true, region) + metric(pred, true, ~region) == pytest.approx(metric(pred, true), rel=1e-5)


def test_means_over_an_empty_region_are_not_a_number() -> None:
    pred, true = pair()
    empty = torch.zeros_like(true, dtype=torch.bool)
    assert math.isnan(metrics.mad(pred, true, empty)) and math.isnan(metrics.mse(pred, true, empty))
    assert metrics.sad(pred, true, empty) == metrics.grad(pred, true, empty) == metrics.conn(pred, true, empty) == 0.0


def test_grad_equals_convolution_with_sampled_derivatives() -> None:
    offsets = np.arange(-6.0, 7.0)
    bell = np.exp(-(offsets**2) / (2 * 1.4**2))
    bell /= bell.sum()
    slope = -offsets / 1.4**2 * bell

    def magnitude(alpha: torch.Tensor) -> np.ndarray:
        plane = np.pad(alpha[0, 0].double().numpy(), 6, mode="symmetric")
        kernels = np.outer(bell, slope), np.outer(slope, bell)
        return np.hypot(*(scipy.ndimage.convolve(plane, kernel)[6:-6, 6:-6] for kernel in kernels))

    pred, true = pair()
    expected = ((magnitude(pred) - magnitude(true)) ** 2).sum() / 100
    assert metrics.grad(pred, true) == pytest.approx(expected, rel=1e-4)


def test_conn_by_hand_counts_what_is_cut_off() -> None:
    true = alpha_of([[1.0, 1.0, 0.0, 1.0]])
    pred = alpha_of([[1.0, 1.0, 0.0, 0.2]])
    # The last pixel leaves at once: l = 0, phi(true) = 1 - 1 = 0, phi(pred) = 1 - 0.2 = 0.8. The third is 0 in both.
    assert metrics.conn(pred, true) == pytest.approx(0.8 / 1000, rel=1e-5)


def test_conn_by_hand_forgives_less_than_theta() -> None:
    true = alpha_of([[1.0, 1.0, 1.0]])
    # l = 0.8: distances 0.2 and 0.1; the second is below 0.15. A pixel at 0.74 has l = 0.7: 0.3 and 0.04.
    assert metrics.conn(alpha_of([[1.0, 1.0, 0.9]]), alpha_of([[1.0, 1.0, 0.84]])) == 0.0
    assert metrics.conn(alpha_of([[1.0, 1.0, 0.84]]), true) == pytest.approx(0.2 / 1000, rel=1e-4)
    assert metrics.conn(alpha_of([[1.0, 1.0, 0.74]]), true) == pytest.approx(0.3 / 1000, rel=1e-4)


def test_conn_takes_the_first_of_two_equal_components() -> None:
    alpha = alpha_of([[1.0, 0.0, 0.6]])
    # Up to 0.6 both are one pixel large and the first is kept: only the last pixel leaves, at l = 0.
    assert metrics.conn(torch.zeros_like(alpha), alpha) == pytest.approx((1.0 + 0.6) / 1000, rel=1e-5)


def test_conn_equals_a_flood_fill() -> None:
    pred, true = pair(20, 24)
    a, b = pred[0, 0].double().numpy(), true[0, 0].double().numpy()
    last = np.zeros_like(a)
    for step in range(1, 11):
        reached = largest_by_flooding(np.minimum(a, b) >= step / 10 - 1e-6)
        last[reached & (last >= (step - 1) / 10 - 1e-9)] = step / 10
    distances = [alpha - last for alpha in (a, b)]
    phi = [1 - np.where(distance >= 0.15, distance, 0) for distance in distances]
    assert metrics.conn(pred, true) == pytest.approx(np.abs(phi[0] - phi[1]).sum() / 1000, rel=1e-4)


def largest_by_flooding(mask: np.ndarray) -> np.ndarray:
    """Flood from each pixel in reading order and keep the first of the largest pools."""
    best, seen = np.zeros_like(mask), np.zeros_like(mask)
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        pool, queue = np.zeros_like(mask), [start]
        while queue:
            y, x = queue.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not pool[y, x]:
                pool[y, x] = True
                queue += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        seen |= pool
        best = pool if pool.sum() > best.sum() else best
    return best


def test_unknown_region_is_a_diamond_around_soft_and_edge_pixels() -> None:
    true = torch.zeros(1, 1, 37, 53)
    true[..., 10, 12] = 0.3
    y, x = torch.meshgrid(torch.arange(37), torch.arange(53), indexing="ij")
    assert torch.equal(metrics.unknown_region(true, radius=4)[0, 0], (y - 10).abs() + (x - 12).abs() <= 4)
    true = (torch.arange(53) < 20).float().expand(1, 1, 37, 53)  # the edge is the last pixel inside and the first outside
    assert metrics.unknown_region(true)[0, 0, 5].nonzero().flatten().tolist() == list(range(9, 31))


@pytest.mark.parametrize("value", [0.0, 0.01, 0.99, 1.0])
def test_unknown_region_is_empty_without_an_edge(value: float) -> None:
    assert not metrics.unknown_region(torch.full((1, 1, 5, 7), value)).any()


def test_errors_name_what_does_not_fit() -> None:
    pred, true = pair()
    with pytest.raises(ValueError, match=r"expected one shape \(1, 1, H, W\), got \(1, 1, 37, 52\) and \(1, 1, 37, 53\)"):
        metrics.sad(pred[..., :-1], true)
    with pytest.raises(ValueError, match=r"expected one shape \(1, 1, H, W\), got \(2, 1, 37, 53\)"):
        metrics.conn(pred.repeat(2, 1, 1, 1), true.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="region: expected a bool mask"):
        metrics.mse(pred, true, true)
    with pytest.raises(ValueError, match="region: expected a bool mask"):
        metrics.mse(pred, true, torch.ones(1, 1, 1, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"true: expected shape \(B, 1, H, W\)"):
        metrics.grad(pred, true.expand(1, 3, 37, 53))
    with pytest.raises(ValueError, match="radius: expected at least 1, got 0"):
        metrics.unknown_region(true, radius=0)
