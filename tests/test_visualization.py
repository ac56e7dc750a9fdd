"""Pictures for people: label colors, legend, reduced copies."""

from __future__ import annotations

import pytest
import torch

from shm.visualization import class_color, color_labels, find_close_up, legend, outline_people, shrink

NAMES = ("background", "person", "unknown")


def test_class_colors_are_told_apart() -> None:
    colors = torch.tensor([class_color(label) for label in range(40)], dtype=torch.float32)
    assert torch.pdist(colors).min() > 8
    assert torch.pdist(colors[: len(NAMES)]).min() > 90


@pytest.mark.parametrize("size", [(1, 1), (37, 53)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_color_labels_has_the_size_of_the_image(size: tuple[int, int], dtype: torch.dtype) -> None:
    image = torch.zeros(1, 3, *size).to(dtype)
    result = color_labels(image, torch.zeros(1, 1, 8, 16, dtype=torch.int64))
    assert result.shape == (1, 3, *size) and result.dtype == torch.uint8


def test_color_labels_mixes_paint_and_photograph() -> None:
    image = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    labels = torch.tensor([[[[0, 1], [1, 2]]]])
    for opacity in (0.0, 0.5, 1.0):
        result = color_labels(image, labels, opacity=opacity)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            paint = torch.tensor(class_color(int(labels[0, 0, row, column])), dtype=torch.float32)
            expected = opacity * paint + (1 - opacity) * 200
            assert (result[0, :, row, column] - expected).abs().max() <= 0.501


def test_color_labels_enlarges_without_mixing_classes() -> None:
    labels = torch.tensor([[[[0, 2], [2, 0]]]])
    result = color_labels(torch.zeros(1, 3, 7, 9), labels, opacity=1.0)
    seen = {tuple(color.tolist()) for color in result[0].flatten(1).T}
    assert seen == {class_color(0), class_color(2)}


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_color_labels_refuses_other_opacities(opacity: float) -> None:
    with pytest.raises(ValueError, match="opacity: expected 0 .. 1, got"):
        color_labels(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64), opacity=opacity)


def test_color_labels_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"labels: expected shape \(1, 1, h, w\), got \(4, 4\)"):
        color_labels(torch.zeros(1, 3, 4, 4), torch.zeros(4, 4, dtype=torch.int64))


def test_legend_names_what_is_there_and_its_share() -> None:
    entries = legend(torch.tensor([[[[1, 1, 1, 2]]]]), NAMES)
    assert [(entry.name, entry.share) for entry in entries] == [("person", 0.75), ("unknown", 0.25)]
    assert [entry.color for entry in entries] == ["#%02x%02x%02x" % class_color(label) for label in (1, 2)]


def test_legend_refuses_a_label_without_a_name() -> None:
    with pytest.raises(ValueError, match="class_names: expected a name for label 3, got 3 names"):
        legend(torch.tensor([0, 3]), NAMES)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_shrink_keeps_type_shape_and_color(dtype: torch.dtype) -> None:
    tensor = torch.full((1, 4, 100, 400), 1.0).to(dtype)
    result = shrink(tensor, side=53)
    assert result.shape == (1, 4, 13, 53) and result.dtype == dtype
    assert torch.allclose(result.float(), tensor.float().mean())
    assert shrink(tensor, side=400) is tensor
    assert shrink(torch.zeros(1, 1, 1, 4000), side=10).shape == (1, 1, 1, 10)


def test_shrink_refuses_no_pixels() -> None:
    with pytest.raises(ValueError, match="side: expected at least 1 pixel, got 0"):
        shrink(torch.zeros(1, 1, 1, 1), side=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_outlines_are_in_each_person_s_color_and_gray_where_left_out(dtype: torch.dtype) -> None:
    labels = torch.zeros(1, 1, 30, 60, dtype=torch.int64)
    labels[..., 5:, 5:25], labels[..., 5:, 35:55] = 1, 2
    image = torch.zeros(1, 3, 90, 180, dtype=dtype)
    image[:, 0] = 1 if dtype == torch.float32 else torch.iinfo(dtype).max
    both, one = (outline_people(image, labels, chosen) for chosen in ((1, 2), (2,)))
    assert both.shape == (1, 3, 90, 180) and both.dtype == torch.uint8
    assert both[0, :, 50, 15].tolist() == list(class_color(1)) and both[0, :, 50, 105].tolist() == list(class_color(2))
    assert both[0, :, 3, 90].tolist() == [255, 0, 0] == both[0, :, 85, 30].tolist()
    assert torch.equal(one[..., 100:], both[..., 100:])
    assert one[0, :, 85, 30].unique().numel() == 1, "a person who is left out is gray"
    assert (both == 255).all(1).any(), "the numbers are white"


def test_outlines_of_nobody_and_of_tiny_pictures() -> None:
    image = torch.zeros(1, 3, 2, 3)
    assert torch.equal(outline_people(image, torch.zeros(1, 1, 2, 3, dtype=torch.int64), ()), torch.zeros(1, 3, 2, 3, dtype=torch.uint8))
    assert outline_people(image, torch.ones(1, 1, 1, 1, dtype=torch.int64), ()).shape == (1, 3, 2, 3)
    with pytest.raises(ValueError, match=r"labels: expected shape \(1, 1, h, w\), got \(4, 4\)"):
        outline_people(image, torch.zeros(4, 4, dtype=torch.int64), ())


def test_the_close_up_is_where_alpha_is_soft() -> None:
    alpha = torch.zeros(1, 1, 40, 100)
    alpha[..., 10:, 20:60] = 1
    alpha[..., 8:12, 50:60] = 0.5
    rows, columns = find_close_up(alpha, side_fraction=0.2)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (20, 20)
    assert rows.start <= 8 and rows.stop >= 12 and columns.start <= 50 and columns.stop >= 60
    assert find_close_up(torch.zeros(1, 1, 1, 9), side_fraction=1.0) == (slice(0, 1), slice(0, 9))


def test_the_close_up_prefers_strands_to_veils_and_heads_to_feet() -> None:
    alpha = torch.zeros(1, 1, 100, 100)
    alpha[..., 20:, 30:70] = 1
    alpha[..., 20:30, 30:70] = torch.tensor([0.2, 0.8]).repeat(20)  # strands above
    alpha[..., 85:95, 30:70] = torch.tensor([0.2, 0.8]).repeat(20)  # and below
    alpha[..., 50:70, 30:70] = 0.5  # a veil between
    rows, _ = find_close_up(alpha, side_fraction=0.2)
    assert rows.start <= 20 and rows.stop >= 30 and rows.stop < 50
