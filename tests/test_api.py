"""The public surface: complete, documented, typed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pytest

import shm
import shm.metrics

ROOMS = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(shm.__path__, "shm.")
    if not found.name.endswith("__main__")
]


def find_public() -> Iterator[tuple[str, type | Callable]]:
    """Yield every function, class and method whose name and room are public, with its dotted name."""
    for room in ROOMS:
        for name, thing in vars(room).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != room.__name__:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{room.__name__}.{name}", thing
            if inspect.isclass(thing):
                for method_name, method in vars(thing).items():
                    method = getattr(method, "__func__", method)  # what a classmethod wraps
                    if inspect.isfunction(method) and not method_name.startswith("_"):
                        yield f"{room.__name__}.{name}.{method_name}", method


PUBLIC = dict(find_public())
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}


def test_all_is_sorted_and_there() -> None:
    """Constants, then classes, then functions and rooms."""
    assert shm.__all__ == sorted(shm.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert [name for name in shm.__all__ if not hasattr(shm, name)] == []


def test_all_is_complete() -> None:
    public = {name for name, thing in vars(shm).items() if not name.startswith("_") and not inspect.ismodule(thing)}
    assert public | {"metrics"} == set(shm.__all__)


def test_the_promised_surface_is_there() -> None:
    assert {"load", "read_image", "write_image", "cutout", "composite", "metrics", "PRESETS", "Matte"} <= set(shm.__all__)
    assert {"preset", "device", "precision"} <= set(inspect.signature(shm.load).parameters)
    assert {"stream", "__call__"} <= set(vars(shm.HumanMatting))
    fields = [field.name for field in dataclasses.fields(shm.Matte)]
    assert fields == ["image", "probabilities", "labels", "class_names", "alpha", "foreground", "report"]
    assert list(inspect.signature(shm.composite).parameters) == ["foreground", "alpha", "background"]
    assert issubclass(shm.ImageError, ValueError) and issubclass(shm.CheckpointError, RuntimeError)


@pytest.mark.parametrize("name", ["sad", "mad", "mse", "grad", "conn"])
def test_metrics_take_pred_and_true_in_this_order(name: str) -> None:
    signature = inspect.signature(getattr(shm.metrics, name))
    assert list(signature.parameters)[:3] == ["pred", "true", "region"]
    assert signature.parameters["region"].default is None
    assert signature.return_annotation == "float"


def test_the_search_finds_functions_classes_and_methods() -> None:
    assert {"shm.trimap.soft_trimap", "shm.matte.Matte", "shm.pipeline.HumanMatting.stream"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_is_documented(name: str) -> None:
    first = (PUBLIC[name].__doc__ or "").split("\n\n")[0]
    assert first.endswith("."), f"{name}: expected a sentence, got {first!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_public_is_typed(name: str) -> None:
    signature = inspect.signature(FUNCTIONS[name])
    named = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    assert [parameter.name for parameter in named if parameter.annotation is parameter.empty] == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", [name for name, thing in CLASSES.items() if dataclasses.is_dataclass(thing)])
def test_every_field_of_a_record_is_documented(name: str) -> None:
    base = CLASSES[name].__mro__[1]  # whose fields are documented where it stands, perhaps in another library
    inherited = {field.name for field in dataclasses.fields(base)} if dataclasses.is_dataclass(base) else set()
    fields = [field.name for field in dataclasses.fields(CLASSES[name]) if field.name not in inherited | {"model_type"}]
    assert [field for field in fields if field not in CLASSES[name].__doc__] == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_rooms_say_what_they_are(room: object) -> None:
    assert (room.__doc__ or "").strip() or room.__name__ == "shm.training"
