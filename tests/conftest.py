"""What all tests share: no network but this machine's own, and one Chromium for those that use the `browser` fixture."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors are small here: more threads wait for each other, long on a busy machine
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

HERE = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def refuse_network(event: str, values: tuple) -> None:
    """Raise where anything asks for another machine; an audit hook."""
    if event == "socket.getaddrinfo":
        host = values[0]
    elif event == "socket.connect" and isinstance(values[1], tuple):
        host = values[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in HERE:
        raise PermissionError(f"tests stay on this machine, got a request for {host}")


sys.addaudithook(refuse_network)


def pytest_report_header() -> str:
    return f"Chromium: {CHROMIUM or 'none here; the browser tests are left out, except in CI'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the browser tests out where there is no Chromium; in CI they run, and fail."""
    if CHROMIUM or os.environ.get("CI"):
        return
    needing = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium with a camera that films a test picture."""
    if CHROMIUM is None:
        pytest.fail("expected Chromium on the path, found none: run .ci/install-browser as root")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield chromium
        chromium.close()
