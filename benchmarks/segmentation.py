"""Cost of segmentation beside the forward pass: refinements, methods on a base, and windows.

ViT-B/16 with random weights (speed does not depend on them), float32, one thread by default. Values
are ratios of processor time, which depends little on other programs. A refinement is compared with
`encode_image` of one 224 px image, a large image with the forward passes of its windows.

    python benchmarks/segmentation.py                                     1,024 x 2,048 px, minutes
    python benchmarks/segmentation.py --height 448 --width 672 --repeats 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from methods import random_model, random_pixels, random_texts
from timing import machine

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.loading import wrap
from clip_surgery.methods.registry import parse_methods
from clip_surgery.refinement.laplacian import LaplacianRefinement
from clip_surgery.refinement.registry import REFINEMENTS, as_refinement
from clip_surgery.surgery.window_layout import window_starts
from clip_surgery.text.features import TextFeatures
from clip_surgery.windows import Windows, explain_windows

METHODS = (
    "clearclip,naclip,maskclip,lposs,free_cp,tag_clip,pearl,pearl(refine=laplacian),"
    "sc_clip,sc_clip(refine=guided)"
)


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    print(f"Machine: {machine()}\nViT-B/16, float32, {options.texts} texts.\n")
    with torch.no_grad():
        measure_refinements(options)
        measure_methods(options)
        measure_windows(options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20, help="how many texts")
    parser.add_argument("--height", type=int, default=1024, help="of the large image, in pixels")
    parser.add_argument("--width", type=int, default=2048, help="of the large image, in pixels")
    parser.add_argument("--batch-size", type=int, default=4, help="windows at a time")
    parser.add_argument("--methods", default=METHODS, help="as the command line writes them")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def measure_refinements(options: argparse.Namespace) -> None:
    model, pixels = random_model("ViT-B-16", 224), random_pixels(224)
    forward = seconds(lambda: model.encode_image(pixels), options.repeats)
    print("| refinement | cells | ms | ratio to encode_image |\n|---|---|---|---|")
    for name in REFINEMENTS:
        refinement = as_refinement(name)
        assert refinement is not None
        row(name, refinement.cells, refinement, options, forward)
        if name == "laplacian":
            row(name, 160, LaplacianRefinement(cells=160), options, forward)
    print(f"\nencode_image: {1000 * forward:.0f} ms\n")


def row(
    name: str,
    cells: int,
    refinement: Callable[..., object],
    options: argparse.Namespace,
    forward: float,
) -> None:
    maps, colours = torch.rand(1, options.texts, cells, cells), torch.rand(1, 3, cells, cells)
    texts = torch.randn(options.texts, 512)
    taken = seconds(lambda: refinement(maps, colours, texts), options.repeats)
    print(f"| `{name}` | {cells} | {1000 * taken:.0f} | {taken / forward:.3f} |", flush=True)


def measure_methods(options: argparse.Namespace) -> None:
    model, pixels = random_model("ViT-B-16", 224), random_pixels(224)
    backbone = wrap_backbone(model)
    texts = random_texts(backbone, options.texts)
    print("| method | ratio to encode_image |\n|---|---|")
    for name, method in parse_methods(options.methods).items():
        plain, own = [], []
        for _ in range(options.repeats):
            plain.append(seconds(lambda: model.encode_image(pixels), 1))
            own.append(seconds(lambda method=method: method(backbone, pixels, texts), 1))  # type: ignore[misc]
        print(f"| `{name}` | {min(own) / min(plain):.2f} |", flush=True)
    print()


def measure_windows(options: argparse.Namespace) -> None:
    model = random_model("ViT-B-16", 224)
    explainer = wrap(model, vocabulary=None, cache=False, batch_size=options.batch_size)
    texts: TextFeatures = random_texts(explainer.backbone, options.texts)
    image = np.random.default_rng(0).integers(
        0, 256, (options.height, options.width, 3), dtype=np.uint8
    )
    rows, columns = (
        len(window_starts(side // 16, 14, 7)) for side in (options.height, options.width)
    )
    count = rows * columns
    crops = torch.randn(options.batch_size, 3, 224, 224)

    def forwards() -> None:
        for start in range(0, count, options.batch_size):
            model.encode_image(crops[: count - start])

    forward = seconds(forwards, 1)
    print(f"{options.height} x {options.width} px: {count} windows, {forward:.1f} s of forwards\n")
    print("| method | stitch | ratio to the forwards |\n|---|---|---|")
    for name, stitch in (
        ("naclip", "logits"),
        ("naclip", "outputs"),
        ("naclip", "values"),
        ("lposs", "outputs"),
    ):
        windows = Windows(crop=224, stride=112, stitch=stitch)  # type: ignore[arg-type]
        own = explainer.with_method(name)
        taken = seconds(lambda: explain_windows(own, image, texts, windows=windows), 1)  # noqa: B023
        print(f"| `{name}` | {stitch} | {taken / forward:.2f} |", flush=True)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call in seconds; several calls follow a warm-up."""
    if repeats > 1:
        call()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
