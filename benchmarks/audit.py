"""Does the audit find a planted shortcut, and nothing else?

Run `OMP_NUM_THREADS=1 python benchmarks/audit.py`. For ten labels, each with its own seed and its
own images, the demo model is changed so that water reads as the label with some strength
(`audits.planted`). At strength 0 the finding "read from water" must not be flagged; from strength 2
on it must be the first finding of the label.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import clip_surgery as cs
from clip_surgery.audits.findings import find_shortcuts
from clip_surgery.audits.planted import context_direction, plant_shortcut
from clip_surgery.audits.regions import image_regions
from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS, compose
from clip_surgery.evaluation.datasets.scenes.canvas import Canvas

LABELS = ("boat", "dog", "cow", "car", "tree", "house", "clock", "penguin", "apple", "bus")
CONTEXTS = tuple(BACKGROUNDS)
WATER, OBJECTS = 12, 12
STRENGTHS = (0.0, 2.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=LABELS, help="the labels")
    parser.add_argument("--labels", type=int, help="shortcuts of the first labels only")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images of the first label")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    options = parser.parse_args()
    explainer = cs.load("demo", templates="photo", batch_size=32)
    backbone = explainer.backbone
    names = [*options.names, *CONTEXTS]
    count = len(options.names)
    words = explainer.encode(names).labels
    others = [image for name in CONTEXTS if name != "water" for image in places(backbone, name, 2)]
    direction = context_direction(backbone, places(backbone, "water", 8), others)
    print("| label | strength | read as the label | share of water | first finding | flagged |")
    print("|---|---|---|---|---|---|", flush=True)
    for number, label in enumerate(options.names[: options.labels]):
        images = audited_images(backbone, options.names, seed=options.seed + number)
        for strength in options.strengths:
            planted = plant_shortcut(backbone, direction, words[number], strength)
            regions = [image_regions(planted, image[None], words, labels=count) for image in images]
            found, summaries = find_shortcuts(regions, words.numpy(), names, labels=count)
            own = [finding for finding in found if finding.label == label]
            water = next((finding for finding in own if finding.word == "water"), None)
            flagged = [finding.word for finding in own if finding.flagged]
            print(
                f"| {label} | {strength:g} | {summaries[number].images} | "
                f"{water.share.text() if water else '-'} | {own[0].word if own else '-'} | "
                f"{', '.join(flagged) or '-'} |",
                flush=True,
            )


def audited_images(backbone, labels, *, seed: int) -> list[torch.Tensor]:
    """Return images of single objects, of water, and of one of each other background."""
    scenes = [compose(np.random.default_rng([seed, n]), 96, labels, 1) for n in range(OBJECTS)]
    pixels = torch.from_numpy(np.stack([scene.pixels for scene in scenes])).permute(0, 3, 1, 2)
    images = list(backbone.normalise(pixels.float() / 255))
    for name in CONTEXTS:
        images += places(backbone, name, WATER if name == "water" else 1, seed=100 + seed)
    return images


def places(backbone, name: str, count: int, *, seed: int = 1) -> list[torch.Tensor]:
    """Return normalised images (3, 96, 96) of a background without objects."""
    painted = [
        BACKGROUNDS[name].paint(Canvas(np.random.default_rng([seed, n]), 96))[0]
        for n in range(count)
    ]
    pixels = torch.from_numpy(np.clip(np.stack(painted), 0, 255).astype(np.uint8))
    return list(backbone.normalise(pixels.permute(0, 3, 1, 2).float() / 255))


if __name__ == "__main__":
    main()
