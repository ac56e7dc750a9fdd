"""The closed-form solution: what it must find, keep and refuse."""

from __future__ import annotations

import pytest
import torch

from shm.closed_form import KNOWN, dot, find_box, solve_alpha
from shm.filters import find_band, gaussian_blur


def make_scene(height: int = 48, width: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """A person of one color before a wall of another, apart by a wavy edge two pixels soft: image and its true alpha."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    hard = (columns < width / 2 + 8 * torch.sin(rows / 4)).float()[None, None]
    alpha = gaussian_blur(hard, 1.0)
    foreground, background = (torch.tensor(color).view(1, 3, 1, 1) for color in ((0.9, 0.6, 0.4), (0.1, 0.3, 0.5)))
    return alpha * foreground + (1 - alpha) * background, alpha


def noise(like: torch.Tensor) -> torch.Tensor:
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(1)) - 0.5


def test_a_blurred_alpha_finds_the_edge_that_the_colors_show() -> None:
    image, true = make_scene()
    rough = gaussian_blur(true, 3.0)
    solved = solve_alpha(image, rough)
    assert (solved - true).abs().mean() < 0.3 * (rough - true).abs().mean()


def test_a_noisy_alpha_is_smoothed_along_the_colors() -> None:
    image, true = make_scene()
    rough = (true + noise(true) * ((true > 0.02) & (true < 0.98))).clamp(0, 1)
    assert (solve_alpha(image, rough) - true).abs().mean() < 0.5 * (rough - true).abs().mean()


def test_certain_pixels_keep_their_alpha_and_the_result_its_range() -> None:
    image, true = make_scene()
    rough = gaussian_blur(true, 3.0)
    solved, band = solve_alpha(image, rough), find_band(rough, 1)
    assert torch.equal(solved[~band], rough[~band]) and not torch.equal(solved[band], rough[band])
    assert 0 <= solved.min() and solved.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_alpha_without_doubt_stays_as_it_is(value) -> None:
    alpha = torch.full((1, 1, 20, 30), value)
    assert torch.equal(solve_alpha(torch.rand(1, 3, 20, 30), alpha), alpha)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (50, 37)])
def test_any_size_and_a_gray_photograph_stay_finite(size) -> None:
    image = torch.full((1, 3, *size), 0.5)
    alpha = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2))
    for picture in (image, (image + noise(image)).mean(1, keepdim=True).expand(-1, 3, -1, -1)):
        solved = solve_alpha(picture, alpha)
        assert solved.shape == alpha.shape and bool(solved.isfinite().all())


def test_photographs_of_a_batch_do_not_touch() -> None:
    image, true = make_scene()
    images, alphas = torch.cat([image, image.flip(3)]), gaussian_blur(torch.cat([true, true.flip(3)]), 3.0)
    both = solve_alpha(images, alphas)
    for index in range(2):
        alone = solve_alpha(images[index : index + 1], alphas[index : index + 1])
        torch.testing.assert_close(both[index : index + 1], alone, rtol=0, atol=2e-3)


def leave_lines(image: torch.Tensor, radius: int, epsilon: float) -> torch.Tensor:
    """The matrix that takes from an alpha the mean, over the windows around a pixel, of each window's best line; (N, N)."""
    height, width = image.shape[-2:]
    colors, places = image[0].permute(1, 2, 0).double(), torch.arange(height * width).view(height, width)
    matrix, covered = torch.zeros(height * width, height * width).double(), torch.zeros(height * width, 1)
    for y in range(height):
        for x in range(width):
            part = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            window, inside = colors[part].reshape(-1, 3), places[part].flatten()
            centered = window - window.mean(0)
            count = len(window)
            covariance = centered.T @ centered / count + epsilon * torch.eye(3)
            line = centered @ torch.linalg.solve(covariance, centered.T) / count + 1 / count  # target -> the line's values
            matrix[inside[:, None], inside] += line
            covered[inside] += 1
    return torch.eye(height * width) - matrix / covered


def test_the_solver_reaches_what_a_dense_one_finds() -> None:
    image, true = make_scene(12, 14)
    rough = gaussian_blur(true, 2.0)
    band = find_band(rough, 1)
    weight = torch.where(band, 0.01 * (0.1 + 10 * (2 * rough - 1) ** 4), KNOWN).flatten().double()
    matrix = leave_lines(image, radius=1, epsilon=1e-3) + weight.diag()
    expected = torch.linalg.solve(matrix, weight * rough.flatten().double()).float().view_as(rough).clamp(0, 1)
    solved = solve_alpha(image, rough, radius=1, epsilon=1e-3, trust=0.01, steps=100)
    torch.testing.assert_close(solved[band], expected[band], rtol=0, atol=0.02)


def test_a_box_holds_the_band_and_its_margin() -> None:
    band = torch.zeros(1, 1, 10, 12, dtype=torch.bool)
    band[..., 4, 5] = band[..., 6, 3] = True
    assert find_box(band, 0) == (slice(4, 7), slice(3, 6))
    rows, columns = find_box(band, 100)
    assert band[..., rows, columns].shape == band.shape


def test_dot_products_are_of_each_picture() -> None:
    pair = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert dot(pair, pair).flatten().tolist() == [4.0, 16.0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha: expected the image's size"):
        solve_alpha(torch.rand(1, 3, 4, 5), torch.rand(1, 1, 5, 4))
    with pytest.raises(ValueError, match="image"):
        solve_alpha(torch.rand(1, 1, 4, 5), torch.rand(1, 1, 4, 5))
