"""The semantic stage: photograph I -> class probabilities P, P = f_seg(I).

Any checkpoint that transformers' `AutoModelForSemanticSegmentation` opens will do; a `SegmenterPreset` says where it is and how
its input and its labels are to be read. Ours is the T-Net of Chen et al., Semantic Human Matting, ACM MM 2018: three classes,
background, person and unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from shm.filters import fit_size, resize
from shm.matte import CheckpointError, check

MODELS = Path(__file__).parent / "models"
if not MODELS.is_dir():  # a checkout keeps the weights at its top level; a wheel carries them inside the package
    MODELS = Path(__file__).parent.parent / "models"

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class SegmenterPreset:
    """Where a semantic model is, and how to read it.

    Attributes:
        source: folder, or repository id on a Hugging Face hub.
        backbone: the architecture, for people.
        human_labels: names of the classes that are a person, or part of one.
        background_labels: names of the classes that are not; given instead of `human_labels` where all the others are.
        side: of a square of about as many pixels as the working size has.
        sharpness: factor of the logits; above 1 where training on labels with errors left a network less sure than it is right.
        mean, std: of the normalization of each channel, for an image in [0, 1].
        channel_order: "rgb" or "bgr".
        revision: commit, tag or branch of a hub repository.
        license: as its owner states it.
        commercial_use: whether that license allows commercial use.
        megabytes: size of the download or the folder.
    """

    source: str
    backbone: str
    license: str
    commercial_use: bool
    megabytes: float
    human_labels: tuple[str, ...] = ()
    background_labels: tuple[str, ...] = ()
    side: int = 512
    sharpness: float = 1.0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: str = "rgb"
    revision: str | None = None


PRESETS: dict[str, SegmenterPreset] = {
    "embedded": SegmenterPreset(
        source=str(MODELS / "segmenter"),
        backbone="MobileNetV2 1.0, MODNet's semantic branch",
        license="Apache-2.0",
        commercial_use=True,
        megabytes=5.9,
        human_labels=("person",),
        side=544,
        sharpness=2.5,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "segformer-b0": SegmenterPreset(
        source="nvidia/segformer-b0-finetuned-ade-512-512",
        backbone="SegFormer-B0, ADE20K",
        license="NVIDIA Source Code License for SegFormer (non-commercial)",
        commercial_use=False,
        megabytes=15.0,
        human_labels=("person",),
        revision="489d5cd81a0b59fab9b7ea758d3548ebe99677da",
    ),
    "segformer-b2": SegmenterPreset(
        source="nvidia/segformer-b2-finetuned-ade-512-512",
        backbone="SegFormer-B2, ADE20K",
        license="NVIDIA Source Code License for SegFormer (non-commercial)",
        commercial_use=False,
        megabytes=110.0,
        human_labels=("person",),
    ),
    "deeplabv3-mobilenetv2": SegmenterPreset(
        source="google/deeplabv3_mobilenet_v2_1.0_513",
        backbone="DeepLabV3, MobileNetV2 1.0, PASCAL VOC",
        license="Apache-2.0 (Google's release; the hub card says 'other')",
        commercial_use=True,
        megabytes=10.0,
        human_labels=("person",),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "mobilevit-small": SegmenterPreset(
        source="apple/deeplabv3-mobilevit-small",
        backbone="DeepLabV3, MobileViT-S, PASCAL VOC",
        license="Apple sample code license",
        commercial_use=True,
        megabytes=25.0,
        human_labels=("person",),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        channel_order="bgr",
    ),
    "segformer-clothes": SegmenterPreset(
        source="mattmdjaga/segformer_b2_clothes",
        backbone="SegFormer-B2, ATR clothes",
        license="MIT (card); fine-tuned from NVIDIA's non-commercial weights",
        commercial_use=False,
        megabytes=110.0,
        background_labels=("Background",),
        revision="584abc1e1d260e23c0fc627c5217a09b2b461046",
    ),
}
"""The semantic models that can be asked for by name; "embedded" comes with the package, the others from a hub."""


class Segmenter(nn.Module):
    """A semantic segmentation network together with the meaning of its input and output.

    Args:
        network: a transformers model whose output has `logits` (B, K, h', w') and whose config has `id2label`.
        preset: how to read it.

    Attributes:
        class_names: the K names.
        human_labels: those of them that are a person.

    Raises:
        CheckpointError: the preset names a label that the network does not have ("unknown_label").
    """

    MULTIPLE = 32
    """Working sizes are multiples of the deepest stride of the networks."""

    def __init__(self, network: nn.Module, preset: SegmenterPreset) -> None:
        super().__init__()
        self.network = network
        self.preset = preset
        names = network.config.id2label
        self.class_names: tuple[str, ...] = tuple(names[index] for index in sorted(names))
        wanted = preset.human_labels + preset.background_labels
        missing = [name for name in wanted if name not in self.class_names]
        if missing or not wanted:
            raise CheckpointError(
                "unknown_label",
                f"{preset.source}: expected labels {', '.join(wanted) or '(none given)'}, the model has "
                f"{', '.join(self.class_names)}",
                source=preset.source,
                labels=missing,
            )
        self.human_labels: tuple[str, ...] = preset.human_labels or tuple(
            name for name in self.class_names if name not in preset.background_labels
        )
        self.register_buffer("mean", torch.tensor(preset.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preset.std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def from_pretrained(cls, preset: SegmenterPreset | str) -> Segmenter:
        """Open a preset, in evaluation mode on the CPU in float32; a folder and a hub repository alike.

        Args:
            preset: a preset, the name of one in `PRESETS`, or the folder of a model fine-tuned from the embedded one.

        Raises:
            CheckpointError: no such preset ("unknown_preset"), no such folder, repository or weights, or no way to reach the
                hub ("not_found"), a file that is damaged or of another network ("unreadable"), or labels that do not fit
                ("unknown_label").
        """
        preset = find_preset(preset)
        return cls(streamline(open_network(preset.source, preset.revision)), preset).eval()

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w), the working size for a photograph of height x width pixels."""
        return fit_size(height, width, side=self.preset.side, multiple=self.MULTIPLE)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the class probabilities P = f_seg(I).

        Args:
            image: (B, 3, h, w) float32 in [0, 1], RGB, at a working size.

        Returns:
            (B, K, h, w) float32, sums to 1 over the classes.
        """
        ordered = image.flip(1) if self.preset.channel_order == "bgr" else image
        normalized = (ordered - self.mean) / self.std
        logits = self.network(normalized.to(self.network.dtype)).logits.float()
        return (self.preset.sharpness * resize(logits, image.shape[-2:])).softmax(dim=1)

    @torch.no_grad()
    def segment(self, image: torch.Tensor) -> torch.Tensor:
        """Return the class probabilities of a photograph of any size, at its working size.

        Args:
            image: (B, 3, H, W), floats in [0, 1] or integers.

        Returns:
            (B, K, h, w) float32.
        """
        return self(resize(check("image", image, channels=3), self.working_size(*image.shape[-2:])))


def open_network(source: str, revision: str | None = None) -> nn.Module:
    """Open a folder, or the copy of a hub repository that an earlier download left, or else the repository itself.

    Args:
        source: folder, or repository id on a Hugging Face hub.
        revision: commit, tag or branch of a repository; None is "main".

    Raises:
        CheckpointError: as in `Segmenter.from_pretrained`.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForSemanticSegmentation  # seconds to import: only when a model is wanted
    from transformers.utils.hub import has_file, httpx

    import shm.trimap_network  # noqa: F401 - makes our own architecture known to transformers

    revision = revision or "main"
    settings = {"revision": revision, "dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    open_model = AutoModelForSemanticSegmentation.from_pretrained
    try:
        try:
            with silence_transformers():
                network, loaded = open_model(source, local_files_only=True, **settings)
        except OSError:
            with silence_transformers():  # one question first: without a network open_model would retry for half a minute
                reachable = not Path(source).is_dir() and has_file(source, "config.json", revision=revision)
            if not reachable:
                raise
            network, loaded = open_model(source, **settings)
        if loaded["missing_keys"]:
            raise ValueError(f"model.safetensors lacks {len(loaded['missing_keys'])} of the network's weights")
    except (OSError, ValueError, RuntimeError, SafetensorError, httpx.HTTPError) as error:
        raise CheckpointError(
            "not_found" if isinstance(error, (OSError, httpx.HTTPError)) else "unreadable",
            f"{source}: expected a folder or a reachable hub repository with config.json and model.safetensors, "
            f"got: {str(error).strip().splitlines()[0]}",
            source=source,
        ) from error
    return network


def streamline(network: nn.Module) -> nn.Module:
    """Make a MobileNetV2 of transformers faster, in place, with the same result: fewer passes over memory.

    Batch normalization is folded into the convolution before it, activations overwrite their input, a convolution pads by itself
    where TensorFlow's padding is the same on all sides, and what only a classifier would read is not computed. Other
    architectures stay as they are.

    Args:
        network: to be used in evaluation mode only.
    """
    from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    padded = MobileNetV2Config(tf_padding=False)  # tells a layer that its convolution pads by itself
    for layer in network.eval().modules():
        if not isinstance(layer, MobileNetV2ConvLayer):
            continue
        if layer.normalization is not None:
            layer.convolution = fuse_conv_bn_eval(layer.convolution, layer.normalization)
            layer.normalization = None
        if isinstance(layer.activation, (nn.ReLU, nn.ReLU6)):
            layer.activation.inplace = True
        if layer.config.tf_padding and layer.convolution.stride == (1, 1):
            pairs = zip(layer.convolution.dilation, layer.convolution.kernel_size)
            layer.convolution.padding = tuple(dilation * (size // 2) for dilation, size in pairs)
            layer.config = padded
    if isinstance(network, MobileNetV2ForSemanticSegmentation):
        network.mobilenet_v2.conv_1x1 = nn.Identity()
    return network


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and tables: what goes wrong is raised, and stderr belongs to the caller."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def find_preset(preset: SegmenterPreset | str) -> SegmenterPreset:
    """Return the preset itself, that of a name, or the embedded one moved to a folder.

    Raises:
        CheckpointError: neither a name in `PRESETS` nor a folder ("unknown_preset").

    >>> find_preset("segformer-b0").human_labels
    ('person',)
    """
    if isinstance(preset, SegmenterPreset):
        return preset
    if preset in PRESETS:
        return PRESETS[preset]
    if Path(preset).is_dir():
        return replace(PRESETS["embedded"], source=str(preset))
    raise CheckpointError(
        "unknown_preset",
        f"preset: expected one of {', '.join(PRESETS)} or the folder of a model, got {preset!r}",
        preset=preset,
        known=tuple(PRESETS),
    )
