"""Evaluation of made-up mattings on rendered pairs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from shm import metrics
from shm.evaluation import Score, average_scores, evaluate, find_pairs, format_table, score_alpha
from shm.image_io import write_image
from shm.matte import ImageError


def make_disc(height: int = 37, width: int = 53) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    return (((height / 3 - torch.hypot(x, y)) / 4 + 0.5).clamp(0, 1) * 255).round()[None, None] / 255


def write_pair(folder: Path, name: str, alpha: torch.Tensor, ending: str = ".png") -> None:
    """Write a photograph whose red is the alpha, so that a fake matting can see it."""
    for part in ("image", "alpha"):
        (folder / part).mkdir(exist_ok=True)
    write_image(folder / "image" / f"{name}{ending}", torch.cat([alpha, 0 * alpha, 1 - alpha], dim=1))
    write_image(folder / "alpha" / f"{name}.png", alpha)


def match(image: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(alpha=image[:, :1])


def halve(image: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(alpha=image[:, :1].float() / 510)


def test_a_perfect_matting_has_no_error(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_pair(tmp_path, name, make_disc())
    rows = dict(evaluate(match, tmp_path))
    assert list(rows) == ["a", "b"]
    for name, score in rows.items():
        assert score == Score(name, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, score.seconds) and score.seconds > 0


def test_every_column_is_its_metric(tmp_path: Path) -> None:
    true = make_disc()
    write_pair(tmp_path, "disc", true)
    [(_, score)] = evaluate(halve, tmp_path)
    pred, band = true / 2, metrics.unknown_region(true)
    expected = {name: getattr(metrics, name)(pred, true) for name in ("sad", "mad", "mse", "grad", "conn", "iou")}
    expected |= {"band_mad": metrics.mad(pred, true, band), "band_mse": metrics.mse(pred, true, band)}
    assert band.any() and not band.all() and all(value > 0 for name, value in expected.items() if name != "iou")
    assert {name: getattr(score, name) for name in expected} == pytest.approx(expected, rel=1e-5)


def test_one_broken_photograph_does_not_stop_the_rest(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_pair(tmp_path, name, make_disc())
    (tmp_path / "image" / "a.png").write_bytes(b"text")
    write_image(tmp_path / "alpha" / "c.png", make_disc(53, 37))
    rows = dict(evaluate(match, tmp_path))
    assert [type(row) for row in rows.values()] == [ImageError, Score, ImageError, Score]
    assert (rows["a"].code, rows["c"].code) == ("not_an_image", "size_mismatch")
    assert str(rows["c"]) == "c.png: expected the photograph's size 53 x 37, got 37 x 53"
    assert rows["c"].values == {"name": "c.png", "expected": "53 x 37", "got": "37 x 53"}


def test_rows_come_one_at_a_time(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b"):
        write_pair(tmp_path, name, make_disc())
    rows = evaluate(lambda image: seen.append(image) or match(image), tmp_path)
    next(rows)
    assert len(seen) == 1


def test_pairs_are_found_by_stem(tmp_path: Path) -> None:
    write_pair(tmp_path, "b", make_disc(), ".webp")
    write_pair(tmp_path, "a", make_disc(), ".jpg")
    (tmp_path / "image" / "notes.txt").write_text("not a photograph")
    names = [(image.name, alpha.name) for image, alpha in find_pairs(tmp_path)]
    assert names == [("a.jpg", "a.png"), ("b.webp", "b.png")]


def test_what_has_no_partner_is_listed(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_pair(tmp_path, name, make_disc())
    (tmp_path / "image" / "a.png").unlink()
    (tmp_path / "alpha" / "b.png").rename(tmp_path / "alpha" / "b.jpg")
    write_image(tmp_path / "image" / "c.webp", make_disc())
    with pytest.raises(ImageError, match="these do not pair: image/b.png, image/c.png, ") as caught:
        next(evaluate(match, tmp_path))
    assert caught.value.code == "missing_pair"
    assert caught.value.values["unpaired"] == ["image/b.png", "image/c.png", "image/c.webp", "alpha/a.png", "alpha/c.png"]


@pytest.mark.parametrize("missing", ["image", "alpha"])
def test_missing_folders_are_named(tmp_path: Path, missing: str) -> None:
    write_pair(tmp_path, "a", make_disc())
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match=f"{missing}: cannot be read"):
        find_pairs(tmp_path)


def test_alpha_of_another_size_than_the_photograph_is_a_programming_error(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", make_disc())
    with pytest.raises(ValueError, match="pred, true: expected one shape"):
        list(evaluate(lambda image: SimpleNamespace(alpha=image[:, :1, 1:]), tmp_path))


def test_the_mean_leaves_out_what_is_not_a_number() -> None:
    disc = score_alpha("disc", make_disc() / 2, make_disc(), seconds=1.0)
    empty = score_alpha("empty", torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    mean = average_scores([disc, empty])
    assert mean.name == "mean" and mean.seconds == 0.5
    assert mean.sad == pytest.approx(disc.sad / 2)
    assert math.isnan(empty.band_mad) and mean.band_mad == disc.band_mad
    with pytest.raises(ValueError, match="scores: expected at least one, got none"):
        average_scores([])


def test_table_has_a_line_per_photograph_if_asked_and_the_mean_last() -> None:
    scores = [Score(name, *[float(number)] * 9) for number, name in enumerate(("one", "two|three"))]
    lines = format_table(scores, per_photo=True).splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["| photo", "| ---", "| one", "| two\\|three", "| mean"]
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}
    assert lines[-1] == "| mean | " + "0.500 | " * 8 + "0.500 |"
    assert format_table(scores).splitlines() == [*lines[:2], lines[-1]]
