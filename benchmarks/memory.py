"""Memory of a large image: peak resident size at 1,024 px with ViT-B/16, batch 1.

An attention matrix over 4,097 tokens would take 12 x 4097^2 x 4 bytes = 0.8 GB per block and path.
"""

from __future__ import annotations

import resource

import open_clip
import torch
from timing import machine

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.surgery.walk import walk_two_paths


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    model = open_clip.create_model("ViT-B-16", pretrained=None).eval()
    tower = wrap_backbone(model).tower
    loaded = peak_gigabytes()
    print(f"Machine: {machine()}\n")
    print("| model | px | tokens | GB with model loaded | peak GB |")
    print("|---|---|---|---|---|")
    for side in (224, 512, 1024):
        with torch.no_grad():
            walk_two_paths(tower, torch.randn(1, 3, side, side))
        tokens = (side // 16) ** 2 + 1
        print(f"| ViT-B-16 | {side} | {tokens} | {loaded:.2f} | {peak_gigabytes():.2f} |")


if __name__ == "__main__":
    main()
