"""Pictures for people: label colors, legend, reduced copies."""

from __future__ import annotations

import pytest
import torch

from shm.visualization import class_color, color_labels, legend, shrink

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
