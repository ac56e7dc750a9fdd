"""The browser app: lays out, forwards, streams; its tabs are in panes/, and everything that computes has its room in shm/.

python app.py [--host H] [--port N] [--share] [--mcp]
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

from panes.cut_out import build_cut_out, draw_swatches  # before gradio and torch: panes says what they are to find
from panes.addresses import fetch_for_gradio
from panes.agents import build_agents, limit_tools
from panes.batch import build_batch
from panes.id_photo import build_id_photo
from panes.lesson import build_lesson
from panes.session import EXAMPLES, MAX_MEGABYTES, SESSIONS, TAKE_PASTED, keep_clean, open_folder
from panes.touch_up import build_touch_up
from panes.words import I18N, label, name_controls, say_labels

import gradio as gr

import shm

NO_LINK = "No public link: Gradio's service cannot be reached from here. The app goes on at the address above."


class Page(gr.Blocks):
    """A page that describes its API in English; Gradio would show the keys of the labels there."""

    def get_api_info(self, *arguments: object, **options: object) -> dict:
        """Return what the API page, the clients and MCP read."""
        return say_labels(super().get_api_info(*arguments, **options))


def build(matting: shm.HumanMatting) -> gr.Blocks:
    """Lay out the page around one resident pipeline."""
    open_folder()
    fetch_for_gradio()
    with Page(title="Semantic Human Matting", analytics_enabled=False) as demo:
        with gr.Row(elem_id="header"):
            gr.HTML(label("title"), elem_id="title")
            gr.HTML(label("promise"), elem_id="promise")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(label("cut_out_tab"), id="cut-out"):
                build_touch_up(matting, build_cut_out(matting))
            with gr.Tab(label("batch_tab"), id="batch"):
                build_batch(matting)
            with gr.Tab(label("id_photo_tab"), id="id-photo"):
                build_id_photo(matting)
            with gr.Tab(label("lesson_tab"), id="lesson"):
                build_lesson(demo, matting)
        build_agents(matting)
        for script in (TAKE_PASTED, name_controls()):
            demo.load(js=script, api_visibility="private")
    keep_clean()
    return demo.queue(max_size=16)


def launch_options() -> dict[str, object]:
    """Return what both `main` and the tests give to `launch`."""
    font = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700))  # Gradio ships it; the 600 has no "a"
    return {
        "theme": gr.themes.Base(primary_hue="teal", neutral_hue="zinc", radius_size="lg", font=[font, "system-ui"]),
        "css_paths": Path(__file__).with_name("app.css"),
        "css": draw_swatches(),
        "i18n": I18N,
        "max_file_size": f"{MAX_MEGABYTES}mb",
        "state_session_capacity": SESSIONS,
        "run_history": False,
        "footer_links": ["api"],
        "ssr_mode": False,
        "quiet": True,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut people out of photographs, in a browser.")
    host = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    parser.add_argument("--host", dest="server_name", metavar="H", default=host, help="default: %(default)s")
    parser.add_argument("--port", dest="server_port", metavar="N", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link")
    parser.add_argument("--mcp", dest="mcp_server", action="store_true", help="offer cut-outs and ID photos to agents as well, by MCP")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an exit in order deletes what visitors left
    if options.mcp_server and find_spec("mcp") is None:
        raise SystemExit("app.py: --mcp needs one more package: pip install 'gradio[mcp]'")
    try:
        matting = shm.load()
        if EXAMPLES and not os.environ.get("SPACES_ZERO_GPU"):  # there, a GPU is lent to visitors only
            matting(shm.read_image(EXAMPLES[0]))
        demo = build(matting)
        warnings.filterwarnings("ignore", "This MCP server includes a tool that has a gr.State")  # `limit_tools` leaves it out
        with redirect_stdout(io.StringIO()):  # Gradio's own words on links
            demo.launch(prevent_thread_lock=True, **vars(options), **launch_options())
        if demo.mcp_server_obj:
            limit_tools(demo.mcp_server_obj)
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
