"""Speed of torch.compile on a CPU: the two-path walk and encode_image, eager and compiled.

Random weights (speed does not depend on them), float32, all four alternating in one run. The walk
is compiled with fullgraph=True, so that a graph break is an error.
Usage: python benchmarks/compiled.py [--batches 1,8] [--seconds 60]
"""

from __future__ import annotations

import argparse
import statistics

import open_clip
import torch
from timing import machine, median_ratio, take_turns
from torch import Tensor

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.surgery.walk import walk_two_paths

PLAIN, COMPILED, TWO, TWO_COMPILED = "encode_image", "compiled", "two paths", "two paths compiled"


def row(architecture: str, batch: int, budget: float) -> str:
    torch.manual_seed(0)
    torch.compiler.reset()
    model = open_clip.create_model(architecture, pretrained=None).eval()
    tower = wrap_backbone(model).tower
    pixels = torch.randn(batch, 3, 224, 224)

    def two_paths(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = walk_two_paths(tower, pixels)
        return features.image, features.patches

    plain_compiled = torch.compile(model.encode_image)
    two_compiled = torch.compile(two_paths, fullgraph=True)
    with torch.no_grad():
        seconds = take_turns(
            {
                PLAIN: lambda: model.encode_image(pixels),
                COMPILED: lambda: plain_compiled(pixels),
                TWO: lambda: two_paths(pixels),
                TWO_COMPILED: lambda: two_compiled(pixels),
            },
            repeats=60,
            budget=budget,
        )
        differ = max(
            float((eager - compiled).abs().max())
            for eager, compiled in zip(two_paths(pixels), two_compiled(pixels), strict=True)
        )
    ratios = [
        median_ratio(seconds[candidate], seconds[baseline])
        for candidate, baseline in (
            (COMPILED, PLAIN),
            (TWO, PLAIN),
            (TWO_COMPILED, PLAIN),
            (TWO_COMPILED, TWO),
            (TWO_COMPILED, COMPILED),
        )
    ]
    cells = (
        f"{1000 * statistics.median(seconds[PLAIN]):.0f}",
        *(f"{ratio:.3f}" for ratio in ratios),
    )
    return f"| {architecture} | 224 | {batch} | " + " | ".join(cells) + f" | {differ:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--seconds", type=float, default=60, help="of rounds, a row")
    options = parser.parse_args()
    print(f"Machine: {machine()}\n")
    print(
        "| model | px | batch | encode_image ms | its compiled / eager | two paths / it "
        "| two paths compiled / it | two paths compiled / eager | compiled / compiled | differ |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for batch in map(int, options.batches.split(",")):
        print(row(options.model, batch, options.seconds), flush=True)


if __name__ == "__main__":
    main()
