"""A baseline of checks: maps of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class RandomOrder:
    """Random maps, the same for the same image features, so that runs can be repeated.

    It is the baseline of checks and is not registered as a method.
    """

    name: ClassVar[str] = "random order"
    paper: ClassVar[str] = "none; a baseline"
    needs_gradient: ClassVar[bool] = False

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return random numbers for every patch and text."""
        features = walk(backbone.tower, pixels)
        image = cosine(features.image, texts.labels)
        maps = []
        for row in features.image.float().cpu():
            digest = sha256(row.numpy().tobytes()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            shape = (len(texts.texts), features.grid.patches)
            maps.append(torch.randn(shape, generator=generator))
        return Evidence(
            patches=torch.stack(maps).to(image.device),
            similarity=None,
            image=image,
            grid=features.grid,
        )
