"""Soft trimaps, those of a true alpha, and their drawing."""

from __future__ import annotations

import pytest
import torch

from shm.matte import to_depth
from shm.trimap import drop_strays, hard_trimap, soft_trimap, trimap_from_alpha

OURS = ("background", "person", "unknown")
SIZES = [(1, 1), (37, 53), (1, 400)]


def class_probabilities(classes: int, *size: int) -> torch.Tensor:
    return (4 * torch.rand(2, classes, *size, generator=torch.Generator().manual_seed(0))).softmax(1)


def disc(side: int, radius: float, softness: float = 0.0) -> torch.Tensor:
    """A disc of people: 1 inside, 0 outside, a linear edge of 2 * softness pixels between."""
    steps = torch.arange(side) - (side - 1) / 2
    inside = radius - torch.hypot(steps[:, None], steps[None])
    edge = inside / (2 * softness) + 0.5 if softness else inside > 0
    return edge.clamp(0, 1).float()[None, None]


def test_unknown_that_no_person_is_part_of_is_dropped_whole_and_picture_by_picture() -> None:
    unknown = torch.zeros(2, 1, 40, 60)
    unknown[..., 5:20, 5:15], unknown[..., 22:35, 30:55] = 1.0, 0.6  # two regions of each picture
    person = torch.zeros_like(unknown)
    person[0, :, 10, 8] = 0.8  # one pixel of the first region of the first picture
    trimap = torch.cat([(1 - unknown - person).clamp(min=0), person, unknown - person * unknown], dim=1)
    result = drop_strays(trimap)
    assert torch.equal(result[0, :, :20, :20], trimap[0, :, :20, :20])
    assert not result[0, 1:, 20:].any() and not result[1, 1:].any() and (result[1, 0] == 1).all()
    assert torch.equal(soft_trimap(trimap, OURS, ("person",)), result)


def test_a_model_with_unknown_passes_through() -> None:
    pixel = torch.tensor([0.1, 0.8, 0.1]).view(1, 3, 1, 1)
    assert torch.equal(soft_trimap(pixel, OURS, ("person",)), pixel)
    probabilities = class_probabilities(3, 37, 53)
    torch.testing.assert_close(soft_trimap(probabilities, OURS, ("person",)), probabilities)


def test_unknown_is_found_by_name_and_human_classes_are_summed() -> None:
    probabilities = class_probabilities(5, 8, 8)
    trimap = soft_trimap(probabilities, ("unknown", "hair", "wall", "face", "sky"), ("face", "hair"))
    expected = torch.stack([probabilities[:, 2] + probabilities[:, 4], probabilities[:, 1] + probabilities[:, 3],
                            probabilities[:, 0]], dim=1)  # fmt: skip
    torch.testing.assert_close(trimap, expected)


@pytest.mark.parametrize("size", SIZES)
def test_any_other_model_gives_three_that_sum_to_one(size) -> None:
    trimap = soft_trimap(class_probabilities(4, *size), ("wall", "sky", "person", "tree"), ("person",))
    assert trimap.shape == (2, 3, *size) and trimap.dtype == torch.float32
    assert trimap.min() >= 0 and trimap.max() <= 1
    torch.testing.assert_close(trimap.sum(1), torch.ones(2, *size))


def test_the_soft_trimap_commutes_with_a_flip() -> None:
    names, people = ("wall", "person"), ("person",)
    probabilities = class_probabilities(2, 37, 53)
    flipped = soft_trimap(probabilities.flip(3), names, people)
    torch.testing.assert_close(flipped, soft_trimap(probabilities, names, people).flip(3))


@pytest.mark.parametrize("softness", [0.0, 1.0])
def test_the_band_contains_the_edge_and_leaves_the_rest(softness) -> None:
    person = disc(200, 60, softness)
    trimap = soft_trimap(torch.cat([1 - person, person], 1), ("wall", "person"), ("person",), band_fraction=0.02)
    edge = disc(200, 61) > disc(200, 59)
    torch.testing.assert_close(trimap[:, 2:][edge], torch.ones(int(edge.sum())))
    background, foreground, unknown = trimap[0]
    assert foreground[100, 100] == 1 and background[2, 2] == 1
    assert 0.02 < unknown.mean() < 0.25
    wide = soft_trimap(torch.cat([1 - person, person], 1), ("wall", "person"), ("person",), band_fraction=0.05)
    assert wide[0, 2].mean() > 1.5 * unknown.mean()


def test_soft_trimap_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"probabilities: expected shape \(B, 2, H, W\), got \(2, 3, 4, 4\)"):
        soft_trimap(class_probabilities(3, 4, 4), ("wall", "person"), ("person",))
    with pytest.raises(ValueError, match="human_labels: expected names among wall, person, got dog"):
        soft_trimap(class_probabilities(2, 4, 4), ("wall", "person"), ("person", "dog"))
    with pytest.raises(ValueError, match="probabilities: expected values in"):
        soft_trimap(class_probabilities(3, 4, 4) * 9, OURS, ("person",))


@pytest.mark.parametrize("radius", [1, 5])
@pytest.mark.parametrize("softness", [0.0, 4.0])
def test_the_trimap_of_an_alpha_never_lies(radius, softness) -> None:
    alpha = disc(120, 35, softness)
    background, foreground, unknown = trimap_from_alpha(alpha, radius=radius).bool().split(1, dim=1)
    assert (background.int() + foreground.int() + unknown.int() == 1).all()
    assert (alpha[foreground] == 1).all() and (alpha[background] == 0).all()
    assert unknown[(alpha > 0) & (alpha < 1)].all()
    edge = (alpha[..., 1:] >= 0.5) != (alpha[..., :-1] >= 0.5)
    assert edge.any() and unknown[..., 1:][edge].all() and unknown[..., :-1][edge].all()


def test_a_wider_radius_knows_less() -> None:
    alpha = disc(120, 35, 3.0)
    narrow, wide = (trimap_from_alpha(alpha, radius=radius)[:, 2] for radius in (2, 6))
    assert (wide >= narrow).all() and wide.sum() > narrow.sum()


@pytest.mark.parametrize("size", SIZES)
def test_the_trimap_of_an_alpha_of_any_size_and_type(size) -> None:
    alpha = torch.randint(0, 256, (2, 1, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    trimap = trimap_from_alpha(alpha, radius=2)
    assert trimap.shape == (2, 3, *size) and torch.equal(trimap.sum(1), torch.ones(2, *size))
    assert torch.equal(trimap, trimap_from_alpha(alpha / 255, radius=2))


def test_the_hard_trimap_is_the_likeliest_as_the_field_draws_it() -> None:
    pixels = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]).T.reshape(1, 3, 1, 3)
    drawn = hard_trimap(pixels, (1, 3))
    assert drawn.shape == (1, 1, 1, 3) and drawn.flatten().tolist() == [0.0, 1.0, 0.5]
    assert to_depth(drawn, torch.uint8).flatten().tolist() == [0, 255, 128]


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (300, 200)])
def test_the_hard_trimap_has_the_size_asked_for(size) -> None:
    drawn = hard_trimap(class_probabilities(3, 37, 53), size)
    assert drawn.shape == (2, 1, *size) and drawn.dtype == torch.float32
    assert set(drawn.unique().tolist()) <= {0.0, 0.5, 1.0}
