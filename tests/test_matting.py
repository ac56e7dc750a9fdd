"""The matting head: its input and output, its folder, and the fusion with the soft trimap."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from shm.matte import CheckpointError
from shm.matting import Beginning, MattingConfig, MattingHead, describe, fuse, shrink
from shm.segmentation import streamline

CONFIG = MattingConfig(channels=8, side=96)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def soft_trimap(*size: int) -> torch.Tensor:
    return (4 * noise(1, 3, *size, seed=1)).softmax(1)


@pytest.fixture
def head() -> MattingHead:
    torch.manual_seed(0)
    return MattingHead(CONFIG).eval()


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (1, 200), (64, 96)])
def test_alpha_has_the_size_of_the_image_and_stays_in_range(head, size) -> None:
    alpha = head(noise(1, 3, *size), soft_trimap(*size))
    assert alpha.shape == (1, 1, *size) and alpha.dtype == torch.float32
    assert alpha.min() >= 0 and alpha.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1024, 1), (3, 70)])
def test_no_level_becomes_one_pixel_wide(head, size) -> None:
    smallest = []
    levels = (head.semantic, head.detail, head.at_half, head.at_full)
    for level in levels:
        level.register_forward_hook(lambda module, inputs, output: smallest.append(min(output.shape[-2:])))
    head(torch.rand(1, 3, *size), torch.rand(1, 3, *size))
    assert len(smallest) == len(levels) and min(smallest) >= 2


def test_photographs_of_a_batch_do_not_see_each_other(head) -> None:
    images, trimaps = noise(2, 3, 37, 53), torch.cat([soft_trimap(37, 53), soft_trimap(37, 53).flip(3)])
    together = head(images, trimaps)
    for index in range(2):
        torch.testing.assert_close(together[index : index + 1], head(images[index : index + 1], trimaps[index : index + 1]))


def test_alpha_depends_on_image_and_trimap_pixel_by_pixel(head) -> None:
    image, trimap = noise(1, 3, 32, 32).requires_grad_(), soft_trimap(32, 32).requires_grad_()
    head(image, trimap)[0, 0, 16, 16].backward()
    assert (image.grad[0, :, 16, 16] != 0).all() and (trimap.grad[0, :, 16, 16] != 0).all()


@pytest.mark.parametrize("config", [CONFIG, MattingConfig(channels=4, side=32)])
def test_a_saved_head_comes_back_whole(config, tmp_path, capfd) -> None:
    head = MattingHead(config).eval()
    head.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert MattingConfig(**stored) == config
    back = MattingHead.load(str(tmp_path))
    assert back.config == config and not back.training
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


def test_a_config_without_branches_is_refused() -> None:
    for settings in ({"channels": 3}, {"channels": 0}, {"side": 0}, {"rank": -2}):
        with pytest.raises(ValueError, match="expected an even number of channels, a positive side and rank"):
            MattingConfig(**settings)


def test_the_beginning_is_that_of_mobilenet() -> None:
    from transformers import MobileNetV2Config, MobileNetV2Model

    torch.manual_seed(0)
    model = streamline(MobileNetV2Model(MobileNetV2Config(tf_padding=False))).eval()
    layers = [layer for part in (model.conv_stem, *model.layer[:2]) for layer in part.modules()]
    source = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    beginning, image = Beginning(), 2 * noise(1, 3, 32, 48) - 1
    places = [layer for layer in beginning.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for place, layer in zip(places, source, strict=True):
            torch.nn.init.kaiming_normal_(layer.weight)
            place.weight.copy_(layer.weight)
            place.bias.copy_(layer.bias)
        half, quarter = beginning(image)
        torch.testing.assert_close(half, model.conv_stem(image))
        torch.testing.assert_close(quarter, model.layer[1](model.layer[0](model.conv_stem(image))))


def test_the_trimap_is_described_square_by_square() -> None:
    trimap, quarter = soft_trimap(32, 48), noise(1, 24, 8, 12)
    described = describe(trimap, quarter)
    assert described.shape == (1, 36, 4, 6)
    torch.testing.assert_close(described[0, 5, 2, 3], trimap[0, 1, 16:20, 28:32].mean())  # at the top right
    torch.testing.assert_close(described[0, 12:, 2, 3], quarter[0, :, 4:6, 6:8].mean(dim=(1, 2)))


def test_an_image_shrinks_to_the_means_about_the_middles() -> None:
    image = noise(1, 3, 16, 24)
    torch.testing.assert_close(shrink(image, 2)[..., 3, 5], image[..., 6:8, 10:12].mean(dim=(2, 3)))
    torch.testing.assert_close(shrink(image, 4)[..., 1, 2], image[..., 5:7, 9:11].mean(dim=(2, 3)))


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
        config.write_text('{"channels": 12}')
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
