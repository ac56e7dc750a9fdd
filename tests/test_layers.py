"""What both networks are made of."""

import torch
from torch.nn import functional

from shm.layers import HalfNormalized, double


@torch.no_grad()
def test_one_half_of_the_channels_is_normalized_over_the_picture() -> None:
    layer, features = HalfNormalized(3, 8, 3), 5 * torch.randn(2, 3, 9, 7)
    said, plain = layer(features), layer.convolution(features)
    torch.testing.assert_close(said[:, :4], plain[:, :4].relu())
    torch.testing.assert_close(said[:, 4:], functional.instance_norm(plain[:, 4:]).relu(), rtol=1e-4, atol=1e-5)
    assert HalfNormalized(3, 8, 1, stride=2)(features).shape == (2, 8, 5, 4)


@torch.no_grad()
def test_normalization_is_measured_in_float32_whatever_the_precision() -> None:
    torch.manual_seed(0)
    layer, features = HalfNormalized(3, 8, 3), 30 + torch.randn(1, 3, 40, 40)
    expected = layer(features)
    said = layer.bfloat16()(features.bfloat16())
    assert said.dtype == torch.bfloat16
    torch.testing.assert_close(said.float(), expected, rtol=0.05, atol=0.3)


def test_double_is_bilinear() -> None:
    features = torch.tensor([[[[0.0, 1.0]]]])
    torch.testing.assert_close(double(features), torch.tensor([[[[0.0, 0.25, 0.75, 1.0]] * 2]]).view(1, 1, 2, 4))
