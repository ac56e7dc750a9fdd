"""The training wing on tiny pictures and networks: what is known exactly stays exact, a run repeats, resumes and exports."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

from shm.cli import main
from shm.filters import resize
from shm.matte import CheckpointError, ImageError
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import PRESETS, Segmenter, open_network, streamline
from shm.training import compression, dataset, losses, mining, networks, presence, synthesis, train, views
from shm.trimap_network import Presence, TrimapNetwork, TrimapNetworkConfig, TrimapOutput

SIDE = 96


def draw_person(rng):
    """A bright ellipse on a dark wall, its alpha, and where that is known: all but a part of the edge."""
    y, x = np.mgrid[0:120, 0:90]
    distance = np.hypot((y - 70) / 50, (x - 45) / 30)
    image = np.where((distance < 1)[..., None], (220, 170, 140), (30, 60, 50)) + rng.integers(0, 20, (120, 90, 3))
    alpha = np.clip((1.08 - distance) / 0.16, 0, 1) * 255
    known = np.where((alpha > 0) & (alpha < 255) & (x < 45), 0, 255)
    return image.astype(np.uint8), np.dstack([alpha, known]).astype(np.uint8)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for part in ("labelled/image", "labelled/label", "cutout", "background", "somebody"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        image, label = draw_person(rng)
        Image.fromarray(image).save(folder / f"labelled/image/{number}.png")
        Image.fromarray(label).save(folder / f"labelled/label/{number}.png")
        Image.fromarray(np.dstack([image, label[..., 0]])).save(folder / f"cutout/{number}.png")
        Image.fromarray(rng.integers(0, 255, (100, 130, 3), dtype=np.uint8)).save(folder / f"background/{number}.png")
    Image.fromarray(draw_person(rng)[0]).save(folder / "somebody/0.png")
    return folder


@pytest.fixture(scope="module")
def segmenter_folder(tmp_path_factory):
    """A tiny T-Net, as a stand-in for the one that training starts from."""
    names = {0: "background", 1: "person", 2: "unknown"}
    shape = {"depth_multiplier": 0.25, "rank": 8, "members": 2, "eighth_channels": 8}
    config = TrimapNetworkConfig(**shape, id2label=names, label2id={name: index for index, name in names.items()})
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segmenter")
    stir(TrimapNetwork(config)).save_pretrained(folder)
    return folder


def stir(network):
    """Give convolutions weights with which something reaches the logits; transformers' own begin next to zero."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return network


@pytest.fixture(scope="module")
def data(data_folder):
    return dataset.read_set(data_folder, seed=1, made_layers=4)


def arguments(stage, folder, out, *options):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    fixed = ["--batch", "3", "--side", str(SIDE), "--made-layers", "2", "--views", "6", "--device", "cpu", "--precision", "float32"]
    return parser.parse_args([stage, str(folder), "-o", str(out), "--warmup", "1", *fixed, *options])


def test_the_head_learns_from_the_trimaps_of_a_segmenter(data):
    segmenter = Segmenter.from_pretrained("embedded")
    portrait = Path(__file__).parent.parent / "examples" / "grace_hopper.jpg"
    image = resize(dataset.read(portrait, "RGB")[None].float() / 255, (320, 320))
    said, *others = (dataset.say_trimap(np.random.default_rng(seed), image, segmenter) for seed in range(4))
    assert said.shape == (1, 3, 320, 320) and not all(torch.equal(said, other) for other in others)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(1, 320, 320), atol=1e-3, rtol=0)
    assert said[0, 1, 150:200, 140:180].mean() > 0.95 and said[0, 0, :40, 250:].min() > 0.9
    first, again = (
        dataset.draw_head_batch(np.random.default_rng(1), data, batch=4, side=SIDE, segmenter=segmenter) for _ in range(2)
    )
    for name in first:
        torch.testing.assert_close(first[name], again[name])
    with pytest.raises(ValueError, match="segmenter: expected none"):
        train.TrainingConfig("segmenter", "", init="models/segmenter", segmenter="embedded")


def test_a_seed_repeats_a_batch_and_another_does_not(data):
    first, again, other = (
        dataset.draw_head_batch(np.random.default_rng(seed), data, batch=3, side=SIDE) for seed in (5, 5, 6)
    )
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]) and tensor.shape[0] == 3 and 0 <= tensor.min() and tensor.max() <= 1
    assert not torch.equal(first["image"], other["image"])


def test_the_segmenter_is_shown_photographs_composites_and_other_colors(data):
    drawn = [dataset.draw_segmenter_picture(np.random.default_rng(seed), data, SIDE) for seed in range(40)]
    for image, target in drawn:
        assert image.shape == (1, 3, SIDE, SIDE) and target.shape == (1, SIDE, SIDE)
        assert 0 <= image.min() and image.max() <= 1 and set(target.unique().tolist()) <= {-1, 0, 1, 2}
    doubted = [(target == -1).any().item() for _, target in drawn]  # composites know everything
    assert 10 < sum(doubted) < 30
    gray = [torch.allclose(image[:, 0], image[:, 1], atol=0.02) for image, _ in drawn]
    assert 0 < sum(gray) < 10


def test_views_are_what_the_network_sees(data, segmenter_folder):
    network = networks.open_segmenter(str(segmenter_folder))
    settings = {"count": 45, "side": SIDE, "seed": 3, "device": torch.device("cpu"), "precision": torch.float32}
    seen = views.view_set(network, data, **settings)
    image, target = dataset.draw_segmenter_picture(np.random.default_rng((3, 41)), data, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(seen.deep[41:42].float(), network.see(2 * image - 1), rtol=2e-3, atol=2e-3)
        said = network.classifier(network.semantic(network.see(2 * image - 1))).softmax(dim=1)
    assert torch.equal(seen.target[41].long(), target[0, ::2, ::2])
    assert (seen.said[41:42].float() / 255 - said).abs().max() < 0.003
    held, taught = (seen.draw_batch(np.random.default_rng(0), batch=200, held=held)["deep"].unique(dim=0) for held in (True, False))
    assert len(held) == 2 and len(taught) == 43


def test_a_labelled_photograph_and_its_target_stay_together(data):
    for seed in range(12):
        image, target = dataset.draw_labelled(np.random.default_rng(seed), data, SIDE)
        red = image[:, 0]
        if (target == 1).sum() > 20 and (target == 0).sum() > 20:
            assert red[target == 1].quantile(0.05) > red[target == 0].quantile(0.95)


def test_targets_know_person_background_edge_and_doubt():
    alpha, known = torch.zeros(1, 1, 1, 40), torch.ones(1, 1, 1, 40)
    alpha[..., :10], alpha[..., 10:14], known[..., 30:] = 1.0, 0.5, 0.0
    target = dataset.target_from_alpha(alpha, 2, known)[0, 0]
    assert (target[:8] == 1).all() and (target[8:16] == 2).all() and (target[16:30] == 0).all() and (target[30:] == -1).all()
    assert (dataset.target_from_alpha(alpha, 2)[0, 0, 30:] == 0).all()


def test_losses_vanish_at_the_truth_and_grow_with_the_error():
    true = torch.rand(2, 1, 33, 35)
    unknown = torch.rand(2, 1, 33, 35)
    colors = torch.rand(2, 3, 33, 35), torch.rand(2, 3, 33, 35)
    assert losses.matting_loss(true, true, true, unknown, *colors).item() == pytest.approx(0, abs=1e-6)
    near, far = ((true + step * torch.randn_like(true)).clamp(0, 1) for step in (0.05, 0.3))
    assert 0 < losses.matting_loss(near, near, true, unknown, *colors) < losses.matting_loss(far, far, true, unknown, *colors)
    off = torch.full_like(true, 0.25)
    assert losses.alpha_loss(true * 0 + 0.5, off, unknown).item() == pytest.approx(0.25)
    black, white = torch.zeros(2, 3, 33, 35), torch.ones(2, 3, 33, 35)
    assert losses.composition_loss(true * 0 + 0.5, off, white, black, unknown).item() == pytest.approx(0.25)
    assert losses.composition_loss(true * 0 + 0.5, off, black, black, unknown) == 0


def test_gradient_and_laplacian_losses_see_slopes_and_not_offsets():
    true = torch.zeros(1, 1, 16, 16)
    everywhere, slope = torch.ones_like(true), 0.01 * torch.arange(16.0).expand(1, 1, 16, 16)
    offset = torch.full_like(true, 0.25)
    assert losses.gradient_loss(offset, true, everywhere) == 0
    assert losses.laplacian_loss(offset, true).item() == pytest.approx(0, abs=1e-6)
    assert losses.gradient_loss(slope, true, everywhere).item() == pytest.approx(0.01 * 15 / 16)
    spot = torch.zeros_like(true)
    spot[..., 8, 8] = 1
    assert losses.laplacian_loss(spot, true) > 4 * losses.laplacian_loss(0.2 * spot, true) > 0


def test_pixels_that_nobody_knows_count_nothing():
    logits, target = torch.randn(1, 3, 4, 4), torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, :, 4:] = -1
    changed = logits.clone()
    changed[..., 3] += 100.0  # seen by ignored pixels alone: enlarging blends only the neighboring column
    assert losses.trimap_loss(logits, target).item() == pytest.approx(losses.trimap_loss(changed, target).item())


def test_what_nobody_knows_stays_as_it_was_said():
    logits, target = torch.randn(1, 3, 4, 4, requires_grad=True), torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, :, 4:] = -1
    losses.memory_loss(logits, logits.detach().softmax(dim=1), target).backward()
    assert logits.grad.abs().max() < 1e-7
    logits.grad = None
    losses.memory_loss(logits, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4), target).backward()
    assert (logits.grad[:, 0, :, 2:] < 0).all() and (logits.grad[:, 1:, :, 2:] > 0).all() and (logits.grad[..., :2] == 0).all()


def test_a_convolution_of_low_rank_is_found_again():
    torch.manual_seed(0)
    inner, outer = torch.randn(4, 20), torch.randn(6, 4, 3, 3)
    weight = torch.einsum("ri,orhw->oihw", inner, outer)
    features = torch.randn(20, 20)
    first, second = compression.factorize(weight, features @ features.T, 4)
    assert first.shape == (4, 20, 1, 1) and second.shape == (6, 4, 3, 3)
    torch.testing.assert_close(torch.einsum("ri,orhw->oihw", first[..., 0, 0], second), weight, rtol=1e-3, atol=1e-3)
    # what is not seen need not be said: of all weights that are as good upon inputs in a plane, those of rank 2 are enough
    plane = torch.zeros(20, 20)
    plane[0, 0], plane[7, 7] = 1.0, 1.0
    first, second = compression.factorize(weight, plane, 2)
    told = torch.einsum("ri,orhw->oihw", first[..., 0, 0], second)
    torch.testing.assert_close(told[:, [0, 7]], weight[:, [0, 7]], rtol=1e-2, atol=1e-2)


def test_half_of_a_batch_normalization_becomes_part_of_the_convolution():
    torch.manual_seed(0)
    layer, normalization, features = torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(4).eval(), torch.randn(1, 3, 9, 9)
    for tensor in (*normalization.parameters(), *normalization.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 2.0)
    statistics = (normalization.weight, normalization.bias, normalization.running_mean, normalization.running_var)
    said = layer(features)
    expected = torch.cat([normalization(said[:, :4]), said[:, 4:]], dim=1)
    weight, bias = compression.fold_half(layer.weight.data, layer.bias.data, statistics, normalization.eps)
    torch.testing.assert_close(torch.nn.functional.conv2d(features, weight, bias), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def original():
    """MODNet's shape with weights in which the large convolution is of low rank, and all of its channels count alike."""
    torch.manual_seed(0)
    network = stir(streamline(TrimapNetwork(TrimapNetworkConfig(tf_padding=False)))).eval()
    head = stir(MattingHead(MattingConfig(rank=0))).eval()
    backbone = [layer.convolution for layer in network.mobilenet_v2.modules() if isinstance(layer, MobileNetV2ConvLayer)]
    beginning = [layer for layer in head.beginning.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for place, layer in zip(beginning, backbone):
            place.weight.copy_(layer.weight)
            place.bias.copy_(layer.bias)
        semantic = network.semantic
        large = torch.einsum("ri,orhw->oihw", network.reduce.weight[..., 0, 0], semantic.sixteenth.convolution.weight)
    behind = [layer for part in (head.detail, head.coarse, head.at_half, head.at_full, head.alpha) for layer in part.modules()]
    rest = [layer for layer in (semantic.eighth.convolution, *behind) if isinstance(layer, torch.nn.Conv2d)]
    pairs = [(layer.weight.detach(), layer.bias.detach()) for layer in (*backbone, *rest)]
    pairs.insert(len(backbone), (2 * large, semantic.sixteenth.convolution.bias.detach()))
    return network, head, compression.Original(pairs, torch.zeros(1280, 320), torch.zeros(320, 1280))


def test_what_was_taken_apart_says_the_same(original, tmp_path, monkeypatch):
    network, head, weights = original
    monkeypatch.setattr(compression, "read_original", lambda path: weights)
    monkeypatch.setattr(compression, "PRESETS", {"embedded": replace(PRESETS["embedded"], side=96)})
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (96, 64, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    taught = []
    monkeypatch.setattr(compression, "teach_branch", lambda branch, examples, steps: taught.append((branch, examples)))
    compression.convert_network(tmp_path / "file.onnx", tmp_path, tmp_path / "out", count=3, steps=5)
    opened = networks.open_segmenter(str(tmp_path / "out/segmenter")), MattingHead.load(str(tmp_path / "out/head"))
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        semantic, said = (part.semantic(part.see(image)) for part in (network, opened[0]))
        assert (said - semantic).std() < 0.1 * semantic.std()
        expected, found = (part.decide(image, *part.beginning(image), semantic) for part in (head, opened[1]))
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * expected.std().item())  # kept in float16
        assert opened[0](image).logits.std() > 0
    for (branch, examples), seen in zip(taught, (1280, 36), strict=True):
        assert len(examples) == 3 and all(example[0].shape[1] == seen for example in examples)
        assert {example[1].shape for example in examples} == {(1, 32, 16, 8)}
        assert branch(examples[0][0].float()).shape == (1, 32, 16, 8)
    with pytest.raises(CheckpointError, match="file: expected MODNet in the ONNX format"):
        compression.take_apart(replace(weights, convolutions=weights.convolutions[1:]), "file")
    with pytest.raises(FileNotFoundError, match="expected photographs"):
        compression.convert_network(tmp_path / "file.onnx", tmp_path / "nowhere", tmp_path / "out")


def test_a_branch_learns_to_say_what_another_says():
    torch.manual_seed(0)
    true, branch = torch.nn.Conv2d(4, 2, 1), torch.nn.Conv2d(4, 2, 1)
    with torch.no_grad():
        examples = [(seen.bfloat16(), true(seen).bfloat16()) for seen in torch.randn(10, 1, 4, 5, 5)]

    def miss():
        return sum(torch.nn.functional.mse_loss(branch(seen.float()), said.float()).item() for seen, said in examples)

    before = miss()
    compression.teach_branch(branch, examples, steps=300)
    assert miss() < 0.8 * before


def test_what_is_left_behind_says_what_was_trained(segmenter_folder, tmp_path):
    network = networks.open_segmenter(str(segmenter_folder))
    names = [name for name, _ in network.named_parameters()]
    assert not any("normalization" in name for name in names)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn_like(weight)
    networks.save_stage(network, "segmenter", tmp_path)
    image = torch.rand(1, 3, 64, 96)
    for opened in (open_network(str(tmp_path / "segmenter")).eval(), networks.open_segmenter(str(tmp_path / "segmenter"))):
        with torch.no_grad():
            said, expected = opened(image).logits, network(image).logits
        torch.testing.assert_close(said, expected, rtol=0.02, atol=0.1 * expected.std().item())  # kept in float16


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected a folder"):
        networks.open_segmenter(str(tmp_path))


def test_a_model_that_is_damaged_or_another_is_refused(segmenter_folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((segmenter_folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes((segmenter_folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="expected a folder") as caught:
        networks.open_segmenter(str(tmp_path))
    assert caught.value.code == "unreadable"
    MobileNetV2ForSemanticSegmentation(MobileNetV2Config(depth_multiplier=0.25)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="expected a TrimapNetwork, got a MobileNetV2ForSemanticSegmentation"):
        networks.open_segmenter(str(tmp_path))


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected people in labelled/"):
        dataset.read_set(tmp_path, seed=1, made_layers=1)


def test_a_photograph_that_was_taken_on_its_side_is_read_upright(tmp_path):
    picture, turned = Image.new("RGB", (40, 30)), Image.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=turned)
    assert dataset.read(tmp_path / "turned.jpg", "RGB").shape == (3, 40, 30)


def test_a_label_of_another_size_is_refused(data_folder):
    with pytest.raises(ImageError, match="expected the size of 0.png, 90 x 120, got 130 x 100"):
        dataset.read_labelled(data_folder / "labelled/image/0.png", data_folder / "background/0.png")


@pytest.mark.parametrize(
    "options, code, sentence",
    [
        ("segmenter DATA -o OUT", 2, "init: expected the folder"),
        ("segmenter DATA -o OUT --init nowhere --side 330", 2, "side: expected a multiple of 32 for the segmenter, got 330"),
        ("segmenter DATA -o OUT --init nowhere", 1, "nowhere: expected a folder"),
        ("head nowhere -o OUT", 1, "nowhere: expected people"),
        ("head DATA -o DATA/cutout/0.png", 1, "File exists"),
        ("head DATA -o OUT --steps 0", 2, "steps: expected at least 1, got 0"),
        ("head DATA -o OUT --save-every 0", 2, "save_every: expected at least 1, got 0"),
        ("head DATA -o OUT --learning-rate nan", 2, "learning_rate: expected at least 0.0, got nan"),
        ("presence DATA -o OUT", 2, "init: expected the folder of a TrimapNetwork"),
        ("joint DATA -o OUT --init nowhere", 2, "init, segmenter: expected both"),
        ("head DATA -o OUT --device toaster", 2, "device: expected one that is here"),
        ("head DATA -o OUT --precision float16", 2, "precision: expected float32 or bfloat16, got float16"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(options, code, sentence, data_folder, tmp_path, capfd):
    words = [word.replace("DATA", str(data_folder)).replace("OUT", str(tmp_path)) for word in options.split()]
    assert main(["train", *words, "--made-layers", "0"]) == code
    said = [line for line in capfd.readouterr().err.splitlines() if "labelled, " not in line]
    assert len(said) == 1 and said[0].startswith("error: ") and sentence in said[0]


def test_without_a_wish_training_takes_no_float16(monkeypatch):
    monkeypatch.setattr(networks, "find_precision", lambda name, device: torch.float16)
    assert networks.find_training_precision("", torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("stage", ["segmenter", "head"])
def test_somebody_without_a_label_teaches_the_presence_alone(stage, data_folder, segmenter_folder, tmp_path):
    for part in ("somebody", "background"):
        shutil.copytree(data_folder / part, tmp_path / "data" / part)
    options = ["--init", str(segmenter_folder)] if stage == "segmenter" else []
    with pytest.raises(FileNotFoundError, match=f"expected labelled people or cut-outs for the stage {stage}, got neither"):
        train.run(arguments(stage, tmp_path / "data", tmp_path / "run", *options))


@pytest.fixture(scope="module")
def head_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("head")
    MattingHead(MattingConfig(channels=8)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("stage", ["segmenter", "head", "joint"])
def test_a_run_resumes_to_the_same_weights(stage, data_folder, segmenter_folder, head_folder, tmp_path, monkeypatch):
    init = {"segmenter": ["--init", str(segmenter_folder)], "head": []}.get(
        stage, ["--init", str(head_folder), "--segmenter", str(segmenter_folder)]
    )
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train.run(arguments(stage, data_folder, whole, "--steps", "4", "--save-every", "4", *init)) == 0

    steps = iter(range(3))
    step = train.Trainer.train_step

    def stop_after_two(trainer):
        if next(steps) == 2:
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "train_step", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            train.run(arguments(stage, data_folder, halves, "--steps", "4", "--save-every", "2", *init))
    taken = []
    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "train_step", lambda trainer: taken.append(trainer.step) or step(trainer))
        assert train.run(arguments(stage, data_folder, halves, "--steps", "4", "--save-every", "2", *init)) == 0
    assert taken == [2, 3]

    states = [torch.load(folder / "checkpoint.pt", weights_only=True)["average"] for folder in (whole, halves)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    parts = ("segmenter", "head") if stage == "joint" else (stage,)
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == sorted(parts)
    for part in parts:
        exported = load_file(whole / part / "model.safetensors")
        assert {tensor.dtype for tensor in exported.values()} <= {torch.float16, torch.int64}
        opened = networks.open_segmenter(str(whole / part)) if part == "segmenter" else MattingHead.load(str(whole / part))
        for name, tensor in opened.state_dict().items():
            trained = states[0][f"{part}.{name}" if stage == "joint" else name]
            torch.testing.assert_close(tensor, trained, rtol=1e-3, atol=1e-6)
    (halves / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="expected a checkpoint of this network"):
        train.run(arguments(stage, data_folder, halves, "--steps", "4", *init))
    (halves / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes())
    with pytest.raises(CheckpointError, match="another's"):
        train.run(arguments(stage, data_folder, halves, "--steps", "5", *init))


@pytest.fixture
def make_trainer(data, tmp_path):
    def make(stage, **options):
        settings = {"steps": 40, "batch": 3, "side": SIDE, "warmup": 1, "device": "cpu", "precision": "float32"} | options
        return train.Trainer(train.TrainingConfig(stage, "", **settings), tmp_path, data)

    return make


def test_head_training_reduces_the_loss(make_trainer):
    trainer = make_trainer("head", learning_rate=3e-3)
    seen = [trainer.train_step() for _ in range(40)]
    assert np.mean(seen[-8:]) < 0.8 * np.mean(seen[:8])


def test_the_average_follows_the_weights_and_statistics(make_trainer):
    trainer = make_trainer("head")
    before = {name: tensor.clone() for name, tensor in trainer.average.state_dict().items()}
    trainer.train_step()
    for (name, mean), value in zip(trainer.average.state_dict().items(), trainer.network.state_dict().values(), strict=True):
        if name.endswith("num_batches_tracked"):
            assert mean == value == 1
        else:
            torch.testing.assert_close(mean, 0.1 * before[name] + 0.9 * value)  # min(0.998, 1 / 10) of the first step


def test_the_segmenter_keeps_what_is_not_its_branches(make_trainer, segmenter_folder):
    trainer = make_trainer("segmenter", init=str(segmenter_folder), views=4)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    for learning in (("classifier.",), ("classifier.", "semantic.")):  # in the warm-up, and then
        trainer.train_step()
        after = trainer.network.state_dict()
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        assert all(name.startswith(learning) for name in changed)
        assert all(any(name.startswith(part) for name in changed) for part in learning)


def test_end_to_end_alpha_teaches_the_segmenter(make_trainer, segmenter_folder, head_folder, monkeypatch):
    """Without the trimap's own loss the segmenter learns from what is wrong with alpha, and alpha gets better."""
    monkeypatch.setattr(train, "TRIMAP_WEIGHT", 0.0)
    trainer = make_trainer("joint", init=str(head_folder), segmenter=str(segmenter_folder), learning_rate=3e-3, batch=4)
    seen, taught = [], set()
    for _ in range(40):
        seen.append(trainer.train_step())
        taught |= {name for name, weight in trainer.network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert np.mean(seen[-8:]) < 0.9 * np.mean(seen[:8])
    for part in ("segmenter.reduce.", "segmenter.semantic.", "segmenter.classifier.", "head.semantic.", "head.alpha."):
        assert any(name.startswith(part) for name in taught), part


def test_end_to_end_composites_come_first_and_alpha_agrees_with_their_target(data):
    batch = dataset.draw_joint_batch(np.random.default_rng(0), data, batch=5, side=SIDE)
    assert batch["image"].shape == (5, 3, SIDE, SIDE) and batch["target"].shape == (5, SIDE, SIDE)
    assert batch["alpha"].shape == (3, 1, SIDE, SIDE) and set(batch["target"][:3].unique().tolist()) <= {0, 1, 2}
    solid = batch["target"][:3, None] == 1
    assert solid.any() and (batch["alpha"][solid] > 0.98).all()


def test_of_labelled_photographs_the_trimap_alone_counts_end_to_end(make_trainer, segmenter_folder, head_folder, monkeypatch):
    trainer = make_trainer("joint", init=str(head_folder), segmenter=str(segmenter_folder), batch=4)
    batch = train.draw_batch(trainer.data, trainer.config, 0)
    other = batch | {"target": torch.cat([batch["target"][:2], (batch["target"][2:] + 1) % 3])}
    alike = batch | {"image": torch.cat([batch["image"][:2], batch["image"][2:].flip(-1)])}

    def compute_losses(weight):
        monkeypatch.setattr(train, "TRIMAP_WEIGHT", weight)
        return {train.compute_loss(trainer.average, drawn, trainer.config).item() for drawn in (batch, other, alike)}

    assert len(compute_losses(0.0)) == 1 and len(compute_losses(1.0)) == 3


def test_a_presence_is_taught_and_nothing_else_changes(data_folder, data, segmenter_folder, tmp_path, capsys):
    options = ("--init", str(segmenter_folder), "--steps", "300", "--batch", "8", "--learning-rate", "0.01", "--seed", "3")
    assert train.run(arguments("presence", data_folder, tmp_path, *options)) == 0
    assert "step 300 loss" in capsys.readouterr().err
    taught, before = (networks.open_segmenter(str(folder)).eval() for folder in (tmp_path / "segmenter", segmenter_folder))
    for name, weight in taught.named_parameters():
        if not name.startswith("presence"):
            torch.testing.assert_close(weight, dict(before.named_parameters())[name], rtol=1e-3, atol=1e-3)
    pictures, there = presence.list_pictures(data, seed=3)
    people = int(there.sum())
    composed = [picture for picture in pictures[:people] if picture.shape == (3, dataset.LAYER_SIDE, dataset.LAYER_SIDE)]
    assert 1 <= len(composed) <= len(data.photographs) and 4 <= people - len(composed) <= 8
    assert there.tolist() == [1.0] * people + [0.0] * 6
    for shown in (*data.somebody, *(picture for picture, _ in data.photographs)):
        assert any(torch.equal(shown, image) for image in pictures[:people])
    for number, background in enumerate(data.backgrounds):
        whole, part = pictures[people + 2 * number : people + 2 * number + 2]
        assert torch.equal(whole, background) and part.shape != background.shape
    views = presence.view_pictures(taught, pictures, side=SIDE, device=torch.device("cpu"), precision=torch.float32)
    with torch.no_grad():
        assert [taught.presence(view.float()).item() > 0 for view in views] == there.bool().tolist()
    config = train.TrainingConfig("presence", "data", init=str(segmenter_folder))
    for lonely in (replace(data, backgrounds=[]), replace(data, photographs=[], somebody=[])):
        with pytest.raises(FileNotFoundError, match="expected people in labelled/ or somebody/, and pictures without any"):
            train.train_presence(config, tmp_path, lonely)


def test_a_labelled_person_is_seen_in_part_where_enough_is_left(data):
    image, label = data.photographs[0]
    label = torch.zeros_like(label)
    label[1] = 255
    alone = replace(data, photographs=[(image, label)], backgrounds=[], somebody=[image], cutouts=[], layers=[])
    assert len(presence.list_pictures(alone, seed=1)[0]) == 1  # nobody is in what has a label
    label[0, :, :45] = 255
    purple = torch.tensor([255, 0, 255], dtype=torch.uint8).view(3, 1, 1)
    image = torch.where(label[:1] == 255, purple, 0)
    whole, part, other = presence.list_pictures(replace(alone, photographs=[(image, label)]), seed=1)[0]
    assert torch.equal(whole, image) and torch.equal(other, alone.somebody[0]) and part.shape != image.shape
    assert (part == purple).all(dim=0).float().mean() >= presence.ENOUGH


def test_tones_change_colors_and_nothing_else():
    y, x = torch.meshgrid(torch.linspace(0, 255, 40), torch.linspace(255, 0, 30), indexing="ij")
    image = torch.stack([y, (x + y) / 2, x]).to(torch.uint8)
    shades, seen = y[:, 0], {"gray": 0, "brown": 0, "blue": 0, "color": 0}
    for seed in range(200):
        toned = synthesis.shift_tone(np.random.default_rng(seed), image)
        assert toned.shape == image.shape and toned.dtype == torch.uint8
        red, green, blue = toned.float()
        assert torch.corrcoef(torch.stack([red.mean(dim=1), shades]))[0, 1] > 0.6  # what is light stays light
        if (toned == toned[:1]).all():
            seen["gray"] += 1
        elif (red >= blue).all() or (blue >= red).all():
            seen["brown" if red.mean() > blue.mean() else "blue"] += 1
        else:
            seen["color"] += 1
    assert 50 < seen["gray"] < 110 and 0 < seen["blue"] < seen["brown"] and seen["color"] > 30


def test_tones_are_taught_to_a_presence_that_knows_colors(data_folder, data, segmenter_folder, tmp_path, capsys):
    for stage, init, steps in (("presence", segmenter_folder, "300"), ("tones", tmp_path / "presence" / "segmenter", "200")):
        options = ("--init", str(init), "--steps", steps, "--batch", "8", "--learning-rate", "0.01", "--seed", "3")
        assert train.run(arguments(stage, data_folder, tmp_path / stage, *options)) == 0
    assert "step 200 loss" in capsys.readouterr().err
    pictures, there, plain = presence.list_tones(data, seed=3)
    assert len(pictures) == 3 * plain
    assert there.tolist() == 3 * there[:plain].tolist() and there[:plain].sum() == len(data.photographs) + len(data.somebody)
    assert all(torch.equal(one, other) for one, other in zip(pictures, [image for image, _ in data.photographs]))
    assert [picture.shape for picture in pictures] == 3 * [picture.shape for picture in pictures[:plain]]
    colors, tones = (networks.open_segmenter(str(tmp_path / stage / "segmenter")).eval() for stage in ("presence", "tones"))
    views = presence.view_pictures(tones, pictures, side=SIDE, device=torch.device("cpu"), precision=torch.float32)
    with torch.no_grad():
        said = [torch.cat([network.presence(view.float()).flatten() for view in views]) for network in (colors, tones)]
    before, after = ((2 * there - 1) * logits for logits in said)  # how right each is
    assert after.min() > 0 and after[plain:].min() > before[plain:].min()


def test_a_presence_remembers_what_it_said(monkeypatch):
    monkeypatch.setattr(presence, "MEMORY", 5.0)
    moved = []
    for remembered in (0, 4):
        torch.manual_seed(0)
        taught, views = Presence(8, channels=4, members=2), list(torch.randn(8, 1, 8, 5, 6))
        with torch.no_grad():
            before = torch.cat([taught.judge(view) for view in views])
        there = torch.tensor([0.0] * 4 + [1.0] * 4)  # a new one says yes to all
        presence.teach_presence(taught, views, there, steps=60, batch=8, learning_rate=0.01, seed=1, remembered=remembered)
        with torch.no_grad():
            moved.append((torch.cat([taught.judge(view) for view in views]) - before)[:4].abs().mean().item())
    assert moved[1] < 0.3 * moved[0]


def test_a_presence_is_joined_of_members_of_others():
    torch.manual_seed(0)
    one, other = (Presence(8, channels=4, members=count) for count in (2, 3))
    for judge in (*one.judges, *other.judges):
        torch.nn.init.normal_(judge[-1].weight)
    features = torch.randn(2, 8, 5, 6)
    joined = presence.join_members([(other, 2), (one, 0), (other, 0), (one, 1)])
    said, first, second = (judges.judge(features) for judges in (joined, one, other))
    torch.testing.assert_close(said, torch.stack([second[:, 2], first[:, 0], second[:, 0], first[:, 1]], dim=1))


def test_a_gradient_that_is_no_number_ends_the_run(make_trainer, monkeypatch):
    trainer = make_trainer("head")
    monkeypatch.setattr(train, "compute_loss", lambda network, *_: network.alpha.bias.sum() * torch.nan)
    with pytest.raises(RuntimeError, match="non-finite"):
        trainer.train_step()


class SeesRed(torch.nn.Module):
    """Takes what is red for a person."""

    def forward(self, image):
        person = 8 * image[:, :1]
        return TrimapOutput(logits=torch.cat([-person, person, 0 * person], dim=1))


def test_hard_backgrounds_come_oftener_and_as_photographs(data):
    plain = [torch.full((3, 40, 50), value, dtype=torch.uint8) for value in (10, 20, 30)]
    red = torch.full((3, 40, 50), 20, dtype=torch.uint8)
    red[0] = 250
    settings = {"device": torch.device("cpu"), "precision": torch.float32}
    hard = mining.repeat_hard(replace(data, backgrounds=[plain[0], red, *plain[1:]]), SeesRed(), 1, **settings)
    assert sum(picture is red for picture in hard.backgrounds) == mining.TIMES and len(hard.backgrounds) == 3 + mining.TIMES
    assert len(hard.photographs) == len(data.photographs) + 1
    image, label = hard.photographs[-1]
    assert image is red and (label[0] == 0).all() and (label[1] == 255).all()


def test_mining_changes_what_the_segmenter_learns(make_trainer, segmenter_folder):
    plain, mined = (make_trainer("segmenter", init=str(segmenter_folder), hardest=count, views=8) for count in (0, 2))
    assert not torch.equal(plain.data.deep, mined.data.deep)
