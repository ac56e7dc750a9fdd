"""The matting head: its input and output, its folder, and the fusion with the soft trimap."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead, describe_colors, fold_normalization, fuse, spread_colors

CONFIG = MattingConfig(channels=(4, 6, 8), last_channels=4, side=96)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def soft_trimap(*size: int) -> torch.Tensor:
    return (4 * noise(1, 3, *size, seed=1)).softmax(1)


@pytest.fixture
def head() -> MattingHead:
    torch.manual_seed(0)
    head = MattingHead(CONFIG)
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)
            module.running_mean.normal_()
    return head.eval()


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (1, 200), (64, 96)])
def test_alpha_has_the_size_of_the_image_and_stays_in_range(head, size) -> None:
    alpha = head(noise(1, 3, *size), soft_trimap(*size))
    assert alpha.shape == (1, 1, *size) and alpha.dtype == torch.float32
    assert alpha.min() >= 0 and alpha.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1024, 1), (3, 70)])
def test_no_level_becomes_one_pixel_wide(head, size) -> None:
    smallest = []
    for level in head.down:
        level.register_forward_hook(lambda module, inputs, output: smallest.append(min(output.shape[-2:])))
    head(torch.rand(1, 3, *size), torch.rand(1, 3, *size))
    assert len(smallest) == len(head.down) and min(smallest) >= 2


def test_photographs_of_a_batch_do_not_see_each_other(head) -> None:
    images, trimaps = noise(2, 3, 37, 53), torch.cat([soft_trimap(37, 53), soft_trimap(37, 53).flip(3)])
    together = head(images, trimaps)
    for index in range(2):
        torch.testing.assert_close(together[index : index + 1], head(images[index : index + 1], trimaps[index : index + 1]))


def test_alpha_depends_on_image_and_trimap_pixel_by_pixel(head) -> None:
    image, trimap = noise(1, 3, 32, 32).requires_grad_(), soft_trimap(32, 32).requires_grad_()
    head(image, trimap)[0, 0, 16, 16].backward()
    assert (image.grad[0, :, 16, 16] != 0).all() and (trimap.grad[0, :, 16, 16] != 0).all()


@pytest.mark.parametrize("config", [CONFIG, MattingConfig(channels=(4,), last_channels=2, side=32)])
def test_a_saved_head_comes_back_whole(config, tmp_path, capfd) -> None:
    head = MattingHead(config).eval()
    head.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert MattingConfig(**stored) == config
    back = MattingHead.load(str(tmp_path))
    assert back.config == config and isinstance(back.config.channels, tuple) and not back.training
    image, trimap = noise(1, 3, 37, 53), soft_trimap(37, 53)
    assert torch.equal(back(image, trimap), head(image, trimap))
    assert capfd.readouterr() == ("", "")


def test_a_half_precision_file_opens_as_float32(head, tmp_path) -> None:
    head.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    stored = load_file(weights)
    save_file({name: value.half() if value.is_floating_point() else value for name, value in stored.items()}, weights)
    for name, value in MattingHead.load(str(tmp_path)).state_dict().items():
        assert value.dtype == stored[name].dtype
        assert torch.equal(value, stored[name].half().to(value.dtype))


def test_a_folded_head_says_the_same(head) -> None:
    image, trimap = noise(1, 3, 37, 53), soft_trimap(37, 53)
    folded = fold_normalization(head)
    torch.testing.assert_close(folded(image, trimap), head(image, trimap), rtol=0, atol=1e-5)
    kinds = [{type(module) for module in network.modules()} for network in (folded, head)]
    assert torch.nn.BatchNorm2d not in kinds[0] and torch.nn.BatchNorm2d in kinds[1]


BREAKS = {
    "no folder": "not_found",
    "no weights": "not_found",
    "no config": "not_found",
    "config is no JSON": "unreadable",
    "foreign config": "unreadable",
    "no channels": "unreadable",
    "truncated": "unreadable",
    "foreign weights": "unreadable",
    "other widths": "unreadable",
}


@pytest.mark.parametrize("how, code", BREAKS.items())
def test_what_is_broken_is_said_in_one_line(head, tmp_path, monkeypatch, how, code) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    head.save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    source = tmp_path
    if how == "no folder":
        source = tmp_path / "nothing"
    elif how in ("no weights", "no config"):
        (weights if how == "no weights" else config).unlink()
    elif how == "config is no JSON":
        config.write_text("{")
    elif how == "foreign config":
        config.write_text('{"model_type": "segformer"}')
    elif how == "no channels":
        config.write_text('{"channels": []}')
    elif how == "truncated":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif how == "foreign weights":
        save_file({"encoder.weight": torch.zeros(3)}, weights)
    elif how == "other widths":
        config.write_text('{"channels": [4, 6, 10], "last_channels": 4}')
    with pytest.raises(CheckpointError, match="expected the folder or a reachable hub repository of a matting head") as error:
        MattingHead.load(str(source))
    assert error.value.code == code and error.value.values["source"] == str(source)
    assert "\n" not in str(error.value)


def test_a_repository_is_downloaded_without_pickles(head, tmp_path, monkeypatch) -> None:
    head.save_pretrained(tmp_path)
    asked = {}
    monkeypatch.setattr("shm.matting.snapshot_download", lambda name, **options: asked.update({name: options}) or str(tmp_path))
    assert MattingHead.load("someone/head").config == CONFIG
    assert asked == {"someone/head": {"allow_patterns": ["config.json", "model.safetensors"]}}


def test_fuse_is_the_equation() -> None:
    trimap, alpha_r = soft_trimap(37, 53), noise(1, 1, 37, 53)
    torch.testing.assert_close(fuse(trimap, alpha_r), trimap[:, 1:2] + trimap[:, 2:] * alpha_r)


def test_fuse_at_the_extremes() -> None:
    foreground, alpha_r = noise(1, 1, 8, 8), noise(1, 1, 8, 8, seed=2)
    zero, one = torch.zeros_like(foreground), torch.ones_like(foreground)
    assert torch.equal(fuse(torch.cat([1 - foreground, foreground, zero], 1), alpha_r), foreground)
    assert torch.equal(fuse(torch.cat([zero, zero, one], 1), alpha_r), alpha_r)


def test_fuse_brings_the_trimap_to_the_size_of_alpha() -> None:
    alpha = fuse(soft_trimap(10, 12), torch.ones(1, 1, 37, 53))
    assert alpha.shape == (1, 1, 37, 53) and alpha.min() >= 0 and alpha.max() <= 1


def test_known_colors_give_the_alpha_of_a_plain_scene() -> None:
    """One color of people, one of background, a slope of alpha between them: the known pixels at both ends say it all."""
    ramp = torch.linspace(-0.5, 1.5, 96).clamp(0, 1).expand(1, 1, 64, 96)
    foreground, background = (torch.tensor(color).view(1, 3, 1, 1) for color in ((0.9, 0.5, 0.3), (0.1, 0.4, 0.2)))
    image = ramp * foreground + (1 - ramp) * background
    trimap = torch.cat([(ramp == 0).float(), (ramp == 1).float(), ((ramp > 0) & (ramp < 1)).float()], dim=1)
    hints = describe_colors(image, trimap)
    torch.testing.assert_close(hints[:, 6:], ramp, atol=0.02, rtol=0)
    torch.testing.assert_close(hints[:, :3] + image, foreground.expand_as(image), atol=0.03, rtol=0)
    torch.testing.assert_close(hints[:, 3:6] + image, background.expand_as(image), atol=0.03, rtol=0)


def test_known_colors_are_found_in_float32_whatever_the_precision() -> None:
    image, trimap = noise(1, 3, 37, 53), soft_trimap(37, 53)
    expected = describe_colors(image, trimap)
    with torch.autocast("cpu", torch.bfloat16):
        hints = describe_colors(image, trimap)
    assert hints.dtype == torch.float32 and torch.equal(hints, expected)


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (1, 200)])
def test_colors_spread_at_any_size_and_stay_where_they_are_known(size) -> None:
    color = noise(1, 3, *size)
    torch.testing.assert_close(spread_colors(color, torch.ones(1, 1, *size)), color)
    nothing = spread_colors(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size))
    torch.testing.assert_close(nothing, torch.full_like(color, 0.5))
    weight = (noise(1, 1, *size, seed=3) > 0.7).float()
    spread = spread_colors(color * weight, weight)
    assert spread.shape == color.shape and spread.min() >= 0 and spread.max() <= 1
    torch.testing.assert_close(spread * weight, color * weight)
