"""The ground: tensor contract, errors, depths."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch

from shm.matte import DEPTHS, CheckpointError, ChoiceError, ImageError, Matte, Report, check, to_depth


@pytest.mark.parametrize("dtype", DEPTHS)
def test_check_divides_integers_by_their_largest_value(dtype: torch.dtype) -> None:
    result = check("image", torch.tensor([[[[0, DEPTHS[dtype]]]]]).to(dtype))
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_check_returns_float32(dtype: torch.dtype) -> None:
    result = check("alpha", torch.full((2, 1, 3, 5), 0.25, dtype=dtype), channels=1)
    assert result.dtype == torch.float32 and result.shape == (2, 1, 3, 5) and bool((result == 0.25).all())


def test_check_keeps_a_conforming_tensor_and_its_gradient() -> None:
    alpha = torch.full((1, 1, 1, 1), 0.5, requires_grad=True)
    assert check("alpha", alpha) is alpha


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 2, 4, 4), (0, 3, 4, 4), (1, 3, 0, 4)])
def test_check_names_the_shape_it_wants_and_got(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"image: expected shape \(B, 3, H, W\), got \(") as caught:
        check("image", torch.zeros(shape), channels=3)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), 255.0])
def test_check_refuses_values_outside_the_unit_interval(value: float) -> None:
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\]"):
        check("alpha", torch.tensor([[[[0.5, value]]]]))


@pytest.mark.parametrize("value", [[0.5], torch.zeros(1, 1, 1, 1, dtype=torch.bool), torch.zeros(1, 1, 1, 1).int()])
def test_check_refuses_other_types(value: object) -> None:
    with pytest.raises(TypeError, match="alpha: expected"):
        check("alpha", value)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_integer_survives_the_way_to_floats_and_back(dtype: torch.dtype) -> None:
    values = torch.arange(DEPTHS[dtype] + 1).to(dtype).view(1, 1, 1, -1)
    assert torch.equal(to_depth(check("image", values), dtype).long(), values.long())


def test_to_depth_rounds_and_clips() -> None:
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0])
    assert to_depth(values, torch.uint8).tolist() == [0, 0, 1, 255]
    assert to_depth(values, torch.uint16).tolist() == [0, 103, 154, 65535]
    assert to_depth(values, torch.float64).dtype == torch.float64
    assert to_depth(values, torch.float32)[[0, -1]].tolist() == [0.0, 1.0]


def test_to_depth_refuses_other_integers() -> None:
    with pytest.raises(ValueError, match="expected uint8, uint16 or a float type, got torch.int32"):
        to_depth(torch.zeros(1), torch.int32)


@pytest.mark.parametrize(("kind", "parent"), [(ImageError, ValueError), (ChoiceError, ValueError), (CheckpointError, RuntimeError)])
def test_errors_carry_code_and_values_besides_the_sentence(kind: type, parent: type) -> None:
    error = kind("too_large", "expected at most 9 pixels, got 12", limit=9, pixels=12)
    assert isinstance(error, parent)
    assert (error.code, error.values) == ("too_large", {"limit": 9, "pixels": 12})
    assert str(error) == "expected at most 9 pixels, got 12"
    back = pickle.loads(pickle.dumps(error))  # as another process hands it over
    assert type(back) is kind and (back.code, back.values, str(back)) == (error.code, error.values, str(error))


def test_matte_and_report_are_frozen() -> None:
    report = Report("cpu", "float32", (1, 1), (1, 1), 0.0, {})
    pixel = torch.zeros(1, 1, 1, 1)
    matte = Matte(pixel, pixel, pixel, ("person",), pixel, pixel, report)
    for frozen, field in ((report, "device"), (matte, "alpha")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, field, None)
