"""Segmenter: tiny random networks of every architecture, saved to a folder and opened again."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    MobileNetV2Config,
    MobileNetV2ForSemanticSegmentation,
    MobileViTConfig,
    MobileViTForSemanticSegmentation,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)
from transformers.utils import logging

from shm.matte import CheckpointError
from shm.segmentation import PRESETS, Segmenter, SegmenterPreset, find_preset, silence_transformers, streamline
from shm.trimap_network import TrimapNetwork, TrimapNetworkConfig

VOC = ("background", "aeroplane", "person", "sofa")
NETWORKS = {
    "embedded": (
        MobileNetV2ForSemanticSegmentation,
        MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, output_stride=16),
        ("background", "person", "unknown"),
    ),
    "segformer-b0": (
        SegformerForSemanticSegmentation,
        SegformerConfig(depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8),
        ("wall", "building", "person"),
    ),
    "segformer-clothes": (
        SegformerForSemanticSegmentation,
        SegformerConfig(depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8),
        ("Background", "Hat", "Hair", "Dress"),
    ),
    "deeplabv3-mobilenetv2": (
        MobileNetV2ForSemanticSegmentation,
        MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4),
        VOC,
    ),
    "mobilevit-small": (
        MobileViTForSemanticSegmentation,
        MobileViTConfig(
            hidden_sizes=[8] * 3, neck_hidden_sizes=[8] * 7, aspp_out_channels=8, expand_ratio=1.0, num_attention_heads=1
        ),
        VOC,
    ),
}
SIZES = [(1, 1), (37, 53), (1, 4000)]


@pytest.fixture(scope="module")
def presets(tmp_path_factory) -> dict[str, SegmenterPreset]:
    """Every preset moved to a folder with a tiny network of its architecture, and to a small working size."""
    moved = {}
    for name, (network_class, config, labels) in NETWORKS.items():
        folder = tmp_path_factory.mktemp(name)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        torch.manual_seed(0)
        with silence_transformers():
            network_class(config).save_pretrained(folder)
        moved[name] = replace(PRESETS[name], source=str(folder), side=128)
    return moved


def photograph(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


class Echo(torch.nn.Module):
    """Stands in for a network: its logits are what it is shown."""

    dtype = torch.float32

    def __init__(self, *labels: str) -> None:
        super().__init__()
        self.config = SegformerConfig()
        self.config.id2label = dict(enumerate(labels))

    def forward(self, image: torch.Tensor) -> SegmenterPreset:
        self.logits = image
        return self


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_of_every_architecture_and_size(presets, name, size) -> None:
    segmenter = Segmenter.from_pretrained(presets[name])
    probabilities = segmenter.segment(photograph(*size))
    assert probabilities.shape == (1, len(NETWORKS[name][2]), *segmenter.working_size(*size))
    assert probabilities.dtype == torch.float32 and not probabilities.requires_grad
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    torch.testing.assert_close(probabilities.sum(1), torch.ones_like(probabilities[:, 0]))


def test_integers_are_read_as_well(presets) -> None:
    segmenter = Segmenter.from_pretrained(presets["embedded"])
    image = (photograph(64, 128) * 255).round().to(torch.uint8)
    torch.testing.assert_close(segmenter.segment(image), segmenter.segment(image / 255))
    with pytest.raises(ValueError, match="image: expected shape"):
        segmenter.segment(torch.zeros(1, 4, 8, 8))


def test_working_size_keeps_proportions() -> None:
    segmenter = Segmenter(Echo("background", "person", "unknown"), PRESETS["embedded"])
    assert segmenter.working_size(3000, 4000) == (480, 640)
    assert segmenter.working_size(4000, 3000) == (640, 480)
    assert segmenter.working_size(900, 900) == (544, 544)
    assert segmenter.working_size(1, 4000) == (64, 1088)


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@pytest.mark.parametrize(
    "network, config",
    [
        (MobileNetV2ForSemanticSegmentation, MobileNetV2Config(depth_multiplier=0.35, output_stride=16)),
        (TrimapNetwork, TrimapNetworkConfig(depth_multiplier=0.35)),
    ],
)
def test_streamlined_is_the_same_in_fewer_passes(network, config, size) -> None:
    torch.manual_seed(0)
    plain = network(config).eval()
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    for name, weight in plain.named_parameters():
        if name.startswith("presence.judges"):  # whose last weights are zero when new
            torch.nn.init.normal_(weight)
    fast, image = streamline(deepcopy(plain)), 2 * photograph(*size) - 1
    with torch.no_grad():
        torch.testing.assert_close(fast(image).logits, plain(image).logits, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())


def test_sharpness_is_a_factor_of_the_logits() -> None:
    image, network = photograph(64, 64), Echo("background", "person", "unknown")
    plain, sharp = (Segmenter(network, replace(PRESETS["embedded"], sharpness=factor))(image) for factor in (1.0, 3.0))
    torch.testing.assert_close(sharp, (3 * plain.log()).softmax(dim=1))
    assert sharp.amax() > plain.amax()


def test_every_preset_knows_who_is_human(presets) -> None:
    for name, preset in presets.items():
        segmenter = Segmenter.from_pretrained(preset)
        assert segmenter.class_names == NETWORKS[name][2]
        people = ("Hat", "Hair", "Dress") if name == "segformer-clothes" else ("person",)
        assert segmenter.human_labels == people


def test_weights_survive_the_folder_and_half_precision_is_undone(presets, tmp_path) -> None:
    preset = presets["segformer-b0"]
    shutil.copytree(preset.source, tmp_path, dirs_exist_ok=True)
    stored = load_file(tmp_path / "model.safetensors")
    halved = {name: value.half() if value.is_floating_point() else value for name, value in stored.items()}
    save_file(halved, tmp_path / "model.safetensors", metadata={"format": "pt"})
    whole, half = Segmenter.from_pretrained(preset), Segmenter.from_pretrained(replace(preset, source=str(tmp_path)))
    assert not half.training
    for value, same in zip(whole.parameters(), half.parameters()):
        assert same.dtype == torch.float32 and torch.equal(same, value.half().float())


def test_channel_order_and_normalization() -> None:
    image = photograph(64, 64)
    preset = replace(PRESETS["embedded"], sharpness=1.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (preset.mean, preset.std))
    for order, ordered in (("rgb", image), ("bgr", image.flip(1))):
        segmenter = Segmenter(Echo("background", "person", "unknown"), replace(preset, channel_order=order))
        torch.testing.assert_close(segmenter(image), ((ordered - mean) / std).softmax(1))


def test_labels_are_found_by_name() -> None:
    with pytest.raises(CheckpointError, match="expected labels person, the model has wall, sky, tree") as error:
        Segmenter(Echo("wall", "sky", "tree"), PRESETS["segformer-b0"])
    assert error.value.code == "unknown_label" and error.value.values["labels"] == ["person"]
    with pytest.raises(CheckpointError, match=r"expected labels \(none given\)"):
        Segmenter(Echo("wall", "sky", "tree"), replace(PRESETS["segformer-b0"], human_labels=()))


def test_presets_are_consistent() -> None:
    for name, preset in PRESETS.items():
        assert bool(preset.human_labels) != bool(preset.background_labels)
        assert preset.channel_order in ("rgb", "bgr") and min(preset.std) > 0 and preset.side % Segmenter.MULTIPLE == 0
        assert preset.license and preset.backbone and preset.megabytes > 0
        assert find_preset(name) is preset and find_preset(preset) is preset


def test_a_folder_is_the_embedded_preset_moved(presets) -> None:
    folder = presets["embedded"].source
    assert find_preset(folder) == replace(PRESETS["embedded"], source=folder)
    assert Segmenter.from_pretrained(folder).class_names == ("background", "person", "unknown")
    with pytest.raises(CheckpointError, match="expected one of embedded, .* got 'segformer-b9'") as error:
        Segmenter.from_pretrained("segformer-b9")
    assert error.value.code == "unknown_preset"


def break_folder(folder: Path, how: str) -> None:
    """Spoil a saved network in the way that is named."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "no folder":
        shutil.rmtree(folder)
    elif how == "no weights":
        weights.unlink()
    elif how == "only pickled weights":
        weights.rename(folder / "pytorch_model.bin")
    elif how == "no config":
        config.unlink()
    elif how == "config is no JSON":
        config.write_text("{")
    elif how == "unknown architecture":
        config.write_text('{"model_type": "nonsense"}')
    elif how == "truncated":
        weights.write_bytes(weights.read_bytes()[:10_000])
    elif how == "empty":
        weights.write_bytes(b"")
    elif how == "a weight is missing":
        stored = load_file(weights)
        stored.pop("decode_head.classifier.weight")
        save_file(stored, weights, metadata={"format": "pt"})
    elif how == "other widths":
        config.write_text(config.read_text().replace('"decoder_hidden_size": 8', '"decoder_hidden_size": 12'))


BREAKS = {
    "no folder": "not_found",
    "no weights": "not_found",
    "only pickled weights": "not_found",
    "config is no JSON": "not_found",
    "no config": "unreadable",
    "unknown architecture": "unreadable",
    "truncated": "unreadable",
    "empty": "unreadable",
    "a weight is missing": "unreadable",
    "other widths": "unreadable",
}


@pytest.mark.parametrize("how, code", BREAKS.items())
def test_what_is_broken_is_said_in_one_line(presets, tmp_path, monkeypatch, capfd, how, code) -> None:
    monkeypatch.setattr("transformers.utils.hub.has_file", lambda *_, **__: False)  # as without a network
    folder = tmp_path / "model"
    shutil.copytree(presets["segformer-b0"].source, folder)
    break_folder(folder, how)
    with pytest.raises(CheckpointError, match="expected a folder or a reachable hub repository with config.json") as error:
        Segmenter.from_pretrained(replace(presets["segformer-b0"], source=str(folder)))
    assert error.value.code == code and error.value.values["source"] == str(folder)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_cached_copy_is_opened_without_asking_the_hub(presets, monkeypatch) -> None:
    from transformers import AutoModelForSemanticSegmentation

    asked = []
    folder = presets["segformer-b0"].source
    from_pretrained = AutoModelForSemanticSegmentation.from_pretrained

    def fake_hub(source: str, *, local_files_only: bool = False, **settings) -> object:
        asked.append((source, settings["revision"], "cache" if local_files_only else "hub"))
        if source != "cached/model" and local_files_only:
            raise OSError("We couldn't connect and couldn't find them in the cached files.")
        return from_pretrained(folder, local_files_only=True, **settings)

    monkeypatch.setattr(AutoModelForSemanticSegmentation, "from_pretrained", fake_hub)
    monkeypatch.setattr("transformers.utils.hub.has_file", lambda source, *_, **__: source == "distant/model")
    preset = replace(presets["segformer-b0"], revision="abc")
    Segmenter.from_pretrained(replace(preset, source="cached/model"))
    Segmenter.from_pretrained(replace(preset, source="distant/model", revision=None))
    assert asked == [("cached/model", "abc", "cache"), ("distant/model", "main", "cache"), ("distant/model", "main", "hub")]
    asked.clear()
    with pytest.raises(CheckpointError, match="nobody/model: .*couldn't connect") as error:
        Segmenter.from_pretrained(replace(preset, source="nobody/model"))
    assert asked == [("nobody/model", "abc", "cache")] and error.value.code == "not_found"


def test_opening_is_silent_and_leaves_the_settings_alone(presets, capfd) -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    Segmenter.from_pretrained(presets["segformer-b0"])
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
