"""Masks: points into a segmenter. SAM needs weights, so this example brings a segmenter along.

With weights: segmenter = cs.SamSegmenter.load("facebook/sam-vit-base"), or a local folder.
"""

from collections.abc import Sequence

import numpy as np
import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.segmenter import Candidates, Prompt


def same_colour(picture: InputImage, prompts: Sequence[Prompt]) -> list[Candidates]:
    """A segmenter of five lines: all pixels whose colour is near that of the first point."""
    pixels = np.asarray(picture.image).astype(int)
    found = []
    for prompt in prompts:
        x, y = prompt.xy[0].astype(int)
        near = np.abs(pixels - pixels[y, x]).sum(axis=-1) < 60
        mask = torch.from_numpy(near)
        found.append(Candidates(masks=mask[None], scores=torch.tensor([float(near.mean())])))
    return found


scene = SceneDataset(seed=11, count=1)[0]
names = sorted(scene.present)
explanation = cs.load("demo")(scene.image, names)
for mask in cs.masks(explanation, [scene.image], names, same_colour)[0]:
    print(mask.text, tuple(mask.mask.shape), f"{int(mask.mask.sum())} pixels")
    print(cs.encode_rle(mask.mask)["counts"][:20])
