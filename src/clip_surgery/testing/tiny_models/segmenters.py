"""A segmenter without weights, and methods with it, for tests of methods that need one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from clip_surgery.inputs.images import InputImage
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import method_class, method_named, setting_names
from clip_surgery.segmenters.segmenter import Candidates, Prompt

TINY_SEGMENTER = "clip_surgery.testing.tiny_models.segmenters:SameBrightness"
"""The name of the segmenter for `load_segmenter` and for methods."""


class SameBrightness:
    """A segmenter that selects all pixels that are nearly as bright as the first point.

    A box or rough mask without points selects by the brightness of the whole image.
    """

    def __call__(self, image: InputImage, prompts: Sequence[Prompt], /) -> list[Candidates]:
        """Return one candidate mask for each prompt."""
        grey = torch.from_numpy(np.array(image.image.convert("L"), dtype=np.float32))
        height, width = image.size
        candidates = []
        for prompt in prompts:
            level = grey.mean()
            if len(prompt.xy):
                x, y = (int(value) for value in prompt.xy[0])
                level = grey[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
            mask = (grey - level).abs() <= 32
            candidates.append(Candidates(masks=mask[None], scores=torch.tensor([0.9])))
        return candidates


def method_with_tiny_parts(name: str, **settings: Any) -> Method:
    """Return the method of this name, with the segmenter of this module if it needs one.

    It is then prompted with four points, so that a call takes milliseconds.
    """
    known = setting_names(method_class(name))
    parts = {"segmenter": TINY_SEGMENTER, "points_per_side": 2}
    return method_named(name, **{part: parts[part] for part in parts if part in known}, **settings)
