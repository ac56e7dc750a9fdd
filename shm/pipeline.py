"""The order of the stages: photograph -> probabilities, labels -> alpha -> foreground."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch

from shm.filters import find_part, limit_size, resize, resize_image
from shm.foreground import estimate_foreground
from shm.matte import DEPTHS, Matte, Report, check, to_depth
from shm.matting import MattingHead, fuse
from shm.refinement import refine_alpha
from shm.segmentation import MODELS, Segmenter, SegmenterPreset
from shm.trimap import soft_trimap

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

DOUBTFUL, MARGIN, MULTIPLE = 0.05, 32, 32
"""How unknown a pixel is for the head to look at it, how far around such pixels it looks, and of what the sides of the part that it
sees are multiples, so that few shapes occur."""

FILLED, ENLARGED = 2 / 3, 2.0
"""How much of the head's side what is unknown is to fill, where the photograph has the pixels, as a person does who fills the height of
one of 3 : 2; and how many times as large as else the head sees a photograph for that at most."""


def load(
    preset: SegmenterPreset | str = "embedded",
    *,
    head: str = str(MODELS / "head"),
    device: str | None = None,
    precision: str | None = None,
) -> HumanMatting:
    """Open a semantic model and the matting head, ready for photographs.

    Args:
        preset: name in `PRESETS`, a `SegmenterPreset`, or the folder of a model fine-tuned from the embedded one.
        head: folder or hub repository of a matting head.
        device: "cpu", "cuda", "mps" or any torch device; None takes the best there is.
        precision: "float32", "bfloat16" or "float16"; None takes what is fast and safe on the device.

    Raises:
        CheckpointError: weights that cannot be found, opened or understood.
        ValueError: no such device here, or no such precision.
    """
    return HumanMatting(Segmenter.from_pretrained(preset), MattingHead.load(head), device=device, precision=precision)


class HumanMatting:
    """Cuts people out of photographs; holds the two networks on one device.

    Args:
        segmenter: image at working size -> class probabilities.
        head: image and soft trimap at detail size -> alpha_r.
        device, precision: as in `load`.
    """

    def __init__(
        self, segmenter: Segmenter, head: MattingHead, *, device: str | None = None, precision: str | None = None
    ) -> None:
        self.device = find_device(device)
        self.precision = find_precision(precision, self.device)
        placement = {"device": self.device, "memory_format": torch.channels_last}
        self.segmenter = segmenter.eval().to(**placement)
        self.segmenter.network.to(self.precision)
        self.head = head.eval().to(dtype=self.precision, **placement)

    def __call__(self, image: torch.Tensor) -> Matte:
        """Return everything there is to know about one photograph: the stream, gathered.

        Args:
            image: (1, 3, H, W), uint8, uint16, or floats in [0, 1] (which come to rest as uint16).

        Raises:
            TypeError, ValueError: another type, shape or range.
        """
        if isinstance(image, torch.Tensor) and image.dtype not in DEPTHS:
            image = to_depth(check("image", image, channels=3), torch.uint16)
        stages, fields = self.stream(image), {}
        while True:
            try:
                name, tensor = next(stages)
            except StopIteration as end:
                return Matte(image=image, class_names=self.segmenter.class_names, report=end.value, **fields)
            fields[name] = tensor

    @torch.no_grad()
    def stream(self, image: torch.Tensor) -> Generator[tuple[str, torch.Tensor], None, Report]:
        """Yield each field of the matte as soon as it is known: probabilities, labels, alpha, foreground.

        Args:
            image: (1, 3, H, W), uint8, uint16, or floats in [0, 1].

        Yields:
            (name, tensor) in this order, each once and final, on the image's device.

        Returns:
            the report; `report = yield from matting.stream(image)` reads it.

        Raises:
            TypeError, ValueError: another type, shape or range, or more than one photograph.
        """
        home = check_photograph(image).device
        seconds: dict[str, float] = {}
        working_size = self.segmenter.working_size(*image.shape[-2:])

        with self.measure(seconds, "segmentation"):
            image = image.to(self.device)
            near = image  # a large photograph is read once; nearer to either size it would be blurred twice
            if max(image.shape[-2:]) > 2 * max(working_size):
                near = resize_image(image, limit_size(*image.shape[-2:], 2 * max(working_size)))
            classes = self.segmenter(resize_image(near, working_size))
            labels = classes.max(dim=1, keepdim=True).indices  # far faster than argmax
            probabilities = soft_trimap(classes, self.segmenter.class_names, self.segmenter.human_labels)
        yield "probabilities", probabilities.to(home)
        yield "labels", labels.to(home)

        return (yield from self._stream_matting(image, near, probabilities, home, seconds))

    @torch.no_grad()
    def stream_matting(self, image: torch.Tensor, probabilities: torch.Tensor) -> Generator[tuple[str, torch.Tensor], None, Report]:
        """Yield alpha and foreground for a soft trimap that is there already, such as one that was painted on.

        Args:
            image: (1, 3, H, W), uint8, uint16, or floats in [0, 1].
            probabilities: (1, 3, h, w) soft trimap, at any size.

        Yields:
            (name, tensor) for alpha and foreground, on the image's device.

        Returns:
            the report, without a time for the segmentation, which does not run.

        Raises:
            TypeError, ValueError: another type, shape or range, or more than one photograph.
        """
        home = check_photograph(image).device
        probabilities, image = check("probabilities", probabilities, 3).to(self.device), image.to(self.device)
        return (yield from self._stream_matting(image, image, probabilities, home, {}))

    def _stream_matting(
        self, image: torch.Tensor, near: torch.Tensor, probabilities: torch.Tensor, home: torch.device, seconds: dict[str, float]
    ) -> Generator[tuple[str, torch.Tensor], None, Report]:
        """Yield alpha and foreground, given the image on the device, also somewhat smaller; seconds go on being noted."""
        with self.measure(seconds, "matting"):
            size = self.detail_size(*image.shape[-2:], probabilities)
            detail = resize_image(near if max(size) <= self.head.config.side else image, size)
            alpha = self.predict_alpha(detail, probabilities)
        with self.measure(seconds, "refinement"):
            alpha, refined_fraction = refine_alpha(image, alpha, detail=detail)
        yield "alpha", alpha.to(home)

        with self.measure(seconds, "foreground"):
            foreground = estimate_foreground(image, alpha, detail=detail)
        yield "foreground", foreground.to(home)
        return Report(
            device=str(self.device),
            precision=str(self.precision).removeprefix("torch."),
            working_size=tuple(probabilities.shape[-2:]),
            detail_size=size,
            refined_fraction=refined_fraction,
            seconds=seconds,
        )

    @torch.no_grad()
    def predict_alpha(self, detail: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        """Return alpha before the photograph's own pixels refine it: the head's, fused with the trimap.

        The head sees the part of the photograph in which something is unknown. Elsewhere the trimap's foreground stands for what
        it would say.

        Args:
            detail: (1, 3, h, w) float32 in [0, 1], the photograph at its detail size, on the device.
            probabilities: (1, 3, h', w') soft trimap, at any size.

        Returns:
            (1, 1, h, w) float32 in [0, 1].
        """
        probabilities = resize(probabilities, tuple(detail.shape[-2:]))
        _, alpha_r, unknown = probabilities.split(1, dim=1)
        part = find_part(unknown > DOUBTFUL, margin=MARGIN, multiple=MULTIPLE)
        if part:
            alpha_r = alpha_r.clone()
            alpha_r[..., *part] = self.head(detail[..., *part], probabilities[..., *part])
        return fuse(probabilities, alpha_r)

    def detail_size(self, height: int, width: int, probabilities: torch.Tensor) -> tuple[int, int]:
        """Return (h, w), the size at which the head sees a photograph, or a part of it: its own, or the head's side at most.

        Where all that is unknown lies close together, people are small, and the head's side counts for them.

        Args:
            height, width: of the photograph, in pixels.
            probabilities: (1, 3, h', w') soft trimap, at any size.
        """
        part = find_part(probabilities[:, 2:] > DOUBTFUL, margin=0, multiple=1)
        enlarged = 1.0
        if part:
            shares = [(side.stop - side.start) / seen for side, seen in zip(part, probabilities.shape[-2:])]
            extent = max(height * shares[0], width * shares[1])
            enlarged = min(ENLARGED, max(1.0, FILLED * max(height, width) / extent))
        return limit_size(height, width, round(enlarged * self.head.config.side))

    @contextmanager
    def measure(self, seconds: dict[str, float], stage: str) -> Iterator[None]:
        """Note the wall time of a stage, waiting for the device where it works on its own."""
        start = time.perf_counter()
        yield
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        seconds[stage] = time.perf_counter() - start


def check_photograph(image: torch.Tensor) -> torch.Tensor:
    """Return the image if it is one photograph of three channels; its values are checked where they are read.

    Raises:
        TypeError, ValueError: as in `shm.matte.check`.
    """
    if isinstance(image, torch.Tensor) and image.ndim == 4:
        if tuple(image.shape[:2]) != (1, 3):
            raise ValueError(f"image: expected one photograph (1, 3, H, W), got {tuple(image.shape)}")
        check("image", image[..., :1, :1])
    else:
        check("image", image)
    return image


def find_device(device: str | None) -> torch.device:
    """Return the device of a name, or the best there is.

    Raises:
        ValueError: not a device's name, or no such device here.
    """
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        found = torch.device(device or best)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind of absent device has its own
        raise ValueError(f"device: expected one that is here, such as {best!r}, got {device!r}") from error
    return found


def find_precision(precision: str | None, device: torch.device) -> torch.dtype:
    """Return the number format of a name; without one, what is fast and safe on the device.

    Raises:
        ValueError: no such name.
    """
    if precision is None:
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    return PRECISIONS[precision]
