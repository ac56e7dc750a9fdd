"""The browser app: its endpoints through a client, its page through a real browser, and how it starts."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gradio
import httpx
import numpy as np
import pytest
import torch
from gradio.mcp import GradioMCPServer
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from PIL import Image, ImageColor, ImageOps
from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation

import app
import shm
from panes import addresses, agents, session
from panes.errors import CHINESE_ERRORS
from panes.view import Choice
from panes.words import CONTROLS, MESSAGES, WORDS
from shm.compositing import blur_background, composite, make_gradient, parse_color
from shm.edges import feather, keep_connected, shift_edge
from shm.editing import LOOKS, Scene, compose
from shm.id_photo import Head
from shm.matte import to_depth
from shm.matting import MattingConfig, MattingHead
from shm.people import find_people
from shm.segmentation import PRESETS
from shm.touch_up import BRUSHES, paint_probabilities
from shm.trimap import hard_trimap

# Gradio's own, at import and in its threads.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

STAGES = ("segmentation", "trimap", "alpha", "foreground", "composite", "closeup")
GIANT = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 20000, 20000, 1, 24, 0, 0, 0, 0, 0, 0)
"""The header of a picture that would take 1.2 GB."""


CHOSEN = ["#000000", "#000000", 4, "studio", None, 100, 0, 0, 0, 0, 0, 0, True, False, [], "composite"]
"""What the controls after the first hold."""


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The app's upload folder."""
    folder, before = tmp_path_factory.mktemp("uploads"), os.environ.get("GRADIO_TEMP_DIR")
    session.open_folder()  # so that building an app opens no other
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
    network = MobileNetV2ForSemanticSegmentation(config)
    network.segmentation_head.classifier.convolution.bias.data = torch.tensor([0.0, 1.3, 0.6])  # surely a person, and some doubt
    segmenter = shm.Segmenter(network, preset)
    head = MattingHead(MattingConfig(channels=4, side=128))
    torch.nn.init.normal_(head.alpha.weight, mean=0.5)  # sees somebody, and not the same everywhere
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


def read_pixels(path: str | Path, mode: str, kind: str = "PNG") -> torch.Tensor:
    """Return a file's pixels as they are, (1, C, H, W)."""
    with Image.open(path) as image:
        assert (image.format, image.mode) == (kind, mode)
        return torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)[None]


def read_answer(values: tuple) -> dict:
    """Name what the first tab's endpoints returned."""
    captions = (f"{stage}_caption" for stage in STAGES)
    return dict(zip(("status", "slider", *STAGES, *captions, "outline", "who"), values, strict=True))


def file_of(value: str | dict | None) -> str | None:
    """Return the path in what the client makes of a download button."""
    return value.get("value") if isinstance(value, dict) else value


def cut_out(client: Client, photo: Path, **choice: object) -> dict:
    return read_answer(client.predict(handle_file(photo), **choice, api_name="/cut_out"))


def test_stages_arrive_one_after_another_each_yield_whole(client: Client, photo: Path, matte: shm.Matte, opened) -> None:
    job = client.submit(handle_file(photo), api_name="/cut_out")
    job.result(timeout=60)
    answers = [read_answer(values) for values in job.outputs()]
    seen = [[stage for stage in STAGES if answer[stage]] for answer in answers]
    assert seen == [list(STAGES[:count]) for count in (0, 1, 2, 3, 4, 6)]
    for stages, answer in zip(seen, answers):
        assert [stage for stage in STAGES if answer[f"{stage}_caption"]] == stages
        for stage in stages[:5]:
            assert " ms</strong> on cpu, float32" in answer[f"{stage}_caption"]
    last = answers[-1]
    assert "Done in" in last["status"] and "refined at full resolution" in last["alpha_caption"]
    assert all(name in last["segmentation_caption"] for name in {matte.class_names[label] for label in matte.labels.unique()})
    assert len(opened) == 1


def test_every_choice_has_a_name_and_a_default_in_the_api(address: str) -> None:
    info = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
    names = [field.name for field in fields(Choice)]
    for endpoint, first in (("/cut_out", ["photo"]), ("/edit", []), ("/download", ["file"])):
        parameters = info[endpoint]["parameters"]
        assert [parameter["parameter_name"] for parameter in parameters] == first + names
        assert all(parameter["parameter_has_default"] for parameter in parameters[len(first) :]), endpoint
    assert "__i18n__" not in json.dumps(info) and "translation_metadata" not in json.dumps(info)
    for endpoint in info.values():
        assert all(isinstance(part["label"], str) for part in endpoint["parameters"] + endpoint["returns"])


def test_downloads_hold_every_byte(client: Client, photo: Path, matte: shm.Matte) -> None:
    cut_out(client, photo)
    assert tuple(matte.image.shape) == (1, 3, 120, 160)
    green = {"kind": "color", "color": "#00b140"}
    expected = {
        "cutout": ("portrait.cutout.png", "RGBA", shm.cutout(matte)),
        "alpha": ("portrait.alpha.png", "L", to_depth(matte.alpha, torch.uint8)),
        "trimap": ("portrait.trimap.png", "L", to_depth(hard_trimap(matte.probabilities, (120, 160)), torch.uint8)),
        "png": ("portrait.composite.png", "RGB", compose(matte, Scene(**green))),
    }
    for file, (name, mode, pixels) in expected.items():
        path = client.predict(file, **green, api_name="/download")
        assert Path(path).name == name
        assert torch.equal(read_pixels(path, mode), pixels)
    path = client.predict("webp", **green, api_name="/download")
    assert Path(path).name == "portrait.cutout.webp" and torch.equal(read_pixels(path, "RGBA", "WEBP"), shm.cutout(matte))
    path = client.predict("alpha16", api_name="/download")
    assert Path(path).name == "portrait.alpha16.png"
    assert torch.equal(read_pixels(path, "I;16").to(torch.int32), to_depth(matte.alpha, torch.uint16).to(torch.int32))
    path = client.predict("jpeg", **green, api_name="/download")
    assert Path(path).name == "portrait.composite.jpg" and read_pixels(path, "RGB", "JPEG").shape == (1, 3, 120, 160)
    with zipfile.ZipFile(client.predict("zip", **green, api_name="/download")) as archive:
        assert set(archive.namelist()) == {name for name, *_ in expected.values()} | {"portrait.alpha16.png", Path(path).name}
    with zipfile.ZipFile(client.predict("zip", api_name="/download")) as archive:
        assert not any("composite" in name for name in archive.namelist())


def test_downloads_need_something_to_download(address: str, photo: Path) -> None:
    client = Client(address, verbose=False)
    with pytest.raises(AppError, match="Cut out a photograph first"):
        client.predict("cutout", api_name="/download")
    cut_out(client, photo)
    with pytest.raises(AppError, match="Choose a background first"):
        client.predict("png", api_name="/download")
    with pytest.raises(AppError, match='Expected a file of cutout, .* got "gif"'):
        client.predict("gif", api_name="/download")


def test_another_background_runs_no_network(client: Client, photo: Path, matte: shm.Matte, runs: list[str]) -> None:
    cut_out(client, photo)
    assert runs == ["segmenter", "head"]
    red, blue = parse_color("#ff0000"), parse_color("#0000ff")
    for choice, background in (
        ({"kind": "color", "color": "#ff0000"}, red),
        ({"kind": "gradient", "color": "#ff0000", "bottom": "#0000ff"}, make_gradient(red, blue, (120, 160))),
        ({"kind": "blur", "blur": 10}, blur_background(matte.image, matte.alpha, strength_fraction=0.05)),
    ):
        answer = read_answer(client.predict(**choice, api_name="/edit"))
        assert "no network ran again" in answer["composite_caption"]
        path = client.predict("png", **choice, api_name="/download")
        assert torch.equal(read_pixels(path, "RGB"), composite(matte.foreground, matte.alpha, background))
    for choice, scene in (
        ({"kind": "gallery", "name": "city"}, Scene("gallery", name="city")),
        ({"kind": "picture", "picture": handle_file(app.EXAMPLES[0])}, Scene("picture", picture=shm.read_image(app.EXAMPLES[0]))),
    ):
        placed = replace(scene, scale=0.5, right=0.2, down=-0.1, color_match=0.6, shadow_opacity=0.3)
        moved = {"scale": 50, "right": 20, "down": -10, "color_match": 60, "shadow": 30}
        for more, expected in (({}, scene), (moved, placed)):
            path = client.predict("png", **choice, **more, api_name="/download")
            assert torch.equal(read_pixels(path, "RGB"), compose(matte, expected))
    assert runs == ["segmenter", "head"]


def test_edges_and_looks_run_no_network(client: Client, photo: Path, matte: shm.Matte, runs: list[str]) -> None:
    before = cut_out(client, photo)
    runs.clear()
    for choice, alpha in (
        ({"shift": -3}, shift_edge(matte.alpha, -3)),
        ({"feather": 8}, feather(matte.alpha, 8)),
        ({"connected": True}, keep_connected(matte.alpha)),
    ):
        path = client.predict("alpha", **choice, api_name="/download")
        assert torch.equal(read_pixels(path, "L"), to_depth(alpha, torch.uint8))
    cutout = read_pixels(client.predict("cutout", clean=False, api_name="/download"), "RGBA")
    assert torch.equal(cutout[:, :3], matte.image)
    for look in LOOKS:
        answer = read_answer(client.predict(look=look, feather=2, api_name="/edit"))
        assert answer["slider"][1] != before["slider"][1]
    assert runs == []


def test_large_photographs_are_shown_reduced_and_saved_whole(client: Client, tmp_path: Path, monkeypatch) -> None:
    for module in (session, sys.modules["panes.stages"], sys.modules["panes.view"]):
        monkeypatch.setattr(module, "SCREEN_SIDE", 64)
    shm.write_image(tmp_path / "wide.png", torch.rand(1, 3, 50, 200, generator=torch.Generator().manual_seed(0)))
    last = cut_out(client, tmp_path / "wide.png", kind="blur")
    sizes = [Image.open(path).size for path in (*last["slider"], *(last[stage] for stage in STAGES[:5]))]
    assert set(sizes) == {(64, 16)}
    assert read_pixels(client.predict("png", kind="blur", api_name="/download"), "RGB").shape == (1, 3, 50, 200)


def test_a_visible_note_where_nobody_is_found(client: Client, photo: Path, matting: shm.HumanMatting) -> None:
    *_, last = (module for module in matting.segmenter.modules() if isinstance(module, torch.nn.Conv2d))
    bias = last.bias.data.clone()
    last.bias.data += torch.tensor([1000.0, 0.0, 0.0])
    answer = cut_out(client, photo)
    last.bias.data = bias
    assert "Nobody was found" in answer["status"]
    assert read_pixels(client.predict("alpha", api_name="/download"), "L").max() == 0


def test_no_photograph_is_said(client: Client) -> None:
    with pytest.raises(AppError, match="Choose a photograph first"):
        client.predict(None, api_name="/cut_out")


@pytest.fixture
def gate() -> threading.Event:
    """What lets a photograph pass that waits on the web."""
    return threading.Event()


@pytest.fixture
def web(photo: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this computer that is taken for one on the internet."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            inside = f"http://127.0.0.1:{server.server_port}/portrait.jpg"
            place = {"/moved.jpg": "pictures/portrait.jpg", "/around.jpg": "around.jpg", "/inside.jpg": inside}.get(path)
            self.send_response(302 if place else 404 if "gone" in path else 200)
            if place:
                self.send_header("Location", place)
            self.end_headers()
            if path == "/waiting.jpg":
                gate.wait(60)
            while path == "/dripping.jpg":
                self.wfile.write(b"a")
                time.sleep(0.05)
            content = {"/heavy.jpg": bytes(2**26), "/secret.jpg": b"secret"}.get(path) or photo.read_bytes()
            with suppress(ConnectionError):  # heavy: more than is looked at
                self.wfile.write(content)
                sent.append((path, self.headers["Host"]))

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

    async def find(host: str) -> str:
        return "127.0.0.1" if host == "example.org" else await find_public(host)

    sent, find_public = [], addresses.find_public
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setattr(addresses, "find_public", find)
    yield f"http://example.org:{server.server_port}"
    assert all(host == f"example.org:{server.server_port}" for _, host in sent)
    assert "/heavy.jpg" not in dict(sent)
    server.shutdown()
    server.server_close()


def test_a_photograph_is_fetched_from_an_address(client: Client, photo: Path, web: str, monkeypatch) -> None:
    for place in ("pictures/portrait.jpg?size=2", "moved.jpg"):
        path = client.predict(f"{web}/{place}", api_name="/fetch")
        assert Path(path).name == "portrait.jpg" and Path(path).read_bytes() == photo.read_bytes()
    monkeypatch.setattr(addresses, "FETCH_SECONDS", 1)
    for name in ("gone.jpg", "around.jpg", "inside.jpg", "dripping.jpg"):
        with pytest.raises(AppError, match=f"No photograph could be fetched from {web}/{name}"):
            client.predict(f"{web}/{name}", api_name="/fetch")
    monkeypatch.setattr(addresses, "MAX_MEGABYTES", 1)
    with pytest.raises(AppError, match="at most 1 megabytes"):
        client.predict(f"{web}/heavy.jpg", api_name="/fetch")


def test_a_client_s_web_address_is_fetched_by_the_same_rules(client: Client, web: str, matte: shm.Matte) -> None:
    cut_out(client, f"{web}/portrait.jpg")
    assert torch.equal(read_pixels(client.predict("cutout", api_name="/download"), "RGBA"), shm.cutout(matte))
    for name, sentence in (("inside.jpg", "No photograph could be fetched"), ("secret.jpg", "secret.jpg: expected a photo")):
        with pytest.raises(AppError, match=sentence):
            cut_out(client, f"{web}/{name}")


def test_what_is_no_photograph_is_not_kept(client: Client, web: str, uploads: Path) -> None:
    secret = f"data:,{base64.b64encode(b'secret').decode()}"
    for place, action, name in ((f"{web}/secret.jpg", "/fetch", "secret.jpg"), (secret, "/cut_out_photo", "photo")):
        with pytest.raises(AppError, match=f"{name}: expected a photograph"):
            client.predict(place, api_name=action)
    assert not [path for path in uploads.rglob("*") if path.is_file() and path.read_bytes() == b"secret"]


@pytest.mark.parametrize("address_asked", ["http://127.0.0.1:9/a.jpg", "http://localhost/a.jpg", "file:///etc/hosts", "ftp://a/b", ""])
def test_this_computer_s_own_network_is_not_fetched_from(client: Client, address_asked: str) -> None:
    with pytest.raises(AppError, match="No photograph could be fetched"):
        client.predict(address_asked, api_name="/fetch")


def test_a_host_is_public_where_all_its_addresses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, *_: object, **__: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in host.split("+")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert asyncio.run(addresses.find_public("93.184.215.14+2606:2800:21f::1")) == "93.184.215.14"
    ours = "100.100.100.200 169.254.169.254 10.0.0.1 127.0.0.1 0.0.0.0 ::1 ::ffff:10.0.0.1 fd00::1 fe80::1%2"
    for inside in ours.split():
        for host in (inside, f"93.184.215.14+{inside}"):
            with pytest.raises(ValueError, match="expected one on the internet"):
                asyncio.run(addresses.find_public(host))


def test_errors_and_sentences_are_in_the_reader_s_language(address: str, photo: Path, tmp_path: Path) -> None:
    client = Client(address, verbose=False, headers={"accept-language": "zh-CN,zh;q=0.9"})
    with pytest.raises(AppError, match="请先选择照片"):
        client.predict(None, api_name="/cut_out")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(AppError, match="empty.jpg：需要照片，但文件是空的"):
        client.predict(handle_file(tmp_path / "empty.jpg"), api_name="/cut_out")
    answer = cut_out(client, photo)
    assert "完成，用时" in answer["status"] and "毫秒" in answer["segmentation_caption"]


def test_every_error_of_a_picture_has_a_chinese_sentence() -> None:
    library = "".join(path.read_text(encoding="utf-8") for path in (Path(app.__file__).parent / "shm").glob("*.py"))
    codes = set(re.findall(r'(?:_error|ImageError|ChoiceError)\(\s*"([a-z_]+)"', library)) | {"is_a_folder", "not_a_folder", "unreadable"}
    assert codes | {"refused"} == set(CHINESE_ERRORS)


def test_both_languages_say_everything_with_the_same_values() -> None:
    for key, (english, chinese) in WORDS.items():
        assert english and chinese, key
        values = [set(re.findall(r"\{(\w+)", text)) for text in (english, chinese)]
        assert values[0] == values[1], key


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
        client.predict(handle_file(path), api_name="/cut_out")
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(photo), kind="picture", picture=handle_file(path), api_name="/cut_out")
    assert runs == []


def test_a_color_that_is_none_is_refused_in_words(client: Client, photo: Path, runs: list[str]) -> None:
    with pytest.raises(AppError, match='expected "#rrggbb"'):
        client.predict(handle_file(photo), kind="color", color="octarine", api_name="/cut_out")
    assert runs == []


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
        data = [theirs, "blur", *CHOSEN] if place == "photo" else [mine, "picture", *CHOSEN[:4], theirs, *CHOSEN[5:]]
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

    def wait_for_another(self, selector: str, source: str) -> None:
        """Wait until a picture is not the one it was, and whole."""
        script = "([selector, source]) => { const image = document.querySelector(selector); return image && image.src != source && image.complete }"
        self.page.wait_for_function(script, arg=[selector, source])

    def write_cell(self, selector: str, text: str) -> None:
        """Write into a table's cell, once its editor is there to be written into."""
        self.page.locator(selector).dblclick()
        editor = self.page.locator(f"{selector} textarea:focus")
        editor.fill(text)
        editor.press("Enter")

    @contextmanager
    def another(self, selector: str) -> Iterator[None]:
        """Expect that what is done inside brings another picture."""
        source = self.page.locator(selector).evaluate("image => image.src")
        yield
        self.wait_for_another(selector, source)

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
    assert page.locator("#cutout-file").is_disabled()
    page.click("#run")
    for count, status in ((0, "Finding people"), (2, "Separating hair"), (3, "own color back"), (6, "Done in")):
        page.get_by_text(status).wait_for()
        if count:
            page.wait_for_selector(f"#{STAGES[count - 1]} img")
        assert visit.shown() == list(STAGES[:count])
        gate.release()
    assert page.locator("#slider img").count() == 2

    with page.expect_download() as download:
        page.click("#cutout-file:not(:disabled)")
    assert download.value.suggested_filename == "portrait.cutout.png"
    download.value.save_as(tmp_path / "cutout.png")
    assert torch.equal(read_pixels(tmp_path / "cutout.png", "RGBA"), shm.cutout(matte))

    first = page.locator("#composite img").evaluate("image => image.src")
    page.get_by_label("Blurred").check()
    visit.wait_for_another("#composite img", first)
    with page.expect_download() as download:
        page.click("#png-file")
    download.value.save_as(tmp_path / "composite.png")
    assert download.value.suggested_filename == "portrait.composite.png"
    blurred = compose(matte, Scene("blur", blur_fraction=4 / 200))
    assert torch.equal(read_pixels(tmp_path / "composite.png", "RGB"), blurred)


def run(visit: Page, photo: Path) -> None:
    """Cut out a photograph on a page."""
    visit.page.set_input_files("#photo input[type=file]", photo)
    visit.page.wait_for_selector("#photo img")
    visit.page.click("#run")
    visit.page.wait_for_selector("#closeup img")
    visit.page.wait_for_selector("#cutout-file:not(:disabled)")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_every_background_and_look_shows(open_page, photo: Path, runs, locale: str) -> None:
    visit = open_page(locale=locale)
    page = visit.page
    run(visit, photo)
    runs.clear()
    word = {key: both[locale == "zh-CN"] for key, both in WORDS.items()}
    for kind in ("color", "gradient", "blur", "gallery"):
        with visit.another("#composite img"):
            page.locator("#kind").get_by_label(word[kind], exact=True).check()
    with visit.another("#composite img"):
        page.locator("#scene").get_by_label(word["aurora"]).check()
    page.locator("#kind").get_by_label(word["picture"], exact=True).check()
    with visit.another("#composite img"):
        page.set_input_files("#picture input[type=file]", app.EXAMPLES[1])
    page.locator("#kind").get_by_label(word["blur"], exact=True).check()
    with visit.another("#composite img"):
        page.locator("#blur input[type=range]").press("ArrowRight")
    for look in ("checkerboard", "black", "white", "green", "alpha", "composite"):
        with visit.another("#slider img.fixed"):
            page.locator("#look").get_by_label(word[look], exact=True).check()
    assert runs == []


def test_browser_colors_are_picked(open_page, photo: Path) -> None:
    visit = open_page()
    run(visit, photo)
    visit.page.get_by_label("Gradient").check()
    for picker in ("#color", "#bottom"):
        visit.page.locator(f"{picker} button").first.click()
        with visit.another("#composite img"):
            visit.page.locator(f"{picker} .color-gradient").click(position={"x": 90, "y": 30})
        visit.page.mouse.click(5, 5)


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_placement_and_edge_change_the_picture_and_reset(open_page, photo: Path, runs, locale, word) -> None:
    visit = open_page(locale=locale)
    page = visit.page
    run(visit, photo)
    runs.clear()
    with visit.another("#composite img"):
        page.locator("#kind").get_by_label(word["gallery"], exact=True).check()
    page.get_by_role("tab", name=word["placement"]).click()
    page.get_by_text(word["needs_background"]).wait_for()
    for slider in ("scale", "right", "down", "color-match", "shadow"):
        with visit.another("#composite img"):
            page.locator(f"#{slider} input[type=range]").press("ArrowRight")
    page.get_by_role("tab", name=word["edge"], exact=True).click()
    for name in ("shift", "feather", "clean", "connected", "reset"):
        page.get_by_text(word[name], exact=True).first.wait_for()
    for slider in ("shift", "feather"):
        with visit.another("#composite img"):
            page.locator(f"#{slider} input[type=range]").press("ArrowRight")
    for box in ("clean", "connected"):
        with visit.another("#composite img"):
            page.locator(f"#{box} input").click()
    with visit.another("#composite img"):
        page.click("#reset")
    assert page.locator("#shift input[type=number]").input_value() == "0"
    assert page.locator("#clean input").is_checked() and not page.locator("#connected input").is_checked()
    assert runs == []


def make_stand(*places: tuple[float, float]):
    """Return a stream in which people stand between these shares of the width."""

    def stream(image: torch.Tensor) -> Iterator:
        alpha = torch.zeros(1, 1, *image.shape[-2:])
        for start, stop in places:
            alpha[..., alpha.shape[-2] // 4 :, int(start * alpha.shape[-1]) : int(stop * alpha.shape[-1])] = 1
        yield "probabilities", torch.cat([1 - alpha, alpha, 0 * alpha], dim=1)
        yield "labels", alpha.long()
        yield "alpha", alpha
        yield "foreground", image
        seconds = dict.fromkeys(("segmentation", "matting", "refinement", "foreground"), 0.1)
        return shm.Report("cpu", "float32", (8, 8), (8, 8), 0.5, seconds)

    return stream


@pytest.fixture
def two_people(matting: shm.HumanMatting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the photograph, two people stand in it."""
    monkeypatch.setattr(matting, "stream", make_stand((0.1, 0.4), (0.6, 0.9)))


def test_people_are_chosen_by_number(client: Client, photo: Path, two_people: None) -> None:
    answer = cut_out(client, photo)
    assert answer["who"]["value"] == [] and [name for name, _ in answer["who"]["choices"]] == ["Person 1", "Person 2"]
    alpha = read_pixels(client.predict("alpha", left_out=[1], api_name="/download"), "L")
    assert alpha[..., :70].max() == 0 and alpha[..., 120:140].min() < alpha[..., 120:140].max() == 255
    assert read_pixels(client.predict("alpha", left_out=[1, 2], api_name="/download"), "L").max() == 0


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_a_click_leaves_a_person_out_and_takes_them_back(open_page, photo: Path, two_people, locale, word) -> None:
    visit = open_page(locale=locale)
    page = visit.page
    run(visit, photo)
    page.get_by_role("tab", name=word["who"], exact=True).click()
    page.wait_for_selector("#outline img")
    page.get_by_text(word["click_people"]).wait_for()
    page.get_by_label(word["person"].format(number=2)).wait_for()
    boxes = page.locator("#left-out input")
    assert boxes.count() == 2
    for expected in (True, False):
        box = page.locator("#outline img").bounding_box()
        with visit.another("#composite img"):
            page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.7 * box["height"])
        assert (boxes.nth(0).is_checked(), boxes.nth(1).is_checked()) == (False, expected)
    with visit.another("#composite img"):
        boxes.nth(0).check()


def paint(photo: Path, color: str, rows: slice) -> dict:
    """Return what an editor sends: one stroke over some rows."""
    with Image.open(photo) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    layer = np.zeros((*upright.size[::-1], 4), dtype=np.uint8)
    layer[rows] = (*ImageColor.getrgb(color), 255)
    folder = photo.parent
    upright.save(folder / "background.png")
    Image.fromarray(layer).save(folder / "layer.png")
    background = handle_file(folder / "background.png")
    return {"background": background, "layers": [handle_file(folder / "layer.png")], "composite": background}


def test_strokes_are_certain_undone_and_done_again(address: str, photo: Path, matte: shm.Matte, runs: list[str]) -> None:
    client = Client(address, verbose=False)
    with pytest.raises(AppError, match="Cut out a photograph first"):
        client.predict(paint(photo, BRUSHES["keep"], slice(0, 9)), api_name="/touch_up")
    cut_out(client, photo)
    runs.clear()

    def read_alpha() -> torch.Tensor:
        return read_pixels(client.predict("alpha", api_name="/download"), "L")

    first = read_alpha()
    answer = read_answer(client.predict(paint(photo, BRUSHES["keep"], slice(0, 40)), api_name="/touch_up"))
    assert "the segmentation did not run" in answer["status"] and runs == ["head"]
    kept = read_alpha()
    assert kept[..., :30, :].min() > 250 > first[..., :30, :].max()
    client.predict(paint(photo, BRUSHES["remove"], slice(60, 120)), api_name="/touch_up")
    both = read_alpha()
    assert both[..., 70:, :].max() < 5 and both[..., :30, :].min() > 250
    for endpoint, expected in (("/undo", kept), ("/undo", first), ("/redo", kept), ("/redo", both), ("/undo", kept)):
        client.predict(api_name=endpoint)
        assert torch.equal(read_alpha(), expected), endpoint
    with pytest.raises(AppError, match="Paint on the photograph first"):
        client.predict(paint(photo, BRUSHES["keep"], slice(0, 0)), api_name="/touch_up")


def test_no_undo_takes_back_more_than_one_stroke(address: str, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["panes.touch_up"], "HISTORY", 2)
    client, seen = Client(address, verbose=False), []
    cut_out(client, photo)
    for rows in (slice(0, 30), slice(60, 80), slice(90, 110)):
        client.predict(paint(photo, BRUSHES["keep"], rows), api_name="/touch_up")
        seen.append(read_pixels(client.predict("alpha", api_name="/download"), "L"))
    for expected in (seen[1], seen[0], seen[0]):
        client.predict(api_name="/undo")
        assert torch.equal(read_pixels(client.predict("alpha", api_name="/download"), "L"), expected)


def test_browser_a_stroke_changes_the_alpha_and_is_undone(open_page, photo: Path) -> None:
    visit = open_page()
    page = visit.page
    run(visit, photo)
    box = open_brush(page, {"touch_up": "Touch up"})
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=8)
    page.mouse.up()
    for button in ("apply", "undo", "redo"):
        with visit.another("#alpha img"):
            page.click(f"#{button}")
    status = page.get_by_text("the segmentation did not run")
    status.wait_for()
    assert status.is_visible()


@pytest.fixture
def word(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the page of the test's locale says for each key."""
    return {key: both[request.getfixturevalue("locale") == "zh-CN"] for key, both in WORDS.items()}


def make_transfer(page, photo: Path, name: str):
    """Return what a browser hands over when a file is dropped or pasted."""
    script = """([data, name]) => {
      const transfer = new DataTransfer(), bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
      transfer.items.add(new File([bytes], name, {type: 'image/jpeg'}))
      return transfer
    }"""
    return page.evaluate_handle(script, [base64.b64encode(photo.read_bytes()).decode(), name])


def read_status(page) -> str:
    """Wait until a cut-out is whole, and return what the page says of it."""
    page.wait_for_selector("#cutout-file:not(:disabled)", timeout=90_000)
    return page.locator("#status").inner_text()


@pytest.mark.parametrize("again", [False, True], ids=["first", "another"])
def test_browser_a_photograph_is_dropped(open_page, photo: Path, tmp_path: Path, matte: shm.Matte, again: bool) -> None:
    page = open_page().page
    if again:
        page.set_input_files("#photo input[type=file]", app.EXAMPLES[0])
        page.wait_for_selector("#photo img")
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#photo img" if again else "#photo button", event, {"dataTransfer": make_transfer(page, photo, "dropped.jpg")})
    page.wait_for_selector("#photo img[src*='dropped.jpg']")
    page.click("#run")
    assert "Done in" in read_status(page)
    with page.expect_download() as download:
        page.click("#cutout-file")
    assert download.value.suggested_filename == "dropped.cutout.png"
    download.value.save_as(tmp_path / "cutout.png")
    assert torch.equal(read_pixels(tmp_path / "cutout.png", "RGBA"), shm.cutout(matte))


def copy_photo(visit: Page, photo: Path) -> None:
    """Put a photograph into the browser's clipboard, as other programs do: as PNG pixels."""
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    script = """async data => {
      const image = new Image()
      image.src = 'data:image/jpeg;base64,' + data
      await image.decode()
      const canvas = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height})
      canvas.getContext('2d').drawImage(image, 0, 0)
      const picture = await new Promise(resolve => canvas.toBlob(resolve, 'image/png'))
      await navigator.clipboard.write([new ClipboardItem({'image/png': picture})])
    }"""
    visit.page.evaluate(script, base64.b64encode(photo.read_bytes()).decode())


def test_browser_a_photograph_is_pasted_by_button_and_by_keys(open_page, photo: Path) -> None:
    visit = open_page()
    page = visit.page
    copy_photo(visit, photo)
    page.locator("#photo").get_by_label(CONTROLS["Paste from clipboard"][0]).click()
    page.wait_for_selector("#photo img")
    first = page.locator("#photo img").get_attribute("src")
    copy_photo(visit, app.EXAMPLES[0])
    page.keyboard.press("Control+V")  # a photograph is there already
    visit.wait_for_another("#photo img", first)
    page.click("#run")
    assert "Done in" in read_status(page)
    assert page.locator("#photo img").evaluate("image => image.naturalWidth") == Image.open(app.EXAMPLES[0]).width


@pytest.mark.parametrize(("tab", "place"), [("Cut out", "#photo img"), ("Batch", "#photographs .file-preview"), ("ID photo", "#portrait img")])
def test_browser_a_paste_goes_to_the_open_tab(open_page, photo: Path, tab: str, place: str) -> None:
    visit = open_page()
    visit.page.get_by_role("tab", name=tab).click()
    visit.page.wait_for_timeout(500)
    copy_photo(visit, photo)
    visit.page.keyboard.press("Control+V")
    visit.page.wait_for_selector(place)
    others = {"#photo img", "#photographs .file-preview", "#portrait img"} - {place}
    assert [visit.page.locator(other).count() for other in others] == [0, 0]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_a_photograph_is_taken_with_the_camera(open_page, locale: str, word: dict[str, str]) -> None:
    page = open_page(locale=locale).page
    controls = {english: both[locale == "zh-CN"] for english, both in CONTROLS.items()}
    page.locator("#photo").get_by_label(controls["Capture from camera"]).click()
    page.locator("#photo").get_by_text(controls["Click to Access Webcam"]).click()
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.locator("#photo .capture-button, #photo .photo-capture").first.click()
    page.wait_for_selector("#photo img[src*='/file=']")
    page.click("#run")
    status = read_status(page)
    assert word["done"].split("{")[0].strip() in status or word["nobody_found"] in status
    assert page.locator("#composite img").is_visible()


def touch(page, start: tuple[float, float], stop: tuple[float, float]) -> None:
    """Draw a finger over the screen, by the browser's own protocol: what a real touch screen sends."""
    session = page.context.new_cdp_session(page)
    steps = [tuple(a + (b - a) * step / 8 for a, b in zip(start, stop)) for step in range(9)]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": steps[0][0], "y": steps[0][1]}]})
    for x, y in steps[1:]:
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def open_brush(page, word: dict[str, str]):
    """Open the brush of a page with a cut-out; return the box of what is painted on."""
    page.get_by_role("tab", name=word["touch_up"]).click()
    page.wait_for_selector("#brush canvas >> nth=-1")
    page.wait_for_timeout(1500)
    page.locator("#brush").evaluate("element => element.scrollIntoView({block: 'center', behavior: 'instant'})")
    return page.locator("#brush canvas").last.bounding_box()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_a_finger_paints_on_a_phone(open_page, photo: Path, locale: str, word: dict[str, str]) -> None:
    visit = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, locale=locale)
    page = visit.page
    run(visit, photo)
    box = open_brush(page, word)
    scroll = page.evaluate("scrollY")
    touch(page, *((box["x"] + share * box["width"], box["y"] + 0.5 * box["height"]) for share in (0.4, 0.6)))
    assert page.evaluate("scrollY") == scroll
    with visit.another("#alpha img"):
        page.locator("#apply").tap()
    page.get_by_text(word["touched_up"].split("}")[1].strip()).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


SHOWS_COLOR = """color => [...document.querySelectorAll('#brush button, #brush button *')].some(
  part => ['color', 'fill', 'backgroundColor'].some(name => getComputedStyle(part)[name] === color))"""


def test_browser_each_brush_does_what_it_says(open_page, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    module = sys.modules["panes.touch_up"]
    monkeypatch.setattr(module, "paint_probabilities", lambda *values: seen.append(values[1]) or paint_probabilities(*values))
    visit = open_page()
    page = visit.page
    run(visit, photo)
    for count, kind in enumerate(("Remove", "Look again", "Keep"), start=1):
        box = open_brush(page, {"touch_up": "Touch up"})
        page.locator("#brush-kind").get_by_label(kind).check()
        color = ImageColor.getrgb(BRUSHES[{"Remove": "remove", "Look again": "unknown", "Keep": "keep"}[kind]])
        page.wait_for_function(SHOWS_COLOR, arg=f"rgb{color}")
        page.wait_for_timeout(500)
        height = box["y"] + (0.3 + 0.12 * count) * box["height"]
        page.mouse.move(box["x"] + 0.4 * box["width"], height)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], height, steps=8)
        page.mouse.up()
        with visit.another("#alpha img"):
            page.click("#apply")
        page.get_by_text("the segmentation did not run").wait_for()
        page.wait_for_timeout(1000)
    order = [1 + list(BRUSHES).index(name) for name in ("remove", "unknown", "keep")]
    assert [set(strokes.unique().tolist()) - {0} for strokes in seen] == [set(order[:count]) for count in (1, 2, 3)]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_every_file_is_saved_under_the_photograph_s_name(open_page, photo: Path, locale, word) -> None:
    visit = open_page(locale=locale)
    run(visit, photo)
    with visit.another("#composite img"):
        visit.page.locator("#kind").get_by_label(word["gallery"], exact=True).check()
    names = []
    for file in ("cutout", "webp", "png", "jpeg", "alpha", "alpha16", "trimap", "zip"):
        assert visit.page.locator(f"#{file}-file").inner_text() == word[f"{file}_file"]
        with visit.page.expect_download() as download:
            visit.page.click(f"#{file}-file")
        names.append(download.value.suggested_filename)
    endings = ("cutout.png", "cutout.webp", "composite.png", "composite.jpg", "alpha.png", "alpha16.png", "trimap.png", "zip")
    assert names == [f"portrait.{ending}" for ending in endings]


def test_id_photos_have_their_size_and_need_the_networks_once(client: Client, two_people: None, photo: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(sys.modules["panes.id_photo"], "find_people", lambda *values: seen.append(1) or find_people(*values))
    monkeypatch.setattr(sys.modules["panes.id_photo"], "find_head", lambda alpha: Head(30, 60, 40, 20))
    status, picture, sheet, photo_file, sheet_file = client.predict(handle_file(photo), api_name="/id_photo")
    assert "35 × 45 mm, 413 × 531 px" in status
    for file, name, size in ((photo_file, "portrait.id.jpg", (413, 531)), (sheet_file, "portrait.sheet.jpg", (1800, 1200))):
        with Image.open(file_of(file)) as image:
            assert (Path(file_of(file)).name, image.size, image.info["dpi"]) == (name, size, (300, 300))
    blue = client.predict(handle_file(photo), background="blue", format="2x2 inch", paper="A4", api_name="/id_photo")
    with Image.open(file_of(blue[3])) as image:
        assert image.size == (600, 600) and abs(np.array(image.getpixel((2, 2))) - (67, 142, 219)).max() < 4
    custom = {"format": "custom", "width_mm": 40, "height_mm": 60, "dpi": 254, "background": "own_color", "own_color": "#ff00ff"}
    made = client.predict(handle_file(photo), **custom, zoom=80, right=5, down=5, api_name="/id_photo")
    with Image.open(file_of(made[3])) as image:
        assert image.size == (400, 600)
    with pytest.raises(AppError, match="width_mm: expected 5 .. 300, got 4"):
        client.predict(handle_file(photo), format="custom", width_mm=4, api_name="/id_photo")
    assert len(seen) == 1


@pytest.mark.parametrize("size", [{"format": "custom", "width_mm": 300, "height_mm": 300}, {"paper": "A4"}])
def test_an_id_photo_that_is_too_large_costs_nothing(client: Client, photo: Path, runs, monkeypatch, size: dict) -> None:
    monkeypatch.delattr(sys.modules["panes.id_photo"], "make_id_photo")
    with pytest.raises(AppError, match="expected room for 300 x 300 mm|at most 50 megapixels, got 9921 × 14031"):
        client.predict(handle_file(photo), **size, dpi=1200, api_name="/id_photo")
    assert runs == []


@pytest.mark.parametrize(
    ("place", "english", "chinese"), [((0.0, 1.0), "expected a whole head", "没有找到完整的头部"), ((0.0, 0.0), "got nobody", "没有找到人")]
)
def test_a_missing_head_is_said_in_both_languages(address, photo, matting, monkeypatch, place, english, chinese) -> None:
    monkeypatch.setattr(matting, "stream", make_stand(place))
    for language, sentence in (("en", english), ("zh-CN", chinese)):
        client = Client(address, verbose=False, headers={"accept-language": language})
        with pytest.raises(AppError, match=sentence):
            client.predict(handle_file(photo), api_name="/id_photo")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_an_id_photo_is_one_click_and_every_control_changes_it(open_page, two_people, monkeypatch, locale, word) -> None:
    monkeypatch.setattr(sys.modules["panes.id_photo"], "find_head", lambda alpha: Head(100, 200, 200, 80))
    visit = open_page(locale=locale)
    page = visit.page
    page.get_by_role("tab", name=word["id_photo_tab"]).click()
    page.locator("#id-inputs .gallery-item").first.click()
    page.wait_for_selector("#sheet img")
    for name in ("2x2 inch", "1 inch", "2 inch", "blue", "red", "gray"):
        with visit.another("#id-photo img"):
            page.locator("#id-results").get_by_label(word[name], exact=True).check()
    page.get_by_text(word["id_size"].format(width_mm=35, height_mm=49, width=413, height=579)).wait_for()
    for slider in ("zoom", "id-right", "id-down"):
        with visit.another("#id-photo img"):
            page.locator(f"#{slider} input[type=range]").press("ArrowRight")
    with visit.another("#sheet img"):
        page.get_by_label("A4").check()
    page.get_by_label(word["custom"], exact=True).check()
    for box, key in (("width-mm", "Enter"), ("dpi", "Tab")):  # a whole number, not each digit on the way to it
        page.locator(f"#{box} input").press("ControlOrMeta+A")
        with visit.another("#id-photo img"):
            page.locator(f"#{box} input").press_sequentially("150")
            page.locator(f"#{box} input").press(key)
    assert page.locator(".toast-body").count() == 0
    page.locator("#id-background").get_by_label(word["own_color"], exact=True).check()
    with visit.another("#id-photo img"):
        page.locator("#own-color button").first.click()
        page.locator("#own-color .color-gradient").click(position={"x": 90, "y": 30})
    for file, name in (("photo", "astronaut.id.jpg"), ("sheet", "astronaut.sheet.jpg")):
        with page.expect_download() as download:
            page.click(f"#{file}-file:not(:disabled)", force=True)
        assert download.value.suggested_filename == name


def test_a_batch_lists_failures_and_leaves_the_others(client: Client, photo: Path, tmp_path: Path, matte: shm.Matte) -> None:
    (tmp_path / "page.png").write_bytes(b"<html>")
    shutil.copy(photo, tmp_path / "portrait.jpeg")
    files = [handle_file(path) for path in (photo, tmp_path / "page.png", tmp_path / "portrait.jpeg")]
    job = client.submit(files, api_name="/batch")
    status, gallery, failed, archive = job.result(timeout=60)
    assert [len(values[1]) for values in job.outputs()] == [0, 1, 1, 2, 2]
    assert "2 of 3 cut out" in status and [entry["caption"] for entry in gallery] == ["portrait.jpg", "portrait.jpeg"]
    assert failed.count("<li>") == 1 and "page.png: expected a photograph" in failed
    with zipfile.ZipFile(file_of(archive)) as packed:
        assert packed.namelist() == ["portrait.png", "portrait.jpeg.png"]
        packed.extract("portrait.png", tmp_path)
    assert torch.equal(read_pixels(tmp_path / "portrait.png", "RGBA"), shm.cutout(matte))


def test_a_batch_needs_photographs_and_has_a_limit(client: Client, photo: Path) -> None:
    with pytest.raises(AppError, match="Choose photographs first"):
        client.predict(None, api_name="/batch")
    with pytest.raises(AppError, match="at most 100 photographs, got 101"):
        client.predict([handle_file(photo)] * 101, api_name="/batch")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_a_batch_can_be_stopped_and_keeps_what_is_done(open_page, photo, tmp_path, matting, monkeypatch, locale, word) -> None:
    gate, stream = threading.Semaphore(2), matting.stream

    def gated(image: torch.Tensor) -> Iterator:
        assert gate.acquire(timeout=30)
        return (yield from stream(image))

    monkeypatch.setattr(matting, "stream", gated)
    paths = [shutil.copy(photo, tmp_path / f"photo{number}.jpg") for number in range(4)]
    page = open_page(locale=locale).page
    page.get_by_role("tab", name=word["batch_tab"]).click()
    page.set_input_files("#photographs input[type=file]", paths)
    page.get_by_text("photo3").first.wait_for()
    page.click("#start")
    page.get_by_text(word["batch_progress"].format(done=2, total=4, seconds=0).split(", ")[0].split("，")[0]).wait_for()
    assert page.locator("#results-gallery .thumbnail-lg").count() == 2
    page.click("#stop")
    page.get_by_text(word["batch_stopped"].format(done=2, total=4)).wait_for()
    gate.release(4)
    with page.expect_download() as download:
        page.click("#batch-zip:not(:disabled)")
    download.value.save_as(tmp_path / "done.zip")
    with zipfile.ZipFile(tmp_path / "done.zip") as packed:
        assert packed.namelist() == ["photo0.png", "photo1.png"]


@pytest.mark.parametrize("cell", ["0.2", "(0.2)", "[0.2]", "0.2;", "0.2."])
def test_tables_are_worked_out(client: Client, cell: str) -> None:
    tables = ([["(200, 150, 100)"]], [[cell]], [["(50, 50, 50)"]])
    assert "M(1,1) = 0.2·(200, 150, 100) + (1 − 0.2)·(50, 50, 50) = <strong>(80, 70, 60)</strong>" in client.predict(
        *({"headers": ["1"], "data": table, "metadata": None} for table in tables), api_name="/blend_tables"
    )


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_the_lesson_computes_as_one_types_and_points(open_page, two_people: None, locale: str) -> None:
    visit = open_page(locale=locale)
    page = visit.page
    word = {key: both[locale == "zh-CN"] for key, both in WORDS.items()}
    page.get_by_role("tab", name=word["lesson_tab"]).click()
    page.get_by_text("(80, 70, 60)").first.wait_for()
    assert page.locator("#table-m td").all_inner_texts()[:3] == ["(80, 70, 60)", "(105, 90, 75)", "(130, 110, 90)"]
    people = page.locator("#simple td").all_inner_texts()
    assert people[:6] == [word["class_background"]] * 3 + [word["class_person"]] * 3
    page.locator("#threshold input[type=range]").press("End")
    page.wait_for_function("word => !document.querySelector('#simple').innerText.includes(word)", arg=word["class_person"])
    visit.write_cell("#table-a [data-testid='cell-0-0']", "1")
    page.locator("#table-m td").filter(has_text="(200, 150, 100)").first.wait_for()
    page.click("#open-example")
    page.wait_for_selector("#pointed img")
    page.locator("#pointed img").click(position={"x": 150, "y": 300})
    page.wait_for_function("document.querySelector('#column input').value != '1'")
    page.wait_for_function("document.querySelectorAll('#pixel dd').length == 5")
    page.locator("#row input").fill("9")
    page.wait_for_function("document.querySelector('#pixel').innerText.includes('0.000')")


@pytest.mark.parametrize("tab", ["Batch", "ID photo", "How it works"])
def test_browser_every_tab_fits_a_phone(open_page, tab: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True).page
    if not page.get_by_role("tab", name=tab).is_visible():
        page.locator("#tabs .overflow-menu button").first.click()
    page.get_by_text(tab, exact=True).last.click()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_browser_an_example_is_one_click_on_a_phone(open_page, locale: str, word: dict[str, str]) -> None:
    visit = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, locale=locale)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#inputs .gallery-item").first.tap()
    page.get_by_text(word["done"].split("{")[0].strip()).wait_for()
    assert visit.shown() == list(STAGES)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in ("cut_out_tab", "batch_tab", "id_photo_tab", "lesson_tab", "background", "placement", "edge", "who", "touch_up"):
        assert page.get_by_role("tab", name=word[tab], exact=True).is_visible(), tab  # not behind a menu
    for tab in ("placement", "edge", "who", "touch_up"):
        page.get_by_role("tab", name=word[tab], exact=True).tap()
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


def test_browser_the_keyboard_alone_gets_a_cut_out(open_page) -> None:
    visit = open_page()
    page = visit.page
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('#inputs .gallery-item')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#cutout-file:not(:disabled)")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "cutout-file":
            break
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "astronaut.cutout.png"


def test_browser_an_address_is_fetched_and_cut_out(open_page, web: str) -> None:
    visit = open_page()
    visit.page.locator("#address textarea, #address input").fill(f"{web}/portrait.jpg")
    visit.page.locator("#address textarea, #address input").press("Enter")
    visit.page.wait_for_selector("#closeup img")
    assert visit.page.locator("#composite img").is_visible()


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
    page.wait_for_selector("#cutout-file:not(:disabled)")
    for tab in ("Place and light", "Edge", "Who", "Touch up", "Batch", "ID photo", "How it works", "Cut out"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(500)  # colors fade
        assert page.evaluate(LOW_CONTRAST) == [], tab


def test_browser_a_damaged_file_is_named_in_words(open_page, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(app.EXAMPLES[0].read_bytes()[:20000])
    visit = open_page()
    visit.page.set_input_files("#photo input[type=file]", tmp_path / "cut.jpg")
    visit.page.wait_for_selector("#photo img")
    visit.page.click("#run")
    visit.page.get_by_text("expected a whole photograph, got a damaged one").wait_for()
    assert visit.shown() == []


def test_browser_a_chinese_reader_reads_every_error_in_chinese(open_page, tmp_path: Path, two_people: None) -> None:
    visit = open_page(locale="zh-CN")
    page = visit.page

    def expect(sentence: str) -> None:
        page.locator(".toast-body").filter(has_text=sentence).filter(has_text=CONTROLS["Error"][1]).first.wait_for()

    page.click("#run")
    expect(WORDS["no_photo"][1])
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "note.txt").write_bytes(b"note")
    (tmp_path / "huge.jpg").write_bytes(bytes(51 * 2**20))
    for name, sentence in (("note.txt", "note.txt：需要照片。"), ("huge.jpg", "文件最大 50.0 MB：\"huge.jpg\"。")):
        page.set_input_files("#photo input[type=file]", tmp_path / name)
        expect(sentence)
    page.locator("#address textarea, #address input").fill("http://127.0.0.1/a.jpg")
    page.locator("#address textarea, #address input").press("Enter")
    expect("无法从 http://127.0.0.1/a.jpg 获取照片")
    page.get_by_role("tab", name=WORDS["batch_tab"][1]).click()
    page.set_input_files("#photographs input[type=file]", tmp_path / "page.jpg")
    page.get_by_text("page.jpg").first.wait_for()
    page.click("#start")
    page.get_by_text("page.jpg：需要照片").wait_for()
    page.get_by_role("tab", name=WORDS["lesson_tab"][1]).click()
    visit.write_cell("#table-a [data-testid='cell-0-0']", "no")
    expect("单元格应为 1 个数字，收到“no”")
    page.click("#open-example")
    page.wait_for_selector("#pointed img")
    for number in ("99999", "0"):
        page.locator("#row input").fill(number)
        expect("行应为 1 到 512")


def test_browser_a_missing_head_is_said_in_chinese(open_page, matting, monkeypatch) -> None:
    monkeypatch.setattr(matting, "stream", make_stand((0.0, 1.0)))
    page = open_page(locale="zh-CN").page
    page.get_by_role("tab", name=WORDS["id_photo_tab"][1]).click()
    page.locator("#id-inputs .gallery-item").first.click()
    toast = page.locator(".toast-body").filter(has_text=CHINESE_ERRORS["no_head"]).filter(has_text=CONTROLS["Error"][1])
    toast.first.wait_for(timeout=120_000)
    assert page.locator("#id-photo img").count() == 0


def test_browser_a_box_takes_the_nearest_value_of_its_slider_and_a_bad_picture_is_named(open_page, photo, tmp_path) -> None:
    visit = open_page()
    run(visit, photo)
    page = visit.page
    page.get_by_label("Blurred").check()
    page.wait_for_selector("#blur input[type=number]")
    for keys in ("999", "0"):
        page.locator("#blur input[type=number]").press("ControlOrMeta+A")
        with visit.another("#composite img"):
            page.locator("#blur input[type=number]").press_sequentially(keys)
            page.locator("#blur input[type=number]").press("Tab")
    page.wait_for_timeout(1000)
    assert page.locator("#blur input[type=number]").input_value() == "1" and page.locator(".toast-body").count() == 0
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    page.get_by_label("Picture").check()
    page.set_input_files("#picture input[type=file]", tmp_path / "page.jpg")
    page.locator(".toast-body").filter(has_text="page.jpg: expected a photograph").wait_for()


def test_browser_the_empty_brush_says_nothing_in_english(open_page) -> None:
    page = open_page(locale="zh-CN").page
    page.get_by_role("tab", name=WORDS["touch_up"][1]).click()
    page.wait_for_selector("#brush canvas", state="attached")
    page.wait_for_timeout(1000)
    assert "select" not in page.locator("#brush").inner_text()


def test_messages_of_the_page_are_said_in_both_languages() -> None:
    said = {
        "Invalid file types: a.txt, b.txt. Only image/* allowed.": "a.txt, b.txt：需要照片。",
        'File(s) exceed the maximum allowed size of 50.0 Mb: "a.jpg"': '文件最大 50.0 MB："a.jpg"。',
        "This application is currently busy. Please try again. ": "排队的人太多，请稍后再试。",
        "Connection errored out. ": "无法连接到应用。",
        "Connection to the server was lost. Attempting reconnection...": "无法连接到应用，正在重试。",
    }
    script = "".join(path.read_text(encoding="utf-8") for path in Path(gradio.__file__).parent.glob("templates/frontend/assets/*.js"))
    for message, chinese in said.items():
        assert message[:17] in script  # Gradio still says so
        found = [(pattern, both) for pattern, both in MESSAGES.items() if re.search(pattern, message)]
        assert [re.sub(pattern, both[1].replace("$", "\\"), message) for pattern, both in found] == [chinese]


@pytest.mark.parametrize(
    ("endpoint", "choice", "sentence"),
    [
        ("/edit", {"kind": "color", "color": "octarine"}, "颜色应为“#rrggbb”、“#rgb”或“rgb(r, g, b)”（0 到 255），收到“octarine”。"),
        ("/id_photo", {"format": "custom", "width_mm": 4}, "“宽（毫米）”应为 5 到 300，收到 4。"),
        ("/id_photo", {"format": "custom", "height_mm": None}, "“高（毫米）”应为 5 到 300，收到 0。"),
        ("/id_photo", {"format": "custom", "width_mm": 300, "height_mm": 300, "dpi": 72}, "相纸上放不下 300 × 300 毫米的照片。"),
        ("/id_photo", {"paper": "A4", "dpi": 1200}, "排版最多 50 百万像素，收到 9921 × 14031：请降低每英寸像素。"),
        ("/id_photo", {"dpi": 1}, "“每英寸像素”应为 72 到 1200，收到 1。"),
    ],
)
def test_a_refused_choice_is_said_in_chinese(address, photo, two_people, monkeypatch, endpoint, choice, sentence) -> None:
    monkeypatch.setattr(sys.modules["panes.id_photo"], "find_head", lambda alpha: Head(30, 60, 40, 20))
    client = Client(address, verbose=False, headers={"accept-language": "zh-CN"})
    if endpoint == "/edit":
        cut_out(client, photo)
    photographs = [handle_file(photo)] if endpoint == "/id_photo" else []
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(*photographs, **choice, api_name=endpoint)


def test_visitors_do_not_see_each_other_s_pictures(address: str, photo: Path) -> None:
    mine, theirs = (Client(address, verbose=False) for _ in range(2))
    answers = [cut_out(mine, photo), cut_out(theirs, app.EXAMPLES[0])]
    names = [Path(file_of(client.predict("cutout", api_name="/download"))).name for client in (mine, theirs)]
    assert names == ["portrait.cutout.png", "astronaut.cutout.png"]
    folders = [{Path(answer[stage]).parent.name for stage in STAGES} for answer in answers]
    assert not folders[0] & folders[1]
    with pytest.raises(AppError, match="Cut out a photograph first"):
        Client(address, verbose=False).predict("cutout", api_name="/download")


def test_every_file_of_a_visitor_is_deleted_after_a_while(matting, photo: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    monkeypatch.setattr(session, "CLEAN_SECONDS", 0.2)
    demo = app.build(matting)
    page = set(folder.rglob("*"))
    place = {"server_name": "127.0.0.1", "server_port": free_port()}
    _, address, _ = demo.launch(prevent_thread_lock=True, **place, **app.launch_options())
    client = Client(address, verbose=False, download_files=str(tmp_path))
    cut_out(client, photo)
    client.predict("zip", api_name="/download")
    client.predict([handle_file(photo)] * 2, api_name="/batch")
    client.predict([write_address(photo)], api_name="/cut_out_photos")
    (folder / "tmp1").write_bytes(b"an upload that broke off")
    time.sleep(0.5)
    made = {path.name for path in set(folder.rglob("*")) - page}
    assert {"tmp1", "portrait.jpg", "portrait.zip", "portrait.alpha16.png", "portrait.png", "photo", "photo.png"} <= made
    monkeypatch.setattr(session, "KEEP_SECONDS", 0.5)
    deadline = time.monotonic() + 30
    while set(folder.rglob("*")) - page and time.monotonic() < deadline:
        time.sleep(0.2)
    assert set(folder.rglob("*")) == page  # neither more nor less
    answer = httpx.get(f"{address}config").json()
    examples = [part["props"]["samples"] for part in answer["components"] if part["type"] == "dataset"]
    assert httpx.get(examples[0][0][0]["url"]).status_code == 200
    demo.close(verbose=False)
    gc.collect()


def test_a_file_stays_as_long_as_its_folder_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "KEEP_SECONDS", 1)
    for name in ("batch", "single", "page"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "first.png").touch()
    time.sleep(1.2)
    (tmp_path / "batch" / "second.png").touch()
    session.clean_folder(tmp_path, {tmp_path / "page"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "page"]
    assert len(list((tmp_path / "batch").iterdir())) == 2


def test_each_process_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    session.open_folder.__wrapped__()
    assert Path(os.environ["GRADIO_TEMP_DIR"]).parent == tmp_path


def test_the_client_of_the_readme_runs(address: str, photo: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    for readme in ("README.md", "README.zh-CN.md"):
        text = (Path(app.__file__).parent / readme).read_text(encoding="utf-8")
        program = re.search(r"```py\n(.*?)```", text, re.DOTALL)[1]
        monkeypatch.chdir(tmp_path)
        shutil.copy(photo, "photo.jpg")
        exec(compile(program.replace("http://127.0.0.1:7860/", address), readme, "exec"), {})
        paths = [line for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
        assert [Path(path).name for path in paths] == ["photo.cutout.png", "photo.composite.png"]


def test_the_curl_of_the_readme_gets_a_zip(address: str, photo: Path) -> None:
    text = (Path(app.__file__).parent / "README.md").read_text(encoding="utf-8")
    with photo.open("rb") as file:
        path = httpx.post(f"{address}gradio_api/upload", files={"files": ("photo.jpg", file)}).json()[0]
    data = re.search(r"^DATA='(.*)'$", text, re.MULTILINE)[1].replace("'$FILE'", path)
    event = httpx.post(f"{address}gradio_api/call/batch", content=data, headers={"Content-Type": "application/json"}).json()
    answer = httpx.get(f"{address}gradio_api/call/batch/{event['event_id']}", timeout=60).text
    assert "event: complete" in answer and "cutouts.zip" in answer


def test_the_readme_lists_every_action(address: str) -> None:
    actions = set(httpx.get(f"{address}gradio_api/info").json()["named_endpoints"])
    for readme in ("README.md", "README.zh-CN.md"):
        text = (Path(app.__file__).parent / readme).read_text(encoding="utf-8")
        table = re.search(r"^\| (?:action|动作) .*?\n\n", text, re.MULTILINE | re.DOTALL)[0]
        assert set(re.findall(r"`(/\w+)`", table)) == actions


def write_address(photo: Path) -> str:
    """Return a file as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(photo.read_bytes()).decode()}"


def test_agents_get_a_file_for_every_kind_of_address(client, address, photo, web, matte, opened) -> None:
    with photo.open("rb") as file:
        sent = httpx.post(f"{address}gradio_api/upload", files={"files": ("portrait.jpg", file)}).json()[0]
    addresses = {
        "photo.png": write_address(photo),
        "portrait.png": f"{address}gradio_api/file={sent}",
        "face.png": f"{web}/gradio_api/file=/tmp/face.jpg",  # another Gradio's
    }
    for name, place in addresses.items():
        path = client.predict(place, api_name="/cut_out_photo")
        assert Path(path).name == name
        assert torch.equal(read_pixels(path, "RGBA"), shm.cutout(matte))
    green = client.predict(addresses["photo.png"], kind="color", color="#00b140", api_name="/cut_out_photo")
    assert torch.equal(read_pixels(green, "RGB"), compose(matte, Scene("color", color="#00b140")))
    mixed = [*addresses.values(), "data:image/jpeg;base64,AAAA", "data:,a", addresses["face.png"]]
    archive, failures = client.predict(mixed, api_name="/cut_out_photos")
    assert failures.splitlines()[0].startswith("4. photo: expected a photograph") and failures.splitlines()[1].startswith("5. No photo")
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == [*addresses, "face.jpg.png"]
    assert all(path.resolve().is_relative_to(os.environ["GRADIO_TEMP_DIR"]) for path in opened)


def test_one_bad_address_leaves_the_others(client: Client, photo: Path, web: str, matte: shm.Matte) -> None:
    bad = [f"{web}/around.jpg", "http://x/gradio_api/file=%00", "http://example.org:99999/", "http://[", "http://a\0", None, {}]
    photos = [*bad, f"{web}/%2e%2e", f"{web}/.%2fportrait.jpg"]
    archive, failures = client.predict(photos, api_name="/cut_out_photos")
    lines = failures.splitlines()
    assert [line.split(".")[0] for line in lines] == [str(number) for number in range(1, 1 + len(bad))]
    assert all("No photograph could be fetched" in line for line in lines)
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["photo.png", "portrait.png"]


def test_who_waits_for_a_photograph_keeps_nobody_waiting(client, photo, web, gate, matte, monkeypatch) -> None:
    monkeypatch.setattr(addresses, "FETCH_SECONDS", 60)
    waiting = [client.submit(f"{web}/waiting.jpg", api_name=f"/{name}") for name in ("cut_out_photo", "make_id_photo")]
    while not all(job.status().code is Status.PROCESSING for job in waiting):
        time.sleep(0.05)
    cut_out(client, photo)
    client.predict(write_address(photo), api_name="/cut_out_photo")
    assert not any(job.done() for job in waiting)
    gate.set()
    assert torch.equal(read_pixels(waiting[0].result(timeout=60), "RGBA"), shm.cutout(matte))
    waiting[1].exception(timeout=60)


def test_agents_read_what_is_wrong(client: Client, address: str, photo: Path, tmp_path: Path, opened: list[Path]) -> None:
    shutil.copy(photo, tmp_path / "secret.jpg")
    for place in (f"{address}gradio_api/file={tmp_path}/secret.jpg", f"{tmp_path}/secret.jpg", "http://127.0.0.1/a.jpg"):
        with pytest.raises(AppError, match="No photograph could be fetched"):
            client.predict(place, api_name="/cut_out_photo")
    for photos, sentence in (([], "Choose photographs first"), (["a"] * 101, "at most 100"), (["a", "b"], "2. No photograph .* b")):
        with pytest.raises(AppError, match=sentence):
            client.predict(photos, api_name="/cut_out_photos")
    assert opened == []
    with pytest.raises(AppError, match="kind: expected one of transparent"):
        client.predict(write_address(photo), kind="octarine", api_name="/cut_out_photo")


def test_agents_get_id_photos_and_sheets(client: Client, two_people: None, photo: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["panes.id_photo"], "find_head", lambda alpha: Head(30, 60, 40, 20))
    for part, size in (("photo", (600, 600)), ("sheet on 6 inch", (1800, 1200)), ("sheet on A4", (2480, 3508))):
        path = client.predict(write_address(photo), format="2x2 inch", background="blue", part=part, api_name="/make_id_photo")
        with Image.open(path) as image:
            assert image.size == size
            corner = abs(np.array(image.getpixel((2, 2))) - (67, 142, 219)).max()
            assert (corner < 4) == (part == "photo")
    with pytest.raises(AppError, match='Expected one of photo, sheet on 6 inch, sheet on A4, got "sheet on A3"'):
        client.predict(write_address(photo), part="sheet on A3", api_name="/make_id_photo")


def test_mcp_lists_what_it_can_call_and_nothing_else(matting: shm.HumanMatting, uploads: Path) -> None:
    server = object.__new__(GradioMCPServer)  # its package is not among those of the tests
    server.blocks, server.tool_prefix = app.build(matting), "space_"
    server.api_info = server.blocks.get_api_info()
    server.tool_to_endpoint = server.get_tool_to_endpoint()
    assert "space_download" in server.tool_to_endpoint
    app.limit_tools(server)
    assert [f"/{name.removeprefix('space_')}" for name in server.tool_to_endpoint] == list(agents.TOOLS)
    for name, action in server.tool_to_endpoint.items():
        function = server.get_block_fn_from_endpoint_name(action)
        description, parameters = server.get_fn_description(function, name)
        schema, files = server.get_input_schema(name, parameters)
        assert description.endswith(".") and all(part["description"] for part in schema["properties"].values())
        assert files == [] and "$ref" not in json.dumps(schema)  # no files in lists, which Gradio's MCP cannot take
        assert len(schema["required"]) == 1 and schema["required"][0] in ("photo", "photos")
        assert not any(part.stateful for part in (*function.inputs, *function.outputs))  # nor states, which it cannot give back


def test_main_leaves_mcp_its_tools(matting, uploads, monkeypatch, capfd) -> None:
    limited = []
    monkeypatch.setattr(sys, "argv", ["app.py", "--mcp", "--port", str(free_port())])
    monkeypatch.setattr(shm, "load", lambda: matting)
    monkeypatch.setattr(app, "find_spec", lambda name: name)
    monkeypatch.setattr(app, "limit_tools", limited.append)
    monkeypatch.setattr(app.gr.Blocks, "launch", lambda demo, **options: vars(demo).update(mcp_server_obj=options["mcp_server"]))
    monkeypatch.setattr(app.gr.Blocks, "local_url", "http://127.0.0.1/", raising=False)
    monkeypatch.setattr(app.gr.Blocks, "block_thread", lambda demo: None)
    app.main()
    assert limited == [True]


def test_mcp_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--mcp"])
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"--mcp needs one more package: pip install 'gradio\[mcp\]'"):
        app.main()


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


def test_a_terminated_app_leaves_no_picture(tmp_path: Path) -> None:
    command = [sys.executable, app.__file__, "--port", str(free_port())]
    run = subprocess.Popen(command, env=os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline().startswith("Ready: ")
    assert any(tmp_path.rglob("*.jpg"))
    run.terminate()
    assert run.wait(timeout=30) == 0
    run.stdout.close()
    assert not any(tmp_path.glob("shm-*"))


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
