"""Losses as short functions of (B, C, H, W) float32 tensors; each returns a scalar."""

from __future__ import annotations

import torch
from torch.nn import functional

from shm.filters import gaussian_blur


def masked_mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean of `values` (B, C, H, W), each pixel counted by its weight (B, 1, H, W); 0 where no pixel has any."""
    return (values * weight).sum() / (weight.sum() * values.shape[1]).clamp(min=1)


def alpha_loss(pred: torch.Tensor, true: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Absolute error of alpha (Chen et al., Semantic Human Matting, ACM MM 2018, equation 4)."""
    return masked_mean((pred - true).abs(), weight)


def composition_loss(
    pred: torch.Tensor, true: torch.Tensor, foreground: torch.Tensor, background: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Absolute error of the composite, |c - c*| = |A - A*| |F - B| where F and B are known (ibid., equation 4)."""
    return masked_mean((pred - true).abs() * (foreground - background).abs(), weight)


def gradient_loss(pred: torch.Tensor, true: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Absolute error of the differences between neighboring pixels, across and down."""
    error = pred - true
    across = functional.pad(error.diff(dim=3).abs(), (0, 1))
    down = functional.pad(error.diff(dim=2).abs(), (0, 0, 0, 1))
    return masked_mean(across + down, weight)


def laplacian_loss(pred: torch.Tensor, true: torch.Tensor, *, levels: int = 4) -> torch.Tensor:
    """Absolute error of a Laplacian pyramid: Σ 2^i · mean|E_i − blur(E_i)|, E_i the error at 1 / 2^i of its size (after Hou and
    Liu, Context-Aware Image Matting, ICCV 2019, who sum over pixels and subtract the next level enlarged)."""
    error, total = pred - true, pred.new_zeros(())
    for level in range(levels):
        smooth = gaussian_blur(error, 1.0)
        total = total + 2.0**level * (error - smooth).abs().mean()
        if min(smooth.shape[-2:]) < 4:
            break
        error = smooth[..., ::2, ::2]
    return total


def matting_loss(
    fused: torch.Tensor,
    alpha_r: torch.Tensor,
    true: torch.Tensor,
    unknown: torch.Tensor,
    foreground: torch.Tensor,
    background: torch.Tensor,
    *,
    gamma: float = 0.5,
) -> torch.Tensor:
    """The matting head's loss: γ |A − A*| + (1 − γ) |c − c*| (Chen et al. 2018, equation 4), with gradient and Laplacian terms.

    Unlike in the paper, |A − A*| counts twice, for alpha_r by U_s and for the fused alpha everywhere; c is made of alpha_r.

    Args:
        fused: (B, 1, H, W), alpha after fusion; supervised everywhere.
        alpha_r: (B, 1, H, W), the head's own alpha; supervised as far as it counts, by `unknown`.
        true: (B, 1, H, W), the true alpha.
        unknown: (B, 1, H, W), U_s.
        foreground, background: (B, 3, H, W), the true colors; the foreground is arbitrary where the true alpha is 0.
        gamma: balance of alpha and composition.
    """
    everywhere = torch.ones_like(true)
    pasted = unknown * alpha_r + (1 - unknown) * true
    return (
        gamma * (alpha_loss(alpha_r, true, unknown) + alpha_loss(fused, true, everywhere))
        + (1 - gamma) * composition_loss(alpha_r, true, foreground, background, unknown)
        + 0.5 * gradient_loss(alpha_r, true, unknown)
        + laplacian_loss(pasted, true)
    )


def trimap_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the three classes (the paper's L_t); pixels of target -1 count nothing.

    Args:
        logits: (B, 3, h, w), at the network's own size.
        target: (B, H, W) int64.
    """
    logits = functional.interpolate(logits.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)
    weights = logits.new_tensor([1.0, 1.0, 1.5])  # what is missing from unknown is lost to the head
    return functional.cross_entropy(logits, target, weight=weights, ignore_index=-1)


def memory_loss(logits: torch.Tensor, said: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy with what was said before of pixels of which nobody knows the truth; the others add nothing to the mean.

    Args:
        logits: (B, 3, h, w).
        said: (B, 3, h, w), probabilities.
        target: (B, H, W) int64, -1 where nobody knows.
    """
    doubted = functional.interpolate((target < 0).float()[:, None], size=logits.shape[-2:])
    return -(doubted * said * logits.float().log_softmax(dim=1)).sum(dim=1).mean()
