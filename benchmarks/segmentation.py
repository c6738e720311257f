"""Cost of segmentation beside the forward pass: refinements, and methods on a base.

ViT-B/16 with random weights (speed does not depend on them), float32, one thread by default. Values
are ratios of processor time, which depends little on other programs. A refinement is compared with
`encode_image` of one 224 px image. Windows of a large image are measured by `windows.py`.

    python benchmarks/segmentation.py
    python benchmarks/segmentation.py --methods naclip,lposs --repeats 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from methods import random_model, random_pixels, random_texts
from timing import machine

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.registry import parse_methods
from clip_surgery.refinement.laplacian import LaplacianRefinement
from clip_surgery.refinement.registry import REFINEMENTS, as_refinement

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


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20, help="how many texts")
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
