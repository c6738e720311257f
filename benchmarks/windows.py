"""Cost of a large image in overlapping windows, as a ratio to the forward passes of its windows.

ViT-B/16 with random weights (speed does not depend on them), float32, one thread by default. Each
row first runs the model's own `encode_image` on the windows, then explains the image, so that other
programs disturb both alike. Times are processor times. Everything after reading the image counts:
resizing, cutting, the maps of all windows, and joining them. The limit is 1.1.

    python benchmarks/windows.py                    1,024 x 2,048 px, 162 windows, minutes
    python benchmarks/windows.py --arch ViT-B-32 --height 448 --width 672 --rows naclip:outputs
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from methods import random_model, random_texts
from timing import machine
from torch import nn

from clip_surgery.explainer import Explainer
from clip_surgery.grid import PatchGrid
from clip_surgery.loading import wrap
from clip_surgery.surgery.window_layout import WindowLayout
from clip_surgery.text.features import TextFeatures
from clip_surgery.windows import Windows, explain_windows

LIMIT = 1.1
ROWS = "clip_surgery:logits,naclip:logits,naclip:outputs,naclip:values,lposs:outputs"


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    print(f"Machine: {machine()}\n{options.arch}, float32, {options.texts} texts.\n")
    with torch.no_grad():
        measure_windows(options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="ViT-B-16", help="model of open_clip")
    parser.add_argument("--height", type=int, default=1024, help="of the image, in pixels")
    parser.add_argument("--width", type=int, default=2048, help="of the image, in pixels")
    parser.add_argument("--crop", type=int, default=224, help="side of a window, in pixels")
    parser.add_argument("--stride", type=int, default=112, help="between windows, in pixels")
    parser.add_argument("--texts", type=int, default=20, help="how many texts")
    parser.add_argument("--batch-size", type=int, default=4, help="windows at a time")
    parser.add_argument("--rows", default=ROWS, help="METHOD:STITCH, separated by commas")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def measure_windows(options: argparse.Namespace) -> None:
    """Print one row for each method and way of stitching."""
    model = random_model(options.arch, options.crop)
    explainer = wrap(model, vocabulary=None, cache=False, batch_size=options.batch_size)
    texts = random_texts(explainer.backbone, options.texts)
    image = np.random.default_rng(0).integers(
        0, 256, (options.height, options.width, 3), dtype=np.uint8
    )
    windows, forwards = windows_alone(model, explainer, image, options)
    print(
        f"{options.height} x {options.width} px: {windows} windows of {options.crop} px, "
        f"{options.stride} px apart\n"
    )
    print("| method | stitched by | forward passes, s | whole, s | ratio | within the limit |")
    print("|---|---|---|---|---|---|")
    for row in options.rows.split(","):
        method, stitch = row.split(":")
        alone = processor_seconds(forwards)
        whole = processor_seconds(
            explanation(explainer.with_method(method), image, texts, stitch, options)
        )
        ratio = whole / alone
        cells = (f"{alone:.1f}", f"{whole:.1f}", f"{ratio:.2f}", "yes" if ratio <= LIMIT else "no")
        print(f"| `{method}` | {stitch} | {' | '.join(cells)} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of the process: {peak:,.0f} MB")


def windows_alone(
    model: nn.Module, explainer: Explainer, image: np.ndarray, options: argparse.Namespace
) -> tuple[int, Callable[[], None]]:
    """Return the number of windows, and a call that runs the model on each of them."""
    patch = explainer.backbone.tower.patch_size
    sides = Windows(crop=options.crop, stride=options.stride)
    side, step = sides.side_and_step(explainer.backbone.image_size, patch)
    layout = WindowLayout.covering(
        PatchGrid(rows=options.height // patch, columns=options.width // patch),
        side=side,
        step=step,
        weighting="tent",
        patch_size=patch,
    )
    pixels = explainer.backbone.normalise(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0]

    def forwards() -> None:
        for corners in layout.batches(options.batch_size):
            model.encode_image(layout.crops(pixels, corners))  # type: ignore[operator]

    model.encode_image(layout.crops(pixels, layout.corners[:1]))  # type: ignore[operator]
    return len(layout.corners), forwards


def explanation(
    explainer: Explainer,
    image: np.ndarray,
    texts: TextFeatures,
    stitch: str,
    options: argparse.Namespace,
) -> Callable[[], object]:
    """Return a call that explains the image in windows."""
    windows = Windows(crop=options.crop, stride=options.stride, stitch=stitch)  # type: ignore[arg-type]
    return lambda: explain_windows(explainer, image, texts, windows=windows)


def processor_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of one call in seconds."""
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
