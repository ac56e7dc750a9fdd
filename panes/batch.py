"""The tab of many photographs: a gallery that grows, a zip, and what could not be done with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import gradio as gr

import shm
from panes.session import (
    KEEP_SECONDS, QUIET, busy, fault, heed, lend_matting, make_folder, read_upload, save_image, save_zip, show_image,
)  # fmt: skip
from panes.view import name_photo
from panes.words import choices, label, read_language, say
from shm.editing import Scene, compose

MAX_PHOTOGRAPHS = 100


@dataclass
class Batch:
    """How far a batch is.

    Attributes:
        total: number of photographs.
        pictures: files of what is done as shown, each with the photograph's name.
        folder: of the files; as long as one is added now and then, none of them is old.
        files: what is done, at the photographs' size.
        failures: the reasons of what is not done.
    """

    total: int
    folder: Path = field(default_factory=make_folder)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def show(self, language: str, status: str, archive: str | None = None) -> list:
        """Return a value for every output of the tab."""
        rows = "".join(f"<li>{escape(reason)}</li>" for reason in self.failures)
        failed = f"<p>{say('failed', language)}</p><ul>{rows}</ul>" if rows else ""
        return [status, list(self.pictures), failed, gr.DownloadButton(value=archive, interactive=bool(archive)), self]


def make_batch(matting: shm.HumanMatting) -> Callable[..., Iterator[list]]:
    """Return what the button does."""
    matte_photo = lend_matting(matting)

    def batch(request: gr.Request, photographs: list[str] | None, kind: str, color: str) -> Iterator[list]:
        """Cut the people out of many photographs; one that cannot be read leaves the others as they are."""
        language = read_language(request)
        if not photographs:
            raise fault("no_photos", language)
        if len(photographs) > MAX_PHOTOGRAPHS:
            raise fault("too_many", language, limit=MAX_PHOTOGRAPHS, count=len(photographs))
        state, start = Batch(len(photographs)), time.perf_counter()
        yield state.show(language, busy(say("batch_first", language, total=state.total)))
        for count, path in enumerate(photographs, start=1):
            try:
                matte = matte_photo(read_upload(path, language))
                image = heed(language, compose, matte, Scene(kind, color=color))
            except gr.Error as error:
                reason, name = error.message, Path(path).name
                state.failures.append(reason if reason.startswith(name) else f"{name}: {reason}")
            else:
                state.files.append(save_image(f"{find_name(path, state.files)}.png", image, folder=state.folder))
                state.pictures.append((show_image("cutout", image), Path(path).name))
            left = (time.perf_counter() - start) / count * (state.total - count)
            yield state.show(language, busy(say("batch_progress", language, done=count, total=state.total, seconds=left)))
        seconds = time.perf_counter() - start
        done = say("batch_done", language, done=len(state.files), total=state.total, seconds=seconds)
        yield state.show(language, f"<p>{done}</p>", pack(state))

    return batch


def find_name(path: str, files: list[str]) -> str:
    """Return the photograph's stem; its whole name where another photograph has the same stem."""
    taken = {Path(file).name for file in files}
    names = [name_photo(path), Path(path).name]
    names += [f"{Path(path).name}.{number}" for number in range(2, len(files) + 3)]
    return next(name for name in names if f"{name}.png" not in taken)


def pack(state: Batch) -> str | None:
    """Return a zip of what is done; None where nothing is."""
    return save_zip("cutouts.zip", state.files) if state.files else None


def stop(request: gr.Request, state: Batch | None) -> list:
    """Leave it at what is done."""
    language = read_language(request)
    if state is None:
        return [gr.skip()] * 5
    sentence = say("batch_stopped", language, done=len(state.files), total=state.total)
    return state.show(language, f"<p>{sentence}</p>", pack(state))


def build_batch(matting: shm.HumanMatting) -> None:
    """Lay out the tab around one resident pipeline."""
    state = gr.State(None, time_to_live=KEEP_SECONDS)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            photographs = gr.File(
                label=label("photographs"), file_count="multiple", type="filepath", height=260, elem_id="photographs"
            )
            kind = gr.Radio(choices("transparent", "color", "blur"), value="transparent", label=label("background"))
            color = gr.ColorPicker("#ffffff", label=label("color"), visible=False, elem_id="batch-color")
            with gr.Row():
                run = gr.Button(label("start"), variant="primary", size="lg", elem_id="start")
                halt = gr.Button(label("stop"), size="lg", elem_id="stop")
        with gr.Column(scale=3, min_width=300):
            gallery = gr.Gallery(
                label=label("results"), columns=4, height=420, object_fit="contain", format="png", interactive=False,
                buttons=["fullscreen"], elem_id="results-gallery",
            )  # fmt: skip
            with gr.Row(elem_id="batch-files"):
                status = gr.HTML(elem_id="batch-status", elem_classes="status")
                archive = gr.DownloadButton(label("all_zip"), interactive=False, size="sm", min_width=120, elem_id="batch-zip")
            failed = gr.HTML(elem_id="failed")
    kind.change(lambda kind: gr.update(visible=kind == "color"), kind, color, queue=False, **QUIET)
    outputs = [status, gallery, failed, archive, state]
    started = run.click(
        make_batch(matting), [photographs, kind, color], outputs,
        api_name="batch", concurrency_id="matting", show_progress="hidden",
    )  # fmt: skip
    started.failure(lambda: "", None, status, **QUIET)
    halt.click(stop, state, outputs, cancels=[started], **QUIET)
