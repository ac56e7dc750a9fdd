"""What both networks are made of.

Source: Ke, Sun, Li, Yan and Lau, MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition, AAAI 2022.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-5
"""What is added to a variance, so that nothing is divided by zero."""

MANY = 2**14
"""Pixels from which on a quarter of them is measured."""


class HalfNormalized(nn.Module):
    """Convolution, instance normalization of the second half of its channels, ReLU.

    Of many pixels, every second one of every second row tells mean and variance well enough.
    The batch normalization that the first half was trained with is part of the convolution. Source: Pan, Luo, Shi and Tang, Two at
    Once: Enhancing Learning and Generalization Capacities via IBN-Net, ECCV 2018.

    Args:
        inputs, outputs: channels.
        size: of the kernel, odd.
        stride: of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, C', h, w) for features (B, C, h, w)."""
        features = self.convolution(features)
        batch, channels, height, width = features.shape
        step = 2 if height * width >= MANY else 1
        second = features[:, channels // 2 :, ::step, ::step].float()
        mean = second.mean(dim=(2, 3))
        variance = (second.square().mean(dim=(2, 3)) - mean.square()).clamp(min=0)  # on CPUs ten times as fast as torch.var_mean
        scale = torch.rsqrt(variance + EPSILON)
        pairs = (torch.ones_like(mean), scale), (torch.zeros_like(mean), -mean * scale)
        factor, term = (torch.cat(pair, dim=1).flatten().to(features.dtype) for pair in pairs)
        # the fastest way to multiply and add by channel, in bfloat16 above all; a single picture is not reshaped, as torch would
        # no longer know it for channels_last, which several, in training, lose here
        joined = features if batch == 1 else features.reshape(1, batch * channels, height, width)
        joined = functional.batch_norm(joined, torch.zeros_like(term), torch.ones_like(term), factor, term, eps=0.0)
        return (joined if batch == 1 else joined.reshape(features.shape)).relu_()


def double(features: torch.Tensor) -> torch.Tensor:
    """Return features (B, C, h, w) at twice their height and width, bilinearly."""
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
