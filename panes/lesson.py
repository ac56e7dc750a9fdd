"""The tab that teaches the method: segmentation, alpha, fusion, first by hand and then on a photograph."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

import shm
from panes.session import EXAMPLES, KEEP_SECONDS, QUIET, fault, heed, lend_matting, make_output, make_slider, show_image
from panes.words import label, read_language, say
from shm.compositing import parse_color
from shm.lesson import (
    ALPHA, BACKGROUND, BRIGHTNESS, FOREGROUND, PROBABILITIES, THRESHOLD, Table, blend_tables, find_person, read_cell,
    read_pixel, write_cell,
)  # fmt: skip


def name_symbol(name: str, below: str = "") -> str:
    """Return a symbol as MathML, with what stands below it."""
    return f"<msub><mi>{name}</mi><mtext>{below}</mtext></msub>" if below else f"<mi>{name}</mi>"


def write_equation(*parts: str) -> str:
    """Return an equation set by the browser itself."""
    return f'<math display="block"><mrow>{"".join(parts)}</mrow></math>'


def _call(name: str, *symbols: str) -> str:
    inside = "<mo>,</mo>".join(symbols)
    return f'{name_symbol("f", name)}<mo stretchy="false">(</mo>{inside}<mo stretchy="false">)</mo>'


SEGMENT = write_equation("<mi>P</mi><mo>=</mo>", _call("seg", "<mi>I</mi>"))
MATTE = write_equation("<mi>A</mi><mo>=</mo>", _call("alpha", "<mi>I</mi>", "<mi>P</mi>"))
FUSE = write_equation(
    "<mi>A</mi><mo>=</mo>", name_symbol("F", "s"), "<mo>+</mo>", name_symbol("U", "s"), "<mo>·</mo>", name_symbol("α", "r")
)
BLEND = write_equation(
    "<mi>M</mi><mo>=</mo><mi>A</mi><mo>·</mo><mi>F</mi><mo>+</mo>",
    '<mo stretchy="false">(</mo><mn>1</mn><mo>−</mo><mi>A</mi><mo stretchy="false">)</mo><mo>·</mo><mi>B</mi>',
)


def draw_table(cells: Table, caption: str, *, colors: bool = False) -> str:
    """Return a small table as HTML, each cell on its own color where it holds one."""
    rows = ""
    for row in cells:
        shown = [(f'style="--cell: rgb{cell}"' if colors else "", cell) for cell in row]
        rows += f"<tr>{''.join(f'<td {style}>{cell}</td>' for style, cell in shown)}</tr>"
    return f'<table class="cells{" colors" * colors}"><caption>{caption}</caption>{rows}</table>'


def make_table(cells: Table, name: str) -> gr.Dataframe:
    """Return a table of 3 x 3 cells that can be typed into."""
    texts = [[write_cell(cell if isinstance(cell, tuple) else (cell,)) for cell in row] for row in cells]
    return gr.Dataframe(
        texts, headers=["1", "2", "3"], datatype="str", type="array", row_count=3, column_count=3, label=label(name), buttons=[],
        interactive=True, elem_id=name.replace("_", "-"), elem_classes="typed",
    )  # fmt: skip


def segment(request: gr.Request, brightness: list[list[str]], threshold: float) -> str:
    """Mark the person in a table of brightness, and give each pixel its alpha."""
    language = read_language(request)
    person, alpha = heed(language, find_person, brightness, threshold)
    words = [[say("class_person" if cell else "class_background", language) for cell in row] for row in person]
    labels = draw_table(words, say("labels_s", language))
    return f'<div class="tables">{labels}{draw_table([[f"{cell:g}" for cell in row] for row in alpha], "A")}</div>'


def blend(request: gr.Request, foreground: list[list[str]], alpha: list[list[str]], background: list[list[str]]) -> str:
    """Compute M = A·F + (1 − A)·B for three tables, and write the sum of the first pixel out."""
    language = read_language(request)
    result = heed(language, blend_tables, foreground, alpha, background)
    first = write_sum(read_cell(alpha[0][0], 1)[0], foreground[0][0], background[0][0], result[0][0])
    return f'<div class="tables">{draw_table(result, "M", colors=True)}<p class="sum">M(1,1) = {first}</p></div>'


def write_sum(alpha: float, foreground: object, background: object, result: object) -> str:
    """Return the equation with numbers in it."""
    cover = f"{round(alpha, 3):g}"
    return f"{cover}·{foreground} + (1 − {cover})·{background} = <strong>{result}</strong>"


def make_reader(matting: shm.HumanMatting) -> Callable[..., list]:
    """Return what opens the photograph that one points at."""
    matte_photo = lend_matting(matting)

    def open_photograph() -> list:
        """Cut out the first example, to point at its pixels."""
        matte = matte_photo(shm.read_image(EXAMPLES[0]))
        return [show_image("photo", matte.image), matte]

    return open_photograph


def point(event: gr.SelectData) -> list[int]:
    """Take the column and row of the pixel that was clicked on."""
    return [event.index[0] + 1, event.index[1] + 1]


def read(request: gr.Request, matte: shm.Matte | None, column: float | None, row: float | None, color: str) -> str:
    """Read P, A, F, B and M of one pixel, column and row from 1, and work its sum out."""
    language = read_language(request)
    if matte is None:
        return f"<p>{say('open_first', language)}</p>"
    (height, width), background = matte.alpha.shape[-2:], heed(language, parse_color, color)
    if not (1 <= (column or 0) <= width and 1 <= (row or 0) <= height):
        raise fault("no_pixel", language, width=width, height=height)
    pixel = heed(language, read_pixel, matte, background, int(row) - 1, int(column) - 1)
    values = {
        "P": "[" + ", ".join(f"{value:.2f}" for value in pixel.probabilities) + "]",
        "A": f"{pixel.alpha:.3f}",
        "F": pixel.foreground,
        "B": pixel.background,
        "M": pixel.result,
    }
    cells = "".join(
        f'<div><dt>{name}</dt><dd {f"style=--cell:rgb{value}".replace(" ", "") if name in "FBM" else ""}>{value}</dd></div>'
        for name, value in values.items()
    )
    total = write_sum(pixel.alpha, pixel.foreground, pixel.background, pixel.result)
    return f'<dl class="pixel">{cells}</dl><p class="sum">M = {total}</p>'


def lay_out_steps(page: gr.Blocks) -> None:
    """Lay out segmentation and alpha by the simplest rule there is; the page is worked out when it opens."""
    with gr.Row():
        with gr.Column(min_width=300):
            gr.HTML(label("lesson_segmentation"), elem_classes="lesson")
            gr.HTML(SEGMENT)
            gr.HTML(label("lesson_alpha"), elem_classes="lesson")
            gr.HTML(MATTE + FUSE)
        with gr.Column(min_width=300):
            brightness = make_table(BRIGHTNESS, "table_i")
            threshold = make_slider(0, 255, THRESHOLD, "threshold", step=1, elem_id="threshold")
            labels = gr.HTML(elem_id="simple")
    stepping = {"fn": segment, "inputs": [brightness, threshold], "outputs": labels, "show_progress": "hidden"}
    gr.on([brightness.change, threshold.input], **stepping, api_name="segment_table", trigger_mode="always_last")
    page.load(**stepping, api_visibility="private")


def lay_out_fusion(page: gr.Blocks) -> None:
    """Lay out the worked example, with tables to type into."""
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            gr.HTML(label("lesson_fusion"), elem_classes="lesson")
            gr.HTML(BLEND)
            result = gr.HTML(elem_id="table-m")
        with gr.Column(scale=4, min_width=300):
            foreground = make_table(FOREGROUND, "table_f")
            make_table(PROBABILITIES, "table_p")
        with gr.Column(scale=3, min_width=300):
            alpha, background = make_table(ALPHA, "table_a"), make_table(BACKGROUND, "table_b")
    tables = [foreground, alpha, background]
    mixing = {"fn": blend, "inputs": tables, "outputs": result, "show_progress": "hidden"}
    gr.on([table.change for table in tables], **mixing, api_name="blend_tables", trigger_mode="always_last")
    page.load(**mixing, api_visibility="private")


def build_lesson(page: gr.Blocks, matting: shm.HumanMatting) -> None:
    """Lay out the tab in the order in which a photograph walks through the stages."""
    matte = gr.State(None, time_to_live=KEEP_SECONDS)
    gr.HTML(label("lesson_intro"), elem_classes="lesson")
    lay_out_steps(page)
    lay_out_fusion(page)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            gr.HTML(label("lesson_pixel"), elem_classes="lesson")
            start = gr.Button(label("open_example"), variant="primary", elem_id="open-example")
            with gr.Row():
                column = gr.Number(1, precision=0, label=label("column"), min_width=80, elem_id="column")
                row = gr.Number(1, precision=0, label=label("row"), min_width=80, elem_id="row")
                color = gr.ColorPicker("#2a6f97", label=label("background"), min_width=80, elem_id="lesson-color")
            reading = gr.HTML(elem_id="pixel")
        with gr.Column(scale=3, min_width=300):
            picture = make_output("point_here", elem_id="pointed", height=380, buttons=[])
    opening = {"api_name": "open_example", "concurrency_id": "matting", "show_progress": "hidden"}
    opened = start.click(make_reader(matting), None, [picture, matte], **opening)
    taking = {"fn": read, "inputs": [matte, column, row, color], "outputs": reading, "show_progress": "hidden"}
    opened.success(**taking, api_visibility="private")
    picture.select(point, None, [column, row], **QUIET).then(**taking, api_visibility="private")
    gr.on([column.input, row.input, color.input], **taking, api_name="read_pixel", trigger_mode="always_last")
