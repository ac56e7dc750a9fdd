"""Alpha edits on a disc whose edited alpha is known exactly."""

from __future__ import annotations

import math

import pytest
import torch

from shm.edges import feather, keep_connected, shift_edge
from shm.filters import gaussian_blur
from shm.matte import to_depth

SIZES = [(1, 1), (37, 53), (300, 270)]  # the last needs more than one tile


def disc(size: tuple[int, int], radius: float, softness: float = 6.0) -> torch.Tensor:
    y, x = (torch.arange(length) - length / 2 + 0.5 for length in size)
    return ((radius - torch.hypot(y[:, None], x)) / softness + 0.5).clamp(0, 1)[None, None]


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pixels", [-10, -2.5, -1, -0.5, 0.5, 1, 1.5, 3, 10])
def test_shift_moves_every_level_of_a_soft_disc(pixels: float) -> None:
    size = (123, 124)
    result = shift_edge(disc(size, 40), pixels)
    torch.testing.assert_close(result, disc(size, 40 + pixels), atol=0.06, rtol=0)
    assert math.sqrt(result.sum().item() / math.pi) == pytest.approx(40 + pixels, abs=0.06)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_changed_by_zero(size: tuple[int, int]) -> None:
    alpha = noise(2, 1, *size)
    assert torch.equal(shift_edge(alpha, 0), alpha) and torch.equal(feather(alpha, 0), alpha)
    assert torch.equal(keep_connected(alpha[:1], smallest_fraction=0), alpha[:1])


@pytest.mark.parametrize("size", SIZES)
def test_shift_grows_with_the_distance_and_has_a_mirror(size: tuple[int, int]) -> None:
    alpha = noise(2, 1, *size)
    results = [shift_edge(alpha, pixels) for pixels in (-10, -1.5, -1, 0, 0.5, 1, 3.7)]
    assert all(bool((less <= more).all()) for less, more in zip(results, results[1:], strict=False))
    torch.testing.assert_close(shift_edge(1 - alpha, -1.5), 1 - shift_edge(alpha, 1.5))
    torch.testing.assert_close(shift_edge(alpha.flip(-1, -2), 2), shift_edge(alpha, 2).flip(-1, -2))


@pytest.mark.parametrize("edit", [lambda alpha: shift_edge(alpha, -4), lambda alpha: feather(alpha, 4)])
def test_the_frame_is_no_edge(edit) -> None:
    alpha = torch.ones(1, 1, 37, 53)
    alpha[..., :20] = 0
    result = edit(alpha)
    assert torch.equal(result[..., 0, :], result[..., 18, :]) and bool((result[..., 30:] == 1).all())


@pytest.mark.parametrize("edit", [lambda alpha: shift_edge(alpha, 7.3), lambda alpha: feather(alpha, 9)])
def test_tiles_join_without_a_seam(edit, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = disc((150, 161), 50)
    whole = edit(alpha)
    monkeypatch.setattr("shm.edges.TILE_SIDE", 32)
    torch.testing.assert_close(edit(alpha), whole)


def test_feather_is_a_gaussian_that_leaves_the_inside_exact() -> None:
    alpha = disc((300, 270), 80)
    result = feather(alpha, 8)
    torch.testing.assert_close(result, gaussian_blur(alpha, 4.0), atol=1e-5, rtol=0)
    assert result[disc((300, 270), 50) > 0].min() == 1
    assert result[..., 0, :].max() == 0


@pytest.mark.parametrize("size", [(60, 90), (1300, 2100)])  # the last is reduced by three, which divides neither side
def test_unconnected_parts_are_dropped_with_their_soft_edge(size: tuple[int, int]) -> None:
    unit = size[0] / 60
    person, second, scrap = (
        disc((2 * size[0], 2 * size[1]), radius * unit, 5 * unit).roll((int(y * unit), int(x * unit)), (-2, -1))
        for radius, y, x in ((15, 0, -25), (8, 0, 15), (2, -15, 30))
    )
    person, second, scrap = (
        part[..., size[0] // 2 :, size[1] // 2 :][..., : size[0], : size[1]] for part in (person, second, scrap)
    )
    assert torch.equal(keep_connected(person + second + scrap), person + second)
    assert torch.equal(keep_connected(person + second + scrap, smallest_fraction=0.5), person)


def test_a_faint_strand_connects_and_a_fainter_haze_does_not() -> None:
    alpha = torch.zeros(1, 1, 20, 40)
    alpha[..., 2:18, 2:18] = 1
    alpha[..., 9:11, 24:26] = 1
    for bridge, kept in ((0.1, True), (0.03, False)):
        alpha[..., 10, 18:24] = bridge
        assert (keep_connected(alpha)[0, 0, 10, 24] > 0) == kept
    assert keep_connected(alpha)[0, 0, 10, 18].item() == pytest.approx(0.03)  # the haze is cut halfway, not at the person


def test_nobody_stays_nobody() -> None:
    nobody = torch.zeros(1, 1, 37, 53)
    for result in (shift_edge(nobody, 3), feather(nobody, 3), keep_connected(nobody)):
        assert torch.equal(result, nobody)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integers_are_taken_too(dtype: torch.dtype) -> None:
    alpha = disc((37, 53), 12)
    given = to_depth(alpha, dtype)
    for result in (shift_edge(given, 0), feather(given, 0), keep_connected(given)):
        torch.testing.assert_close(result, alpha, atol=0.003, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda alpha: shift_edge(alpha, 10.5), r"pixels: expected -10 \.\. 10, got 10.5"),
        (lambda alpha: shift_edge(alpha, math.nan), "pixels: expected"),
        (lambda alpha: feather(alpha, -1), r"radius: expected 0 \.\. 30 pixels, got -1"),
        (lambda alpha: feather(alpha, math.inf), "radius: expected"),
        (lambda alpha: keep_connected(alpha, smallest_fraction=1.5), r"smallest_fraction: expected 0 \.\. 1, got 1.5"),
        (lambda alpha: keep_connected(alpha.expand(2, -1, -1, -1)), r"alpha: expected shape \(1, 1, H, W\), got \(2,"),
        (lambda alpha: shift_edge(alpha.expand(-1, 3, -1, -1), 1), r"alpha: expected shape \(B, 1, H, W\)"),
        (lambda alpha: feather(alpha * 2, 1), r"alpha: expected values in \[0, 1\]"),
    ],
)
def test_what_is_wrong_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.ones(1, 1, 4, 4))
