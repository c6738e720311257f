"""Cost of every method: time and memory as ratios to the forward pass of CLIP.

ViT-B/16 by default, random weights (speed does not depend on them), one image at a time, float32.
Each method alternates with open_clip's encode_image in one run, so that other programs disturb both
alike. Memory is the growth of the peak resident size during one call, in a process for each method,
because allocators keep the memory of earlier calls (Linux).

    python benchmarks/methods.py                                    all of it
    python benchmarks/methods.py --methods gem,legrad --sizes 224   a part
    python benchmarks/methods.py --without gscorecam                all but the slow one
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import open_clip
import torch
from timing import compare, machine

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import parse_methods
from clip_surgery.text.features import TextFeatures

PLAIN = "encode_image"
SLOW = {"gscorecam": 2}  # repeats: it runs the tower hundreds of times an image


def main() -> None:
    options = read_options()
    if options.memory_of:
        print(peak_megabytes(options))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    methods = {
        name: method
        for name, method in parse_methods(options.methods).items()
        if name not in options.without.split(",")
    }
    print(f"Machine: {machine()}\n{options.arch}, batch 1, float32.\n")
    print(f"| method | px | texts | {PLAIN} ms | ms | ratio | {PLAIN} MB | MB | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for side in map(int, options.sizes.split(",")):
        model = random_model(options.arch, side)
        backbone = wrap_backbone(model)
        pixels = random_pixels(side)
        base_memory = memory_of(PLAIN, side, 1, options)
        for count in map(int, options.texts.split(",")):
            texts = random_texts(backbone, count)
            for name, method in methods.items():
                repeats = min(options.repeats, SLOW.get(method.name, options.repeats))
                baseline_seconds, method_seconds, ratio = compare(
                    plain(model, pixels), call(method, backbone, pixels, texts), repeats=repeats
                )
                own_memory = memory_of(name, side, count, options)
                cells = [
                    name,
                    side,
                    count,
                    f"{1000 * baseline_seconds:.0f}",
                    f"{1000 * method_seconds:.0f}",
                ]
                cells.append(f"{ratio:.2f}")
                if base_memory is None or own_memory is None:
                    cells += ["-", "-", "-"]
                else:
                    cells += [f"{base_memory:.0f}", f"{own_memory:.0f}"]
                    cells.append(f"{own_memory / base_memory:.2f}")
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="ViT-B-16")
    parser.add_argument("--methods", default="all", help="as the command line writes them")
    parser.add_argument("--without", default="", help="names to leave out")
    parser.add_argument("--sizes", default="224,448", help="sides of the image, in pixels")
    parser.add_argument("--texts", default="1,50", help="how many texts")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="torch's own choice if 0")
    parser.add_argument("--no-memory", action="store_true", help="leave memory out")
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def random_model(arch: str, side: int) -> torch.nn.Module:
    """Create a model for this image size, the only size that its forward pass accepts."""
    torch.manual_seed(0)
    return open_clip.create_model(arch, pretrained=None, force_image_size=side).eval()


def random_pixels(side: int) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def random_texts(backbone: Backbone, count: int) -> TextFeatures:
    """Return random text features. Methods use nothing else of the texts."""
    generator = torch.Generator().manual_seed(1)
    width = backbone.model.visual.output_dim
    features = torch.nn.functional.normalize(
        torch.randn(count + 1, width, generator=generator), dim=-1
    )
    names = tuple(f"text {index}" for index in range(count))
    return TextFeatures(texts=names, labels=features[:-1], empty=features[-1])


def plain(model: torch.nn.Module, pixels: torch.Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return model.encode_image(pixels)

    return run


def call(
    method: Method, backbone: Backbone, pixels: torch.Tensor, texts: TextFeatures
) -> Callable[[], object]:
    def run() -> object:
        with nullcontext() if method.needs_gradient else torch.no_grad():
            return method(backbone, pixels, texts)

    return run


def memory_of(name: str, side: int, count: int, options: argparse.Namespace) -> float | None:
    """Return the megabytes that one call takes, measured in a separate process."""
    if options.no_memory:
        return None
    done = subprocess.run(
        [
            sys.executable, __file__, "--memory-of", name, "--arch", options.arch,
            "--sizes", str(side), "--texts", str(count), "--threads", str(options.threads),
        ],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    return float(done.stdout)


def peak_megabytes(options: argparse.Namespace) -> float:
    if options.threads:
        torch.set_num_threads(options.threads)
    model = random_model(options.arch, int(options.sizes))
    pixels = random_pixels(int(options.sizes))
    run = plain(model, pixels)
    if options.memory_of != PLAIN:
        [method] = parse_methods(options.memory_of).values()
        backbone = wrap_backbone(model)
        run = call(method, backbone, pixels, random_texts(backbone, int(options.texts)))
    before = resident_megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    run()
    return resident_megabytes("VmHWM") - before


def resident_megabytes(which: str) -> float:
    """Return the current resident size (VmRSS) or its peak (VmHWM) of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(rf"^{which}:\s+(\d+) kB", status, flags=re.MULTILINE)
    if match is None:
        raise SystemExit(f"{which} is not in /proc/self/status: take --no-memory.")
    return int(match[1]) / 1024


if __name__ == "__main__":
    main()
