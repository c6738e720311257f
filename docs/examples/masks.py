"""Compute masks of objects with a segmenter that is prompted with points.

SAM needs weights, so this example defines and registers a segmenter without weights. With weights:
segmenter = cs.SamSegmenter.load("facebook/sam-vit-base"), or a local folder.
"""

from collections.abc import Sequence

import numpy as np
import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset


class SameColour:
    """A segmenter that selects all pixels whose colour is near that of the first point."""

    def __call__(self, image: cs.InputImage, prompts: Sequence[cs.Prompt]) -> list[cs.Candidates]:
        pixels = np.asarray(image.image).astype(int)  # (H, W, 3)
        candidates = []
        for prompt in prompts:
            x, y = prompt.xy[0].astype(int)
            mask = np.abs(pixels - pixels[y, x]).sum(axis=-1) < 60
            score = torch.tensor([float(mask.mean())])
            candidates.append(cs.Candidates(masks=torch.from_numpy(mask)[None], scores=score))
        return candidates


cs.register_segmenter("same_colour", SameColour)
segmenter = cs.load_segmenter("same_colour")

scene = SceneDataset(seed=11, count=1)[0]
names = sorted(scene.present)
explanation = cs.load("demo")(scene.image, names)
for mask in cs.masks(explanation, [scene.image], segmenter, names)[0]:
    print(mask.text, tuple(mask.mask.shape), f"{int(mask.mask.sum())} pixels")
    print(cs.encode_rle(mask.mask)["counts"][:20])
