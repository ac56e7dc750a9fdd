"""How our own networks are opened: from a folder or a repository, and what is said of one that is broken."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from shm.matte import CheckpointError
from shm.matting import MattingConfig, MattingHead

CONFIG = MattingConfig(channels=(4, 6, 8), full_size_channels=4, side=96)


@pytest.fixture
def head() -> MattingHead:
    torch.manual_seed(0)
    return MattingHead(CONFIG).eval()


def test_a_half_precision_file_opens_as_float32(head, tmp_path) -> None:
    head.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    stored = load_file(weights)
    save_file({name: value.half() if value.is_floating_point() else value for name, value in stored.items()}, weights)
    for name, value in MattingHead.load(str(tmp_path)).state_dict().items():
        assert value.dtype == stored[name].dtype
        assert torch.equal(value, stored[name].half().to(value.dtype))


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
        config.write_text('{"channels": [4, 6, 10], "full_size_channels": 4}')
    with pytest.raises(CheckpointError, match="expected the folder or a reachable hub repository of a network") as error:
        MattingHead.load(str(source))
    assert error.value.code == code and error.value.values["source"] == str(source)
    assert "\n" not in str(error.value)


def test_a_repository_is_downloaded_without_pickles(head, tmp_path, monkeypatch) -> None:
    head.save_pretrained(tmp_path)
    asked = {}
    monkeypatch.setattr("shm.networks.snapshot_download", lambda name, **options: asked.update({name: options}) or str(tmp_path))
    assert MattingHead.load("someone/head").config == CONFIG
    assert asked == {"someone/head": {"allow_patterns": ["config.json", "model.safetensors"]}}
