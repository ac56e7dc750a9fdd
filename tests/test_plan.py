"""CONTRIBUTING.md's plan: rooms, floors, dependencies, budgets, and an import that does no work."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAN = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def read_table(header: str) -> list[list[str]]:
    """Return the cells of each row of the Markdown table whose header line starts so."""
    lines = PLAN[PLAN.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


FLOORS = {
    room: int(floor)
    for floor, *rooms in map(str.split, re.search(r"```floors\n(.*?)```", PLAN, re.DOTALL)[1].splitlines())
    for room in rooms
}
LIBRARIES = {library: (package, rooms.split(", ")) for library, package, rooms, _ in read_table("| library |")}
BUDGETS = {what: int(limit) for what, limit in read_table("| what | at most |")}


def find_rooms() -> dict[str, Path]:
    """Return the file of each room: "trimap", "training.losses", "app"."""
    files = {
        ".".join(path.relative_to(ROOT / "shm").with_suffix("").parts): path
        for path in sorted((ROOT / "shm").rglob("*.py"))
        if path.stat().st_size  # a wing's empty __init__.py is no room
    }
    panes = {f"panes.{path.stem}": path for path in sorted((ROOT / "panes").glob("*.py"))}
    return files | panes | {"app": ROOT / "app.py"}


ROOMS = find_rooms()


@dataclass(frozen=True)
class Arrow:
    """One import: where it stands, what it names, and whether it waits inside a function."""

    room: str
    target: str
    foreign: bool
    waits: bool


def read_arrows(room: str) -> Iterator[Arrow]:
    """Return the imports of a room; those of the standard library are left out."""
    tree = ast.parse(ROOMS[room].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room}: relative import in line {node.lineno}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            waits = id(node) in inside
            if top in ("shm", "panes"):
                yield Arrow(room, find_room(rest, "panes." if top == "panes" else ""), foreign=False, waits=waits)
            elif top not in sys.stdlib_module_names:
                yield Arrow(room, top, foreign=True, waits=waits)


def find_room(name: str, place: str = "") -> str:
    """Return the room that holds a dotted name inside shm, or inside `place`; the door where no room does."""
    parts = name.split(".")
    prefixes = (place + ".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in ROOMS), f"{place}__init__")


ARROWS = [arrow for room in ROOMS for arrow in read_arrows(room)]


def test_the_plan_names_every_room_and_no_other() -> None:
    assert sorted(FLOORS) == sorted(ROOMS)


def test_arrows_are_read() -> None:
    assert Arrow("panes.stages", "panes.__init__", foreign=False, waits=False) in ARROWS
    assert Arrow("pipeline", "trimap", foreign=False, waits=False) in ARROWS
    assert Arrow("segmentation", "transformers", foreign=True, waits=True) in ARROWS
    assert Arrow("__init__", "metrics", foreign=False, waits=False) in ARROWS


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_only_lower_floors(room: str) -> None:
    inner = [arrow for arrow in ARROWS if arrow.room == room and not arrow.foreign]
    assert [arrow.target for arrow in inner if FLOORS[arrow.target] >= FLOORS[room]] == []


def test_only_cli_imports_training_inside_the_subcommand() -> None:
    into = [arrow for arrow in ARROWS if arrow.target.startswith("training.") and not arrow.room.startswith("training.")]
    assert [arrow for arrow in into if arrow.room != "cli" or not arrow.waits] == []


def test_each_foreign_library_has_one_room() -> None:
    for arrow in ARROWS:
        if arrow.foreign:
            _, rooms = LIBRARIES[arrow.target]
            assert rooms == ["all"] or arrow.room in rooms or arrow.room.startswith("training."), arrow


def test_each_listed_library_is_used_where_the_plan_says() -> None:
    for library, (_, rooms) in LIBRARIES.items():
        using = {arrow.room for arrow in ARROWS if arrow.target == library}
        assert using if rooms == ["all"] else set(rooms) <= using, library


def test_dependencies_are_those_of_the_plan() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() + project["optional-dependencies"]["heic"]
    listed = {re.match(r"[\w-]+", line)[0] for line in lines if not line.startswith("#")}
    assert listed == {package for package, _ in LIBRARIES.values()} - {"none"}


@pytest.mark.parametrize("room", ROOMS)
def test_files_and_functions_keep_the_budget(room: str) -> None:
    text = ROOMS[room].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= BUDGETS["lines of a file"]
    lengths = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    limit = BUDGETS["lines of a function, docstring and signature included"]
    assert {name: length for name, length in lengths.items() if length > limit} == {}


def test_the_embedded_weights_keep_the_budget() -> None:
    assert 0 < sum(path.stat().st_size for path in (ROOT / "models").rglob("*.*")) <= BUDGETS["bytes of `models/`"]


@pytest.mark.parametrize("room", ROOMS)
def test_errors_are_raised_and_caught_by_name(room: str) -> None:
    for node in ast.walk(ast.parse(ROOMS[room].read_text(encoding="utf-8"))):
        where = f"{room}, line {getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), where
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None and ast.unparse(node.type) not in ("Exception", "BaseException"), where


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"__main__", "cli", "app", "training.train"}))
def test_the_library_neither_prints_nor_exits(room: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(ROOMS[room].read_text(encoding="utf-8"))) if isinstance(node, ast.Call)}
    assert calls & {"print", "exit", "sys.exit", "os._exit"} == set()


WATCH = """
import json, sys
seen = []
def note(event, values):
    if event in ("_thread.start_new_thread", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove"):
        seen.append(f"{event} {values}")
    if event == "open" and isinstance(values[1], str) and set(values[1]) & set("wax+"):
        seen.append(f"{event} {values}")
sys.addaudithook(note)
import shm
import torch
models = [name for name in sys.modules if name.startswith(("transformers.models", "transformers.modeling_utils"))]
wing = [name for name in sys.modules if name.startswith(("shm.training", "shm.cli", "panes", "gradio", "matplotlib"))]
print(json.dumps({"seen": seen, "models": models, "wing": wing, "cuda": torch.cuda.is_initialized()}))
"""


def test_importing_shm_does_no_work() -> None:
    run = subprocess.run([sys.executable, "-B", "-c", WATCH], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == {"seen": [], "models": [], "wing": [], "cuda": False}
    assert run.stderr == ""
