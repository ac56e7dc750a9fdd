"""The brush of the first tab: what is painted is certain, or looked at again; matting and what follows run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import gradio as gr
import torch

import shm
from panes import lend_gpu
from panes.cut_out import CutOutTab
from panes.session import QUIET, busy, fault, show_image
from panes.stages import finish, time_steps
from panes.view import Choice, View, take_choice, tell, tell_size
from panes.words import choices, label, read_language, say
from shm.touch_up import BRUSHES, merge_strokes, paint_probabilities, read_strokes
from shm.trimap import hard_trimap
from shm.visualization import shrink

PROXY_SIDE = 1024
"""Longer side of what is painted on, in pixels."""
KINDS = ("keep", "remove", "unknown")
"""The brushes, as they are offered."""
HISTORY = 20
"""Steps that can be undone; one is a megabyte at the most."""


def open_proxy(view: View | None) -> dict | None:
    """Return the photograph to paint on, without strokes."""
    if view is None:
        return None
    path = show_image("proxy", shrink(view.screen.image, side=PROXY_SIDE))
    return {"background": path, "layers": [], "composite": path}


def make_again(matting: shm.HumanMatting) -> Callable[[View, Choice], Iterator[list]]:
    """Return what runs matting and what follows for the strokes of a view."""

    def stream(image: torch.Tensor, probabilities: torch.Tensor) -> Iterator[tuple[str, object]]:
        report = yield from matting.stream_matting(image, probabilities)
        yield "report", report

    stream = lend_gpu(stream, seconds=10)

    def run_again(view: View, choice: Choice) -> Iterator[list]:
        language, matte = view.language, view.matte
        view.status = busy(say("matting_again", language))
        yield view.show()
        first, strokes = view.probabilities, view.strokes[-1]
        probabilities = paint_probabilities(first, strokes) if strokes.any() else first
        (alpha, _), (foreground, seconds), (report, _) = time_steps(stream(matte.image, probabilities))
        place = f"{report.device}, {report.precision}"
        for name, tensor in (("alpha", alpha), ("foreground", foreground)):
            view.add(name, tensor, tell(language, seconds, place, tell_size(language, tensor.shape[-2:])))
        trimap = hard_trimap(probabilities, tuple(view.screen.image.shape[-2:]))
        view.add("trimap", trimap, tell(language, 0.0, "cpu, float32", tell_size(language, probabilities.shape[-2:])))
        view.choice = None  # the outlines change as well
        matte = replace(matte, probabilities=probabilities, alpha=alpha, foreground=foreground, report=report)
        for _ in finish(view, matte, choice):
            view.status = f"<p>{say('touched_up', language, seconds=sum(report.seconds.values()))}</p>"
            yield view.show(with_people=True)

    return run_again


def read_layers(strokes: dict | None) -> list[torch.Tensor]:
    """Return the layers of the editor as (1, 4, h, w) uint8."""
    layers = strokes["layers"] if strokes else []
    return [torch.from_numpy(layer.copy()).permute(2, 0, 1)[None] for layer in layers]


def make_handlers(matting: shm.HumanMatting) -> tuple[Callable[..., Iterator[list]], ...]:
    """Return what apply, undo and redo do."""
    run_again = make_again(matting)

    @take_choice
    def touch_up(request: gr.Request, view: View | None, strokes: dict | None, choice: Choice) -> Iterator[list]:
        """Matte again where strokes in green (keep), red (remove) and yellow (look again) were painted."""
        language, layers = read_language(request), read_layers(strokes)
        if view is None:
            raise fault("no_cut_out", language)
        if not any(layer[:, 3].any() for layer in layers):
            raise fault("no_strokes", language)
        painted = read_strokes(layers, tuple(layers[0].shape[-2:]))
        before = view.strokes or [torch.zeros_like(painted)]
        view.strokes = [*before, merge_strokes(before[-1], painted)][-1 - HISTORY :]
        view.undone.clear()
        yield from run_again(view, choice)

    def step(name: str, giving: str, taking: str, *, least: int = 0) -> Callable[..., Iterator[list]]:
        @take_choice
        def move(request: gr.Request, view: View | None, choice: Choice) -> Iterator[list]:
            """Move the latest strokes from the ones to the others, and matte again."""
            if view is None or len(getattr(view, giving)) <= least:
                yield gr.skip()
                return
            getattr(view, taking).append(getattr(view, giving).pop())
            yield from run_again(view, choice)

        move.__name__ = name  # what MCP calls it
        return move

    return touch_up, step("undo", "strokes", "undone", least=1), step("redo", "undone", "strokes")


def make_brush(kind: str) -> gr.Brush:
    """Return a brush that paints one color of `BRUSHES`."""
    return gr.Brush(colors=[BRUSHES[name] for name in KINDS], default_color=BRUSHES[kind], default_size=24, color_mode="fixed")


def build_touch_up(matting: shm.HumanMatting, cut_out: CutOutTab) -> None:
    """Lay out the brush in the tab that waits for it."""
    with cut_out.touch_up:
        gr.HTML(label("touch_up_how"), elem_classes="hint")
        kind = gr.Radio(choices(*KINDS), value="keep", label=label("brush"), show_label=False, elem_id="brush-kind")
        editor = gr.ImageEditor(
            label=label("strokes"), type="numpy", format="png", sources=(), transforms=(), layers=False, brush=make_brush("keep"),
            height=420, buttons=[], elem_id="brush",
        )  # fmt: skip
        with gr.Row():
            names = ("apply", "undo", "redo")
            buttons = [gr.Button(label(name), size="sm", min_width=80, elem_id=name) for name in names]
    kind.change(lambda kind: gr.update(brush=make_brush(kind)), kind, editor, queue=False, **QUIET)
    cut_out.touch_up.select(open_proxy, cut_out.view, editor, **QUIET)
    for name, button, handler in zip(("touch_up", "undo", "redo"), buttons, make_handlers(matting), strict=True):
        inputs = [cut_out.view, editor, *cut_out.controls] if name == "touch_up" else [cut_out.view, *cut_out.controls]
        options = {"api_name": name, "concurrency_id": "matting", "show_progress": "hidden"}
        button.click(handler, inputs, cut_out.outputs, **options).success(open_proxy, cut_out.view, editor, **QUIET)
