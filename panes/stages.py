"""What the controls of the first tab do: run the stages, edit and compose again, write files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import gradio as gr
import torch

import shm
from panes import lend_gpu
from panes.addresses import fetch_photo
from panes.session import SCREEN_SIDE, busy, fault, heed, read_upload, show_image
from panes.view import FILES, Choice, View, draw_legend, name_photo, take_choice, tell, tell_size, write_file
from panes.words import read_language, say
from shm.editing import compose, view_matte
from shm.trimap import hard_trimap
from shm.visualization import color_labels, outline_people, shrink


def make_cut_out(matting: shm.HumanMatting) -> Callable[..., Iterator[list]]:
    """Return what the button does."""

    def stream(image: torch.Tensor) -> Iterator[tuple[str, object]]:
        report = yield from matting.stream(image)
        yield "report", report

    stream = lend_gpu(stream, seconds=15)

    @take_choice
    def cut_out(request: gr.Request, photo: str | None, choice: Choice) -> Iterator[list]:
        """Cut the people out of a photograph; every yield is all that is known so far."""
        language = read_language(request)
        if not photo:
            raise fault("no_photo", language)
        image, _ = read_upload(photo, language), choice.read_scene(language)
        small = shrink(image, side=SCREEN_SIDE)
        view = View(name_photo(photo), language, show_image("photo", small), busy(say("finding", language)))
        yield view.show()
        steps, names = time_steps(stream(image)), matting.segmenter.class_names
        place = f"{matting.device}, {str(matting.precision).removeprefix('torch.')}"
        (probabilities, seconds), (labels, _) = next(steps), next(steps)
        size = tell_size(language, probabilities.shape[-2:])
        view.probabilities, view.status = probabilities, busy(say("separating", language))
        caption = tell(language, seconds, place, size) + draw_legend(language, labels, names)
        yield view.add("segmentation", color_labels(small, labels), caption)
        start = time.perf_counter()
        trimap = hard_trimap(probabilities, tuple(small.shape[-2:]))
        yield view.add("trimap", trimap, tell(language, time.perf_counter() - start, "cpu, float32", size))
        alpha, seconds = next(steps)
        view.status = busy(say("coloring", language))
        yield view.add("alpha", alpha, tell(language, seconds, place, tell_size(language, alpha.shape[-2:])))
        (foreground, seconds), (report, _) = next(steps), next(steps)
        yield view.add("foreground", foreground, tell(language, seconds, place, tell_size(language, foreground.shape[-2:])))
        yield from finish(view, shm.Matte(image, probabilities, labels, names, alpha, foreground, report), choice)

    return cut_out


def finish(view: View, matte: shm.Matte, choice: Choice) -> Iterator[list]:
    """Keep a whole matte, put the report's own figures into the captions, and show the composite."""
    view.keep(matte)
    report, language = matte.report, view.language
    spent, place = report.seconds, f"{report.device}, {report.precision}"
    detail = say("refined", language, size=tell_size(language, report.detail_size), share=report.refined_fraction)
    view.captions["alpha"] = tell(language, spent["matting"] + spent["refinement"], place, detail)
    view.status = f"<p>{say('done', language, seconds=sum(spent.values()), place=place)}</p>"
    if matte.alpha.max() < 0.5:
        view.status = f'<p class="note">{say("nobody_found", language)}</p>'
    lay(view, replace(choice, left_out=[]))
    yield view.show(with_people=True)


@take_choice
def edit(request: gr.Request, view: View | None, choice: Choice) -> Iterator[list]:
    """Edit the cut-out, put it on another background, look at it differently; no network runs again."""
    if view is None or view.choice == choice:
        yield gr.skip()
        return
    view.language = read_language(request)
    lay(view, choice)
    yield view.show()


def lay(view: View, choice: Choice) -> None:
    """Show the people as chosen: large, in the strip, close up, and in outline."""
    start, language = time.perf_counter(), view.language
    edited = view.edit_screen(choice)
    scene = view.read_scene(choice)
    image = heed(language, compose, edited, scene)
    caption = tell(language, time.perf_counter() - start, "cpu, float32", say("recomposed", language))
    view.pictures["composite"], view.captions["composite"] = show_image("composite", image), caption
    view.large = view.pictures["composite"]
    if choice.look != "composite":
        image = heed(language, view_matte, edited, choice.look)
        view.large = show_image("look", image)
    view.pictures["closeup"] = show_image("close-up", view.show_close(choice, edited, scene))
    view.captions["closeup"] = f"<p>{say('enlarged', language)}</p>"
    if view.choice is None or view.choice.left_out != choice.left_out:
        persons = choice.find_persons(view.people)
        view.outline = show_image("people", outline_people(view.screen.image, view.people.labels, persons))
    view.choice = choice


@take_choice
def download(request: gr.Request, view: View | None, file: str, choice: Choice) -> Iterator[str]:
    """Write a file at the photograph's size: "cutout", "webp", "png", "jpeg", "alpha", "alpha16", "trimap" or "zip"."""
    language = read_language(request)
    if view is None:
        raise fault("no_cut_out", language)
    view.language = language
    if file not in FILES:
        raise fault("no_file", language, files=", ".join(FILES), file=file)
    yield write_file(view, file, choice)


def toggle_person(view: View | None, left_out: list[int], event: gr.SelectData) -> list[int]:
    """Leave out the person who was clicked on, or take them back."""
    if view is None:
        return left_out
    labels, size = view.people.labels, view.screen.image.shape[-2:]
    row, column = (
        min(int(place * length / full), length - 1)
        for place, full, length in zip(reversed(event.index), size, labels.shape[-2:])
    )
    number = int(labels[0, 0, row, column])
    return sorted(set(left_out) ^ ({number} - {0}))


def fetch(request: gr.Request, address: str) -> str:
    """Fetch a photograph from a web address."""
    return fetch_photo(address, read_language(request))


def time_steps(steps: Iterable[tuple[str, object]]) -> Iterator[tuple[object, float]]:
    """Yield each step's value with the seconds it took, without what is done between the steps."""
    start = time.perf_counter()
    for _, value in steps:
        yield value, time.perf_counter() - start
        start = time.perf_counter()
