"""The embedded weights: size, cards, checksums, and a wheel that carries them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from huggingface_hub import metadata_load
from safetensors import safe_open

import shm
from shm.matting import MattingHead
from shm.segmentation import MODELS, Segmenter
from shm.trimap import UNKNOWN

ROOT = Path(__file__).parent.parent
FOLDERS = [ROOT / "models" / "segmenter", ROOT / "models" / "head"]
FILES = {"README.md", "config.json", "model.safetensors"}


def test_there_are_two_models_and_nothing_else() -> None:
    assert {path for path in (ROOT / "models").iterdir()} == {ROOT / "models" / "README.md", *FOLDERS}
    assert MODELS == ROOT / "models"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_is_laid_out_as_a_hub_repository(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_states_license_and_checksum(folder: Path) -> None:
    checksum = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert checksum in (folder / "README.md").read_text(encoding="utf-8")
    assert metadata_load(folder / "README.md")["license"] == "apache-2.0"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_weights_rest_in_float16_and_are_finite(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    assert len(floating) > 20 and {tensor.dtype for tensor in floating} == {torch.float16}
    assert all(bool(tensor.isfinite().all()) for tensor in floating)
    assert {tuple(tensor.shape) for tensor in tensors if not tensor.is_floating_point()} <= {()}  # batch counters


def test_the_segmenter_opens() -> None:
    segmenter = Segmenter.from_pretrained("embedded")
    assert segmenter.class_names == ("background", "person", UNKNOWN)
    assert segmenter.human_labels == ("person",)
    assert {parameter.dtype for parameter in segmenter.parameters()} == {torch.float32} and not segmenter.training


def test_the_head_opens() -> None:
    head = MattingHead.load(str(ROOT / "models" / "head"))
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float32} and not head.training


def test_the_preset_states_the_size() -> None:
    size = sum(path.stat().st_size for path in FOLDERS[0].iterdir()) / 1e6
    assert shm.PRESETS["embedded"].megabytes == pytest.approx(size, abs=0.5)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of this tree installs."""
    tree, site = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site")
    for folder in ("shm", "models"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    with zipfile.ZipFile(next(tree.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def test_a_wheel_carries_every_room_and_the_weights(installed: Path) -> None:
    carried = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    rooms = {path.relative_to(ROOT).as_posix() for path in (ROOT / "shm").rglob("*.py")}
    weights = {f"shm/models/{folder.name}/{name}" for folder in FOLDERS for name in FILES}
    assert {name for name in carried if name.startswith("shm/")} == rooms | weights


def test_five_lines_work_from_any_folder(installed: Path, tmp_path: Path) -> None:
    lines = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    shm.write_image(tmp_path / "photo.jpg", torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0)))
    lines += f"assert shm.__file__.startswith({str(installed)!r}), shm.__file__"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    run = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert (tmp_path / "cutout.png").stat().st_size > 0
