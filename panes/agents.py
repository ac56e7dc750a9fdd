"""What agents are offered by MCP: the address of a photograph in, a file out, and nothing kept between two calls.

The page's own actions are no tools: Gradio's MCP (6.31) cannot take a list of files nor give a state back, refuses the app's own
addresses as files, and has one session for all callers, so that `/download` would give one agent another's photograph.
"""

# No annotations from __future__: Gradio reads the types of what is offered here, not their names.
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import gradio as gr

import shm
from panes.addresses import AT_ONCE, take_photo
from panes.batch import MAX_PHOTOGRAPHS, find_name
from panes.id_photo import make_photographer
from panes.session import fault, heed, lend_matting, make_folder, read_upload, save_image, save_zip
from panes.words import read_language
from shm.editing import Scene, compose
from shm.id_photo import FORMATS, PAPERS

if TYPE_CHECKING:
    from gradio.mcp import GradioMCPServer

TOOLS = ("/cut_out_photo", "/cut_out_photos", "/make_id_photo")
"""The actions that MCP lists."""
Kind = Literal["transparent", "color", "blur"]
Format = Literal[tuple(FORMATS)]
Part = Literal["photo", *(f"sheet on {paper}" for paper in PAPERS)]


def build_agents(matting: shm.HumanMatting) -> None:
    """Offer the actions around one resident pipeline; nothing of them is on the page.

    Photographs of several agents are fetched side by side; then one agent after the other has a turn.
    """
    turn = threading.Lock()
    for tool in (*make_cutters(matting, turn), make_portraitist(matting, turn)):
        gr.api(tool, concurrency_id="agents", concurrency_limit=AT_ONCE)


def make_cutters(matting: shm.HumanMatting, turn: threading.Lock) -> tuple[Callable, Callable]:
    """Return what cuts out one photograph, and many."""
    matte_photo = lend_matting(matting)

    def cut_out(photo: str, files: list[str], folder: Path, scene: Scene, language: str) -> str:
        path = take_photo(photo, language)
        with turn:
            matte = matte_photo(read_upload(path, language))
            return save_image(f"{find_name(path, files)}.png", heed(language, compose, matte, scene), folder=folder)

    def cut_out_photo(request: gr.Request, photo: str, kind: Kind = "transparent", color: str = "#ffffff") -> gr.FileData:
        """Cut the people out of a photograph.

        Args:
            photo: a web address, a data: URL, or the address of a file that was uploaded to this app.
            kind: what is behind the people: nothing, a color, or the photograph's own background out of focus.
            color: of the background, such as "#00b140".
        """
        return give(cut_out(photo, [], make_folder(), Scene(kind, color=color), read_language(request)))

    def cut_out_photos(
        request: gr.Request, photos: list[str], kind: Kind = "transparent", color: str = "#ffffff"
    ) -> tuple[gr.FileData, str]:
        """Cut the people out of many photographs, to a zip; what could not be done is told with its reason.

        Args:
            photos: web addresses, data: URLs, or addresses of files that were uploaded to this app.
            kind: what is behind the people: nothing, a color, or the photograph's own background out of focus.
            color: of the background, such as "#00b140".
        """
        language, files, failures, folder = read_language(request), [], [], make_folder()
        if len(photos) > MAX_PHOTOGRAPHS:
            raise fault("too_many", language, limit=MAX_PHOTOGRAPHS, count=len(photos))
        for number, photo in enumerate(photos, start=1):
            try:
                files.append(cut_out(str(photo), files, folder, Scene(kind, color=color), language))
            except gr.Error as error:
                failures.append(f"{number}. {error.message}")
        if not files:
            raise gr.Error("\n".join(failures), print_exception=False) if failures else fault("no_photos", language)
        return give(save_zip("cutouts.zip", files)), "\n".join(failures)

    return cut_out_photo, cut_out_photos


def make_portraitist(matting: shm.HumanMatting, turn: threading.Lock) -> Callable:
    """Return what makes ID photos."""
    photographer = make_photographer(matting)

    def make_id_photo(
        request: gr.Request, photo: str, format: Format = "35x45 mm", background: str = "white", part: Part = "photo"
    ) -> gr.FileData:
        """Make an ID photo of the largest person in a photograph, or a sheet of them to print.

        Args:
            photo: a web address, a data: URL, or the address of a file that was uploaded to this app.
            format: size of the photo.
            background: "white", "blue", "red", "gray", or a color such as "#7fb3d5".
            part: the photo alone, or a sheet of them on a paper.
        """
        language, parts = read_language(request), get_args(Part)
        if part not in parts:
            raise fault("no_part", language, parts=", ".join(parts), got=part)
        path, paper = take_photo(photo, language), part.removeprefix("sheet on ")
        choice = (format, 0, 0, 300, background, background, 100, 0, 0, paper if paper in PAPERS else "A4")
        with turn:
            *_, photo_file, sheet_file, _ = photographer(request, None, path, *choice)
        return give((photo_file if part == "photo" else sheet_file)["value"])

    return make_id_photo


def give(path: str) -> gr.FileData:
    """Return a file as Gradio hands it over."""
    return gr.FileData(path=path, orig_name=path.rpartition("/")[2])


def limit_tools(server: "GradioMCPServer") -> None:
    """Let MCP list and call nothing but `TOOLS`."""
    server.tool_to_endpoint = {name: action for name, action in server.tool_to_endpoint.items() if action in TOOLS}
