"""Segmentation of scenes with all 64 names competing, with and without pruning and refinement.

Background is a class: a pixel whose best map is below 0.6 of its range. "given" names are those
that are in the image; "all" are the 64 names of the demo model, of which `min_presence` removes
those that are not likely to be in the image. The demo model and its default method are used.

    python benchmarks/pruning.py --count 40
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

RULES: dict[str, dict[str, Any]] = {
    "given": {},
    "given, guided": {"refine": "guided"},
    "all": {},
    "all, min_presence 0.3": {"min_presence": 0.3},
    "all, min_presence 0.5": {"min_presence": 0.5},
    "all, guided": {"refine": "guided"},
    "all, min_presence 0.5, guided": {"min_presence": 0.5, "refine": "guided"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="how many scenes")
    parser.add_argument("--seed", type=int, default=1_000_003, help="of the scenes")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scenes = SceneDataset(seed=options.seed, count=options.count)
    explainer = cs.load("demo")
    texts = explainer.encode(scenes.names)
    classes = len(scenes.names) + 1  # the last one is background
    confusion = {rule: torch.zeros(classes, classes, dtype=torch.int64) for rule in RULES}
    for index in range(options.count):
        scene = scenes[index]
        explanation = explainer.explain_images([cs.read_image(scene.image)], texts)
        mask = torch.from_numpy(scene.mask)
        judged = mask != -2
        truth = mask[judged].where(mask[judged] >= 0, classes - 1)
        present = sorted(set(mask[mask >= 0].tolist()))
        for rule, settings in RULES.items():
            numbers = present if rule.startswith("given") else list(range(classes - 1))
            [found] = cs.segment(
                explanation,
                [scenes.names[number] for number in numbers],
                background="threshold",
                images=scene.image,
                **settings,
            )
            prediction = torch.tensor([*numbers, classes - 1])[found[judged]]
            pairs = truth * classes + prediction
            confusion[rule] += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    print("| names | segmentation mIoU |\n|---|---|")
    for rule, counts in confusion.items():
        hit, true = counts.diagonal().double(), counts.sum(dim=1)
        iou = 100 * hit / (counts.sum(dim=0) + true - counts.diagonal()).clamp(min=1)
        print(f"| {rule} | {float(iou[true > 0].mean()):.1f} |")


if __name__ == "__main__":
    main()
