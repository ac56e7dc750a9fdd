"""Labels from teachers: only what they agree on is taught."""

import numpy as np
import pytest
from PIL import Image

from shm.training.consensus import BACKGROUND, DOUBT, PERSON, agree, is_useful, label_folder


@pytest.mark.parametrize(
    "salient, selfie, semantic, expected",
    [
        (1.0, 1.0, 1.0, PERSON),
        (1.0, 1.0, 0.0, PERSON),
        (1.0, 0.0, 1.0, PERSON),
        (0.0, 1.0, 1.0, PERSON),
        (1.0, 0.0, 0.0, DOUBT),  # a sofa may be salient
        (0.0, 1.0, 0.0, DOUBT),
        (0.5, 0.5, 0.5, DOUBT),
        (0.0, 0.0, 0.0, BACKGROUND),
    ],
)
def test_one_teacher_alone_teaches_nothing(salient, selfie, semantic, expected) -> None:
    assert (agree(np.broadcast_to([salient, selfie, semantic], (9, 9, 3))) == expected).all()


def test_a_mask_needs_one_witness_inside_and_none_outside() -> None:
    mask = np.zeros((10, 20), bool)
    mask[:, :10] = True
    witness = np.broadcast_to([0.3, 0.0, 0.5], (10, 20, 3))
    assert (agree(witness, mask) == np.where(mask, PERSON, DOUBT)).all()
    assert (agree(0 * witness, mask) == np.where(mask, DOUBT, BACKGROUND)).all()


def test_away_from_the_person_two_teachers_outvote_the_third() -> None:
    opinions = np.zeros((100, 100, 3))
    opinions[:, :40] = 1
    opinions[:, 40:, 0] = 1  # a sofa that the person sits on
    label = agree(opinions)
    assert (label[:, :40] == PERSON).all() and (label[:, 40:45] == DOUBT).all() and (label[:, 47:] == BACKGROUND).all()


def test_near_the_person_the_coarse_teacher_is_not_asked() -> None:
    opinions = np.ones((100, 100, 3))
    opinions[:, 60:] = 0
    opinions[40:50, 30:36, :2] = 0  # a gap under an arm
    opinions[10:20, 90:, 2] = 1  # somebody whom only the coarse teacher sees
    for mask in (None, opinions[..., 0] > 0.5):
        label = agree(opinions, mask)
        assert (label[40:50, 30:36] == BACKGROUND).all() and (label[:40, :60] == PERSON).all()
        assert (label[30:, 60:] == BACKGROUND).all()
    coarse = np.zeros((100, 100, 3))
    coarse[..., 2] = 1
    coarse[50:52, 50:52] = 1  # a speck is nobody to be near to
    assert (agree(coarse) == DOUBT).all() and (agree(np.where(coarse.all(-1, keepdims=True), 0, coarse))[0] == DOUBT).all()


def test_specks_are_no_people() -> None:
    opinions = np.zeros((100, 100, 3))
    opinions[20:60, 20:60] = opinions[90:92, 90:92] = 1
    label = agree(opinions)
    assert (label[20:60, 20:60] == PERSON).all() and (label[90:92, 90:92] == DOUBT).all()


def test_a_label_without_people_or_full_of_doubt_is_useless() -> None:
    label = np.full((100, 100), BACKGROUND, np.uint8)
    assert not is_useful(label)
    label[:30] = PERSON
    assert is_useful(label)
    label[40:90] = DOUBT
    assert not is_useful(label)


def test_a_folder_is_labelled_at_the_size_that_training_reads(tmp_path) -> None:
    for part in ("photos", "opinions", "masks"):
        (tmp_path / part).mkdir()
    opinions = np.zeros((64, 128, 3), np.uint8)
    opinions[:, :100] = 255
    for name in ("a", "b", "none"):
        Image.fromarray(np.full((400, 800, 3), 90, np.uint8)).save(tmp_path / f"photos/{name}.jpg")
        Image.fromarray(opinions * (name != "none")).save(tmp_path / f"opinions/{name}.png")
    Image.fromarray(np.full((400, 800), 255, np.uint8)).save(tmp_path / "masks/b.png")
    assert label_folder(tmp_path / "photos", tmp_path / "opinions", tmp_path / "out", tmp_path / "masks") == (2, 1)
    labels = {name: np.asarray(Image.open(tmp_path / f"out/label/{name}.png")) for name in ("a", "b")}
    assert all(np.asarray(Image.open(tmp_path / f"out/image/{name}.jpg")).shape == (320, 640, 3) for name in labels)
    assert labels["a"].shape == (320, 640) and (labels["a"][:, :480] == PERSON).all()
    assert (labels["a"][:, 520:] == BACKGROUND).all() and (labels["b"][:, 520:] == DOUBT).all()
