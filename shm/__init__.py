"""Semantic Human Matting: cuts people out of photographs, hair included.

Example:
    matting = shm.load()
    matte = matting(shm.read_image("photo.jpg"))
    shm.write_image("cutout.png", shm.cutout(matte))
"""

from shm import metrics
from shm.compositing import composite, cutout
from shm.image_io import read_image, write_image
from shm.matte import CheckpointError, ChoiceError, ImageError, Matte, Report
from shm.pipeline import HumanMatting, load
from shm.segmentation import PRESETS, Segmenter, SegmenterPreset

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "CheckpointError",
    "ChoiceError",
    "HumanMatting",
    "ImageError",
    "Matte",
    "Report",
    "Segmenter",
    "SegmenterPreset",
    "composite",
    "cutout",
    "load",
    "metrics",
    "read_image",
    "write_image",
]
