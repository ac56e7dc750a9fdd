"""The browser app: lays out, forwards, streams; everything that computes has its room in shm/.

python app.py [--host H] [--port N] [--share]
"""

from __future__ import annotations

import argparse
import atexit
import io
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

try:
    import spaces  # lends a GPU per call on ZeroGPU Spaces; has to come before torch
except ImportError:
    spaces = None
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
import torch

import shm
from shm.compositing import parse_color, place_people
from shm.trimap import hard_trimap
from shm.visualization import color_labels, legend, shrink

EXAMPLES = sorted(Path(__file__).parent.glob("examples/*.jpg"))
MAX_MEGAPIXELS = 50.0
SCREEN_SIDE = 1400
"""Longer side of what is shown, in pixels; the downloads have the photograph's own size."""
KEEP_SECONDS = 1800
"""How long a visitor's matte and files are kept, the latest `SESSIONS` visitors' only; one is 500 MB at the most."""
SESSIONS = 20

STAGES = ("Segmentation", "Trimap", "Alpha", "Composite")
FILES = ("Cut-out", "Alpha", "Composite")
BACKGROUNDS = [("Transparent", "transparent"), ("Color", "color"), ("Blurred", "blur"), ("Picture", "picture")]
HEADER = """<h1>Semantic Human Matting</h1>
<p>Cuts people out of a photograph, hair included. Your pictures stay on the computer that runs this page.</p>"""
NO_LINK = "No public link: Gradio's service cannot be reached from here. The app goes on at the address above."
SHOW_RESULTS = """() => document.querySelector('#results').scrollIntoView(
  {behavior: 'smooth', block: innerWidth < 640 ? 'start' : 'nearest'})"""


@dataclass
class View:
    """What one visitor sees: every stage adds its part, and each yield shows the whole.

    Attributes:
        stem: name of the photograph.
        photo: file of the photograph as shown.
        status: the line beside the downloads.
        pictures, captions: file and text of each stage that is done.
        files: cut-out, alpha and composite at the photograph's size.
        matte, screen: once whole, and the same reduced to what is shown; kept, so that a background needs no network.
        background: kind, color and picture of the composite that is shown.
    """

    stem: str
    photo: str
    status: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    matte: shm.Matte | None = None
    screen: shm.Matte | None = None
    background: tuple[str, str, str | None] | None = None

    def add(self, stage: str, image: torch.Tensor, caption: str) -> list:
        """Add a finished stage; return what there is to see."""
        suffix = ".jpg" if image.shape[1] == 3 else ".png"
        self.pictures[stage], self.captions[stage] = save_image(f"{stage.lower()}{suffix}", image), caption
        return self.show()

    def show(self) -> list:
        """Return a value for every output of the page, the latest stage in the large picture."""
        pictures = [self.pictures.get(stage) for stage in STAGES]
        latest = next(filter(None, reversed(pictures)), self.photo)
        files = [gr.DownloadButton(value=self.files.get(name), interactive=name in self.files) for name in FILES]
        captions = [self.captions.get(stage, "") for stage in STAGES]
        return [self.status, (self.photo, latest), *pictures, *captions, *files, self if self.matte else None]


def build(matting: shm.HumanMatting) -> gr.Blocks:
    """Lay out the page around one resident pipeline."""
    if "GRADIO_TEMP_DIR" not in os.environ:  # in a shared one, apps delete each other's files
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="shm-")
        atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
    with gr.Blocks(title="Semantic Human Matting", analytics_enabled=False, delete_cache=(600, KEEP_SECONDS)) as demo:
        gr.HTML(HEADER, elem_id="header")
        with gr.Row(elem_id="studio"):
            with gr.Column(scale=2, min_width=300, elem_id="inputs"):
                photo = make_input("Photograph", elem_id="photo", sources=["upload", "clipboard", "webcam"], height=320)
                run = gr.Button("Cut out", variant="primary", size="lg", elem_id="run")
                examples = gr.Examples([[str(path)] for path in EXAMPLES], photo, label="Or try one", cache_examples=False)
            with gr.Column(scale=3, min_width=300, elem_id="results"):
                slider = gr.ImageSlider(
                    label="Before and after", type="filepath", elem_id="slider", buttons=["fullscreen"], max_height=400
                )
                with gr.Row(elem_id="background", equal_height=True):
                    kind = gr.Radio(BACKGROUNDS, value="transparent", label="Background", elem_id="kind")
                    color = gr.ColorPicker("#2f6f4f", label="Color", visible=False, elem_id="color")
                    picture = make_input("Picture", elem_id="picture", sources=["upload"], height=110, visible=False)
                with gr.Row(elem_id="downloads"):
                    status = gr.HTML(elem_id="status")
                    options = {"interactive": False, "size": "md", "min_width": 80}
                    files = [gr.DownloadButton(f"{name} PNG", elem_id=f"{name.lower()}-file", **options) for name in FILES]
        with gr.Row(elem_id="stages"):
            pictures, captions = [], []
            for stage in STAGES:
                with gr.Column(min_width=150, elem_classes="stage"):
                    options = {"interactive": False, "height": 196, "buttons": ["fullscreen"]}
                    pictures.append(gr.Image(label=stage, alt_text=stage, elem_id=stage.lower(), **options))
                    captions.append(gr.HTML(elem_classes="caption"))

        view, choice = gr.State(None, time_to_live=KEEP_SECONDS), [kind, color, picture]
        common = {"outputs": [status, slider, *pictures, *captions, *files, view], "show_progress": "hidden"}
        running = common | {"fn": make_cut_out(matting), "inputs": [photo, *choice], "concurrency_id": "matting"}
        changing = common | {"fn": change_background, "inputs": [view, *choice], "concurrency_limit": 2}
        changes = [kind.input, color.input, picture.input]
        gr.on(changes, api_name="change_background", trigger_mode="always_last", **changing)
        tried = examples.load_input_event.then
        for trigger, visibility in ((run.click, {"api_name": "cut_out"}), (tried, {"api_visibility": "private"})):
            trigger(js=SHOW_RESULTS, api_visibility="private")
            started = trigger(**running, **visibility)
            started.success(api_visibility="private", **changing)  # for a background that was chosen meanwhile
            started.failure(lambda: "", None, status, show_progress="hidden", api_visibility="private")
        kind.change(
            lambda kind: [gr.update(visible=kind == "color"), gr.update(visible=kind == "picture")],
            kind, [color, picture], queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip
    return demo.queue(max_size=16)


def make_input(label: str, **options: object) -> gr.Image:
    """Return an image input that hands over a path unopened: what is in the file is for `read_image` to say."""
    image = gr.Image(label=label, alt_text=label, type="filepath", image_mode=None, buttons=[], **options)
    image.preprocess = lambda payload: payload and payload.path
    return image


def make_cut_out(matting: shm.HumanMatting) -> Callable[..., Iterator[list]]:
    """Return what the button does."""

    def stream(image: torch.Tensor) -> Iterator[tuple[str, object]]:
        report = yield from matting.stream(image)
        yield "report", report

    if spaces:
        stream = spaces.GPU(duration=15)(stream)

    def cut_out(photo: str | None, kind: str, color: str, picture: str | None) -> Iterator[list]:
        """Cut the people out of a photograph; every yield is all that is known so far."""
        if not photo:
            raise fault("Choose a photograph first: drop one, paste one, take one, or try an example.")
        image, choice = read_upload(photo), settle(kind, color, picture)
        backdrop = read_backdrop(*choice)
        small = shrink(image, side=SCREEN_SIDE)
        view = View(Path(photo).stem, save_image("photo.jpg", small), status=busy("Finding people"))
        yield view.show()
        steps, names = time_steps(stream(image)), matting.segmenter.class_names
        place = f"{matting.device}, {str(matting.precision).removeprefix('torch.')}"
        (probabilities, seconds), (labels, _) = next(steps), next(steps)
        size = tell_size(probabilities.shape[-2:])
        view.status = busy("Separating hair from background")
        yield view.add("Segmentation", color_labels(small, labels), tell(seconds, place, size) + draw_legend(labels, names))
        start = time.perf_counter()
        trimap = hard_trimap(probabilities, tuple(small.shape[-2:]))
        yield view.add("Trimap", trimap, tell(time.perf_counter() - start, "cpu, float32", size))
        alpha, seconds = next(steps)
        view.status = busy("Giving the hair its own color back")
        yield view.add("Alpha", shrink(alpha, side=SCREEN_SIDE), tell(seconds, place, tell_size(alpha.shape[-2:])))
        (foreground, _), (report, _) = next(steps), next(steps)
        view.matte = shm.Matte(image, probabilities, labels, names, alpha, foreground, report)
        finish(view)
        yield from lay(view, choice, backdrop)

    return cut_out


def finish(view: View) -> None:
    """Put the report's own figures into the captions, and say how it went."""
    matte, report = view.matte, view.matte.report
    spent, place = report.seconds, f"{report.device}, {report.precision}"
    small = {name: shrink(getattr(matte, name), side=SCREEN_SIDE) for name in ("image", "alpha", "foreground")}
    view.screen = replace(matte, **small)
    detail = f"{tell_size(report.detail_size)}, {report.refined_fraction:.0%} refined at full resolution"
    view.captions["Alpha"] = tell(spent["matting"] + spent["refinement"], place, detail)
    view.status = f"<p>Done in {sum(spent.values()):.2f} s on {place}.</p>"
    if matte.alpha.max() < 0.5:
        view.status = '<p class="note">Nobody was found in this photograph: the cut-out is empty.</p>'


def change_background(view: View | None, kind: str, color: str, picture: str | None) -> Iterator[list]:
    """Put the people on another background: "transparent", "color", "blur" or "picture"; no network runs again."""
    choice = settle(kind, color, picture)
    if view is None or view.background == choice:
        yield gr.skip()
    else:
        yield from lay(view, choice, read_backdrop(*choice))


def settle(kind: str, color: str, picture: str | None) -> tuple[str, str, str | None]:
    """Keep of a choice what matters; until a picture is there, there is none."""
    kind = "transparent" if kind == "picture" and not picture else kind
    return kind, color if kind == "color" else "", picture if kind == "picture" else None


def read_backdrop(kind: str, color: str, picture: str | None) -> torch.Tensor | str | None:
    """Return a choice as `place_people` takes it."""
    if kind == "picture":
        return read_upload(picture)
    return heed(parse_color, color) if kind == "color" else "blur" if kind == "blur" else None


def lay(view: View, choice: tuple[str, str, str | None], backdrop: torch.Tensor | str | None) -> Iterator[list]:
    """Show the people on a background at once, then write the downloads."""
    first, start, kind = view.background is None, time.perf_counter(), choice[0]
    image = place_people(view.screen, backdrop)
    seconds = time.perf_counter() - start + first * view.matte.report.seconds["foreground"]
    view.background = choice
    view.files.pop("Composite", None)
    detail = "foreground color and composite" if first else "no network ran again"
    yield view.add("Composite", image, tell(seconds, "cpu, float32", detail))
    if first:
        view.files["Cut-out"] = save_image(f"{view.stem}.cutout.png", shm.cutout(view.matte))
        view.files["Alpha"] = save_image(f"{view.stem}.alpha.png", view.matte.alpha)
    if kind != "transparent":
        view.files["Composite"] = save_image(f"{view.stem}.composite.png", place_people(view.matte, backdrop))
    yield view.show()


def fault(sentence: str) -> gr.Error:
    """Return an error that the visitor reads and the log does not."""
    return gr.Error(sentence, print_exception=False)


def read_upload(path: str) -> torch.Tensor:
    """Read a picture that a visitor sent; no other file of this computer is opened."""
    if not Path(path).resolve().is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve()):
        raise fault("That picture was not uploaded to this app.")
    return heed(shm.read_image, path, max_megapixels=MAX_MEGAPIXELS)


def heed(function: Callable[..., torch.Tensor], *values: object, **options: object) -> torch.Tensor:
    """Call a function that reads what a visitor gave; its complaint is the visitor's to read."""
    try:
        return function(*values, **options)
    except ValueError as error:
        raise fault(str(error)) from error


def save_image(name: str, image: torch.Tensor) -> str:
    """Write into a new folder of an unguessable name, so that no two visitors and no browser's cache mix files up."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"], secrets.token_hex(16))
    folder.mkdir()
    shm.write_image(folder / name, image)
    return str(folder / name)


def time_steps(steps: Iterable[tuple[str, object]]) -> Iterator[tuple[object, float]]:
    """Yield each step's value with the seconds it took, without what is done between the steps."""
    start = time.perf_counter()
    for _, value in steps:
        yield value, time.perf_counter() - start
        start = time.perf_counter()


def busy(sentence: str) -> str:
    return f'<p class="busy">{sentence}…</p>'


def tell(seconds: float, place: str, detail: str) -> str:
    return f"<p><strong>{1000 * seconds:.0f} ms</strong> on {place}<br>{detail}</p>"


def tell_size(size: tuple[int, int]) -> str:
    return f"{size[1]} × {size[0]} px"


def draw_legend(labels: torch.Tensor, class_names: tuple[str, ...]) -> str:
    row = '<li><i style="background:{}"></i>{} {:.0%}</li>'.format
    entries = legend(labels, class_names)[:8]
    return f"<ul>{''.join(row(entry.color, escape(entry.name), entry.share) for entry in entries)}</ul>"


def launch_options() -> dict[str, object]:
    """Return what both `main` and the tests give to `launch`."""
    font = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700))  # Gradio ships it; the 600 has no "a"
    return {
        "theme": gr.themes.Base(primary_hue="teal", neutral_hue="zinc", radius_size="lg", font=[font, "system-ui"]),
        "css_paths": Path(__file__).with_name("app.css"),
        "max_file_size": "50mb",
        "state_session_capacity": SESSIONS,
        "run_history": False,
        "footer_links": ["api", "settings"],
        "ssr_mode": False,
        "quiet": True,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut people out of photographs, in a browser.")
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    parser.add_argument("--host", dest="server_name", metavar="H", default=host, help="default: %(default)s")
    parser.add_argument("--port", dest="server_port", metavar="N", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link")
    options = parser.parse_args()
    try:
        matting = shm.load()
        if EXAMPLES and not os.environ.get("SPACES_ZERO_GPU"):  # there, a GPU is lent to visitors only
            matting(shm.read_image(EXAMPLES[0]))
        demo = build(matting)
        with redirect_stdout(io.StringIO()):  # Gradio's own words on links
            demo.launch(prevent_thread_lock=True, **vars(options), **launch_options())
    except (shm.CheckpointError, shm.ImageError, OSError) as error:
        raise SystemExit(f"app.py: {error}") from error
    print(f"Ready: {demo.local_url}", flush=True)
    if options.share:
        print(f"Public link, for a week: {demo.share_url}" if demo.share_url else NO_LINK, flush=True)
    demo.block_thread()


def __getattr__(name: str) -> gr.Blocks:
    """Build `demo` for hosts that import this file and ask for it; importing alone loads nothing."""
    if name != "demo":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["demo"] = build(shm.load())
    return globals()["demo"]


if __name__ == "__main__":
    main()
