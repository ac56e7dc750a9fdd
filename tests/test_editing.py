"""Editing: each control does what its own room does, the defaults do nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import shm
from shm.backgrounds import draw_background
from shm.compositing import blur_background, composite, fit_background, make_gradient, parse_color
from shm.edges import feather, keep_connected, shift_edge
from shm.editing import (
    KINDS, LOOKS, Edits, Scene, compose, compose_part, edit_matte, edit_part, make_background, view_matte,
)  # fmt: skip
from shm.people import choose_people, find_people
from shm.placement import place_person


@pytest.fixture(scope="module")
def matte() -> shm.Matte:
    """Two people, a speck between them, soft edges."""
    alpha = torch.zeros(1, 1, 60, 90)
    alpha[..., 15:60, 8:28] = 1
    alpha[..., 10:60, 55:80] = 1
    alpha[..., 5:8, 40:43] = 1
    alpha = feather(alpha, 2.0)
    image = torch.randint(0, 256, (1, 3, 60, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    probabilities = torch.cat([1 - alpha, alpha, torch.zeros_like(alpha)], dim=1)
    report = shm.Report("cpu", "float32", (60, 90), (60, 90), 0.0, {})
    labels = (alpha > 0.5).long()
    return shm.Matte(image, probabilities, labels, ("background", "person"), alpha, 255 - image, report)


def test_the_defaults_change_nothing(matte: shm.Matte) -> None:
    edited = edit_matte(matte, Edits())
    assert torch.equal(edited.alpha, matte.alpha) and edited.foreground is matte.foreground
    assert torch.equal(compose(matte, Scene()), shm.cutout(matte))


def test_each_edit_is_that_of_its_room(matte: shm.Matte) -> None:
    people = find_people(matte.alpha, matte.probabilities)
    expected = {
        Edits(persons=(2,)): choose_people(matte.alpha, people, [2]),
        Edits(connected=True): keep_connected(matte.alpha),
        Edits(shift=-2): shift_edge(matte.alpha, -2),
        Edits(feather=6): feather(matte.alpha, 6),
    }
    for edits, alpha in expected.items():
        assert torch.equal(edit_matte(matte, edits, people).alpha, alpha)
        assert not torch.equal(alpha, matte.alpha)
    assert edit_matte(matte, Edits(clean=False)).foreground is matte.image


def test_edits_are_in_pixels_of_the_photograph(matte: shm.Matte) -> None:
    small = edit_matte(matte, Edits(shift=4, feather=8), scale=0.5)
    assert torch.equal(small.alpha, feather(shift_edge(matte.alpha, 2), 4))


def test_persons_need_people(matte: shm.Matte) -> None:
    with pytest.raises(ValueError, match="people: expected those of the photograph"):
        edit_matte(matte, Edits(persons=(1,)))


def test_each_background_is_that_of_its_room(matte: shm.Matte) -> None:
    red, blue = parse_color("#ff0000"), parse_color("#0000ff")
    picture = torch.full((1, 3, 5, 5), 7, dtype=torch.uint8)
    expected = {
        "color": red.expand(1, 3, 60, 90),
        "gradient": make_gradient(red, blue, (60, 90)),
        "blur": blur_background(matte.image, matte.alpha, strength_fraction=0.05),
        "gallery": fit_background(draw_background("city"), (60, 90)),
        "picture": fit_background(picture, (60, 90)),
    }
    assert set(expected) | {"transparent"} == set(KINDS)
    for kind, background in expected.items():
        scene = Scene(kind, "#ff0000", "#0000ff", 0.05, "city", picture)
        assert torch.equal(compose(matte, scene), composite(matte.foreground, matte.alpha, background)), kind


def test_placement_shadow_and_light_reach_their_room(matte: shm.Matte) -> None:
    scene = Scene("color", "#804020", scale=0.5, right=0.1, down=-0.2, color_match=0.7, shadow_opacity=0.4)
    expected = place_person(
        matte.foreground, matte.alpha, parse_color("#804020"), scale=0.5, shift=(0.1, -0.2), color_match=0.7, shadow_opacity=0.4
    )
    assert torch.equal(compose(matte, scene), expected)


@pytest.mark.parametrize(
    ("scene", "sentence"),
    [
        (Scene("fog"), 'kind: expected one of transparent, .*, got "fog"'),
        (Scene("picture"), "picture: expected .* got None"),
        (Scene("gallery", name="moon"), 'got "moon"'),
        (Scene("color", "octarine"), 'expected "#rrggbb"'),
    ],
)
def test_what_cannot_be_behind_people_is_said(matte: shm.Matte, scene: Scene, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_background(matte, scene)


def test_each_look(matte: shm.Matte) -> None:
    assert torch.equal(view_matte(matte, "alpha"), matte.alpha)
    assert torch.equal(view_matte(matte, "checkerboard"), shm.cutout(matte))
    for look in ("black", "white", "green"):
        assert torch.equal(view_matte(matte, look), composite(matte.foreground, matte.alpha, parse_color(LOOKS[look])))
    nobody = replace(matte, alpha=torch.zeros_like(matte.alpha))
    assert view_matte(nobody, "white").min() == 255
    with pytest.raises(ValueError, match='got "composite"'):
        view_matte(matte, "composite")


@pytest.mark.parametrize("edits", [Edits(), Edits(shift=3.5), Edits(feather=6), Edits(shift=-2, feather=3, clean=False)])
@pytest.mark.parametrize("scene", [Scene(), Scene("color", color="#00b140"), Scene("blur"), Scene("gradient"), Scene("gallery", name="sea")])
def test_a_part_is_cut_from_the_whole_s_own_pixels(matte: shm.Matte, edits: Edits, scene: Scene) -> None:
    part, size = (slice(5, 19), slice(11, 30)), tuple(matte.alpha.shape[-2:])
    near, whole = edit_part(matte, matte, matte.alpha, edits, part), edit_matte(matte, edits)
    torch.testing.assert_close(near.alpha, whole.alpha[..., *part], rtol=0, atol=2e-3)
    assert torch.equal(near.foreground, whole.foreground[..., *part])
    image = compose_part(near, whole, scene, size, part)
    difference = image.float() - compose(whole, scene)[..., *part].float()
    assert difference.abs().max() <= 2


def test_a_part_shows_only_those_who_stay_and_their_light(matte: shm.Matte) -> None:
    alpha = torch.zeros_like(matte.alpha)
    alpha[..., 5:30, 5:20], alpha[..., 5:30, 30:45] = 1, 1
    pair = replace(matte, alpha=alpha, probabilities=torch.cat([1 - alpha, alpha, 0 * alpha], dim=1))
    people, part = find_people(alpha, pair.probabilities), (slice(0, 30), slice(0, 50))
    edits = Edits(persons=(2,))
    near = edit_part(pair, pair, edit_matte(pair, edits, people).alpha, edits, part)
    assert near.alpha[..., :20].max() == 0 and near.alpha[..., 5:30, 31:44].min() == 1
    sunset = Scene("gallery", name="sunset", color_match=1.0)
    lit, plain = (compose_part(near, pair, scene, tuple(alpha.shape[-2:]), part) for scene in (sunset, replace(sunset, color_match=0.0)))
    inside = (..., slice(6, 29), slice(31, 44))
    assert (lit[inside].int() - plain[inside].int()).abs().max() > 5
    assert torch.equal(lit[..., :4, :4], plain[..., :4, :4])
