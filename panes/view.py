"""What one visitor sees of a cut-out, what they chose, and the files made from both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from html import escape
from pathlib import Path

import gradio as gr
import torch

import shm
from panes.session import SCREEN_SIDE, fault, heed, read_upload, save_image, save_zip, show_image
from panes.words import say
from shm.compositing import parse_color
from shm.editing import Edits, Scene, compose, compose_part, edit_matte, edit_part, view_matte
from shm.matte import to_depth
from shm.people import People, find_people
from shm.trimap import hard_trimap
from shm.visualization import find_close_up, legend, shrink

STAGES = ("segmentation", "trimap", "alpha", "foreground", "composite", "closeup")
CLOSE_SIDE = 320
"""Side of the close-up at most, in pixels of the photograph: few enough for single hairs to be seen."""
FILES = ("cutout", "webp", "png", "jpeg", "alpha", "alpha16", "trimap", "zip")


@dataclass(frozen=True)
class Choice:
    """What a visitor chose, in the order of the controls; lengths in percent and strengths as the sliders have them.

    Attributes:
        kind, color, bottom, blur, name, picture: what is behind the people; `blur` from 1 to 20, `picture` a file.
        scale, right, down, color_match, shadow: percent.
        shift, feather: pixels of the photograph.
        clean, connected: as in `Edits`.
        left_out: numbers of people.
        look: a key of `shm.editing.LOOKS`.
    """

    kind: str
    color: str
    bottom: str
    blur: float
    name: str
    picture: str | None
    scale: float
    right: float
    down: float
    color_match: float
    shadow: float
    shift: float
    feather: float
    clean: bool
    connected: bool
    left_out: list[int]
    look: str

    def find_edits(self, people: People) -> Edits:
        """Return the edits, as the library takes them."""
        persons = tuple(self.find_persons(people)) if self.left_out else None
        return Edits(persons, self.shift, self.feather, bool(self.clean), bool(self.connected))

    def find_persons(self, people: People) -> list[int]:
        """Return the numbers of those who stay."""
        return [person.number for person in people.persons if person.number not in self.left_out]

    def read_scene(self, language: str, picture: torch.Tensor | None = None) -> Scene:
        """Return the scene, its picture read unless it is given; until a picture is there, there is none."""
        kind = "transparent" if self.kind == "picture" and not self.picture else self.kind
        if kind == "picture" and picture is None:
            picture = read_upload(self.picture, language)
        for color in {"color": [self.color], "gradient": [self.color, self.bottom]}.get(kind, []):
            heed(language, parse_color, color)  # here, since what runs before it is used takes long
        placement = (self.scale / 100, self.right / 100, self.down / 100, self.color_match / 100, self.shadow / 100)
        return Scene(kind, self.color, self.bottom, self.blur / 200, self.name, picture, *placement)


def take_choice(handler: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """Let a handler, whose last parameter is a `Choice`, take its fields one by one, each named for the API."""
    *first, _ = inspect.signature(handler).parameters.values()
    style = {"kind": inspect.Parameter.POSITIONAL_OR_KEYWORD, "default": None}  # the control's own value goes before it

    @wraps(handler)
    def take(*values: object) -> Iterator:
        yield from handler(*values[: len(first)], Choice(*values[len(first) :]))

    take.__signature__ = inspect.Signature([*first, *(inspect.Parameter(each.name, **style) for each in fields(Choice))])
    take.__annotations__ = {"request": gr.Request}
    return take


@dataclass
class View:
    """What one visitor sees: every stage adds its part, and each yield shows the whole.

    Attributes:
        stem: name of the photograph.
        language: "en" or "zh".
        photo: file of the photograph as shown.
        status: the line beside the downloads.
        pictures, captions: file and text of each stage that is done.
        large: file of the large picture, once the composite is there.
        outline: file of the people's outlines.
        matte, screen, people: once whole, the same reduced to what is shown, and who is there; kept, so that no edit and no
            background needs a network.
        kept: who and which parts were chosen last, and what they leave of the screen's alpha.
        close: rows and columns of the close-up, in pixels of the photograph.
        backdrop: file of the picture behind the people, and the picture as a screen needs it; read once for all edits.
        probabilities: what the segmentation said, before any touch-up.
        choice: what is shown.
        strokes, undone: label maps of the touch-up, each with all strokes before it, the latest last; a few small ones. The
            first of `strokes` is what no undo takes back: an empty map, until the history is full.
    """

    stem: str
    language: str
    photo: str
    status: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    large: str | None = None
    outline: str | None = None
    matte: shm.Matte | None = None
    screen: shm.Matte | None = None
    people: People | None = None
    kept: tuple[tuple, torch.Tensor] | None = None
    close: tuple[slice, slice] | None = None
    backdrop: tuple[str, torch.Tensor] | None = None
    probabilities: torch.Tensor | None = None
    choice: Choice | None = None
    strokes: list[torch.Tensor] = field(default_factory=list)
    undone: list[torch.Tensor] = field(default_factory=list)

    def add(self, stage: str, image: torch.Tensor, caption: str) -> list:
        """Add a finished stage; return what there is to see."""
        self.pictures[stage], self.captions[stage] = show_image(stage, image), caption
        return self.show()

    def show(self, *, with_people: bool = False) -> list:
        """Return a value for every output of the tab, the latest stage in the large picture until the composite is there."""
        pictures = [self.pictures.get(stage) for stage in STAGES]
        large = self.large or next(filter(None, reversed(pictures)), self.photo)
        captions = [self.captions.get(stage, "") for stage in STAGES]
        who = gr.skip()
        if with_people:
            numbers = [person.number for person in self.people.persons]
            options = [(say("person", self.language, number=number), number) for number in numbers]
            who = gr.CheckboxGroup(choices=options, value=[])
        return [self.status, (self.photo, large), *pictures, *captions, self.outline, who, self if self.matte else None]

    def keep(self, matte: shm.Matte) -> None:
        """Take a whole matte, also reduced to what is shown."""
        small = {name: shrink(getattr(matte, name), side=SCREEN_SIDE) for name in ("image", "alpha", "foreground")}
        self.matte, self.screen = matte, replace(matte, **small)
        self.people = find_people(matte.alpha, matte.probabilities)
        self.kept = None
        self.close = place_close_up(self.screen.alpha, tuple(matte.alpha.shape[-2:]))

    def read_scene(self, choice: Choice) -> Scene:
        """Return the scene that was chosen, its picture as a screen needs it."""
        if choice.kind != "picture" or not choice.picture:
            return choice.read_scene(self.language)
        if self.backdrop is None or self.backdrop[0] != choice.picture:
            picture = read_upload(choice.picture, self.language)
            self.backdrop = choice.picture, shrink(picture, side=2 * SCREEN_SIDE)  # it is cut where its shape is another
        return choice.read_scene(self.language, self.backdrop[1])

    def edit_screen(self, choice: Choice) -> shm.Matte:
        """Return what is shown, edited."""
        scale = max(self.screen.alpha.shape[-2:]) / max(self.matte.alpha.shape[-2:])
        edits, kept = replace(choice.find_edits(self.people), persons=None, connected=False), self.find_kept(choice)
        return heed(self.language, edit_matte, replace(self.screen, alpha=kept), edits, scale=scale)

    def find_kept(self, choice: Choice) -> torch.Tensor:
        """Return what the chosen people and parts leave of the screen's alpha; found once for all edits of the edge."""
        chosen = tuple(choice.left_out), bool(choice.connected)
        if self.kept is None or self.kept[0] != chosen:
            edits = replace(choice.find_edits(self.people), shift=0.0, feather=0.0)
            self.kept = chosen, heed(self.language, edit_matte, self.screen, edits, self.people).alpha
        return self.kept[1]

    def show_close(self, choice: Choice, edited: shm.Matte, scene: Scene) -> torch.Tensor:
        """Return the close-up in the photograph's own pixels, edited, on the background that was chosen."""
        edits, kept = choice.find_edits(self.people), self.find_kept(choice)
        near = heed(self.language, edit_part, self.matte, self.screen, kept, edits, self.close)
        if choice.look != "composite":
            return heed(self.language, view_matte, near, choice.look)
        return heed(self.language, compose_part, near, edited, scene, tuple(self.matte.alpha.shape[-2:]), self.close)


def place_close_up(small: torch.Tensor, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of the close-up in a photograph of (height, width), found on its reduced alpha."""
    fraction = min(0.22, CLOSE_SIDE / max(size))
    found = zip(find_close_up(small, side_fraction=fraction), small.shape[-2:], size)
    return tuple(slice(part.start * full // short, max(1, part.stop * full // short)) for part, short, full in found)


def write_file(view: View, file: str, choice: Choice) -> str:
    """Write one of `FILES` at the photograph's size, edited as chosen, and return its path."""
    scene = choice.read_scene(view.language)
    if file in ("png", "jpeg") and scene.kind == "transparent":
        raise fault("no_background", view.language)
    matte = heed(view.language, edit_matte, view.matte, choice.find_edits(view.people), view.people)
    if file != "zip":
        return _write_part(view, file, matte, scene)
    # "webp" holds what "cutout" holds
    left_out = {"webp", "zip"} | ({"png", "jpeg"} if scene.kind == "transparent" else set())
    parts = [part for part in FILES if part not in left_out]
    return save_zip(f"{view.stem}.zip", [_write_part(view, part, matte, scene) for part in parts])


def _write_part(view: View, file: str, matte: shm.Matte, scene: Scene) -> str:
    if file == "cutout":
        return save_image(f"{view.stem}.cutout.png", shm.cutout(matte))
    if file == "webp":  # which has no more than 16,383 pixels a side
        return heed(view.language, save_image, f"{view.stem}.cutout.webp", shm.cutout(matte))
    if file == "alpha":
        return save_image(f"{view.stem}.alpha.png", matte.alpha)
    if file == "alpha16":
        return save_image(f"{view.stem}.alpha16.png", to_depth(matte.alpha, torch.uint16))
    if file == "trimap":
        return save_image(f"{view.stem}.trimap.png", hard_trimap(matte.probabilities, tuple(matte.alpha.shape[-2:])))
    ending = {"png": "png", "jpeg": "jpg"}[file]
    return save_image(f"{view.stem}.composite.{ending}", heed(view.language, compose, matte, scene))


def name_photo(path: str) -> str:
    """Return the name that downloads begin with."""
    return Path(path).stem


def tell(language: str, seconds: float, place: str, detail: str) -> str:
    """Return a caption: how long, where, and one thing more."""
    return f"<p>{say('spent', language, ms=1000 * seconds, place=place)}<br>{detail}</p>"


def tell_size(language: str, size: tuple[int, int]) -> str:
    """Return (height, width) in words."""
    return say("pixels", language, width=size[1], height=size[0])


def draw_legend(language: str, labels: torch.Tensor, class_names: tuple[str, ...]) -> str:
    """Return the legend of a label map as HTML; classes without a Chinese name keep their own."""
    row = '<li><i style="background:{}"></i>{} {:.0%}</li>'.format
    own = {"background", "person", "unknown"}
    entries = [
        row(entry.color, say(f"class_{entry.name}", language) if entry.name in own else escape(entry.name), entry.share)
        for entry in legend(labels, class_names)[:8]
    ]
    return f"<ul>{''.join(entries)}</ul>"
