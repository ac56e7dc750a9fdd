"""An address to a photograph's file: on the web, in the address itself, or uploaded to this app before."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import socket
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
import httpx
from gradio import processing_utils
from gradio.processing_utils import client_utils

from panes.session import MAX_MEGABYTES, fault, is_uploaded, make_folder, read_upload

FETCH_SECONDS = 20
"""How long a photograph may take to arrive, redirections and all."""
MAX_REDIRECTIONS = 20
AT_ONCE = 4
"""How many photographs are fetched at once for visitors, and how many for agents."""


class PublicTransport(httpx.AsyncHTTPTransport):
    """Connects to the internet alone: to the very IP address that was checked, anew for each redirection."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the IP address of its host; the host's certificate and name are asked for as ever."""
        host = request.url.raw_host.decode()
        if not 0 <= (request.url.port or 0) < 2**16:
            raise ValueError(f"port: expected one below 65536, got {request.url.port}")
        place, extensions = request.url.copy_with(host=await find_public(host)), {"sni_hostname": host}
        pinned = httpx.Request(request.method, place, headers=request.headers, extensions=request.extensions | extensions)
        return await super().handle_async_request(pinned)


async def find_public(host: str) -> str:
    """Return the IP address of a host.

    Raises:
        ValueError: one of its addresses belongs to this computer or to a network of its own.
        OSError: the host is not known.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [place[0] for *_, place in found]
    if not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise ValueError(f"host: expected one on the internet, got {host}")
    return addresses[0]


async def get_photo(address: str) -> tuple[str, bytes]:
    """Return a photograph's name and content; of one that is too heavy the beginning.

    The content comes as it was sent: photographs are compressed already, and what unpacks to much more is none.
    """
    async with asyncio.timeout(FETCH_SECONDS), httpx.AsyncClient(transport=PublicTransport()) as client:
        request = client.build_request("GET", address, headers={"accept-encoding": "identity"})
        for _ in range(1 + MAX_REDIRECTIONS):
            response = await client.send(request, stream=True)
            if response.next_request is None:
                break
            await response.aclose()
            request = response.next_request
        response.raise_for_status()  # also where it is one redirection too many
        content = bytearray()
        async for part in response.aiter_raw():
            content += part
            if len(content) > MAX_MEGABYTES * 2**20:
                break
    return Path(response.url.path).name, bytes(content)


def fetch_photo(address: str, language: str) -> str:
    """Fetch a photograph from the web, never from this computer's own network; return its file."""
    address = address.strip()
    try:
        if not address.startswith(("https://", "http://")):
            raise ValueError(f"address: expected https:// or http://, got {address}")
        name, content = client_utils.synchronize_async(get_photo, address)
    except (ValueError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise fault("bad_address", language, address=address) from error
    return keep_photo(name, content, language)


def fetch_for_gradio() -> None:
    """Let Gradio fetch as the app does what a client names by a web address; its own way (6.31) has no limits."""

    async def fetch(address: str, cache_dir: str) -> str:
        return await asyncio.to_thread(fetch_photo, address, "en")  # no page does so; the client's language is not known here

    processing_utils.async_ssrf_protected_download = fetch


def take_photo(address: str, language: str) -> str:
    """Return the file that an address means: one uploaded to this app, one that is in the address itself, or one on the web."""
    path = unquote(address.partition("/gradio_api/file=")[2])
    if path and is_uploaded(path):
        return path
    if not address.startswith("data:"):
        return fetch_photo(address, language)
    try:
        content = b64decode(address.partition(",")[2])
    except ValueError as error:
        raise fault("bad_address", language, address=f"{address[:40]}…") from error
    return keep_photo("photo", content, language)


def keep_photo(name: str, content: bytes, language: str) -> str:
    """Write what came as bytes into a folder of its own; return its file. What is no photograph is for nobody to read."""
    if len(content) > MAX_MEGABYTES * 2**20:
        raise fault("too_heavy", language, limit=MAX_MEGABYTES)
    name = client_utils.strip_invalid_filename_characters(name).lstrip(".")  # ".." may come as a name
    path = make_folder() / (name or "photo")
    path.write_bytes(content)
    try:
        read_upload(str(path), language)
    except gr.Error:
        shutil.rmtree(path.parent)
        raise
    return str(path)
