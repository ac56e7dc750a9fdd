"""Who is there, on drawn figures whose number is known."""

from __future__ import annotations

import pytest
import torch

from shm.filters import resize
from shm.people import People, Person, choose_people, find_people

SIZE = (160, 240)


def ellipse(x: float, y: float, half_width: float, half_height: float) -> torch.Tensor:
    rows, columns = torch.arange(SIZE[0])[:, None] - y, torch.arange(SIZE[1]) - x
    inside = 1 - torch.hypot(columns / half_width, rows / half_height)
    return (inside * min(half_width, half_height) / 3 + 0.5).clamp(0, 1)[None, None]  # soft over three pixels


def figure(x: float, size: float = 1.0) -> torch.Tensor:
    """A standing person: head, thin neck, torso, two legs apart, arms stretched out with hands."""
    feet = 150
    shapes = [
        (0, -118, 13, 15), (0, -100, 6, 10), (0, -68, 21, 32), (-10, -20, 8, 32), (10, -20, 8, 32),
        (-26, -84, 16, 3), (26, -84, 16, 3), (-42, -84, 5, 5), (42, -84, 5, 5),
    ]  # fmt: skip
    return torch.stack([ellipse(x + dx * size, feet + dy * size, a * size, b * size) for dx, dy, a, b in shapes]).amax(0)


def trimap_of(alpha: torch.Tensor) -> torch.Tensor:
    return torch.cat([1 - alpha, alpha, torch.zeros_like(alpha)], dim=1)


def find(alpha: torch.Tensor) -> People:
    return find_people(alpha, trimap_of(alpha))


def test_one_person_with_arms_neck_and_legs_is_one() -> None:
    alpha = figure(120)
    (person,) = find(alpha).persons
    assert person.number == 1 and person.area_fraction == pytest.approx(alpha.mean().item(), abs=0.005)
    left, top, right, bottom = person.box
    assert (left, top, right, bottom) == pytest.approx((73, 17, 168, 151 + 11), abs=4)


def test_people_apart_are_numbered_from_left_to_right() -> None:
    people = find(torch.maximum(figure(180, 0.6), figure(60)))
    assert [person.number for person in people.persons] == [1, 2]
    assert people.persons[0].box[2] < people.persons[1].box[0]
    assert people.persons[0].area_fraction > 2 * people.persons[1].area_fraction
    assert people.labels.dtype == torch.int64 and people.labels.unique().tolist() == [0, 1, 2]
    assert people.labels[0, 0, 82, 60] == 1 and people.labels[0, 0, 110, 180] == 2


@pytest.mark.parametrize("positions", [(70, 155), (30, 115, 200)])
def test_people_who_touch_are_cut_at_the_bridge(positions: tuple[int, ...]) -> None:
    alpha = torch.stack([figure(x) for x in positions]).amax(0)
    people = find(alpha)
    assert len(people.persons) == len(positions)
    for number, x in enumerate(positions, start=1):
        assert people.labels[0, 0, 82, x] == people.labels[0, 0, 32, x] == people.labels[0, 0, 130, x + 10] == number
    middle = (positions[0] + positions[1]) // 2
    assert people.labels[0, 0, 66, middle - 6] == 1 and people.labels[0, 0, 66, middle + 6] == 2


def test_a_child_at_the_hand_is_a_person() -> None:
    people = find(torch.maximum(figure(80), figure(140, 0.6)))
    assert len(people.persons) == 2 and people.labels[0, 0, 110, 140] == 2


def test_scraps_are_nobody() -> None:
    assert len(find(torch.maximum(figure(80), ellipse(200, 30, 4, 4))).persons) == 1


def test_what_the_semantic_map_calls_background_is_nobody() -> None:
    alpha = torch.maximum(figure(60), figure(180))
    assert len(find_people(alpha, trimap_of(figure(60))).persons) == 1


def test_boxes_are_in_pixels_of_the_photograph() -> None:
    alpha = figure(120)
    at_working_size = resize(alpha, (80, 80)).clamp(0, 1)
    (small,), (large,) = find(alpha).persons, find_people(alpha, trimap_of(at_working_size)).persons
    assert large.box == pytest.approx(small.box, abs=4)


def test_chosen_people_keep_their_soft_edges() -> None:
    first, second = figure(60), figure(180, 0.7)
    alpha = torch.maximum(first, second)
    people = find_people(alpha, trimap_of(resize(alpha, (80, 120)).clamp(0, 1)))
    assert torch.equal(choose_people(alpha, people, [1]), first)
    assert torch.equal(choose_people(alpha, people, {2}), second)
    assert torch.equal(choose_people(alpha, people, [1, 2]), alpha)
    assert torch.equal(choose_people(alpha, people, []), torch.zeros_like(alpha))


def test_people_who_touch_are_shared_out_wholly() -> None:
    alpha = torch.maximum(figure(70), figure(155))
    people = find(alpha)
    large = resize(alpha, (333, 501)).clamp(0, 1)
    parts = [choose_people(large, people, [number]) for number in (1, 2)]
    torch.testing.assert_close(sum(parts), large)
    assert parts[0][..., 350:].max() == 0 and parts[1][..., :120].max() == 0
    small = resize(alpha, (37, 53)).clamp(0, 1)  # such as a screen shows
    torch.testing.assert_close(sum(choose_people(small, people, [number]) for number in (1, 2)), small)


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
def test_odd_sizes_nobody_and_nothing_but_a_person(size: tuple[int, int]) -> None:
    everywhere = torch.ones(1, 1, *size)
    assert find(0 * everywhere).persons == () and choose_people(everywhere, find(0 * everywhere), ()) is everywhere
    assert find(everywhere).persons == (Person(1, (0, 0, size[1], size[0]), 1.0),)


def test_what_is_wrong_is_named() -> None:
    alpha = figure(120)
    with pytest.raises(ValueError, match=r"numbers: expected some of \[1\], got \[0, 2\]"):
        choose_people(alpha, find(alpha), [2, 1, 0])
    with pytest.raises(ValueError, match=r"alpha: expected shape \(1, 1, H, W\), got \(2, 1, 160, 240\)"):
        find_people(alpha.expand(2, -1, -1, -1), trimap_of(alpha))
    with pytest.raises(ValueError, match=r"probabilities: expected shape \(B, 3, H, W\)"):
        find_people(alpha, alpha)
