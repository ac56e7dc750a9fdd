"""What both networks are made of.

Source: Ke, Sun, Li, Yan and Lau, MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition, AAAI 2022.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class HalfNormalized(nn.Module):
    """Convolution, instance normalization of the second half of its channels, ReLU.

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
        second = features[:, features.shape[1] // 2 :].float()
        mean = second.mean(dim=(2, 3), keepdim=True)
        variance = second.square().mean(dim=(2, 3), keepdim=True) - mean.square()  # on CPUs ten times as fast as torch.var_mean
        scale = torch.rsqrt(variance.clamp(min=0) + 1e-5)
        pairs = (torch.ones_like(mean), scale), (torch.zeros_like(mean), -mean * scale)
        factor, term = (torch.cat(pair, dim=1).to(features.dtype) for pair in pairs)
        return torch.addcmul(term, features, factor).relu_()


def double(features: torch.Tensor) -> torch.Tensor:
    """Return features (B, C, h, w) at twice their height and width, bilinearly."""
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
