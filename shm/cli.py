"""The command line: python -m shm cutout | evaluate | presets | train."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from shm.compositing import parse_color, place_people
from shm.evaluation import Score, average_scores, evaluate, find_pairs, format_table
from shm.image_io import READABLE, find_images, read_image, write_image
from shm.matte import CheckpointError, ImageError, Matte
from shm.pipeline import HumanMatting, find_device, load
from shm.segmentation import MODELS, PRESETS
from shm.trimap import hard_trimap

CUTOUT = """\
Cut people out of photographs. Each becomes NAME.png, or NAME.webp with --webp, RGBA with straight alpha, at the photograph's
size; WebP is lossless here as well, smaller and slower.

OUT ending in .png or .webp takes one photograph. Any other OUT is a folder, made if absent, where NAME is the photograph's name
without its ending; two that would share a NAME keep the ending (a.jpg.png, a.png.png). Outputs of an earlier run are replaced.
Of several photographs two are in memory at once: one is read or written while the networks work on another.

examples:
  python -m shm cutout photo.jpg -o cutout.png
  python -m shm cutout holiday/ -o cutouts/ --alpha --trimap
  python -m shm cutout photo.jpg -o portrait.png --background "#20639b"
  python -m shm cutout holiday/ -o beach/ --background beach.jpg --json
"""

EVALUATE = """\
Measure matting errors on photographs whose alpha is known: DIR/image/* and DIR/alpha/*.png of the same names.
Prints a line per photograph and one of means: SAD, MAD, MSE, Grad, Conn, MAD and MSE in the unknown band, IoU, seconds.

example: python -m shm evaluate pairs/ --preset segformer-b0 --json
"""

TRAIN = "Train a network, both end to end, or a segmenter's presence.\n\nexample: python -m shm train head data/ -o run/"
EXIT_CODES = "exit codes: 0 all done, 1 something failed (one line on stderr each), 2 wrong usage, 130 interrupted"

CUTOUT_ENDINGS = (".png", ".webp")
"""How the name of a cut-out may end."""

RECORD = ("photo", "output", "status", "error", "seconds", "device", "precision", "refined_fraction")
"""What `cutout --json` says of a photograph."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, by default the program's own arguments, and return its exit code.

    >>> main(["presets"])  # doctest: +ELLIPSIS
    name ...
    embedded ...
    0
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = build_parser(with_training=argv[:1] == ["train"]).parse_args(argv)
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # argparse has said what is wrong, or given help
        return end.code
    except KeyboardInterrupt:
        say("interrupted", sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read stdout has gone; without this Python would complain once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CheckpointError, ImageError, OSError) as error:
        say(f"error: {error}", sys.stderr)
        return 1


def build_parser(*, with_training: bool) -> argparse.ArgumentParser:
    """Return the parser of all commands; the arguments of `train` come with the training code, which is imported for them."""
    parser = argparse.ArgumentParser(prog="python -m shm", description="Semantic Human Matting.", epilog=EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable | None, text: str, summary: str) -> argparse.ArgumentParser:
        style = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=summary, description=text, formatter_class=style, epilog=EXIT_CODES)
        command.set_defaults(run=run, refuse=command.error)
        return command

    command = add("cutout", run_cutout, CUTOUT, "cut people out of photographs")
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a photograph, or a folder of them")
    endings = " or ".join(CUTOUT_ENDINGS)
    command.add_argument("-o", "--out", required=True, type=Path, metavar="OUT", help=f"a file ending in {endings}, or a folder")
    command.add_argument("--webp", action="store_true", help="in a folder, write NAME.webp instead of NAME.png")
    command.add_argument("--alpha", action="store_true", help="also write NAME.alpha.png, grey, 8 bit")
    command.add_argument("--trimap", action="store_true", help="also write NAME.trimap.png, grey: 0, 128 (unknown) or 255")
    background = said_by_argparse(lambda text: parse_color(text) if text.startswith("#") else text)
    summary = "write an opaque picture: the people on another picture, on a color, or on their own background, blurred"
    command.add_argument("--background", type=background, metavar="FILE|#rrggbb|blur", help=summary)
    add_model_arguments(command)
    command = add("evaluate", run_evaluate, EVALUATE, "measure matting errors where alpha is known")
    command.add_argument("folder", type=Path, metavar="DIR", help="folder with image/ and alpha/")
    add_model_arguments(command)
    command = add("presets", run_presets, "List the semantic models.", "list the semantic models, their licenses and sizes")
    command.add_argument("--json", action="store_true", help="one object per preset and line on stdout")
    command = add("train", None, TRAIN, "train one of the two networks, or both")
    if with_training:
        from shm.training import train

        train.add_arguments(command)
        command.set_defaults(run=train.run)
    return parser


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """Add what `cutout` and `evaluate` share."""
    command.add_argument("--preset", default="embedded", metavar="NAME", help="as `presets` lists them; or a model's folder")
    command.add_argument("--head", default=str(MODELS / "head"), metavar="FOLDER", help="folder of another matting head")
    device = said_by_argparse(lambda text: str(find_device(text)))
    command.add_argument("--device", type=device, metavar="D", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    command.add_argument("--json", action="store_true", help="one object per photograph and line on stdout")


def said_by_argparse(convert: Callable[[str], object]) -> Callable[[str], object]:
    """Return `convert` with its ValueError in argparse's own type, the only one whose sentence argparse repeats."""

    def wrapper(text: str) -> object:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapper


def run_cutout(arguments: argparse.Namespace) -> int:
    """Cut people out of photographs."""
    photos = find_photos(arguments.photos)
    files = [list_files(output, arguments) for output in name_outputs(photos, arguments.out, webp=arguments.webp)]
    refuse_outputs(arguments, photos, files)
    background = arguments.background
    if isinstance(background, str) and background != "blur":
        background = read_image(background)
    matting = load(arguments.preset, head=arguments.head, device=arguments.device)
    how = "{seconds:.1f} s on {device} in {precision}, {refined_fraction:.1%} refined at full size"
    with closing(cut_photos(matting, photos, files, background)) as records:
        return report(records, len(photos), "{photo} -> {output}: " + how, arguments.json)


def find_photos(sources: Sequence[Path]) -> list[Path]:
    """Return the photographs, each once, folders opened; a folder without any stays, so that `cut_photo` says what is wrong."""
    photos: dict[str, Path] = {}
    for source in sources:
        try:
            found = find_images(source) if os.path.isdir(source) else [source]
        except ImageError:
            found = [source]
        photos |= {os.path.abspath(photo): photo for photo in found}
    return list(photos.values())


def name_outputs(photos: Sequence[Path], out: Path, *, webp: bool = False) -> list[Path]:
    """Return where each cut-out goes.

    >>> [path.name for path in name_outputs([Path("a.jpg"), Path("a.png"), Path("b.jpg")], Path("cutouts"))]
    ['a.jpg.png', 'a.png.png', 'b.png']
    """
    if out.suffix.lower() in CUTOUT_ENDINGS:
        return [out for _ in photos]
    ending = ".webp" if webp else ".png"
    stems = Counter(photo.stem.casefold() for photo in photos)  # some file systems take A and a for one name
    return [out / f"{photo.stem if stems[photo.stem.casefold()] == 1 else photo.name}{ending}" for photo in photos]


def list_files(output: Path, arguments: argparse.Namespace) -> dict[str, Path]:
    """Return every file that one photograph gives, by what it holds; the cut-out last, as the sign that all are there."""
    beside = {name: output.with_suffix(f".{name}.png") for name in ("alpha", "trimap") if getattr(arguments, name)}
    return beside | {"cutout": output}


def refuse_outputs(arguments: argparse.Namespace, photos: Sequence[Path], files: Sequence[dict[str, Path]]) -> None:
    """End with a usage error where OUT does not suit, or an output would replace an input or another output."""
    out, background = arguments.out, arguments.background
    if out.suffix.lower() in CUTOUT_ENDINGS:
        if len(photos) > 1:
            arguments.refuse(f"OUT: expected a folder for several photographs, got the one file {out}")
        if arguments.webp and out.suffix.lower() != ".webp":
            arguments.refuse(f"--webp: expected OUT to be a folder or to end in .webp, got {out}")
    elif os.path.isfile(out) or (out.suffix.lower() in READABLE and not os.path.isdir(out)):
        arguments.refuse(f"OUT: expected a folder or a name ending in .png or .webp, got {out}")
    inputs = identify_files([*photos, *([background] if isinstance(background, str) else [])])
    for file, count in Counter(file for group in files for file in group.values()).items():
        if count > 1:
            arguments.refuse(f"OUT: expected a name of its own for every output, but {count} of them would be {file}")
        if identify_files([file]) & inputs:
            arguments.refuse(f"OUT: expected another place than the inputs, but {file} would be replaced")


def identify_files(paths: Sequence[Path | str]) -> set[tuple[int, int]]:
    """Return what tells those files that exist from all others, whatever the names that lead to them."""
    return {(status.st_dev, status.st_ino) for status in (os.stat(path) for path in paths if os.path.exists(path))}


def cut_photos(
    matting: HumanMatting, photos: Sequence[Path], files: Sequence[dict[str, Path]], background: torch.Tensor | str | None
) -> Iterator[dict]:
    """Yield what became of each photograph, in their order; one is read or written while the networks work on another.

    Closed early, it lets a photograph that is being written be written, waits for the networks, and begins nothing else.
    """
    networks, closed = threading.Lock(), threading.Event()

    def go_on() -> None:
        if closed.is_set():
            raise CancelledError

    @contextmanager
    def take_turn() -> Iterator[None]:
        with networks:
            go_on()
            yield
            go_on()

    def cut(photo: Path, files: dict[str, Path]) -> tuple[dict, str | None]:
        return cut_photo(matting, photo, files, background, take_turn)

    pool = ThreadPoolExecutor(2)  # as many photographs are in memory
    try:
        # One photograph needs no other thread, in which an interrupt would wait for the networks.
        for record, note in (map if len(photos) == 1 else pool.map)(cut, photos, files):
            if note:
                say(note, sys.stderr)
            yield record
    finally:
        closed.set()
        pool.shutdown(cancel_futures=True)


def cut_photo(
    matting: HumanMatting, photo: Path, files: dict[str, Path], background: torch.Tensor | str | None,
    take_turn: Callable[[], AbstractContextManager[None]],
) -> tuple[dict, str | None]:  # fmt: skip
    """Cut the people out of one photograph, in turn with others; write the files; return what became of it, and a note or None."""
    start, note = time.perf_counter(), None
    record = dict.fromkeys(RECORD) | {"photo": str(photo), "status": "failed"}
    try:
        if os.path.isdir(photo):
            find_images(photo)
        image, asked = read_image(photo), time.perf_counter()
        with take_turn():
            start += time.perf_counter() - asked  # while it waits, the time is another photograph's
            matte = matting(image)
        files["cutout"].parent.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            write_image(file, render(name, matte, background))
    except (ImageError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        record["error"] = (str(error) or "out of memory").removeprefix(f"{photo.name}: ")
    else:
        record |= {"output": str(files["cutout"]), "status": "done"}
        record |= {name: getattr(matte.report, name) for name in ("device", "precision", "refined_fraction")}
        if matte.alpha.max() < 0.5:
            note = f"note: {photo}: nobody found, the cut-out is empty"
    return record | {"seconds": round(time.perf_counter() - start, 3)}, note


def render(name: str, matte: Matte, background: torch.Tensor | str | None) -> torch.Tensor:
    """Return what a file holds: the alpha, the trimap, or the people, cut out or on a background."""
    if name == "alpha":
        return matte.alpha
    if name == "trimap":
        return hard_trimap(matte.probabilities, matte.image.shape[-2:])
    return place_people(matte, background)


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Measure matting errors where alpha is known."""
    total = len(find_pairs(arguments.folder))
    matting = load(arguments.preset, head=arguments.head, device=arguments.device)
    scores: list[Score] = []

    def describe(name: str, result: Score | ImageError) -> dict:
        if isinstance(result, ImageError):
            return {"photo": name, "error": str(result)}
        scores.append(result)
        return describe_score(result)

    records = (describe(name, result) for name, result in evaluate(matting, arguments.folder))
    code = report(records, total, "{photo}: MAD {mad:.3f}, {seconds:.1f} s", arguments.json)
    if scores and arguments.json:
        say(json.dumps(describe_score(average_scores(scores))), sys.stdout)
    elif scores:
        for line in format_table(scores, per_photo=True).splitlines():
            say(line, sys.stdout)
    return code


def describe_score(score: Score) -> dict:
    """Return a score as --json prints it, null where a metric has no value."""
    values = {name: None if value != value else value for name, value in vars(score).items()}  # nan alone differs from itself
    return {"photo": values.pop("name"), "error": None, **values}


def run_presets(arguments: argparse.Namespace) -> int:
    """List the semantic models."""
    names = ("backbone", "license", "commercial_use", "megabytes", "source", "revision")
    records = [{"name": key, **{name: getattr(preset, name) for name in names}} for key, preset in PRESETS.items()]
    if arguments.json:
        for record in records:
            say(json.dumps(record), sys.stdout)
        return 0
    rows = [("name", "backbone", "license", "commercial use", "MB", "where")]
    for name, backbone, license, commercial_use, megabytes, source, _ in map(dict.values, records):
        rows.append((name, backbone, license, "yes" if commercial_use else "no", f"{megabytes:g}", source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(map(str.ljust, row, widths)).rstrip(), sys.stdout)
    return 0


def report(records: Iterable[dict], total: int, line: str, as_json: bool) -> int:
    """Print records as they come: JSON if asked for, failures, `line` where there is no bar; return the exit code."""
    failed = 0
    with tqdm(total=total, unit="photo", disable=None if total > 1 else True) as bar:
        for number, record in enumerate(records, 1):
            if as_json:
                say(json.dumps(record), sys.stdout)
            if record["error"] is not None:
                failed += 1
                say("error: {photo}: {error}".format(**record), sys.stderr)
            elif bar.disable:
                say(f"[{number}/{total}] " + line.format(**record), sys.stderr)
            bar.update()
    return 1 if failed else 0


def say(text: str, file: TextIO) -> None:
    """Print one line at once, above the progress bar if there is one."""
    tqdm.write(text.replace("\n", " "), file=file)
    file.flush()
