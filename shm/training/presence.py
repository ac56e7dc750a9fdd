"""What the segmenter's presence learns from: whole pictures, each seen once by the rest of the network, which stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shm.filters import fit_size, resize
from shm.matte import to_depth
from shm.segmentation import Segmenter
from shm.training.dataset import LAYER_SIDE, TrainingSet, certain_person, draw_layers
from shm.training.synthesis import draw_composite, shift_tone
from shm.trimap_network import Presence

LEAST, VISIBLE, OPAQUE = 0.005, 0.02, 0.9
"""Share of a labelled photograph and of a composite that a person fills at least, for somebody to be there; and the alpha above which
a composite's counts."""

ENOUGH, SMALLEST = 0.1, 0.35
"""Share of a part that a person fills at least, and how long a part is at least, relative to the picture."""

TRIES = 8
"""Parts of a picture that are drawn at most until enough of the person is left in one."""

SCALES = (0.8, 1.0)
"""Sizes at which pictures are seen, in turn, relative to the side that is asked for."""

COPIES = 2
"""How many copies in other tones come with a picture."""

MEMORY = 0.02
"""Weight of the squared distance from what a presence said before, beside the cross entropy."""


def list_pictures(data: TrainingSet, *, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the photographs (3, H, W) in which somebody is, then those of nobody; and a float 1 or 0 for each.

    What fills the frame is what is taken for a person: so each of those of nobody comes whole and in part, and so does each
    labelled person of whom enough is left. Where in the others somebody is nobody knows: they come whole. There are as many
    composites as labelled photographs, where there is something to make them of.

    Args:
        data: where from.
        seed: of parts and composites.
    """
    rng = np.random.default_rng(seed)
    people, nobody = [], []
    for image, label in data.photographs:
        person = certain_person(label)
        if person.mean() >= LEAST:
            people += [image, *cut_person(rng, image, person)]
    people += data.somebody
    for _ in range(len(data.photographs) if data.layers or data.cutouts else 0):
        composite, alpha, _, _ = draw_composite(rng, draw_layers(rng, data), data.backgrounds, LAYER_SIDE)
        if (alpha > OPAQUE).float().mean() >= VISIBLE:
            people.append(to_depth(composite[0], torch.uint8))
    for image in data.backgrounds:
        nobody += [image, image[:, *cut_part(rng, image)]]
    return people + nobody, (torch.arange(len(people) + len(nobody)) < len(people)).float()


def list_tones(data: TrainingSet, *, seed: int) -> tuple[list[torch.Tensor], torch.Tensor, int]:
    """Return photographs (3, H, W) of somebody and of nobody, then `COPIES` copies of each in other tones; a float 1 or 0 for
    each; and how many come first, as they are.

    A photograph in black and white shows whom it showed. Of those of nobody half come in part.

    Args:
        data: where from.
        seed: of parts and tones.
    """
    rng = np.random.default_rng(seed)
    plain = [image for image, label in data.photographs if certain_person(label).mean() >= LEAST] + data.somebody
    people = len(plain)
    plain += [image[:, *cut_part(rng, image)] if rng.random() < 0.5 else image for image in data.backgrounds]
    pictures = plain + [shift_tone(rng, image) for _ in range(COPIES) for image in plain]
    return pictures, (torch.arange(len(plain)) < people).float().repeat(1 + COPIES), len(plain)


def cut_person(rng: np.random.Generator, image: torch.Tensor, person: torch.Tensor) -> list[torch.Tensor]:
    """Return a part of an image (3, H, W) in which enough of a person, 1 in (H, W), is left, or none if none is found."""
    for _ in range(TRIES):
        part = cut_part(rng, image)
        if person[part].mean() >= ENOUGH:
            return [image[:, *part]]
    return []


def cut_part(rng: np.random.Generator, image: torch.Tensor) -> tuple[slice, slice]:
    """Return rows and columns of a part of an image (3, H, W), between `SMALLEST` and all of its height and width."""
    lengths = [max(1, round(length * rng.uniform(SMALLEST, 1.0))) for length in image.shape[-2:]]
    starts = [int(rng.integers(whole - length + 1)) for whole, length in zip(image.shape[-2:], lengths)]
    return tuple(slice(start, start + length) for start, length in zip(starts, lengths))


@torch.no_grad()
def view_pictures(
    network: nn.Module, pictures: list[torch.Tensor], *, side: int, device: torch.device, precision: torch.dtype
) -> list[torch.Tensor]:
    """Return what a network's presence would see in each picture, (1, C, h, w) float16, of `side` pixels or some less."""
    views = []
    for number, picture in enumerate(pictures):
        size = fit_size(*picture.shape[-2:], round(side * SCALES[number // 2 % 2]), Segmenter.MULTIPLE)
        image = resize(picture[None].to(device).float() / 255, size) * 2 - 1
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            views.append(network.see(image).half())
    return views


def teach_presence(
    presence: Presence,
    views: list[torch.Tensor],
    there: torch.Tensor,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    remembered: int = 0,
) -> float:
    """Train a presence on what it sees in pictures, in place, and return the mean loss of the last hundred steps.

    Half of what is drawn shows somebody, however few they are: a person who is lost is worse than a thing that is not. Every member
    is judged by itself. Half of the time what is seen comes mirrored, which is nearly what would be seen in the mirror image.

    Args:
        presence: of a `TrimapNetwork`.
        views: as `view_pictures` returns them.
        there: (N,), 1 where somebody is.
        steps, batch, learning_rate, seed: as in `TrainingConfig`; the rate falls to nothing along a cosine.
        remembered: how many of the first views each member goes on judging nearly as it does now.
    """
    with torch.no_grad():
        before = [presence.judge(view.float()) for view in views[:remembered]]
    torch.manual_seed(seed)
    rng, losses = np.random.default_rng(seed), []
    optimizer = torch.optim.AdamW(presence.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    groups = [np.flatnonzero(there.cpu() == value) for value in (1, 0)]
    shapes = [view.shape for view in views]
    for _ in range(steps):
        drawn = sorted(np.concatenate([rng.choice(group, (batch + 1) // 2) for group in groups]), key=shapes.__getitem__)
        said = []
        for _, alike in groupby(drawn, shapes.__getitem__):
            seen = torch.cat([views[number] for number in alike]).float()
            said.append(presence.judge(seen.flip(-1) if rng.random() < 0.5 else seen))
        said = torch.cat(said)
        loss = functional.binary_cross_entropy_with_logits(said, there[drawn, None].to(said).expand_as(said))
        known = [number for number in drawn if number < remembered]
        if known:
            change = said[[number < remembered for number in drawn]] - torch.cat([before[number] for number in known])
            loss = loss + MEMORY * change.square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(presence.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses[-100:]))


@torch.no_grad()
def join_members(chosen: Sequence[tuple[Presence, int]]) -> Presence:
    """Return a presence made of members of others.

    Args:
        chosen: for each member, whose it is and its number there; all of one shape.
    """
    first, channels = chosen[0][0], chosen[0][0].judges[0][0].out_features
    joined = Presence(first.signs[0].in_channels, channels=channels, members=len(chosen))
    for place, (presence, number) in enumerate(chosen):
        for layer, width in ((0, 2 * channels), (2, channels)):
            for name, weight in joined.signs[layer].named_parameters():
                own = presence.signs[layer].get_parameter(name)[number * width : (number + 1) * width]
                weight[place * width : (place + 1) * width] = own
        joined.judges[place].load_state_dict(presence.judges[number].state_dict())
    return joined
