"""The command line, run in this process on tiny networks that call every pixel person, background or unknown."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

from shm import cli
from shm.compositing import parse_color
from shm.matte import Matte, Report
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import PRESETS

ROOT = Path(__file__).parent.parent
CLASSES = ("background", "person", "unknown")
PATIENCE = 60.0  # seconds until what never comes is a failure


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of segmenters, each named after the one class it sees everywhere, and a head that says 0.5."""
    folder = tmp_path_factory.mktemp("models")
    names = dict(enumerate(CLASSES))
    config = MobileNetV2Config(depth_multiplier=0.25, id2label=names, label2id={name: index for index, name in names.items()})
    network = MobileNetV2ForSemanticSegmentation(config)
    last = network.segmentation_head.classifier.convolution
    torch.nn.init.zeros_(last.weight)
    for index, name in names.items():
        last.bias.data = 100.0 * torch.eye(3)[index]
        network.save_pretrained(folder / name)
    head = MattingHead(MattingConfig(channels=4, side=64))
    torch.nn.init.zeros_(head.alpha.weight)
    torch.nn.init.zeros_(head.alpha.bias)
    head.save_pretrained(folder / "head")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(path: str, width: int = 12, height: int = 8) -> np.ndarray:
    """Write a photograph and return its pixels."""
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def read(path: str, mode: str, kind: str = "PNG") -> np.ndarray:
    """Return the pixels of an output of this very mode and kind."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == (kind, mode)
        return np.asarray(image)


def list_files(folder: str = ".") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def run(models: Path) -> Callable[..., int]:
    """Run a command with the networks of this file."""

    def run(*arguments: str, sees: str = "person") -> int:
        return cli.main([*arguments, "--preset", str(models / sees), "--head", str(models / "head"), "--device", "cpu"])

    return run


@pytest.fixture
def cutout(run: Callable[..., int]) -> Callable[..., int]:
    return partial(run, "cutout")


def test_one_photograph_becomes_one_straight_rgba_file(folder, cutout, capsys) -> None:
    pixels = paint("photo.png")
    assert cutout("photo.png", "-o", "new/cut.png") == 0
    result = read("new/cut.png", "RGBA")
    assert (result[..., :3] == pixels).all() and (result[..., 3] == 255).all()
    assert list_files() == ["new/cut.png", "photo.png"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("[1/1] photo.png -> new/cut.png: ") and " on cpu in " in err and err.count("\n") == 1


def test_a_folder_is_a_batch_and_equal_stems_keep_their_ending(folder, cutout) -> None:
    for name in ("in/a.jpg", "in/a.png", "in/b.jpg", "C.bmp"):
        paint(name)
    assert cutout("in", "C.bmp", "in/../in/b.jpg", "-o", "out/deep", "--alpha") == 0
    names = ["C", "a.jpg", "a.png", "b"]
    assert list_files("out/deep") == sorted(f"{name}{end}.png" for name in names for end in ("", ".alpha"))


def test_webp_holds_the_same_as_png(folder, cutout) -> None:
    paint("a.png")
    for arguments in (("-o", "one.webp"), ("-o", "out", "--webp", "--alpha"), ("-o", "out")):
        assert cutout("a.png", *arguments) == 0
    assert list_files("out") == ["a.alpha.png", "a.png", "a.webp"] and (read("out/a.png", "RGBA")[..., 3] == 255).all()
    for name in ("one.webp", "out/a.webp"):
        assert (read(name, "RGB", "WEBP") == read("out/a.png", "RGBA")[..., :3]).all()  # WebP leaves an alpha of 1 out


def test_an_earlier_output_is_replaced(folder, cutout) -> None:
    paint("a.jpg")
    Path("out").mkdir()
    Path("out/a.png").write_text("old")
    assert cutout("a.jpg", "-o", "out") == 0
    assert read("out/a.png", "RGBA").shape == (8, 12, 4)


@pytest.mark.parametrize("sees, alpha, trimap", [("background", 0, 0), ("unknown", 0, 0), ("person", 255, 255)])
def test_alpha_and_trimap_lie_beside_the_cutout(folder, cutout, sees, alpha, trimap) -> None:
    paint("a.jpg")
    assert cutout("a.jpg", "-o", "cut.png", "--alpha", "--trimap", sees=sees) == 0
    assert np.allclose(read("cut.alpha.png", "L"), alpha, atol=1) and (read("cut.trimap.png", "L") == trimap).all()
    assert (read("cut.png", "RGBA")[..., 3] == read("cut.alpha.png", "L")).all()


def test_nobody_is_done_with_an_empty_cutout_and_a_note(folder, cutout, capsys) -> None:
    paint("a.jpg")
    assert cutout("a.jpg", "-o", "out", "--json", sees="background") == 0
    assert not read("out/a.png", "RGBA")[..., 3].any()
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "done"
    assert "note: a.jpg: nobody found, the cut-out is empty\n" in err


def test_backgrounds_are_opaque(folder, cutout) -> None:
    pixels = paint("a.png")
    Image.new("RGB", (4, 4), (90, 60, 30)).save("flat.png")
    stripes = np.zeros((8, 36, 3), np.uint8)
    stripes[:, 12:24] = 200
    Image.fromarray(stripes).save("wide.png")
    for background, expected in (("#20639b", (0x20, 0x63, 0x9B)), ("wide.png", (200, 200, 200)), ("flat.png", (90, 60, 30))):
        assert cutout("a.png", "-o", "out", "--background", background, sees="background") == 0
        assert (read("out/a.png", "RGB") == expected).all()
        assert cutout("a.png", "-o", "out", "--background", background) == 0
        assert (read("out/a.png", "RGB") == pixels).all()
    assert cutout("flat.png", "-o", "out", "--background", "blur", sees="background") == 0
    assert (read("out/flat.png", "RGB") == (90, 60, 30)).all()
    assert cutout("a.png", "-o", "out", "--background", "blur", sees="background") == 0
    assert read("out/a.png", "RGB").std() < pixels.std()


def test_json_is_one_object_per_photograph_and_alone_on_stdout(folder, cutout, capsys) -> None:
    paint("a.jpg")
    assert cutout("a.jpg", "gone.jpg", "-o", "out", "--json") == 1
    out, err = capsys.readouterr()
    done, failed = map(json.loads, out.splitlines())
    assert list(done) == list(failed) == "photo output status error seconds device precision refined_fraction".split()
    assert done["seconds"] > 0 and done["precision"] in ("float32", "bfloat16") and 0 <= done["refined_fraction"] <= 1
    expected = {"photo": "a.jpg", "output": os.path.join("out", "a.png"), "status": "done", "error": None, "device": "cpu"}
    assert expected.items() <= done.items()
    assert failed.pop("seconds") >= 0
    assert "uch file" in failed.pop("error")
    assert {key: value for key, value in failed.items() if value is not None} == {"photo": "gone.jpg", "status": "failed"}
    assert len(err.splitlines()) == 2


def spoil(name: str) -> None:
    """Make the bad files of the test below."""
    if name == "truncated.jpg":
        paint(name, 64, 64)
        Path(name).write_bytes(Path(name).read_bytes()[:800])
    elif name == "folder":
        Path(name).mkdir()
    elif name == "huge.png":
        parts = ((b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b""))
        whole = ((len(body).to_bytes(4), kind + body, zlib.crc32(kind + body).to_bytes(4)) for kind, body in parts)
        Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(b"".join(chunk) for chunk in whole))
    elif name != "gone.jpg":
        Path(name).write_text("" if name == "empty.jpg" else "To whom it may concern")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("gone.jpg", "uch file"),
        ("empty.jpg", "an empty file"),
        ("text.jpg", "got something else"),
        ("truncated.jpg", "damaged"),
        ("huge.png", "got 30000 x 30000"),
        ("folder", "found none"),
    ],
)
def test_a_bad_file_is_one_line_and_the_others_are_done(folder, cutout, capsys, name, reason) -> None:
    spoil(name)
    assert cutout(name, "-o", "alone") == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {name}: ") and reason in err and err.count("\n") == 1 and out == ""
    assert not Path("alone").exists()
    paint("good.jpg")
    assert cutout(name, "good.jpg", "-o", "out", "--json") == 1
    out, err = capsys.readouterr()
    assert list_files("out") == ["good.png"]
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["failed", "done"]
    assert cutout("good.jpg", "-o", "never", "--background", name) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {name}: ") and err.count("\n") == 1 and out == ""
    assert not Path("never").exists()


@pytest.mark.parametrize("width, height", [(1, 1), (1, 4000), (37, 53)])
def test_odd_sizes_succeed(folder, cutout, width, height) -> None:
    paint("a.png", width, height)
    assert cutout("a.png", "-o", "out", "--trimap", "--background", "blur") == 0
    assert read("out/a.png", "RGB").shape == (height, width, 3)
    assert read("out/a.trimap.png", "L").shape == (height, width)


def test_sixteen_bits_succeed(folder, cutout) -> None:
    Image.fromarray(np.full((4, 5), 25700, np.uint16)).save("deep.png")
    assert cutout("deep.png", "-o", "out") == 0
    assert (read("out/deep.png", "RGBA")[..., :3] == 100).all()


def test_an_output_that_cannot_be_written_fails_alone(folder, cutout, capsys) -> None:
    paint("a.jpg")
    paint("b.jpg")
    Path("out/a.png").mkdir(parents=True)
    assert cutout("a.jpg", "b.jpg", "-o", "out") == 1
    assert "error: a.jpg: a.png: " in capsys.readouterr().err
    assert list_files("out") == ["b.png"]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ("a.png -o a.png", "a.png would be replaced"),
        ("a.png -o .", "a.png would be replaced"),
        ("b.jpg -o . --background a.png --alpha", None),
        ("link.png -o a.png", "a.png would be replaced"),
        ("b.jpg -o a.png --background ./a.png", "a.png would be replaced"),
        ("a.png b.jpg -o one.png", "expected a folder for several"),
        ("in a.png -o one.png", "expected a folder for several"),
        ("in/b.jpg b.jpg -o out", "2 of them would be"),
        ("in -o out --alpha", "b.alpha.png"),
        ("a.png -o b.jpg", "expected a folder or a name ending in .png or .webp"),
        ("a.png b.jpg -o one.webp", "expected a folder for several"),
        ("b.jpg -o one.png --webp", "expected OUT to be a folder or to end in .webp"),
        ("a.png -o out --background #12", "#rrggbb"),
        ("a.png -o out --device abacus", "abacus"),
        ("a.png", "-o"),
        ("-o out", "PHOTO"),
    ],
)
def test_usage_errors_lose_nothing(folder, cutout, capsys, arguments, reason) -> None:
    for name in ("a.png", "b.jpg", "in/b.jpg", "in/b.alpha.jpg"):
        paint(name)
    Path("link.png").symlink_to("a.png")
    before = {name: Path(name).read_bytes() for name in list_files()}
    if reason is None:
        assert cutout(*arguments.split()) == 0
        assert {name: Path(name).read_bytes() for name in before} == before
        return
    device = arguments.split()[-2:] if "--device" in arguments else []
    code = cli.main(["cutout", *arguments.split()]) if device else cutout(*arguments.split())
    out, err = capsys.readouterr()
    assert code == 2 and out == ""
    assert err.startswith("usage: python -m shm cutout") and reason in err.splitlines()[-1]
    assert {name: Path(name).read_bytes() for name in list_files()} == before


@pytest.mark.parametrize("option", ["--preset", "--head"])
def test_models_that_are_not_there_are_one_line_before_anything_is_written(folder, cutout, capsys, option) -> None:
    paint("a.jpg")
    assert cli.main(["cutout", "a.jpg", "-o", "out", option, "./nowhere"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and "nowhere" in err and err.count("\n") == 1 and out == ""
    assert list_files() == ["a.jpg"]


def test_a_bar_is_drawn_only_on_a_terminal(folder, cutout, capsys, monkeypatch) -> None:
    paint("a.jpg")
    paint("b.jpg")
    assert cutout("a.jpg", "b.jpg", "gone.jpg", "-o", "out") == 1
    starts = [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert starts == ["[1/3] a.jpg -> out/a.png", "[2/3] b.jpg -> out/b.png", "error"]
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cutout("a.jpg", "b.jpg", "gone.jpg", "-o", "out") == 1
    assert "3/3" in terminal.getvalue() and "->" not in terminal.getvalue()
    assert "error: gone.jpg: " in terminal.getvalue()


def test_interrupting_ends_quietly(folder, cutout, capsys, monkeypatch) -> None:
    paint("a.jpg")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "write_image", interrupt)
    assert cutout("a.jpg", "-o", "out") == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str, Callable], None]:
    """Let a function call another first, with the same positional arguments."""

    def watch(owner: object, name: str, first: Callable[..., None]) -> None:
        function = getattr(owner, name)

        def watched(*arguments: object, **options: object) -> object:
            first(*arguments)
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    return watch


def test_one_photograph_stays_in_the_first_thread(folder, cutout, watch) -> None:
    paint("a.png")
    threads = []
    watch(cli.HumanMatting, "__call__", lambda *_: threads.append(threading.current_thread()))
    assert cutout("a.png", "-o", "out") == 0
    assert threads == [threading.main_thread()]


def test_a_photograph_is_read_or_written_while_the_networks_work_on_another(folder, cutout, watch) -> None:
    for name in ("in/a.png", "in/b.png", "in/c.png", "in/d.png"):
        paint(name)
    reads, calls, writes = [], [], []
    second_read, second_call, crowd, busy = (*(threading.Event() for _ in range(3)), threading.Lock())

    def on_read(path: Path) -> None:
        reads.append(path)
        if len(reads) >= 2:
            second_read.set()
        if len(reads) >= 3 and not writes:
            crowd.set()  # three photographs in memory

    def on_call(*_: object) -> None:
        calls.append(None)
        if len(calls) == 2:
            second_call.set()
        if not busy.acquire(blocking=False):
            crowd.set()  # two in the networks
            return
        if len(calls) == 1:
            assert second_read.wait(PATIENCE)
            assert not crowd.wait(0.2)
        busy.release()

    def on_write(*_: object) -> None:
        writes.append(None)
        assert len(writes) > 1 or second_call.wait(PATIENCE)

    watch(cli, "read_image", on_read)
    watch(cli.HumanMatting, "__call__", on_call)
    watch(cli, "write_image", on_write)
    assert cutout("in", "-o", "out") == 0
    assert len(list_files("out")) == 4 and not crowd.is_set()


def test_photographs_are_reported_in_order_and_as_soon_as_that_allows(folder, cutout, watch, capsys) -> None:
    photos = ["a.png", "b.png", "gone.png", "d.png"]
    for name in ("a.png", "b.png", "d.png"):
        paint(name)
    last_begun, first_told = threading.Event(), threading.Event()

    def on_read(path: Path) -> None:
        if path.name == "a.png":
            assert last_begun.wait(PATIENCE)
        if path.name == "d.png":
            last_begun.set()
            assert first_told.wait(PATIENCE)

    watch(cli, "read_image", on_read)
    watch(cli, "say", lambda text, _: first_told.set() if text.startswith('{"photo": "a.png"') else None)
    assert cutout(*photos, "-o", "out", "--json", sees="background") == 1
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["photo"] for record in records] == photos
    assert [record["status"] for record in records] == ["done", "done", "failed", "done"]
    starts = "note: a.png|[1/4] a.png|note: b.png|[2/4] b.png|error: gone.png|note: d.png|[4/4] d.png".split("|")
    assert [line[: len(start)] for line, start in zip(err.splitlines(), starts, strict=True)] == starts


def test_a_folder_gives_the_same_files_as_each_photograph_alone(folder, cutout) -> None:
    for number in range(4):
        paint(f"in/{number}.png", 90 + 7 * number, 50)
        assert cutout(f"in/{number}.png", "-o", "alone", "--alpha", "--background", "blur", sees="unknown") == 0
    assert cutout("in", "-o", "together", "--alpha", "--background", "blur", sees="unknown") == 0
    assert len(list_files("alone")) == 8 and list_files("alone") == list_files("together")
    for name in list_files("alone"):
        assert Path("alone", name).read_bytes() == Path("together", name).read_bytes()


@pytest.mark.parametrize("code, complaint", [(130, "interrupted\n"), (1, "")])
def test_stopping_leaves_the_other_photographs(folder, cutout, watch, monkeypatch, capsys, code, complaint) -> None:
    for name in ("in/a.png", "in/b.png", "in/c.png", "in/d.png"):
        paint(name)
    first_call, second_call, stopped = (threading.Event() for _ in range(3))
    calls = []

    def on_call(*_: object) -> None:
        calls.append(None)
        if len(calls) > 1:
            second_call.set()
            assert stopped.wait(PATIENCE)
        first_call.set()

    def on_say(text: str, _: object) -> None:
        if text.startswith("{"):  # the first record, which is printed while the networks work on another photograph
            assert second_call.wait(PATIENCE)
            if code == 130:
                raise KeyboardInterrupt
        assert text != "interrupted" or stopped.is_set()

    watch(cli, "read_image", lambda path: path.name == "a.png" or first_call.wait(PATIENCE))
    watch(cli.HumanMatting, "__call__", on_call)
    watch(cli, "say", on_say)
    monkeypatch.setattr(cli, "ThreadPoolExecutor", type("Pool", (cli.ThreadPoolExecutor,), {}))  # transformers has pools as well
    watch(cli.ThreadPoolExecutor, "shutdown", lambda _: stopped.set())
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert cutout("in", "-o", "out", "--json") == code
    assert capsys.readouterr().err == complaint
    assert len(calls) == 2 and list_files("out") == ["a.png"]


def test_a_reader_that_went_away_ends_quietly(monkeypatch, capsys) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["presets"]) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("background", [None, "blur", parse_color("#123456"), torch.zeros(1, 3, 2, 2)])
def test_pictures_keep_the_depth_of_the_photograph(dtype, background) -> None:
    image = torch.full((1, 3, 4, 6), 7).to(dtype)
    report = Report("cpu", "float32", (4, 6), (4, 6), 1.0, {})
    trimap = torch.full((1, 3, 4, 6), 1 / 3)
    matte = Matte(image, trimap, torch.zeros(1, 1, 4, 6, dtype=torch.int64), CLASSES, torch.ones(1, 1, 4, 6), image, report)
    assert cli.render("cutout", matte, background).dtype == dtype


def test_evaluate_prints_a_table_and_its_means(folder, run, capsys) -> None:
    for name, level in (("a", 255), ("b", 0)):
        paint(f"pairs/image/{name}.jpg")
        Path("pairs/alpha").mkdir(exist_ok=True)
        Image.new("L", (12, 8), level).save(f"pairs/alpha/{name}.png")
    assert run("evaluate", "pairs") == 0
    out, err = capsys.readouterr()
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines())
    assert head[:3] == ["photo", "SAD", "MAD"]
    assert [line[:3] for line in lines] == [["a", "0.000", "0.000"], ["b", "0.096", "1000.000"], ["mean", "0.048", "500.000"]]
    assert [line.split(":")[0] for line in err.splitlines()] == ["[1/2] a", "[2/2] b"]


def test_evaluate_goes_on_after_a_bad_pair(folder, run, capsys) -> None:
    for name, width in (("a", 12), ("b", 11)):
        paint(f"pairs/image/{name}.jpg")
        Path("pairs/alpha").mkdir(exist_ok=True)
        Image.new("L", (width, 8), 255).save(f"pairs/alpha/{name}.png")
    assert run("evaluate", "pairs", "--json") == 1
    out, err = capsys.readouterr()
    good, bad, mean = map(json.loads, out.splitlines())
    assert (good["photo"], round(good["mad"], 3), good["band_mad"], good["error"]) == ("a", 0.0, None, None)
    assert bad["photo"] == "b" and "expected the photograph's size 12 x 8, got 11 x 8" in bad["error"]
    assert mean.keys() == good.keys() and mean["photo"] == "mean"
    assert f"error: b: {bad['error']}\n" in err


def test_evaluate_says_what_is_missing(folder, run, capsys) -> None:
    assert run("evaluate", "nowhere") == 1
    paint("pairs/image/a.jpg")
    assert run("evaluate", "pairs") == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in err.splitlines()] == ["error:", "error:"] and out == ""


def test_presets_are_listed(capsys) -> None:
    assert cli.main(["presets"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    for line, preset in zip(lines, PRESETS.values(), strict=True):
        assert line[head.index("license") :].startswith(preset.license) and line.endswith(preset.source)
        assert line[head.index("commercial") :].split()[0] == ("yes" if preset.commercial_use else "no")
    assert cli.main(["presets", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == list(PRESETS)
    assert {"backbone", "license", "commercial_use", "megabytes", "source", "revision"} < set(records[0])


@pytest.mark.parametrize("command", [[], ["cutout"], ["evaluate"], ["presets"], ["train"]])
def test_help_is_given(capsys, command) -> None:
    assert cli.main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(" ".join(["usage: python -m shm", *command])) and "exit codes: 0" in out and err == ""
    assert cli.main([*command, "--no-such-option"]) == 2


def test_train_is_handed_to_the_wing(monkeypatch) -> None:
    from shm.training import train

    monkeypatch.setattr(train, "run", lambda arguments: 7 if arguments.stage == "head" else 0)
    assert cli.main(["train", "head", "data", "-o", "out"]) == 7


def test_the_module_runs_as_a_program() -> None:
    command = [sys.executable, "-W", "error", "-m", "shm", "presets"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("name ") and "embedded" in result.stdout and result.stderr == ""
