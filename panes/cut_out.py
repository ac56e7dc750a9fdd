"""The first tab: a photograph, its stages, and every control over the cut-out and what is behind it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import gradio as gr

import shm
from panes.addresses import AT_ONCE
from panes.session import EXAMPLES, KEEP_SECONDS, QUIET, SAVE_FILE, make_folder, make_input, make_output, make_slider
from panes.stages import download, edit, fetch, make_cut_out, toggle_person
from panes.view import FILES, STAGES
from panes.words import choices, label
from shm.backgrounds import SCENES, draw_background
from shm.editing import KINDS, LOOKS
from shm.visualization import shrink

SHOW_RESULTS = """() => document.querySelector('#results').scrollIntoView(
  {behavior: 'smooth', block: innerWidth < 640 ? 'start' : 'nearest'})"""


@dataclass(frozen=True)
class CutOutTab:
    """What other tabs and the touch-up need of the first.

    Attributes:
        view: the visitor's `View`.
        controls: one component per field of `Choice`.
        outputs: what `View.show` fills.
        touch_up: where the brush goes.
    """

    view: gr.State
    controls: list[gr.components.Component]
    outputs: list[gr.components.Component]
    touch_up: gr.Tab


def lay_out_inputs() -> tuple[gr.Image, gr.Textbox, gr.Button, gr.Examples]:
    """Lay out the left side."""
    with gr.Column(scale=2, min_width=300, elem_id="inputs"):
        photo = make_input("photograph", elem_id="photo", sources=["upload", "clipboard", "webcam"], height=320)
        run = gr.Button(label("cut_out"), variant="primary", size="lg", elem_id="run")
        rows = [[str(path)] for path in EXAMPLES]
        examples = gr.Examples(rows, photo, label=label("try_one"), cache_examples=False)
        address = gr.Textbox(label=label("address"), placeholder="https://", max_lines=1, elem_id="address")
    return photo, address, run, examples


def lay_out_background() -> list[gr.components.Component]:
    """Lay out what is behind the people: the first fields of `Choice`."""
    kind = gr.Radio(choices(*KINDS), value="transparent", label=label("background"), show_label=False, elem_id="kind")
    with gr.Row(elem_id="backdrop"):
        color = gr.ColorPicker("#2f6f4f", label=label("color"), visible=False, elem_id="color")
        bottom = gr.ColorPicker("#e9c46a", label=label("bottom_color"), visible=False, elem_id="bottom")
        with gr.Column(visible=False) as blur_place:
            blur = make_slider(1, 20, 4, "blur_strength", step=1, elem_id="blur")
        name = gr.Radio(choices(*SCENES), value="studio", label=label("scene"), visible=False, elem_id="scene")
        with gr.Column(visible=False) as picture_place:
            picture = make_input("picture", elem_id="picture", sources=["upload"], height=110)
    parts = [color, bottom, blur_place, name, picture_place]
    shown = {"color": [color], "gradient": [color, bottom], "blur": [blur_place], "gallery": [name], "picture": [picture_place]}
    kind.change(
        lambda kind: [gr.update(visible=part in shown.get(kind, ())) for part in parts],
        kind, parts, queue=False, **QUIET,
    )  # fmt: skip
    return [kind, color, bottom, blur, name, picture]


def lay_out_placement() -> list[gr.Slider]:
    """Lay out how people stand on a background."""
    gr.HTML(label("needs_background"), elem_classes="hint")
    with gr.Row():
        return [
            make_slider(low, high, value, name, step=1, min_width=185, elem_id=name.replace("_", "-"))
            for name, low, high, value in (
                ("scale", 20, 200, 100), ("right", -100, 100, 0), ("down", -100, 100, 0),
                ("color_match", 0, 100, 0), ("shadow", 0, 100, 0),
            )
        ]  # fmt: skip


def lay_out_edge() -> tuple[list[gr.components.Component], gr.Button]:
    """Lay out the controls of the edge, and what takes them back."""
    with gr.Row():
        shift = make_slider(-10, 10, 0, "shift", step=0.5, min_width=180, elem_id="shift")
        feather = make_slider(0, 30, 0, "feather", step=0.5, min_width=180, elem_id="feather")
    with gr.Row(equal_height=True):
        clean = gr.Checkbox(True, label=label("clean"), min_width=180, elem_id="clean")
        connected = gr.Checkbox(False, label=label("connected"), min_width=180, elem_id="connected")
        reset = gr.Button(label("reset"), size="sm", min_width=80, scale=0, elem_id="reset")
    return [shift, feather, clean, connected], reset


def lay_out_downloads() -> tuple[gr.HTML, list[gr.Button], gr.Textbox, gr.File]:
    """Lay out the status line and a button for each file; the file that was asked for waits unseen."""
    with gr.Row(elem_id="downloads"):
        status = gr.HTML(elem_id="status")
        buttons = [
            gr.Button(
                label(f"{file}_file"), size="sm", min_width=60, interactive=False, elem_id=f"{file}-file",
                variant="primary" if file == "cutout" else "secondary",
            )
            for file in FILES
        ]  # fmt: skip
    return status, buttons, gr.Textbox("cutout", visible=False), gr.File(visible=False, elem_id="saved")


def lay_out_stages() -> list[gr.components.Component]:
    """Lay out the strip: all pictures, then all captions."""
    pictures, captions = [], []
    with gr.Row(elem_id="stages"):
        for stage in STAGES:
            with gr.Column(min_width=130, elem_classes="stage"):
                pictures.append(make_output(stage, elem_id=stage, height=186))
                captions.append(gr.HTML(elem_classes="caption"))
    return [*pictures, *captions]


def build_cut_out(matting: shm.HumanMatting) -> CutOutTab:
    """Lay out the tab around one resident pipeline."""
    view = gr.State(None, time_to_live=KEEP_SECONDS)
    with gr.Row(elem_id="studio"):
        photo, address, run, examples = lay_out_inputs()
        with gr.Column(scale=3, min_width=300, elem_id="results"):
            slider = gr.ImageSlider(
                label=label("before_after"), type="filepath", elem_id="slider", buttons=["fullscreen"], max_height=400
            )
            look = gr.Radio(choices(*LOOKS), value="composite", label=label("look"), elem_id="look")
            with gr.Tabs(elem_id="controls"):
                with gr.Tab(label("background"), id="background"):
                    background = lay_out_background()
                with gr.Tab(label("placement"), id="placement"):
                    placement = lay_out_placement()
                with gr.Tab(label("edge"), id="edge"):
                    edge, reset = lay_out_edge()
                with gr.Tab(label("who"), id="who"), gr.Row():
                    outline = make_output("click_people", elem_id="outline", height=220, buttons=[])
                    who = gr.CheckboxGroup([], label=label("left_out"), elem_id="left-out")
                brush = gr.Tab(label("touch_up"), id="touch-up")
            status, buttons, file, saved = lay_out_downloads()
    strip = lay_out_stages()
    tab = CutOutTab(view, [*background, *placement, *edge, who, look], [status, slider, *strip, outline, who, view], brush)

    common = {"outputs": tab.outputs, "show_progress": "hidden"}
    running = common | {"fn": make_cut_out(matting), "inputs": [photo, *tab.controls], "concurrency_id": "matting"}
    editing = common | {"fn": edit, "inputs": [view, *tab.controls], "concurrency_limit": 2, "trigger_mode": "always_last"}
    gr.on([control.input for control in tab.controls], api_name="edit", **editing)
    fetching = {"api_name": "fetch", "show_progress": "minimal", "concurrency_limit": AT_ONCE}
    fetched = address.submit(fetch, address, photo, **fetching).success
    reset.click(lambda: [0, 0, True, False], None, edge, **QUIET).then(**editing, api_visibility="private")
    outline.select(toggle_person, [view, who], who, **QUIET).then(**editing, api_visibility="private")
    tried, private = examples.load_input_event.then, {"api_visibility": "private"}
    for trigger, visibility in ((run.click, {"api_name": "cut_out"}), (tried, private), (fetched, private)):
        trigger(js=SHOW_RESULTS, api_visibility="private")
        started = trigger(**running, **visibility)
        started.success(api_visibility="private", **editing)  # for what was chosen meanwhile
        started.success(lambda: [gr.Button(interactive=True)] * len(FILES), None, buttons, queue=False, **QUIET)
        started.failure(lambda: "", None, status, **QUIET)
    connect_downloads(tab, buttons, file, saved)
    return tab


def connect_downloads(tab: CutOutTab, buttons: list[gr.Button], file: gr.Textbox, saved: gr.File) -> None:
    """Let each button ask for its file, and hand it to the browser."""
    asking = {"fn": download, "inputs": [tab.view, file, *tab.controls], "outputs": saved, "show_progress": "hidden"}
    file.submit(api_name="download", **asking)
    for name, button in zip(FILES, buttons, strict=True):
        asked = button.click(js=f"(view, file, ...choice) => [view, '{name}', ...choice]", api_visibility="private", **asking)
        asked.success(None, saved, js=SAVE_FILE, api_visibility="private")


def draw_swatches() -> str:
    """Return style rules that put each scene's picture above its name, inside the page: nothing is fetched for them."""
    rules = []
    for index, name in enumerate(SCENES, start=1):
        path = make_folder() / f"{name}.jpg"
        shm.write_image(path, shrink(draw_background(name), side=120))
        data = base64.b64encode(path.read_bytes()).decode()
        rules.append(f"#scene label:nth-child({index})::before {{ background-image: url(data:image/jpeg;base64,{data}) }}")
    return "\n".join(rules)
