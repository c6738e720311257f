"""Cost of 59 labels x 85 templates: the text bank against one full-length batch per label.

The baseline is the procedure of the released code: for each label, its 85 prompts of 77 tokens are
encoded with open_clip's encode_text. It takes minutes, so a few labels are timed and the time is
scaled. Random weights (speed does not depend on them), float32, both alternating in one run.
Usage: python benchmarks/text_bank.py [ARCH]
"""

from __future__ import annotations

import statistics
import sys
import tempfile

import open_clip
import torch
from timing import machine, seconds
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.cache import TextCache
from clip_surgery.text.templates import fill, resolve_templates

NAMES = (
    "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, "
    "cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, "
    "floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, "
    "person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, "
    "sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood"
)
PASCAL_CONTEXT = NAMES.split(", ")
TIMED = PASCAL_CONTEXT[::15]
ROUNDS = 3


@torch.inference_mode()
def main(architecture: str) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model(architecture, pretrained=None).eval()
    backbone = wrap_backbone(model)
    tower, templates = backbone.text_tower, resolve_templates("clip_surgery")

    def plain(label: str) -> torch.Tensor:
        ids = tower.tokenize([fill(template, label) for template in templates])
        features = F.normalize(model.encode_text(ids), dim=-1)
        return F.normalize(features.mean(dim=0), dim=-1)

    encode_texts(backbone, TIMED[:1], templates="photo")  # first calls load and allocate
    plain_each, cold, ratios = [], [], []
    for _ in range(ROUNDS):
        one_label = statistics.mean(seconds(lambda label=label: plain(label)) for label in TIMED)
        plain_each.append(len(PASCAL_CONTEXT) * one_label)
        cold.append(seconds(lambda: encode_texts(backbone, PASCAL_CONTEXT)))
        ratios.append(plain_each[-1] / cold[-1])

    with tempfile.TemporaryDirectory() as folder:
        features = encode_texts(backbone, PASCAL_CONTEXT, cache=TextCache(folder))
        fresh = wrap_backbone(model)  # as a new process would: the weights' fingerprint not known
        fingerprint = seconds(fresh.fingerprint)
        cached = statistics.median(
            seconds(lambda: encode_texts(fresh, PASCAL_CONTEXT, cache=TextCache(folder)))
            for _ in range(9)
        )
    worst = max(
        float((features.labels[PASCAL_CONTEXT.index(label)] - plain(label)).abs().max())
        for label in TIMED
    )

    print(f"Machine: {machine()}")
    print(
        f"Plain: mean of {len(TIMED)} labels x {len(PASCAL_CONTEXT)}. Medians of {ROUNDS} rounds.\n"
    )
    print(
        "| text tower of | plain s | cold s | ratio | cached ms | fingerprint ms, once | differ |"
    )
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {architecture} | {statistics.median(plain_each):.0f} | {statistics.median(cold):.1f} "
        f"| {statistics.median(ratios):.1f} | {1000 * cached:.1f} | {1000 * fingerprint:.0f} "
        f"| {worst:.1e} |"
    )


if __name__ == "__main__":
    main(*(sys.argv[1:2] or ["ViT-B-16"]))
