"""A narrower head: exact where nothing is lost, nearer by learning where something is."""

import numpy as np
import pytest
import torch
from PIL import Image

from shm.matting import MattingConfig, MattingHead
from shm.segmentation import Segmenter
from shm.training import narrowing

def widen(head: MattingHead) -> MattingHead:
    """A head of rank 0 that says what a narrow one says."""
    wide, weights = MattingHead(MattingConfig(rank=0)).eval(), head.state_dict()
    inner, outer = weights.pop("reduce.weight")[..., 0, 0], weights["at_full.convolution.weight"]
    told = torch.einsum("ri,orhw->oihw", inner, outer[:, : len(inner)])
    weights["at_full.convolution.weight"] = torch.cat([told, outer[:, len(inner) :]], dim=1)
    wide.load_state_dict(weights)
    return wide


@pytest.fixture
def narrow():
    torch.manual_seed(0)
    return MattingHead(MattingConfig(rank=16)).eval()


@pytest.fixture
def examples():
    rng = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(0, 256, (1, 3, 40, 56), generator=rng, dtype=torch.uint8) for _ in range(2)) for _ in range(3)]


def test_what_is_of_low_rank_is_found_again(narrow, examples):
    wide, (image, trimap) = widen(narrow), narrowing.unpack(examples[0])
    head = narrowing.factorize_head(wide, examples)
    assert head.config == MattingConfig(rank=16) and not wide.config.rank
    assert sum(weight.numel() for weight in head.parameters()) < sum(weight.numel() for weight in wide.parameters())
    with torch.no_grad():
        wanted = wide(image, trimap)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(narrow(image, trimap), wanted, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(head(image, trimap), wanted, rtol=0.02, atol=0.02 * wanted.std().item())


def test_what_was_lost_is_learnt_again_by_the_last_layers(narrow, examples):
    wide = widen(narrow)
    with torch.no_grad():
        for name, weight in narrow.named_parameters():
            if name.startswith(narrowing.LEARNING):
                weight += 0.1 * weight.std(unbiased=False) * torch.randn_like(weight)
    before = {name: weight.clone() for name, weight in narrow.named_parameters()}

    def miss():
        with torch.no_grad():
            views = [narrowing.unpack(example) for example in examples]
            return sum(narrowing.imitation_loss(narrow(*view), wide(*view), view[1][:, 2:]).item() for view in views)

    start = miss()
    narrowing.teach_head(narrow, wide, examples, steps=30)
    assert miss() < 0.8 * start
    changed = {name for name, weight in narrow.named_parameters() if not torch.equal(weight, before[name])}
    assert changed and all(name.startswith(("at_half", "reduce", "at_full", "alpha")) for name in changed)
    assert all(weight.requires_grad for weight in narrow.parameters())


def test_a_photograph_and_its_trimap_keep_their_place(narrow):
    picture = torch.zeros(3, 60, 80, dtype=torch.uint8)
    picture[0, :, :40] = 200
    sizes, mirrored = set(), 0
    for seed in range(12):
        image, trimap = narrowing.look(np.random.default_rng(seed), Halves(), narrow.config, picture)
        left = image[0, 0, :, :20].float().mean() > 100
        assert (trimap[0, 1, :, :20].float().mean() > 100) == left  # person where the picture is red, mirrored or not
        assert image.shape == trimap.shape == (1, 3, 60, 80) and image.dtype == trimap.dtype == torch.uint8
        mirrored += not left
        large = narrowing.look(np.random.default_rng(seed), Halves(), narrow.config, torch.zeros(3, 640, 320, dtype=torch.uint8))
        sizes.add(tuple(large[0].shape[-2:]))
    assert 0 < mirrored < 12
    assert len(sizes) > 3 and all(0.7 * 640 - 1 <= height <= 640 and abs(width - height / 2) <= 1 for height, width in sizes)


class Halves:
    """Stands in for a segmenter: what is red is a person."""

    class_names, human_labels = ("background", "person", "unknown"), ("person",)

    def segment(self, image):
        red = (image[:, :1] > 0.5).float()
        return torch.cat([1 - red, red, torch.zeros_like(red)], dim=1)


def test_a_head_is_made_narrow_from_folder_to_folder(narrow, tmp_path, monkeypatch):
    widen(narrow).save_pretrained(tmp_path / "wide")
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(tmp_path / f"pictures/{number}.png")
    monkeypatch.setattr(Segmenter, "from_pretrained", lambda preset: Halves())
    narrowing.narrow_head(str(tmp_path / "wide"), "any", tmp_path / "pictures", tmp_path / "out", count=2, steps=2)
    made = MattingHead.load(str(tmp_path / "out/head"))
    assert made.config.rank == 16
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        wanted = narrow(image, torch.full((1, 3, 48, 64), 1 / 3))
        torch.testing.assert_close(made(image, torch.full((1, 3, 48, 64), 1 / 3)), wanted, rtol=0.1, atol=0.01)
    with pytest.raises(FileNotFoundError, match="expected photographs"):
        narrowing.narrow_head(str(tmp_path / "wide"), "any", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="expected a head of rank 0, got one of rank 16"):
        narrowing.narrow_head(str(tmp_path / "out/head"), "any", tmp_path / "pictures", tmp_path / "out")
