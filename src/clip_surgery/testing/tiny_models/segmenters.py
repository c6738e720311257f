"""A segmenter without weights, and methods with it, for tests of methods that need one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import method_class, method_named, setting_names
from clip_surgery.segmenters.image_attention import ImageAttention
from clip_surgery.segmenters.segmenter import Candidates, Prompt

TINY_SEGMENTER = "clip_surgery.testing.tiny_models.segmenters:SameBrightness"
"""The name of the segmenter for `load_segmenter` and for methods."""


class SameBrightness:
    """A segmenter that selects all pixels that are nearly as bright as the first point.

    A box or rough mask without points selects by the brightness of the whole image. Cells of 8 px
    attend to cells of similar colour.
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

    def image_attention(self, image: InputImage, /) -> ImageAttention:
        """Return the attention of two heads, one of which attends twice as sharply."""
        rows, columns = (max(1, round(side / 8)) for side in image.size)
        resized = image.image.resize((columns, rows), Image.Resampling.BOX)
        colours = torch.from_numpy(np.array(resized, dtype=np.float32)).view(-1, 3) / 255 - 0.5
        values = torch.stack([colours, colours.flip(1) + 0.1])  # (2, P, 3)
        distances = torch.cdist(values, values) * torch.tensor([4.0, 8.0])[:, None, None]
        weights = (-distances).softmax(dim=-1)
        return ImageAttention(
            grid=PatchGrid(rows=rows, columns=columns),
            values=values,
            weights=lambda queries: weights[:, queries],
        )


def method_with_tiny_parts(name: str, **settings: Any) -> Method:
    """Return the method of this name, with the segmenter of this module if it needs one.

    It is then prompted with four points, so that a call takes milliseconds, and its maps have the
    grid of the model, as contracts expect.
    """
    known = setting_names(method_class(name))
    parts: dict[str, Any] = {}
    if "segmenter" in known:
        parts = {"segmenter": TINY_SEGMENTER, "points_per_side": 2, "grid": "model"}
    return method_named(name, **{part: parts[part] for part in parts if part in known}, **settings)
