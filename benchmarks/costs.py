"""Measure what methods and presets cost beside the plain forward pass, for `clip-surgery methods`.

ViT-B/16 with random weights at 224 px, with a random DINO ViT-B/16 as companion, 20 texts, one
thread. The table is written to the package with date and machine:

    OMP_NUM_THREADS=1 python benchmarks/costs.py
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import open_clip
import timm
import torch
from timing import machine

import clip_surgery.methods
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.costs import TEXTS, measure_costs
from clip_surgery.methods.registry import METHODS, as_method, parse_methods
from clip_surgery.presets import PRESETS
from clip_surgery.testing.tiny_models.segmenters import method_with_tiny_parts

SLOW = ("gscorecam",)
"""Methods that run the tower hundreds of times an image; benchmarks/methods.py measures them."""

WITH_OUTLIERS = {"rf_clip": "rf_clip(channels=0, factor=0)"}
"""Settings by which every patch is an outlier. Random weights give none, trained ones some."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", default="", help="only these, added to the file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = wrap_backbone(open_clip.create_model("ViT-B-16", pretrained=None).eval())
    companion = timm.create_model("vit_base_patch16_224.dino", pretrained=False, num_classes=0)
    backbone = replace(backbone, companion=load_companion(companion.eval()))
    names = list(dict.fromkeys(preset.refined_method for preset in PRESETS.values()))
    names += [name for name in METHODS if name not in SLOW]
    methods = {
        # A segmenter without weights: its time is not part of the cost.
        name: method_with_tiny_parts(name) if name in METHODS else method
        for name, method in parse_methods(options.methods or ",".join(names)).items()
    }
    methods |= {n: as_method(text) for n, text in WITH_OUTLIERS.items() if n in methods}
    path = Path(clip_surgery.methods.__file__).parent / "costs.json"
    ratios = json.loads(path.read_text(encoding="utf-8"))["ratios"] if options.methods else {}
    source = (
        f"ViT-B/16 with random weights, 224 px, {TEXTS} texts, one thread, companion DINO "
        f"ViT-B/16; {machine()}, load average {os.getloadavg()[0]:.0f}; {date.today().isoformat()}"
    )
    for name, method in methods.items():
        measured = measure_costs(backbone, {name: method}, repeats=options.repeats)
        ratios |= {name: round(ratio, 2) for name, ratio in measured.items()}
        print(name, ratios.get(name), flush=True)
        content = {"source": source, "ratios": ratios}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
