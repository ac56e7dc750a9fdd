"""Editing: what a person may ask for once a matte is there, in one go each: edits of the cut-out, and the scene around it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from shm.backgrounds import draw_background
from shm.compositing import blur_background, composite, cutout, fit_background, make_gradient, parse_color
from shm.edges import feather, keep_connected, shift_edge
from shm.filters import enlarge_part
from shm.matte import ChoiceError, Matte, check
from shm.people import People, choose_people
from shm.placement import match_color, place_person

KINDS = ("transparent", "color", "gradient", "blur", "gallery", "picture")
"""What can be behind people."""

LOOKS: Mapping[str, str | None] = MappingProxyType({
    "composite": None, "checkerboard": None, "black": "#000000", "white": "#ffffff", "green": "#00b140", "alpha": None,
})  # fmt: skip
"""Ways to look at a cut-out, each with its color if it has one."""


@dataclass(frozen=True)
class Edits:
    """Edits of a cut-out; the defaults leave it as it is.

    Attributes:
        persons: numbers of those who stay; None keeps all.
        shift: of the edge, in pixels of the photograph, -10 to 10; positive makes people larger.
        feather: radius in pixels of the photograph, 0 to 30.
        clean: use the foreground color; False keeps the photograph's own, old background in the hair included.
        connected: drop the parts that hang together with no person.
    """

    persons: tuple[int, ...] | None = None
    shift: float = 0.0
    feather: float = 0.0
    clean: bool = True
    connected: bool = False


@dataclass(frozen=True)
class Scene:
    """What is behind people, and how they stand in it; placement, shadow and light need something behind them.

    Attributes:
        kind: one of `KINDS`.
        color, bottom: "#rrggbb": of "color"; "gradient" goes from `color` at the top to `bottom`.
        blur_fraction: standard deviation of "blur" as a fraction of the longer side, above 0.
        name: of "gallery", a key of `shm.backgrounds.SCENES`.
        picture: (1, 3, h, w) of "picture".
        scale, right, down: size of the people, and how far they move as fractions of width and height.
        color_match, shadow_opacity: 0 to 1.
    """

    kind: str = "transparent"
    color: str = "#ffffff"
    bottom: str = "#000000"
    blur_fraction: float = 0.02
    name: str = "studio"
    picture: torch.Tensor | None = None
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    color_match: float = 0.0
    shadow_opacity: float = 0.0


def edit_matte(matte: Matte, edits: Edits, people: People | None = None, *, scale: float = 1.0) -> Matte:
    """Return a matte with its cut-out edited; no network runs.

    Args:
        matte: whole, or reduced to what a screen shows.
        edits: what is asked for.
        people: who is there, from `find_people`; needed where `edits.persons` names some.
        scale: size of this matte beside the photograph's, as edits are in pixels of the photograph.

    Returns:
        a matte with another alpha and foreground; with the defaults the same.

    Raises:
        ValueError: people are named but not given, or as the functions of `shm.edges` and `shm.people`.
    """
    alpha = matte.alpha
    if edits.persons is not None:
        if people is None:
            raise ValueError(f"people: expected those of the photograph, as persons are named: {edits.persons}, got None")
        alpha = choose_people(alpha, people, edits.persons)
    if edits.connected:
        alpha = keep_connected(alpha)
    alpha = feather(shift_edge(alpha, edits.shift * scale), edits.feather * scale)
    return replace(matte, alpha=alpha, foreground=matte.foreground if edits.clean else matte.image)


def make_background(matte: Matte, scene: Scene) -> torch.Tensor | None:
    """Return what is behind the people of a matte: a color (1, 3, 1, 1), a picture (1, 3, h, w), or None, nothing.

    Raises:
        ValueError: an unknown kind or name, no color, a blur that is not above 0, or no picture where one is asked for.
    """
    if scene.kind == "transparent":
        return None
    if scene.kind == "color":
        return parse_color(scene.color)
    if scene.kind == "gradient":
        return make_gradient(parse_color(scene.color), parse_color(scene.bottom), tuple(matte.image.shape[-2:]))
    if scene.kind == "blur":
        return blur_background(matte.image, matte.alpha, strength_fraction=scene.blur_fraction)
    if scene.kind == "gallery":
        return draw_background(scene.name)
    if scene.kind != "picture":
        message = f'kind: expected one of {", ".join(KINDS)}, got "{scene.kind}"'
        raise ChoiceError("not_among", message, name="kind", known=", ".join(KINDS), got=scene.kind)
    if scene.picture is None:
        raise ValueError("picture: expected (1, 3, h, w), got None")
    return scene.picture


def compose(matte: Matte, scene: Scene) -> torch.Tensor:
    """Return the people of a matte in a scene.

    Returns:
        (1, 3, H, W) in the depth of the photograph; (1, 4, H, W), the cut-out, where nothing is behind them.

    Raises:
        ValueError: as `make_background` and `shm.placement.place_person`.
    """
    background = make_background(matte, scene)
    if background is None:
        return cutout(matte)
    return place_person(
        matte.foreground,
        matte.alpha,
        background,
        scale=scene.scale,
        shift=(scene.right, scene.down),
        shadow_opacity=scene.shadow_opacity,
        color_match=scene.color_match,
    )


def edit_part(matte: Matte, small: Matte, kept: torch.Tensor, edits: Edits, part: tuple[slice, slice]) -> Matte:
    """Return a part of `edit_matte(matte, edits, people)`, without working on the rest of the photograph.

    Args:
        matte: whole.
        small: the same reduced.
        kept: (1, 1, h, w), what `edits.persons` and `edits.connected` leave of the alpha of `small`.
        edits: as in `edit_matte`.
        part: rows and columns of the photograph.

    Returns:
        a matte with image, alpha and foreground of the part.

    Raises:
        ValueError: as `edit_matte`.
    """
    size, reach = tuple(matte.alpha.shape[-2:]), math.ceil(abs(edits.shift) + 1.5 * edits.feather)
    grown = tuple(slice(max(0, side.start - reach), min(full, side.stop + reach)) for side, full in zip(part, size))
    near = replace(matte, **{name: getattr(matte, name)[..., *grown] for name in ("image", "alpha", "foreground")})
    if kept is not small.alpha:
        share = torch.where(small.alpha > 0, kept / small.alpha.clamp(min=1e-6), 1.0).clamp(0, 1)
        near = replace(near, alpha=near.alpha * enlarge_part(share, size, *grown))
    near = edit_matte(near, replace(edits, persons=None, connected=False))
    inner = [slice(side.start - large.start, side.stop - large.start) for side, large in zip(part, grown)]
    return replace(near, **{name: getattr(near, name)[..., *inner] for name in ("image", "alpha", "foreground")})


def compose_part(near: Matte, small: Matte, scene: Scene, size: tuple[int, int], part: tuple[slice, slice]) -> torch.Tensor:
    """Return a part of the people in a scene and in its light, where they stood in the photograph: not moved, without shadow.

    Args:
        near: from `edit_part`.
        small: the whole, reduced and edited; what is behind the people is drawn at its size and enlarged.
        scene: as in `compose`.
        size: (height, width) of the photograph.
        part: rows and columns of it.

    Returns:
        as `compose`, of the part.

    Raises:
        ValueError: as `compose`.
    """
    background = make_background(small, scene)
    if background is None:
        return cutout(near)
    if background.shape[-2:] != (1, 1):
        background = check("background", fit_background(background, tuple(small.image.shape[-2:])), 3)
    whole = small.foreground, small.alpha
    foreground = match_color(near.foreground, near.alpha, background, strength=scene.color_match, whole=whole)
    if background.shape[-2:] != (1, 1):
        background = enlarge_part(background, size, *part)
    return composite(foreground, near.alpha, background)


def view_matte(matte: Matte, look: str) -> torch.Tensor:
    """Return a cut-out so that its edges can be judged.

    Args:
        matte: of the photograph.
        look: "black", "white" or "green", behind the people; "alpha", alone; or "checkerboard", which is left to the screen:
            the cut-out.

    Returns:
        (1, 3, H, W), (1, 1, H, W) or (1, 4, H, W).

    Raises:
        ValueError: another look; "composite" is for `compose`.
    """
    if look == "alpha":
        return matte.alpha
    if look == "checkerboard":
        return cutout(matte)
    if LOOKS.get(look) is None:
        message = f'look: expected "alpha", "checkerboard", "black", "white" or "green", got "{look}"'
        raise ChoiceError("not_among", message, name="look", known=", ".join(LOOKS), got=look)
    return composite(matte.foreground, matte.alpha, parse_color(LOOKS[look]))
