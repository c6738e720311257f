"""Cost of the two-path walk against open_clip's encode_image.

Random weights (speed does not depend on them), float32, alternating in one run.
Usage: python benchmarks/walk.py [ARCH ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import open_clip
import torch
from timing import compare, machine

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.surgery.features import cosine, feature_surgery
from clip_surgery.surgery.walk import walk, walk_two_paths


def row(architecture: str, batch: int, repeats: int) -> str:
    torch.manual_seed(0)
    model = open_clip.create_model(architecture, pretrained=None).eval()
    tower = wrap_backbone(model).tower
    pixels = torch.randn(batch, 3, 224, 224)
    texts = torch.randn(59, model.visual.output_dim)

    def surgery() -> None:
        features = walk_two_paths(tower, pixels)
        similarity = cosine(features.patches, texts)
        feature_surgery(similarity, cosine(features.image, texts))

    def against_clip(call: Callable[[], object]) -> tuple[float, float, float]:
        return compare(lambda: model.encode_image(pixels), call, repeats=repeats)

    with torch.inference_mode():
        base, _, plain = against_clip(lambda: walk(tower, pixels))
        _, _, two = against_clip(lambda: walk_two_paths(tower, pixels))
        _, _, full = against_clip(surgery)
    cells = (f"{1000 * base:.0f}", f"{plain:.3f}", f"{two:.3f}", f"{full:.3f}")
    return f"| {architecture} | 224 | {batch} | " + " | ".join(cells) + " |"


def main(architectures: list[str]) -> None:
    print(f"Machine: {machine()}\n")
    print("| model | px | batch | encode_image ms | plain walk | two paths | + surgery, 59 texts |")
    print("|---|---|---|---|---|---|---|")
    for architecture in architectures:
        for batch, repeats in ((1, 61), (8, 15)):
            print(row(architecture, batch, repeats))


if __name__ == "__main__":
    main(sys.argv[1:] or ["ViT-B-16"])
