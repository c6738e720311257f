"""The probability of the best name at each pixel: the background rule of open-vocabulary codes.

SCLIP (arXiv 2312.01597) and the methods after it multiply the resized cosines by a logit scale and
take the softmax over all names; a pixel whose best name is less likely than a threshold is
background.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.framing import Framing

_MAPS_AT_A_TIME = 16
"""Number of maps that are resized to the image at a time, to bound the memory."""


def best_probability(maps: Tensor, framing: Framing, best: Tensor, *, logit_scale: float) -> Tensor:
    """Return the softmax probability (H, W) of the best map at each pixel of the image.

    Args:
        maps: cosines of C texts (C, rows, columns).
        framing: how the image was resized.
        best: the highest of the resized maps at each pixel (H, W).
        logit_scale: factor on the cosines.
    """
    total = torch.zeros_like(best)
    for part in torch.split(maps, _MAPS_AT_A_TIME):
        logits = logit_scale * (framing.restore_map(part) - best)  # 0 or less
        total += logits.exp_().sum(dim=0)
    return 1 / total.clamp(min=1)
