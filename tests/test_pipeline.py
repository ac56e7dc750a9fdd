"""The pipeline with tiny random networks: order, types, sizes, precision, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

from shm import pipeline
from shm.filters import resize, resize_image
from shm.matte import CheckpointError, Matte, to_depth
from shm.matting import MattingConfig, MattingHead, fuse
from shm.pipeline import HumanMatting, find_device, find_precision, load
from shm.refinement import refine_alpha
from shm.segmentation import PRESETS, Segmenter, silence_transformers
from shm.trimap import soft_trimap

NAMES = ["probabilities", "labels", "alpha", "foreground"]
STAGES = ["segmentation", "matting", "refinement", "foreground"]
SIZES = [(1, 1), (37, 53), (1, 400), (90, 60), (150, 200)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, str]:
    """A tiny segmenter and a tiny head, saved; their outputs vary from pixel to pixel."""
    labels = ("background", "person", "unknown")
    config = MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, output_stride=16)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: index for index, label in enumerate(labels)}
    segmenter, head = tmp_path_factory.mktemp("segmenter"), tmp_path_factory.mktemp("head")
    torch.manual_seed(0)
    network = MobileNetV2ForSemanticSegmentation(config)
    torch.nn.init.normal_(network.segmentation_head.classifier.convolution.weight, std=3)
    network.segmentation_head.classifier.convolution.bias.data = torch.tensor([0.0, 1.3, 0.6])  # sees somebody, and is in doubt
    matting_head = MattingHead(MattingConfig(channels=4, side=96))
    torch.nn.init.normal_(matting_head.alpha.weight, std=1)
    with silence_transformers():
        network.save_pretrained(segmenter)
    matting_head.save_pretrained(head)
    return str(segmenter), str(head)


@pytest.fixture(scope="module")
def matting(folders) -> HumanMatting:
    preset = replace(PRESETS["embedded"], source=folders[0], side=128, sharpness=2.5)
    return load(preset, head=folders[1], device="cpu", precision="float32")


def photograph(height: int, width: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return to_depth(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)), dtype)


def test_the_stream_is_in_order_and_each_name_comes_once(matting) -> None:
    image = photograph(150, 200)
    stages, names = matting.stream(image), []
    with pytest.raises(StopIteration) as end:
        while True:
            names.append(next(stages)[0])
    assert names == NAMES
    report = end.value.value
    assert list(report.seconds) == STAGES and all(seconds >= 0 for seconds in report.seconds.values())
    assert (report.device, report.precision) == ("cpu", "float32")
    assert (report.working_size, report.detail_size) == ((96, 160), (72, 96))
    assert 0 <= report.refined_fraction <= 1


def test_calling_is_the_stream_gathered(matting) -> None:
    image = photograph(150, 200)
    matte, streamed = matting(image), dict(matting.stream(image))
    assert isinstance(matte, Matte) and matte.image is image
    assert matte.class_names == ("background", "person", "unknown")
    for name in NAMES:
        assert torch.equal(getattr(matte, name), streamed[name])


@pytest.mark.parametrize("size", SIZES)
def test_fields_keep_the_contract_at_any_size(matting, size) -> None:
    matte = matting(photograph(*size))
    assert matte.probabilities.shape == (1, 3, *matte.report.working_size)
    torch.testing.assert_close(matte.probabilities.sum(1), torch.ones(1, *matte.report.working_size))
    assert matte.labels.shape == (1, 1, *matte.report.working_size) and matte.labels.dtype == torch.int64
    assert torch.equal(matte.labels, matte.probabilities.argmax(1, keepdim=True))
    assert matte.alpha.shape == (1, 1, *size) and matte.alpha.dtype == torch.float32
    assert matte.alpha.min() >= 0 and matte.alpha.max() <= 1
    assert matte.foreground.shape == (1, 3, *size)


def test_alpha_is_the_fusion_of_the_two_networks_refined(matting, folders) -> None:
    image = photograph(120, 180)
    segmenter = Segmenter.from_pretrained(matting.segmenter.preset)
    trimap = soft_trimap(segmenter.segment(image), segmenter.class_names, segmenter.human_labels)
    detail = resize(image / 255, (64, 96))
    with torch.no_grad():
        enlarged = torch.nn.functional.interpolate(trimap, size=(64, 96), mode="bilinear", antialias=True)
        alpha = fuse(trimap, MattingHead.load(folders[1])(detail, enlarged))
    expected, fraction = refine_alpha(image, alpha, detail=detail)
    matte = matting(image)
    torch.testing.assert_close(matte.alpha, expected, rtol=0, atol=0.02)  # the photograph is of 8 bit, and shrinks in 8 bit
    assert (matte.alpha - expected).abs().mean() < 1e-3
    assert matte.alpha.std() > 0.001 and matte.report.refined_fraction == pytest.approx(fraction, abs=1e-3)


@pytest.mark.parametrize("doubtful", [True, False])
def test_the_head_sees_what_is_unknown_and_its_surroundings(folders, monkeypatch, doubtful) -> None:
    matting = load(folders[0], head=folders[1], device="cpu", precision="float32")
    detail, trimap = photograph(300, 400) / 255, torch.tensor([0.02, 0.95, 0.03]).view(1, 3, 1, 1).repeat(1, 1, 300, 400)
    if doubtful:
        trimap[..., 100:105, 200:203] = torch.tensor([0.25, 0.25, 0.5]).view(1, 3, 1, 1)
    seen, look = [], matting.head.forward
    monkeypatch.setattr(matting.head, "forward", lambda *parts: seen.append(parts) or look(*parts))
    alpha = matting.predict_alpha(detail, trimap)
    expected = torch.full_like(alpha, 0.95 + 0.03 * 0.95)
    if doubtful:
        rows, columns = slice(55, 151), slice(154, 250)
        part = detail[..., rows, columns], trimap[..., rows, columns]
        assert len(seen) == 1 and all(map(torch.equal, seen[0], part))
        with torch.no_grad():
            expected[..., rows, columns] = fuse(part[1], look(*part))
    assert len(seen) == doubtful
    torch.testing.assert_close(alpha, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_the_result_keeps_the_depth_of_the_photograph(matting, dtype) -> None:
    image = photograph(60, 90, dtype)
    matte = matting(image)
    assert matte.image.dtype == matte.foreground.dtype == dtype


def test_floats_come_to_rest_as_uint16(matting) -> None:
    image = photograph(60, 90, torch.float32)
    matte = matting(image)
    assert matte.image.dtype == matte.foreground.dtype == torch.uint16
    assert torch.equal(matte.image, to_depth(image, torch.uint16))
    assert torch.equal(matte.alpha, matting(matte.image).alpha)
    assert dict(matting.stream(image))["foreground"].dtype == torch.float32


def test_the_foreground_is_the_photograph_where_alpha_is_one(folders, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "fuse", lambda trimap, alpha_r: (2 * alpha_r).clamp(0, 1).round())
    image = photograph(60, 90)
    matte = load(folders[0], head=folders[1], device="cpu", precision="float32")(image)
    opaque = (matte.alpha == 1).expand_as(image)
    assert opaque.any() and torch.equal(matte.foreground[opaque], image[opaque])


def test_the_same_photograph_gives_the_same_bits(matting) -> None:
    image = photograph(150, 200)
    kept = image.clone()
    first, second = matting(image), matting(image)
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in NAMES)
    assert torch.equal(image, kept)


def test_results_carry_no_autograd(matting) -> None:
    assert not any(tensor.requires_grad for _, tensor in matting.stream(photograph(37, 53)))
    assert torch.is_grad_enabled()
    image = photograph(37, 53, torch.float32).requires_grad_()
    assert not any(tensor.requires_grad for _, tensor in matting.stream(image))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_stays_close(matting, folders, precision) -> None:
    image = photograph(150, 200)
    preset = matting.segmenter.preset
    low = load(preset, head=folders[1], device="cpu", precision=precision)(image)
    full = matting(image)
    assert low.report.precision == precision and low.alpha.dtype == torch.float32
    assert (low.probabilities - full.probabilities).abs().mean() < 0.03
    assert (low.alpha - full.alpha).abs().mean() < 0.03


def test_devices_and_precisions_have_names(folders) -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_precision("float16", torch.device("cpu")) == torch.float16
    assert find_precision(None, torch.device("cpu")) in (torch.bfloat16, torch.float32)
    assert find_precision(None, torch.device("mps")) == torch.float32
    assert find_device(None).type in ("cpu", "cuda", "mps")
    for device in ("gpu", "cuda:99", "meta", "hpu"):
        with pytest.raises(ValueError, match=f"device: expected one that is here, such as .*, got '{device}'"):
            load(folders[0], head=folders[1], device=device)
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16, float16, got 'int8'"):
        load(folders[0], head=folders[1], device="cpu", precision="int8")


def test_only_one_photograph_at_a_time(matting) -> None:
    for image, match in (
        (torch.zeros(2, 3, 8, 8), r"image: expected one photograph \(1, 3, H, W\), got \(2, 3, 8, 8\)"),
        (torch.zeros(1, 4, 8, 8), r"image: expected one photograph \(1, 3, H, W\), got \(1, 4, 8, 8\)"),
        (torch.zeros(3, 8, 8), r"image: expected shape \(B, C, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8), "image: expected shape"),
        (torch.full((1, 3, 8, 8), 255.0), r"image: expected values in \[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), r"image: expected values in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=match):
            next(matting.stream(image))
        with pytest.raises(ValueError, match="image: expected"):
            matting(image)
    late = torch.zeros(1, 3, 8, 8)
    late[..., -1, -1] = 2
    with pytest.raises(ValueError, match=r"image: expected values in \[0, 1\]"):
        next(matting.stream(late))
    for image in ([[0]], torch.zeros(1, 3, 8, 8, dtype=torch.int64)):
        with pytest.raises(TypeError, match="image: expected"):
            matting(image)


def test_a_missing_head_is_said(folders, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="matting head") as error:
        load(folders[0], head=str(tmp_path / "nothing"), device="cpu")
    assert error.value.code == "not_found"


def doubt(rows: slice = slice(None), columns: slice = slice(None)) -> torch.Tensor:
    """A soft trimap, unknown in these of 40 rows and 60 columns."""
    trimap = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 40, 60)
    trimap[..., rows, columns] = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    return trimap


def test_detail_size_never_enlarges(matting) -> None:
    assert matting.detail_size(40, 60, doubt()) == (40, 60)
    assert matting.detail_size(400, 200, doubt()) == (96, 48)
    assert matting.detail_size(1, 4000, doubt()) == (1, 96)
    assert matting.detail_size(100, 150, doubt(slice(3), slice(3))) == (100, 150)


@pytest.mark.parametrize(
    "rows, columns, side",
    [
        (slice(0, 0), slice(None), 96),  # nobody
        (slice(None), slice(10), 96),  # the whole height, which is two thirds of the longer side
        (slice(5), slice(0, 42), 96),
        (slice(5), slice(5, 35), 128),
        (slice(20, 34), slice(7, 14), 192),
        (slice(3), slice(3), 192),
    ],
)
def test_small_people_are_seen_larger(matting, rows, columns, side) -> None:
    height, width = matting.detail_size(400, 600, doubt(rows, columns))
    assert width == side and height == round(side * 2 / 3)


@pytest.mark.parametrize("rows, size", [(slice(3, 13), (128, 192)), (slice(40), (64, 96))])
def test_what_is_seen_larger_has_the_pixels_of_the_photograph(matting, monkeypatch, rows, size) -> None:
    image, seen = resize(photograph(40, 60, torch.float32), (400, 600)), []
    image = to_depth(image + 0.2 * (torch.arange(600) % 2), torch.uint16)  # stripes that shrinking twice would blur otherwise
    predict = matting.predict_alpha
    monkeypatch.setattr(pipeline, "soft_trimap", lambda *classes: doubt(rows, slice(40, 50)))
    monkeypatch.setattr(matting, "predict_alpha", lambda *parts: seen.append(parts) or predict(*parts))
    report = matting(image).report
    (detail, trimap), = seen
    assert report.detail_size == tuple(detail.shape[-2:]) == size and torch.equal(trimap, doubt(rows, slice(40, 50)))
    once = resize_image(image, size)
    torch.testing.assert_close(detail, once, rtol=0, atol=1e-6 if max(size) > matting.head.config.side else 0.1)


def test_matting_alone_is_the_end_of_the_stream(matting) -> None:
    image = photograph(90, 120)
    matte = matting(image)
    stages, fields = matting.stream_matting(image, matte.probabilities), {}
    with pytest.raises(StopIteration) as end:
        while True:
            name, tensor = next(stages)
            fields[name] = tensor
    assert torch.equal(fields["alpha"], matte.alpha) and torch.equal(fields["foreground"], matte.foreground)
    assert list(fields) == NAMES[2:] and list(end.value.value.seconds) == STAGES[1:]
    certain = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 45, 60)
    assert next(matting.stream_matting(image, certain))[1].min() == 1
    with pytest.raises(ValueError, match="probabilities: expected shape"):
        next(matting.stream_matting(image, certain[:, :2]))
