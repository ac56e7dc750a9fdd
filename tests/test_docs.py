"""The documents: commands, code, tables and trees are those of the project."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
from huggingface_hub import metadata_load
from PIL import Image

import shm
from shm.cli import build_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
IGNORED = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()] + [".git"]


def is_ignored(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED)


def find_texts() -> list[Path]:
    """Return every text that is part of the project."""
    texts = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not is_ignored(name)]
        texts += [Path(folder, name) for name in names if not is_ignored(name)]
    endings = {".py", ".md", ".toml", ".txt", ".yaml", ".json", ""}
    return sorted(path for path in texts if path.suffix in endings)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def find_lines(start: str) -> list[str]:
    """Return the lines of README's shell blocks that start so."""
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith(start)]


def test_two_lines_set_everything_up() -> None:
    app, tests = find_lines("python3 -m venv ")
    assert app.endswith(" -r requirements.txt && .venv/bin/python app.py")
    assert tests.endswith(" -e '.[test]' && .ci/install-browser && .venv/bin/python -m pytest")
    assert {"test", "heic"} == set(PROJECT["optional-dependencies"])
    for program in (".ci/install-browser", ".ci/run"):
        assert os.access(ROOT / program, os.X_OK), program


def test_ci_runs_the_line_of_the_readme() -> None:
    pattern = re.search(r"grep -E '(.*?)' README.md", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    assert re.findall(pattern, README, re.MULTILINE) == find_lines("python3 -m venv ")[1:]


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shm.write_image("photo.jpg", torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0)))
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    with Image.open("cutout.png") as cutout, Image.open("green.jpg") as green:
        assert (cutout.mode, cutout.size) == ("RGBA", (53, 37))
        assert (green.mode, green.size) == ("RGB", (53, 37))


def test_the_first_block_is_five_lines() -> None:
    assert len(blocks("python")[0].strip().splitlines()) == 5


@pytest.mark.parametrize("line", find_lines("python -m shm "))
def test_the_command_line_takes_what_the_readme_shows(line: str) -> None:
    arguments = shlex.split(line.removeprefix("python -m shm "))
    parsed = build_parser(with_training=arguments[0] == "train").parse_args(arguments)
    assert callable(parsed.run)


def test_options_named_in_sentences_exist() -> None:
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help"}
    known = {option for line in find_lines("") for option in re.findall(r"--[a-z][a-z-]+", line)}
    assert shown <= known, "an option that no example shows"


def test_the_table_of_presets_is_that_of_the_code() -> None:
    expected = [
        f"| `{name}` | {preset.backbone} | {preset.license} | {'yes' if preset.commercial_use else 'no'} | {preset.megabytes:g} |"
        for name, preset in shm.PRESETS.items()
    ]
    table = README[README.index("| preset | backbone | license | commercial use | MB |") :].split("\n\n")[0]
    assert table.splitlines()[2:] == expected


def test_the_tree_is_that_of_the_files() -> None:
    listed: dict[str, set[str]] = {"": set()}
    block = re.search(r"```tree\n(.*?)```", CONTRIBUTING, re.DOTALL)[1]
    parents: list[str] = []
    for line in block.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        parents[depth:] = [name]
        listed.setdefault("".join(parents[:depth]), set()).add(name)
    for parent, names in listed.items():
        found = {path.name + "/" * path.is_dir() for path in (ROOT / parent).iterdir() if not is_ignored(path.name)}
        assert names == found, parent or "top level"


def test_every_room_has_its_tests() -> None:
    rooms = {path.stem for path in (ROOT / "shm").glob("[!_]*.py")} | {"app", "training"}
    assert {room for room in rooms if not (ROOT / "tests" / f"test_{room}.py").is_file()} == set()


@pytest.mark.parametrize("page", [path for path in find_texts() if path.suffix == ".md"], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    links += re.findall(r'src="(?!https?:)([^"]+)', page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_space_is_what_the_project_is() -> None:
    space = metadata_load(ROOT / "README.md")
    assert space["sdk"] == "gradio" and f"gradio=={space['sdk_version']}\n" in REQUIREMENTS
    assert space["python_version"] == "3.12" and 'python_version >= "3.12"' in REQUIREMENTS
    assert (ROOT / space["app_file"]).is_file()
    assert space["license"] == PROJECT["license"].lower() and space["short_description"] == PROJECT["description"]
    assert len(space["short_description"]) <= 60
    assert {space["colorFrom"], space["colorTo"]} <= {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_the_chinese_readme_says_the_same() -> None:
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    english = README[README.index("# Semantic Human Matting") :]
    for pattern in (r"(?s:```\w+\n.*?```)", r"(?<=src=\")[^\"]+", r"^\| `?[\w-]+`? \|.*\d \|$", r"\]\((?!README)[^)]+"):
        assert re.findall(pattern, chinese, re.MULTILINE) == re.findall(pattern, english, re.MULTILINE), pattern
    for pattern in (r"^#+ ", r"^- ", r"^\d\. ", r"^\|"):
        assert len(re.findall(pattern, chinese, re.MULTILINE)) == len(re.findall(pattern, english, re.MULTILINE)), pattern


def test_the_two_copies_of_the_space_block_agree() -> None:
    assert README.startswith("---\n" + (ROOT / ".huggingface/space.yaml").read_text(encoding="utf-8") + "---\n")


def test_the_changelog_starts_with_this_version() -> None:
    assert re.search(r"^## (\S+),", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1] == shm.__version__


def test_requirements_name_no_index() -> None:
    assert not re.search(r"^\s*-|://", REQUIREMENTS, re.MULTILINE)


@pytest.mark.parametrize("text", find_texts(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_texts_speak_of_the_project_alone(text: Path) -> None:
    forbidden = re.compile(r"(?<![\w.])/([w]ork|[r]oot|[h]ome|[o]pt)/|\bTO[D]O\b|\bFIX[M]E\b|\bX[X]X\b")
    lines = text.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if forbidden.search(line)] == []


def test_every_example_photograph_says_where_it_is_from() -> None:
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == {path.name for path in (ROOT / "examples").glob("*.jpg")}
