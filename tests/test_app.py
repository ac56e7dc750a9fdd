"""The browser app: its endpoints through a client, its page through a real browser, and how it starts."""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

import app
import shm
from shm.compositing import place_people
from shm.matte import to_depth
from shm.matting import MattingConfig, MattingHead
from shm.segmentation import PRESETS

# Gradio's own, at import and in its threads.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

STAGES = ("segmentation", "trimap", "alpha", "composite")
GIANT = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 20000, 20000, 1, 24, 0, 0, 0, 0, 0, 0)
"""The header of a picture that would take 1.2 GB."""
TRANSPARENT = ("transparent", "#000000", None)


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The app's upload folder."""
    folder, before = tmp_path_factory.mktemp("uploads"), os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    yield folder
    os.environ.pop("GRADIO_TEMP_DIR")
    if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="session")
def matting() -> shm.HumanMatting:
    """Tiny random networks."""
    torch.manual_seed(0)
    labels = dict(enumerate(("background", "person", "unknown")))
    config = MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4, output_stride=16, id2label=labels)
    preset = replace(PRESETS["embedded"], side=128)
    segmenter = shm.Segmenter(MobileNetV2ForSemanticSegmentation(config), preset)
    head = MattingHead(MattingConfig(channels=(4, 6), full_size_channels=4, side=128))
    return shm.HumanMatting(segmenter, head, device="cpu", precision="float32")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def address(matting: shm.HumanMatting, uploads: Path) -> Iterator[str]:
    """Where the app listens."""
    demo = app.build(matting)
    place = {"server_name": "127.0.0.1", "server_port": free_port()}
    _, address, _ = demo.launch(prevent_thread_lock=True, **place, **app.launch_options())
    gc.collect()  # Gradio leaves event loops open; they are to be found here, not in another file's tests
    yield address
    demo.close(verbose=False)
    gc.collect()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False, download_files=str(Path(os.environ["GRADIO_TEMP_DIR"]).parent))


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy photograph that a phone took upright: it lies on its side in the file."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((120, 160), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path_factory.mktemp("photos") / "portrait.jpg"
    image.save(path, quality=95, exif=exif)
    return path


@pytest.fixture(scope="session")
def matte(matting: shm.HumanMatting, photo: Path) -> shm.Matte:
    """What the app must find."""
    return matting(shm.read_image(photo))


@pytest.fixture
def runs(matting: shm.HumanMatting) -> Iterator[list[str]]:
    """The networks that ran, by name."""
    ran: list[str] = []
    hooks = [
        network.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, network in (("segmenter", matting.segmenter), ("head", matting.head))
    ]
    yield ran
    for hook in hooks:
        hook.remove()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that the app had decoded."""
    paths: list[Path] = []

    def read_image(path: str, **options: object) -> torch.Tensor:
        paths.append(Path(path))
        return read(path, **options)

    read = shm.read_image
    monkeypatch.setattr(shm, "read_image", read_image)
    return paths


def read_pixels(path: str | Path, mode: str) -> torch.Tensor:
    """Return a file's pixels as they are, (1, C, H, W)."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", mode)
        return torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)[None]


def read_answer(values: tuple) -> dict:
    """Name what an endpoint returned."""
    captions, files = (f"{stage}_caption" for stage in STAGES), ("cutout_file", "alpha_file", "composite_file")
    names = ("status", "slider", *STAGES, *captions, *files)
    return dict(zip(names, values, strict=True))


def file_of(value: str | dict | None) -> str | None:
    """Return the path in what the client makes of a download button."""
    return value.get("value") if isinstance(value, dict) else value


def test_stages_arrive_one_after_another_each_yield_whole(client: Client, photo: Path, matte: shm.Matte, opened) -> None:
    job = client.submit(handle_file(photo), *TRANSPARENT, api_name="/cut_out")
    job.result(timeout=60)
    answers = [read_answer(values) for values in job.outputs()]
    seen = [[stage for stage in STAGES if answer[stage]] for answer in answers]
    assert seen == [list(STAGES[:count]) for count in (0, 1, 2, 3, 4, 4)]
    for stages, answer in zip(seen, answers):
        assert [stage for stage in STAGES if answer[f"{stage}_caption"]] == stages
        for stage in stages:
            assert " ms</strong> on cpu, float32" in answer[f"{stage}_caption"]
    assert [bool(file_of(answer["cutout_file"])) for answer in answers] == [False] * 5 + [True]
    last = answers[-1]
    assert "Done in" in last["status"] and "refined at full resolution" in last["alpha_caption"]
    assert all(name in last["segmentation_caption"] for name in {matte.class_names[label] for label in matte.labels.unique()})
    assert len(opened) == 1


def test_downloads_hold_every_byte(client: Client, photo: Path, matte: shm.Matte) -> None:
    last = read_answer(client.predict(handle_file(photo), *TRANSPARENT, api_name="/cut_out"))
    assert Path(file_of(last["cutout_file"])).name == "portrait.cutout.png"
    assert Path(file_of(last["alpha_file"])).name == "portrait.alpha.png"
    assert file_of(last["composite_file"]) is None
    assert tuple(matte.image.shape) == (1, 3, 120, 160)
    assert torch.equal(read_pixels(file_of(last["cutout_file"]), "RGBA"), shm.cutout(matte))
    assert torch.equal(read_pixels(file_of(last["alpha_file"]), "L"), to_depth(matte.alpha, torch.uint8))


def test_another_background_runs_no_network(client: Client, photo: Path, matte: shm.Matte, runs: list[str]) -> None:
    client.predict(handle_file(photo), *TRANSPARENT, api_name="/cut_out")
    assert runs == ["segmenter", "head"]
    for kind, color, picture, backdrop in (
        ("color", "#3366ff", None, app.parse_color("#3366ff")),
        ("blur", "", None, "blur"),
        ("picture", "", handle_file(app.EXAMPLES[0]), shm.read_image(app.EXAMPLES[0])),
    ):
        answer = read_answer(client.predict(kind, color, picture, api_name="/change_background"))
        assert Path(file_of(answer["composite_file"])).name == "portrait.composite.png"
        assert torch.equal(read_pixels(file_of(answer["composite_file"]), "RGB"), place_people(matte, backdrop))
        assert "no network ran again" in answer["composite_caption"]
    answer = read_answer(client.predict(*TRANSPARENT, api_name="/change_background"))
    assert file_of(answer["composite_file"]) is None
    assert runs == ["segmenter", "head"]


def test_large_photographs_are_shown_reduced_and_saved_whole(client: Client, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(app, "SCREEN_SIDE", 64)
    shm.write_image(tmp_path / "wide.png", torch.rand(1, 3, 50, 200, generator=torch.Generator().manual_seed(0)))
    last = read_answer(client.predict(handle_file(tmp_path / "wide.png"), "blur", "", None, api_name="/cut_out"))
    sizes = [Image.open(path).size for path in (*last["slider"], *(last[stage] for stage in STAGES))]
    assert set(sizes) == {(64, 16)}
    assert read_pixels(file_of(last["composite_file"]), "RGB").shape == (1, 3, 50, 200)


def test_a_visible_note_where_nobody_is_found(client: Client, photo: Path, matting: shm.HumanMatting) -> None:
    *_, last = (module for module in matting.segmenter.modules() if isinstance(module, torch.nn.Conv2d))
    bias = last.bias.data.clone()
    last.bias.data += torch.tensor([1000.0, 0.0, 0.0])
    answer = read_answer(client.predict(handle_file(photo), *TRANSPARENT, api_name="/cut_out"))
    last.bias.data = bias
    assert "Nobody was found" in answer["status"]
    assert read_pixels(file_of(answer["alpha_file"]), "L").max() == 0


def test_no_photograph_is_said(client: Client) -> None:
    with pytest.raises(AppError, match="Choose a photograph first"):
        client.predict(None, *TRANSPARENT, api_name="/cut_out")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.jpg", b"", "empty.jpg: expected a photograph, got an empty file"),
        ("page.png", b"<html><body>hello</body></html>", "page.png: expected a photograph .*, got something else"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing.svg: expected a photograph"),
        ("cut.jpg", app.EXAMPLES[0].read_bytes()[:20000], "cut.jpg: expected a whole photograph, got a damaged one"),
        ("giant.bmp", GIANT, "giant.bmp: expected at most 50 megapixels, got 20000 x 20000 = 400"),
    ],
)
def test_files_that_are_no_photographs_are_refused_in_words(client, photo, runs, tmp_path, name, content, sentence) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(path), *TRANSPARENT, api_name="/cut_out")
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(photo), "picture", "", handle_file(path), api_name="/cut_out")
    assert runs == []


def test_a_color_that_is_none_is_refused_in_words(client: Client, photo: Path) -> None:
    with pytest.raises(AppError, match='expected "#rrggbb"'):
        client.predict(handle_file(photo), "color", "octarine", None, api_name="/cut_out")


@pytest.mark.parametrize("extra", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["without meta", "with meta"])
@pytest.mark.parametrize("place", ["photo", "picture"])
def test_only_files_in_the_upload_folder_are_opened(address: str, tmp_path: Path, uploads: Path, opened, extra, place) -> None:
    shutil.copy(app.EXAMPLES[0], tmp_path / "secret.jpg")
    shutil.copy(app.EXAMPLES[0], uploads / "mine.jpg")
    (uploads / "link.jpg").unlink(missing_ok=True)
    (uploads / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    mine = {"path": str(uploads / "mine.jpg"), "meta": {"_type": "gradio.FileData"}}
    for path in (tmp_path / "secret.jpg", uploads / ".." / tmp_path.name / "secret.jpg", uploads / "link.jpg"):
        theirs = {"path": str(path)} | extra
        data = [theirs, "blur", "", None] if place == "photo" else [mine, "picture", "", theirs]
        call = httpx.post(f"{address}gradio_api/call/cut_out", json={"data": data})
        answer = httpx.get(f"{address}gradio_api/call/cut_out/{call.json()['event_id']}", timeout=60)
        assert "event: error" in answer.text and "event: complete" not in answer.text
        assert "secret" not in answer.text
    assert {path.resolve() for path in opened} <= {uploads / "mine.jpg"}


def test_oversized_files_are_refused_at_the_door(address: str) -> None:
    files = {"files": ("huge.jpg", bytes(51 * 2**20))}
    assert httpx.post(f"{address}gradio_api/upload", files=files, timeout=60).status_code == 413


def test_the_page_asks_for_nothing_from_outside(address: str) -> None:
    config = httpx.get(f"{address}config").json()
    assert config["title"] == "Semantic Human Matting" and config["analytics_enabled"] is False
    assert "share" not in json.dumps([component["props"].get("buttons") for component in config["components"]])
    page = httpx.get(address).text
    assert "googleapis" not in page and "gstatic" not in page


class Page:
    """A browser page that notes what goes wrong and where it calls."""

    def __init__(self, browser, address: str, **options: object) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.note(request.url))
        self.address = address
        self.page.goto(address)
        self.page.wait_for_selector("#run")

    def note(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.faults.append(f"outside: {url}")

    def shown(self) -> list[str]:
        """Return the stages whose picture is there."""
        return [stage for stage in STAGES if self.page.locator(f"#{stage} img").count()]

    def close(self) -> None:
        self.context.close()
        assert self.faults == []


@pytest.fixture
def open_page(browser, address: str) -> Iterator:
    pages: list[Page] = []

    def open_page(**options: object) -> Page:
        pages.append(Page(browser, address, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def test_browser_upload_stages_background_downloads(open_page, photo, matte, matting, monkeypatch, tmp_path) -> None:
    gate, stream = threading.Semaphore(0), matting.stream

    def gated(image: torch.Tensor) -> Iterator:
        stages = stream(image)
        for count in (2, 1, 1):  # probabilities and labels, alpha, foreground
            assert gate.acquire(timeout=30)
            for _ in range(count):
                yield next(stages)
        return (yield from stages)

    monkeypatch.setattr(matting, "stream", gated)
    visit = open_page()
    page = visit.page
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#photo img")
    assert page.locator("#cut-out-file").is_disabled()
    page.click("#run")
    for count, status in ((0, "Finding people"), (2, "Separating hair"), (3, "own color back"), (4, "Done in")):
        page.get_by_text(status).wait_for()
        if count:
            page.wait_for_selector(f"#{STAGES[count - 1]} img")
        assert visit.shown() == list(STAGES[:count])
        gate.release()
    assert page.locator("#slider img").count() == 2

    with page.expect_download() as download:
        page.click("#cut-out-file:not(:disabled)")
    assert download.value.suggested_filename == "portrait.cutout.png"
    download.value.save_as(tmp_path / "cutout.png")
    assert torch.equal(read_pixels(tmp_path / "cutout.png", "RGBA"), shm.cutout(matte))

    first = page.locator("#composite img").get_attribute("src")
    page.get_by_label("Blurred").check()
    page.wait_for_function("first => document.querySelector('#composite img').src != first", arg=first)
    with page.expect_download() as download:
        page.click("#composite-file:not(:disabled)")
    download.value.save_as(tmp_path / "composite.png")
    assert torch.equal(read_pixels(tmp_path / "composite.png", "RGB"), place_people(matte, "blur"))
    page.get_by_label("Picture").check()
    page.set_input_files("#picture input[type=file]", app.EXAMPLES[1])
    page.wait_for_selector("#picture img")
    page.get_by_label("Color").check()
    page.wait_for_selector("#color button")


def test_browser_an_example_is_one_click_on_a_phone(open_page) -> None:
    visit = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#inputs .gallery-item").first.tap()
    page.get_by_text("Done in").wait_for()
    assert visit.shown() == list(STAGES)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# For every text in view: its color on the nearest painted background, as WCAG 2 counts contrast.
LOW_CONTRAST = """() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number)
  const luminance = color => {
    const [r, g, b] = color.map(level => (level /= 255) <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  const low = []
  for (const element of document.querySelectorAll('.gradio-container *')) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3 && node.data.trim()).map(node => node.data).join('')
    if (!text || !element.checkVisibility({opacityProperty: true}) || element.closest(':disabled, svg, style')) continue
    const [light, dark] = [parse(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => b - a)
    const ratio = (light + 0.05) / (dark + 0.05)
    if (ratio < 4.5) low.push(`${text.trim()}: ${ratio.toFixed(2)}`)
  }
  return low
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_every_text_can_be_read(open_page, photo: Path, scheme: str) -> None:
    page = open_page(color_scheme=scheme).page
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#photo img")
    page.click("#run")
    page.get_by_text("Done in").wait_for()
    page.wait_for_selector("#cut-out-file:not(:disabled)")
    page.wait_for_timeout(500)  # colors fade
    assert page.evaluate(LOW_CONTRAST) == []


def test_browser_a_damaged_file_is_named_in_words(open_page, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(app.EXAMPLES[0].read_bytes()[:20000])
    visit = open_page()
    visit.page.set_input_files("#photo input[type=file]", tmp_path / "cut.jpg")
    visit.page.wait_for_selector("#photo img")
    visit.page.click("#run")
    visit.page.get_by_text("expected a whole photograph, got a damaged one").wait_for()
    assert visit.shown() == []


@pytest.mark.parametrize("options", [[], ["--share"]])
def test_main_warms_up_and_prints_its_address(matting, uploads, runs, monkeypatch, capfd, options: list[str]) -> None:
    def refuse(**_: object) -> str:
        raise OSError("no way out")

    port = free_port()
    monkeypatch.setattr(sys, "argv", ["app.py", "--port", str(port), *options])
    monkeypatch.setattr(shm, "load", lambda: matting)
    monkeypatch.setattr(app.gr.networking, "setup_tunnel", refuse)
    monkeypatch.setattr(app.gr.Blocks, "block_thread", lambda demo: demo.close(verbose=False))
    app.main()
    gc.collect()
    lines = capfd.readouterr().out.splitlines()
    assert lines == [f"Ready: http://127.0.0.1:{port}/", *([app.NO_LINK] if options else [])]
    assert runs == ["segmenter", "head"]


def test_main_says_in_one_line_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise shm.CheckpointError("not_found", "models: nothing there")

    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(shm, "load", refuse)
    with pytest.raises(SystemExit, match="app.py: models: nothing there"):
        app.main()


def test_demo_is_built_when_asked_for(matting: shm.HumanMatting, uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shm, "load", lambda: matting)
    assert isinstance(app.demo, app.gr.Blocks)
    monkeypatch.delitem(vars(app), "demo")
    with pytest.raises(AttributeError, match="no attribute 'demon'"):
        app.demon
