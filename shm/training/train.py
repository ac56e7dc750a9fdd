"""Training: one program for both networks, on any device, resumable, repeatable under a seed.

Stage "segmenter" fine-tunes the branches of the three-class T-Net on labelled photographs and composites; stage "head" trains the
matting head, in the place of the M-Net, on composites whose alpha is known; stage "joint" then trains the two end to end (Chen et al.,
Semantic Human Matting, ACM MM 2018, section 4). Stage "presence" teaches a segmenter alone whether anybody is there, which the end to
end stage forgets, and stage "tones" that this does not depend on a photograph's colors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from shm.matte import CheckpointError
from shm.matting import fuse
from shm.pipeline import find_device
from shm.segmentation import Segmenter
from shm.training.dataset import TrainingSet, draw_head_batch, draw_joint_batch, read_set
from shm.training.losses import matting_loss, memory_loss, trimap_loss
from shm.training.mining import repeat_hard
from shm.training.networks import NEW_PART, find_training_precision, open_stage, save_stage
from shm.training.presence import list_pictures, list_tones, teach_presence, view_pictures
from shm.training.views import MEMORY, Views, view_set

PRESENCE_STAGES = ("presence", "tones")
"""Stages that train a segmenter's presence alone."""

SEGMENTER_STAGES = ("segmenter", *PRESENCE_STAGES)
"""Stages that train a segmenter alone."""

VALIDATION = 2**32
"""Batches of this number and after are for validation; training never comes so far."""

TRIMAP_WEIGHT = 0.5
"""Weight of the trimap's cross entropy beside the loss of alpha, end to end: more than the paper's 0.01, as half of the pictures
have nothing else to learn from."""

AHEAD = 2
"""Batches that are drawn, each by a thread of its own, while the network learns from an earlier one."""

SMALLEST = {"steps": 1, "batch": 1, "side": 32, "warmup": 0, "made_layers": 0, "views": 2, "hardest": 0, "seed": 0}
SMALLEST |= {"learning_rate": 0.0, "ema": 0.0}
"""The smallest value that a field of a configuration may have."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a run does; written beside its weights.

    Attributes:
        stage: "segmenter", "head", "joint", "presence" or "tones".
        data: folder of the training set.
        init: folder of the weights to start from; empty for a head that starts from random ones.
        segmenter: preset or folder of the one whose trimaps the head learns from, beside drawn ones, empty for none; in the stage
            "joint" the folder of the one that learns with it.
        steps: optimizer steps in all.
        batch: pictures a step.
        side: of the training pictures, in pixels; for a segmenter a multiple of 32.
        learning_rate: at its highest; it falls to a hundredth along a cosine.
        warmup: steps until it is reached; in these only the segmenter's classifier learns (Kumar et al., Fine-Tuning can Distort
            Pretrained Features and Underperform Out-of-Distribution, ICLR 2022).
        ema: decay of the averaged weights, which are the ones that are exported.
        made_layers: layers made from labelled photographs before training starts.
        views: pictures that the segmenter sees, once each in a run or its resumption, and learns from over and over.
        hardest: how many of the backgrounds, those that the initial segmenter takes for people most, the segmenter sees oftener.
        seed: of everything that is drawn.
        device, precision: as in `shm.load`, where empty takes the best; not float16 (`find_training_precision`).

    Raises:
        ValueError: a field that is not as above.
    """

    stage: str
    data: str
    init: str = ""
    segmenter: str = ""
    steps: int = 4000
    batch: int = 8
    side: int = 320
    learning_rate: float = 1e-3
    warmup: int = 100
    ema: float = 0.998
    made_layers: int = 600
    views: int = 12000
    hardest: int = 0
    seed: int = 1
    device: str = ""
    precision: str = ""

    def __post_init__(self) -> None:
        for name, smallest in SMALLEST.items():
            if not getattr(self, name) >= smallest:
                raise ValueError(f"{name}: expected at least {smallest}, got {getattr(self, name)}")
        if self.segmenter and self.stage in SEGMENTER_STAGES:
            raise ValueError(f"segmenter: expected none for the stage {self.stage}, got {self.segmenter}")
        if self.stage == "joint" and not (self.segmenter and self.init):
            got = f"{self.init!r} and {self.segmenter!r}"
            raise ValueError(f"init, segmenter: expected both, a head and a segmenter, for the stage joint, got {got}")
        if self.ema >= 1:
            raise ValueError(f"ema: expected less than 1, got {self.ema}")
        if self.stage in SEGMENTER_STAGES and not self.init:
            raise ValueError("init: expected the folder of a TrimapNetwork for the segmenter, got none")
        if self.stage == "segmenter" and self.side % Segmenter.MULTIPLE:
            raise ValueError(f"side: expected a multiple of {Segmenter.MULTIPLE} for the segmenter, got {self.side}")
        find_training_precision(self.precision, find_device(self.device or None))


def compute_loss(network: nn.Module, batch: dict[str, torch.Tensor], config: TrainingConfig) -> torch.Tensor:
    """Return the loss of a stage for a batch."""
    if config.stage == "segmenter":
        logits = network.classifier(network.semantic(batch["deep"]))
        return trimap_loss(logits, batch["target"]) + MEMORY * memory_loss(logits, batch["said"], batch["target"])
    if config.stage == "head":
        return fused_loss(network(batch["image"], batch["probabilities"]), batch["probabilities"], batch)
    # the composites come first; of the labelled photographs behind them nobody knows alpha
    logits, probabilities, alpha_r = network(batch["image"], len(batch["alpha"]))
    return fused_loss(alpha_r, probabilities, batch) + TRIMAP_WEIGHT * trimap_loss(logits, batch["target"])


def fused_loss(alpha_r: torch.Tensor, probabilities: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return `matting_loss` of the head's opacity and the trimap (B, 3, H, W) that it is fused with."""
    fused = fuse(probabilities, alpha_r)
    unknown = probabilities[:, 2:].detach()  # the trimap is not to become small where alpha is hard
    return matting_loss(fused, alpha_r, batch["alpha"], unknown, batch["foreground"], batch["background"])


def draw_batch(
    data: TrainingSet | Views, config: TrainingConfig, step: int, segmenter: Segmenter | None = None
) -> dict[str, torch.Tensor]:
    """Draw the batch of a step, the same whenever it is asked for; `segmenter` serves the head."""
    rng = np.random.default_rng((config.seed, step))
    if isinstance(data, Views):
        return data.draw_batch(rng, batch=config.batch, held=step >= VALIDATION)
    if config.stage == "joint":
        return draw_joint_batch(rng, data, batch=config.batch, side=config.side)
    return draw_head_batch(rng, data, batch=config.batch, side=config.side, segmenter=segmenter)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the rate of a step: a linear warm-up, then a cosine down to a hundredth.

    >>> config = TrainingConfig("head", "data", steps=100, warmup=10, learning_rate=1.0)
    >>> [round(learning_rate(config, step), 2) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.51, 0.01]
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


class Trainer:
    """A network, its average, its optimizer, and where they are kept.

    Args:
        config: of the run.
        out: folder for checkpoint.pt, config and the exported weights; a checkpoint found there is resumed.
        data: what to draw from.

    Raises:
        CheckpointError: the checkpoint found there is damaged or of another run, or the initial weights cannot be opened.
    """

    def __init__(self, config: TrainingConfig, out: Path, data: TrainingSet) -> None:
        self.config, self.out, self.data = config, out, data
        self.device = find_device(config.device or None)
        self.precision = find_training_precision(config.precision, self.device)
        torch.manual_seed(config.seed)
        shown = config.segmenter and config.stage == "head"
        self.segmenter = Segmenter.from_pretrained(config.segmenter) if shown else None
        network = open_stage(config.stage, config.init, config.segmenter)
        self.network = network.to(device=self.device, memory_format=torch.channels_last)
        if config.stage == "segmenter":
            place = {"device": self.device, "precision": self.precision}
            data = repeat_hard(data, self.network, config.hardest, **place) if config.hardest else data
            self.data = view_set(self.network, data, count=config.views, side=config.side, seed=config.seed, **place)
        # end to end the head's batch normalization keeps its statistics
        self.network.train(config.stage == "head")
        self.average = deepcopy(self.network).eval()
        learnt = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        waiting = {name for name in learnt if config.stage == "segmenter" and not name.startswith(NEW_PART)}
        self.waiting = [weight for name, weight in learnt.items() if name in waiting]
        self.optimizer = torch.optim.AdamW(learnt.values(), lr=config.learning_rate, weight_decay=1e-4)
        self.step = 0
        self.pool, self.drawn = ThreadPoolExecutor(AHEAD), {}
        self.checkpoint = out / "checkpoint.pt"
        if self.checkpoint.exists():
            self.resume()

    def resume(self) -> None:
        """Go on from the checkpoint."""
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            if state["config"] != asdict(self.config):
                raise CheckpointError("other_run", f"{self.checkpoint}: expected one of this configuration, got another's")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
        except (OSError, EOFError, KeyError, UnpicklingError, RuntimeError) as error:
            if isinstance(error, CheckpointError):
                raise
            sentence = f"{self.checkpoint}: expected a checkpoint of this network, got: {str(error).partition(chr(10))[0]}"
            raise CheckpointError("unreadable", sentence) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def save(self) -> None:
        """Write the checkpoint and the averaged weights, in float16 and laid out as a hub repository."""
        state = {"config": asdict(self.config), "step": self.step, "network": self.network.state_dict()}
        state |= {"average": self.average.state_dict(), "optimizer": self.optimizer.state_dict()}
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)
        save_stage(self.average, self.config.stage, self.out)

    def train_step(self) -> float:
        """Take one step and return its loss.

        Raises:
            RuntimeError: the gradient is not finite; the last checkpoint stays as it is.
        """
        for step in range(self.step, min(self.step + AHEAD, self.config.steps)):
            if step not in self.drawn:
                self.drawn[step] = self.pool.submit(draw_batch, self.data, self.config, step, self.segmenter)
        batch = {name: tensor.to(self.device) for name, tensor in self.drawn.pop(self.step).result().items()}
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        for weight in self.waiting:  # what it knew is not shaken by a classifier that still knows nothing
            weight.requires_grad_(self.step >= self.config.warmup)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            loss = compute_loss(self.network, batch, self.config)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, error_if_nonfinite=True)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values()):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def validate(self, batches: int = 6) -> float:
        """Return the averaged network's loss, in float32, on batches that training never draws, of the same people."""
        losses = []
        for number in range(batches):
            batch = draw_batch(self.data, self.config, VALIDATION + number, self.segmenter)
            batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
            losses.append(compute_loss(self.average, batch, self.config).item())
        return float(np.mean(losses))


def train_presence(config: TrainingConfig, out: Path, data: TrainingSet) -> float:
    """Teach a segmenter whether anybody is there, or that tones do not matter for that; write the segmenter; nothing is resumed.

    Returns:
        the loss at the end.

    Raises:
        CheckpointError: the initial weights cannot be opened.
        FileNotFoundError: the training set shows nobody, or nothing but people.
    """
    device = find_device(config.device or None)
    torch.manual_seed(config.seed)
    network = open_stage(config.stage, config.init, "")
    if config.stage == "presence":
        network.add_presence()
        pictures, there, remembered = *list_pictures(data, seed=config.seed), 0
    else:
        pictures, there, remembered = list_tones(data, seed=config.seed)
    network.to(device=device, memory_format=torch.channels_last).eval()
    if not 0 < there.sum() < len(there):
        sentence = "expected people in labelled/ or somebody/, and pictures without any in background/"
        raise FileNotFoundError(f"{config.data}: {sentence}")
    precision = find_training_precision(config.precision, device)
    views = view_pictures(network, pictures, side=config.side, device=device, precision=precision)
    settings = {"steps": config.steps, "batch": config.batch, "learning_rate": config.learning_rate, "seed": config.seed}
    loss = teach_presence(network.presence, views, there, remembered=remembered, **settings)
    save_stage(network, "segmenter", out)
    return loss


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of the configuration."""
    stages, what = ("segmenter", "head", "joint", "presence", "tones"), "what to train; the last two resume nothing"
    parser.add_argument("stage", choices=stages, help=what)
    parser.add_argument("data", help="folder of the training set, laid out as shm/training/dataset.py says")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder for weights and checkpoint, which is resumed")
    parser.add_argument("--save-every", type=int, default=250, help="steps between checkpoints (default: %(default)s)")
    for field in fields(TrainingConfig)[2:]:
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=type(field.default), default=field.default, help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Train as the arguments say, reporting on stderr; returns the exit code.

    Raises:
        OSError, ImageError, CheckpointError: the training set, the initial weights or the folder of the run cannot be used.
    """
    try:
        config = TrainingConfig(**{field.name: getattr(arguments, field.name) for field in fields(TrainingConfig)})
        if arguments.save_every < 1:
            raise ValueError(f"save_every: expected at least 1, got {arguments.save_every}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = read_set(Path(config.data), seed=config.seed, made_layers=config.made_layers)
    shown = data.layers or data.cutouts or (config.stage == "segmenter" and data.photographs)
    if config.stage not in PRESENCE_STAGES and not shown:
        raise FileNotFoundError(f"{config.data}: expected labelled people or cut-outs for the stage {config.stage}, got neither")
    sizes = f"{len(data.photographs)} labelled, {len(data.layers)} layers, "
    sizes += f"{len(data.cutouts)} cut-outs, {len(data.backgrounds)} backgrounds, {len(data.somebody)} of somebody"
    print(sizes, file=sys.stderr, flush=True)
    record = json.dumps(asdict(config) | {"set": sizes}, indent=2) + "\n"
    if config.stage in PRESENCE_STAGES:
        loss = train_presence(config, arguments.out, data)
        (arguments.out / "training.json").write_text(record)
        print(f"step {config.steps} loss {loss:.4f}", file=sys.stderr, flush=True)
        return 0
    trainer = Trainer(config, arguments.out, data)
    (arguments.out / "training.json").write_text(record)
    losses, start = [], time.perf_counter()
    while trainer.step < config.steps:
        losses.append(trainer.train_step())
        if trainer.step % arguments.save_every == 0 or trainer.step == config.steps:
            trainer.save()
            pace = config.batch * len(losses) / (time.perf_counter() - start)
            line = f"step {trainer.step} loss {np.mean(losses):.4f} validation {trainer.validate():.4f} {pace:.1f} pictures/s"
            print(line, file=sys.stderr, flush=True)
            losses, start = [], time.perf_counter()
    return 0
