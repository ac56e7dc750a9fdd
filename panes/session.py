"""What every tab does with a visitor's pictures: takes them in, checks them, writes files, says what is wrong."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import gradio as gr
import torch

import shm
from panes import lend_gpu
from panes.words import label, say, say_error
from shm.visualization import shrink

EXAMPLES = sorted(Path(__file__).parent.parent.glob("examples/*.jpg"))
MAX_MEGAPIXELS = 50.0
MAX_MEGABYTES = 50
SCREEN_SIDE = 1024
"""Longer side of what is shown, in pixels; the downloads have the photograph's own size."""
KEEP_SECONDS = 1800
"""How long a visitor's mattes and files are kept after their last use, the latest `SESSIONS` visitors' mattes only.

A matte has at most 16 bytes a pixel, 800 MB. When a tab is closed, Gradio (6.31) keeps its own for an hour.
"""
SESSIONS = 20
CLEAN_SECONDS = 600
"""How often files that are older than `KEEP_SECONDS` are looked for, and deleted."""
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of events that are the page's own."""

SAVE_FILE = """(file) => {
  const link = document.createElement('a')
  link.href = file.url
  link.download = file.orig_name
  link.click()
}"""
"""Hands a file that was just made to the browser, which saves it under its name."""

TAKE_PASTED = """() => document.addEventListener('paste', (event) => {
  const picture = [...event.clipboardData.files].find((file) => file.type.startsWith('image/'))
  const place = [...document.querySelectorAll('#photo, #portrait, #photographs')].find((place) => place.checkVisibility())
  if (!picture || !place) return
  event.preventDefault()
  const files = new DataTransfer()
  files.items.add(picture)
  const target = place.querySelector('img') ?? place.querySelector('button')
  target.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }))
})"""
"""Takes a picture that is pasted anywhere on the page as one dropped on the open tab's photograph."""


@cache
def open_folder() -> None:
    """Make this process's own folder of uploads and results, in the one that is given: all in it is the app's to delete."""
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="shm-", dir=os.environ.get("GRADIO_TEMP_DIR") or None)
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)


def keep_clean() -> None:
    """Delete old files from now on; what is there already belongs to the page.

    Gradio's own `delete_cache` (6.31) knows only the files that a component handed over.
    """
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    kept = set(folder.glob("*"))

    def clean() -> None:
        while True:
            time.sleep(CLEAN_SECONDS)
            clean_folder(folder, kept)

    threading.Thread(target=clean, daemon=True).start()


def clean_folder(folder: Path, kept: set[Path]) -> None:
    """Delete what is in a folder, but for `kept`, once nothing in it changed for `KEEP_SECONDS`."""
    for place in set(folder.glob("*")) - kept:
        with suppress(OSError):  # gone meanwhile
            changed = max(path.lstat().st_ctime for path in (place, *place.rglob("*")))
            if time.time() - changed > KEEP_SECONDS:
                shutil.rmtree(place) if place.is_dir() else place.unlink()


def make_input(name: str, **options: object) -> gr.Image:
    """Return an image input that hands over a path unopened: what is in the file is for `read_image` to say.

    To show or hide it, put it into a column: of what an event updates, Gradio makes another that opens the file itself.
    """
    options = {"type": "filepath", "image_mode": None, "buttons": []} | options
    image = gr.Image(label=label(name), alt_text=label(name), **options)
    image.preprocess = lambda payload: payload and payload.path
    return image


def make_slider(low: float, high: float, value: float, name: str, **options: object) -> gr.Slider:
    """Return a slider that takes the nearest value of its range: one types digit by digit, and Gradio would refuse each.

    To show or hide it, put it into a column, as with `make_input`.
    """
    slider = gr.Slider(low, high, value, label=label(name), **options)
    slider.preprocess = lambda payload: min(max(payload or 0, low), high)
    return slider


def make_output(name: str, **options: object) -> gr.Image:
    """Return a picture to look at."""
    options = {"interactive": False, "buttons": ["fullscreen"]} | options
    return gr.Image(label=label(name), alt_text=label(name), **options)


def fault(code: str, language: str, **values: object) -> gr.Error:
    """Return an error that the visitor reads in their language and the log does not."""
    return gr.Error(say(code, language, **values), print_exception=False)


def read_upload(path: str, language: str) -> torch.Tensor:
    """Read a picture that a visitor sent; no other file of this computer is opened."""
    if not is_uploaded(path):
        raise fault("not_uploaded", language)
    return heed(language, shm.read_image, path, max_megapixels=MAX_MEGAPIXELS)


def is_uploaded(path: str) -> bool:
    """Return whether a file is in the folder of uploads and results."""
    try:
        return Path(path).resolve().is_relative_to(Path(os.environ["GRADIO_TEMP_DIR"]).resolve())
    except ValueError:  # a character that no path has
        return False


def lend_matting(matting: shm.HumanMatting) -> Callable[[torch.Tensor], shm.Matte]:
    """Return the pipeline with a GPU lent to each photograph, where a Space does so."""
    return lend_gpu(lambda image: matting(image), seconds=15)


def heed(language: str, function: Callable, *values: object, **options: object) -> object:
    """Call a function that is given what a visitor chose; its complaint is the visitor's to read."""
    try:
        return function(*values, **options)
    except ValueError as error:
        raise gr.Error(say_error(error, language), print_exception=False) from error


def make_folder() -> Path:
    """Return a new folder of an unguessable name, so that no two visitors and no browser's cache mix files up."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"], secrets.token_hex(16))
    folder.mkdir()
    return folder


def save_image(name: str, image: torch.Tensor, *, folder: Path | None = None, dpi: float | None = None) -> str:
    """Write an image into a folder, one of its own unless another is given, and return its path."""
    path = (folder or make_folder()) / name
    shm.write_image(path, image, dpi=dpi)
    return str(path)


def show_image(name: str, image: torch.Tensor) -> str:
    """Write an image as a screen needs it, color without alpha as JPEG; return its path."""
    return save_image(f"{name}.jpg" if image.shape[1] == 3 else f"{name}.png", shrink(image, side=SCREEN_SIDE))


def save_zip(name: str, paths: Iterable[str]) -> str:
    """Pack files, which are compressed already, and return the path of the archive."""
    path = make_folder() / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for part in paths:
            archive.write(part, Path(part).name)
    return str(path)


def busy(sentence: str) -> str:
    """Return a status line with a breathing dot."""
    return f'<p class="busy">{sentence}…</p>'
