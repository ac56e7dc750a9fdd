"""What both networks are made of."""

import pytest
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


@pytest.mark.parametrize("batch", [1, 2])
@torch.no_grad()
def test_of_many_pixels_a_quarter_is_measured(batch: int) -> None:
    torch.manual_seed(0)
    layer, features = HalfNormalized(3, 8, 3), 5 * torch.randn(batch, 3, 130, 140)
    plain = layer.convolution(features)[:, 4:]
    said, measured = layer(features)[:, 4:], plain[..., ::2, ::2]
    mean, deviation = measured.mean(dim=(2, 3), keepdim=True), measured.std(dim=(2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(said, ((plain - mean) / deviation).relu(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(said, functional.instance_norm(plain).relu(), rtol=0.1, atol=0.1)  # nearly that of all
    features = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(features)[:, 4:], said)
    assert batch > 1 or layer(features).stride() == layer.convolution(features).stride()  # what follows knows its layout


def test_a_gradient_passes_through_what_is_measured() -> None:
    layer, gain = HalfNormalized(3, 8, 1), torch.ones((), requires_grad=True)
    torch.nn.init.zeros_(layer.convolution.bias)
    first, second = (part.sum() for part in layer(gain * torch.randn(2, 3, 9, 7)).chunk(2, dim=1))
    slopes = [torch.autograd.grad(part, gain, retain_graph=True)[0] for part in (first, second)]
    torch.testing.assert_close(slopes[0], first)  # it grows with all that is seen; what is normalized does not
    assert second > 10 and slopes[1].abs() < 0.01 * second


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
