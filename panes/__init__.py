"""The browser app's tabs, one file each: they lay out and forward; everything that computes has its room in shm/."""

from __future__ import annotations

import os
from collections.abc import Callable

try:
    import spaces  # lends a GPU per call on ZeroGPU Spaces; has to come before torch
except ImportError:
    spaces = None
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported


def lend_gpu(function: Callable, *, seconds: int) -> Callable:
    """Return the function with a GPU lent to each of its calls, where a Space does so; elsewhere the function itself."""
    return spaces.GPU(duration=seconds)(function) if spaces else function
