"""Does explaining cost more than plain CLIP? Two-path walk against open_clip's encode_image.

Random weights (speed does not depend on them), float32, interleaved in one run.
Usage: python benchmarks/walk.py [ARCH ...]
"""

from __future__ import annotations

import sys

import open_clip
import torch
from timing import compare, machine

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.surgery.features import cosine, feature_surgery
from clip_surgery.surgery.walk import walk, walk_two_paths


def main(architectures: list[str]) -> None:
    print(f"Machine: {machine()}\n")
    print("| model | px | batch | encode_image ms | plain walk | two paths | + surgery, 59 texts |")
    print("|---|---|---|---|---|---|---|")
    for architecture in architectures:
        torch.manual_seed(0)
        model = open_clip.create_model(architecture, pretrained=None).eval()
        tower = wrap_backbone(model).tower
        for batch, repeats in ((1, 31), (8, 9)):
            pixels = torch.randn(batch, 3, 224, 224)
            texts = torch.randn(59, model.visual.output_dim)

            def surgery(pixels: torch.Tensor = pixels, texts: torch.Tensor = texts) -> None:
                features = walk_two_paths(tower, pixels)
                image = cosine(features.image, texts)
                feature_surgery(cosine(features.patches, texts), image)

            def ratio(
                call: object, pixels: torch.Tensor = pixels, repeats: int = repeats
            ) -> tuple[float, float, float]:
                return compare(lambda: model.encode_image(pixels), call, repeats=repeats)

            with torch.inference_mode():
                base, _, plain = ratio(lambda p=pixels: walk(tower, p))
                _, _, two = ratio(lambda p=pixels: walk_two_paths(tower, p))
                _, _, full = ratio(surgery)
            print(
                f"| {architecture} | 224 | {batch} | {1000 * base:.0f} | {plain:.3f} | {two:.3f} "
                f"| {full:.3f} |"
            )


if __name__ == "__main__":
    main(sys.argv[1:] or ["ViT-B-16"])
