"""The embedded T-Net's architecture: what its decoder adds, and the same result in fewer passes."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation, MobileNetV2ForSemanticSegmentation

from shm.deeplab import DeepLabPlus, DeepLabPlusConfig, streamline

SMALL = {"depth_multiplier": 0.35, "num_labels": 3, "output_stride": 16, "tf_padding": True, "finegrained_output": True}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def wake(network: torch.nn.Module) -> torch.nn.Module:
    """Give normalization layers statistics that matter, and the decoder something to say."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(network.decoder.classify.weight, std=0.1)
    return network.eval()


@pytest.fixture
def network() -> DeepLabPlus:
    torch.manual_seed(0)
    return DeepLabPlus(DeepLabPlusConfig(**SMALL)).eval()


def test_a_new_decoder_changes_nothing(network, tmp_path) -> None:
    network.decoder.reset()
    coarse = MobileNetV2ForSemanticSegmentation(network.config).eval()
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("decoder")}
    assert {name.split(".")[1] for name in coarse.load_state_dict(weights, strict=False).missing_keys} == {"conv_1x1"}
    image = noise(1, 3, 64, 96) * 2 - 1
    expected = torch.nn.functional.interpolate(coarse(image).logits, size=(16, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(image).logits, expected)


def test_the_decoder_sees_what_is_finer_than_a_cell(network) -> None:
    image = noise(1, 3, 64, 64).requires_grad_()
    network.decoder.reset()
    torch.nn.init.normal_(network.decoder.classify.weight, std=0.1)
    logits = network(image).logits
    assert logits.shape == (1, 3, 16, 16)
    assert (logits - logits[..., :1, :1]).abs().max() > 0


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_streamlined_is_the_same_in_fewer_passes(network, size) -> None:
    plain = wake(network)
    fast = streamline(deepcopy(plain))
    image = noise(1, 3, *size) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(fast(image).logits, plain(image).logits, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())


def test_a_saved_network_is_opened_by_its_type(network, tmp_path) -> None:
    wake(network).save_pretrained(tmp_path)
    back = AutoModelForSemanticSegmentation.from_pretrained(tmp_path).eval()
    image = noise(1, 3, 64, 64)
    assert isinstance(back, DeepLabPlus)
    torch.testing.assert_close(back(image).logits, network(image).logits)
