"""Labels from teachers: only what they agree on is taught."""

import numpy as np
import pytest
from PIL import Image

from shm.training.consensus import agree, is_useful, is_whole, label_folder


@pytest.mark.parametrize(
    "matte, selfie, semantic, alpha",
    [
        (1.0, 1.0, 1.0, 1.0),
        (1.0, 1.0, 0.0, 1.0),
        (1.0, 0.0, 1.0, 1.0),
        (0.0, 1.0, 1.0, None),
        (1.0, 0.0, 0.0, None),  # a statue may have a matte
        (0.0, 1.0, 0.0, None),
        (0.5, 1.0, 1.0, None),  # nobody is near
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_one_teacher_alone_teaches_nothing(matte, selfie, semantic, alpha) -> None:
    taught, known = agree(np.broadcast_to([matte, selfie, semantic], (9, 9, 3)))
    assert (known == (alpha is not None)).all()
    assert alpha is None or (taught == alpha).all()


def test_beside_a_person_the_matte_is_taught_as_it_is() -> None:
    opinions = np.zeros((100, 100, 3))
    opinions[:, :40] = 1
    opinions[:, 40:44, 0] = [0.8, 0.6, 0.4, 0.2]  # hair
    opinions[:, 70:74, 0] = 0.5  # nobody's hair
    alpha, known = agree(opinions)
    assert known[:, :70].all() and not known[:, 70:74].any() and known[:, 74:].all()
    np.testing.assert_array_equal(alpha, opinions[..., 0])


def test_away_from_the_person_two_teachers_outvote_the_third() -> None:
    opinions = np.zeros((100, 100, 3))
    opinions[:, :40] = 1
    opinions[:, 40:, 1] = 1  # a sofa that the person sits on
    alpha, known = agree(opinions)
    assert (alpha[:, :40] == 1).all() and known[:, :40].all()
    assert not known[:, 40:45].any() and known[:, 47:].all() and (alpha[:, 47:] == 0).all()
    opinions[:, 40:, 2] = 1
    assert not agree(opinions)[1][:, 40:].any()


def test_near_the_person_the_coarse_teacher_is_not_asked() -> None:
    opinions = np.ones((100, 100, 3))
    opinions[:, 60:] = 0
    opinions[40:50, 30:36, :2] = 0  # a gap under an arm
    opinions[10:20, 90:, 2] = 1  # somebody whom only the coarse teacher sees
    alpha, known = agree(opinions)
    assert known.all() and (alpha[40:50, 30:36] == 0).all() and (alpha[:40, :60] == 1).all()
    coarse = np.zeros((100, 100, 3))
    coarse[..., 2] = 1
    coarse[50:52, 50:52] = 1  # a speck is nobody to be near to
    assert not agree(coarse)[1].any()


def test_specks_are_no_people() -> None:
    opinions = np.zeros((100, 100, 3))
    opinions[20:60, 20:60] = opinions[90:92, 90:92] = 1
    _, known = agree(opinions)
    assert known[20:60, 20:60].all() and not known[90:92, 90:92].any()


def test_a_label_without_people_or_full_of_doubt_is_useless() -> None:
    alpha, known = np.zeros((100, 100)), np.ones((100, 100), bool)
    assert not is_useful(alpha, known) and not is_whole(alpha, known)
    alpha[:30] = 1
    assert is_useful(alpha, known) and is_whole(alpha, known)
    known[30:35] = False  # bare wall: too much in doubt to be sure that nobody is lost
    assert is_useful(alpha, known) and not is_whole(alpha, known)
    known[35:90] = False
    assert not is_useful(alpha, known)
    known[:] = True
    known[29] = False  # a part of the person
    assert not is_whole(alpha, known)


def test_a_folder_is_labelled_and_cut_out_at_the_size_that_training_reads(tmp_path) -> None:
    for part in ("photos", "opinions"):
        (tmp_path / part).mkdir()
    photograph = np.full((400, 800, 3), 90, np.uint8)
    photograph[:, :624] = (200, 150, 120)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    opinions = np.zeros((64, 128, 3), np.uint8)
    opinions[:, :100] = 255
    doubted = opinions.copy()
    doubted[:, 100:, 1:] = 255  # two see somebody else
    for name, said in (("sure", opinions), ("doubted", doubted), ("none", 0 * opinions)):
        Image.fromarray(photograph).rotate(90, expand=True).save(tmp_path / f"photos/{name}.jpg", quality=95, exif=turned)
        Image.fromarray(said).save(tmp_path / f"opinions/{name}.png")
    assert label_folder(tmp_path / "photos", tmp_path / "opinions", tmp_path / "out") == (2, 1, 1)
    images = {name: np.asarray(Image.open(tmp_path / f"out/labelled/image/{name}.jpg")) for name in ("sure", "doubted")}
    alpha, known = np.moveaxis(np.asarray(Image.open(tmp_path / "out/labelled/label/sure.png")), -1, 0)
    assert images["sure"].shape == (320, 640, 3) and alpha.shape == (320, 640)
    assert (alpha[:, :480] == 255).all() and (alpha[:, 520:] == 0).all() and (known == 255).all()
    known = np.asarray(Image.open(tmp_path / "out/labelled/label/doubted.png"))[..., 1]
    assert (known[:, :480] == 255).all() and (known[:, 520:] == 0).all()
    layer = np.asarray(Image.open(tmp_path / "out/cutout/sure.png"))
    assert (layer[:, :480, 3] == 255).all() and (layer[:, 520:, 3] == 0).all()
    np.testing.assert_array_equal(layer[:, :480, :3], images["sure"][:, :480])
    assert not (tmp_path / "out/cutout/doubted.png").exists()
