"""The tab of ID photos: a photograph to a photo of an official size, and a sheet of them to print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr
import torch

import shm
from panes.session import (
    EXAMPLES, KEEP_SECONDS, MAX_MEGAPIXELS, QUIET, fault, heed, lend_matting, make_input, make_output, make_slider, read_upload,
    save_image, show_image,
)  # fmt: skip
from panes.view import name_photo
from panes.words import choices, label, read_language, say
from shm.compositing import parse_color
from shm.edges import keep_connected
from shm.id_photo import (
    COLORS, FORMATS, PAPERS, PhotoFormat, adjust_crop, find_head, make_id_photo, make_sheet, place_crop, plan_sheet,
)  # fmt: skip
from shm.people import choose_people, find_people


@dataclass(frozen=True)
class Portrait:
    """The largest person of a photograph, kept so that another size or color needs no network.

    Attributes:
        photo: the photograph's file.
        foreground, alpha: at its size, the person alone.
    """

    photo: str
    foreground: torch.Tensor
    alpha: torch.Tensor


def take_portrait(matting: Callable[[torch.Tensor], shm.Matte], photo: str, language: str) -> Portrait:
    """Cut out the largest person of a photograph."""
    matte = matting(read_upload(photo, language))
    people = find_people(matte.alpha, matte.probabilities)
    largest = sorted(people.persons, key=lambda person: person.area_fraction)[-1:]
    alpha = choose_people(matte.alpha, people, [person.number for person in largest])
    return Portrait(photo, matte.foreground, keep_connected(alpha))


def read_format(name: str, width: float, height: float, dpi: float, language: str) -> PhotoFormat:
    """Return the format of a name, or one of the visitor's own."""
    width, height, dpi = width or 0, height or 0, dpi or 0  # a field that is empty
    if name == "custom":
        return heed(language, PhotoFormat, width, height, dpi)
    if name not in FORMATS:
        raise fault("no_format", language, formats=", ".join([*FORMATS, "custom"]), got=name)
    known = FORMATS[name]
    return heed(language, PhotoFormat, known.width_mm, known.height_mm, dpi, known.head_fraction, known.top_fraction)


def check_sheet(photo_format: PhotoFormat, paper: str, language: str) -> None:
    """Refuse a photo that the paper does not hold, and a sheet of too many pixels; the photo has fewer than its sheet."""
    height, width = heed(language, plan_sheet, photo_format, PAPERS[paper]).size
    if height * width > MAX_MEGAPIXELS * 1e6:
        raise fault("too_fine", language, limit=MAX_MEGAPIXELS, width=width, height=height)


def make_photographer(matting: shm.HumanMatting) -> Callable[..., list]:
    """Return what the button and the controls do."""
    matte_photo = lend_matting(matting)

    def id_photo(
        request: gr.Request, portrait: Portrait | None, photo: str | None, format: str, width_mm: float, height_mm: float,
        dpi: float, background: str, own_color: str, zoom: float, right: float, down: float, paper: str,
    ) -> list:  # fmt: skip
        """Make an ID photo and a sheet of them; the networks run only for another photograph."""
        language = read_language(request)
        if not photo:
            raise fault("no_photo", language)
        photo_format = read_format(format, width_mm, height_mm, dpi, language)
        check_sheet(photo_format, paper, language)
        color = heed(language, parse_color, COLORS.get(background, own_color))
        if portrait is None or portrait.photo != photo:
            portrait = take_portrait(matte_photo, photo, language)
        head = heed(language, find_head, portrait.alpha)
        box = place_crop(head, photo_format, portrait.alpha.shape[-2])
        box = heed(language, adjust_crop, box, scale=100 / zoom, shift=(-right / 100, -down / 100))
        image = make_id_photo(portrait.foreground, portrait.alpha, box, photo_format, color)
        sheet = heed(language, make_sheet, image, photo_format, PAPERS[paper])
        stem, (height, width) = name_photo(photo), photo_format.size
        sizes = {"width_mm": photo_format.width_mm, "height_mm": photo_format.height_mm, "width": width, "height": height}
        files = [save_image(f"{stem}.{name}.jpg", part, dpi=dpi) for name, part in (("id", image), ("sheet", sheet))]
        shown = [show_image("id", image), show_image("sheet", sheet)]
        buttons = [gr.update(value=file, interactive=True) for file in files]
        return [f"<p>{say('id_size', language, **sizes)}</p>", *shown, *buttons, portrait]

    return id_photo


def lay_out_choices() -> list[gr.components.Component]:
    """Lay out size, background, crop and paper."""
    format = gr.Radio(choices(*FORMATS, "custom"), value="35x45 mm", label=label("format"), elem_id="format")
    with gr.Row(visible=False) as custom:
        width = gr.Number(35, label=label("width_mm"), min_width=90, elem_id="width-mm")
        height = gr.Number(45, label=label("height_mm"), min_width=90, elem_id="height-mm")
    background = gr.Radio(choices(*COLORS, "own_color"), value="white", label=label("background"), elem_id="id-background")
    own = gr.ColorPicker("#7fb3d5", label=label("own_color"), visible=False, elem_id="own-color")
    with gr.Row():
        zoom = make_slider(50, 200, 100, "zoom", step=1, min_width=185, elem_id="zoom")
        right = make_slider(-50, 50, 0, "right", step=1, min_width=185, elem_id="id-right")
        down = make_slider(-50, 50, 0, "down", step=1, min_width=185, elem_id="id-down")
    with gr.Row():
        paper = gr.Radio(choices(*PAPERS), value="6 inch", label=label("paper"), min_width=250, elem_id="paper")
        dpi = gr.Number(300, label=label("dpi"), min_width=90, elem_id="dpi")
    for radio, value, part in ((format, "custom", custom), (background, "own_color", own)):
        show = lambda chosen, value=value: gr.update(visible=chosen == value)
        radio.change(show, radio, part, queue=False, **QUIET)
    return [format, width, height, dpi, background, own, zoom, right, down, paper]


def build_id_photo(matting: shm.HumanMatting) -> None:
    """Lay out the tab around one resident pipeline."""
    portrait = gr.State(None, time_to_live=KEEP_SECONDS)
    with gr.Row():
        with gr.Column(scale=2, min_width=300, elem_id="id-inputs"):
            photo = make_input("photograph", elem_id="portrait", sources=["upload", "clipboard", "webcam"], height=260)
            run = gr.Button(label("make"), variant="primary", size="lg", elem_id="make")
            rows = [[str(path)] for path in EXAMPLES]
            examples = gr.Examples(rows, photo, label=label("try_one"), cache_examples=False)
            gr.HTML(label("id_hint"), elem_classes="hint")
        with gr.Column(scale=3, min_width=300, elem_id="id-results"):
            with gr.Row():
                picture = make_output("id_photo", elem_id="id-photo", height=340, min_width=200, scale=1)
                sheet = make_output("sheet", elem_id="sheet", height=340, min_width=260, scale=2)
            with gr.Row(elem_id="id-files"):
                status = gr.HTML(elem_id="id-status", elem_classes="hint")
                options = {"interactive": False, "size": "sm", "min_width": 90}
                files = [gr.DownloadButton(label(f"{name}_file"), elem_id=f"{name}-file", **options) for name in ("photo", "sheet")]
            controls = lay_out_choices()
    outputs = [status, picture, sheet, *files, portrait]
    making = {"fn": make_photographer(matting), "inputs": [portrait, photo, *controls], "outputs": outputs}
    run.click(**making, api_name="id_photo", concurrency_id="matting", show_progress="minimal", show_progress_on=status)
    examples.load_input_event.then(**making, **QUIET, concurrency_id="matting")
    adjusting = making | {"fn": keep_quiet(making["fn"])}
    numbers = [control for control in controls if isinstance(control, gr.Number)]  # whole ones: 6 is not yet 600
    changed = [control.input for control in controls if control not in numbers]
    changed += [event for number in numbers for event in (number.submit, number.blur)]
    gr.on(changed, **adjusting, **QUIET, trigger_mode="always_last")


def keep_quiet(make: Callable[..., list]) -> Callable[..., list]:
    """Return what controls do: as the button, but before the first photo nothing."""

    def adjust(request: gr.Request, portrait: Portrait | None, *values: object) -> list:
        if portrait is None:
            return [gr.skip()] * 6
        return make(request, portrait, *values)

    return adjust
