"""Foreground attention ratio: how much of an object's attention stays on the object.

CLIP Surgery's first finding (arXiv 2304.05653) as a number: for the patches of an object as
queries, the share of their attention to patches that lands inside the object; q-k is the model's
own attention, v-v that of the surgery. An object's share of the picture is what chance gives.

Unlike the other metrics it looks into the tower, which an explanation does not hold; so it is
given the attention (see `tasks.inspection.patch_attention`) beside the truth.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.metrics.metric import ClassMean
from clip_surgery.grid import PatchGrid


class ForegroundAttention:
    """Share of attention inside the object in percent, mean over classes of pictures."""

    name = "foreground attention"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.shares: dict[str, ClassMean] = {}

    def update(self, attentions: Mapping[str, Tensor], sample: Sample, grid: PatchGrid) -> None:
        """Take one picture in: attention (P, P) among its patches per kind, and its truth.

        The picture fills the grid (no letterbox). A patch is the object's where at least half of
        its pixels are; objects that no patch is of are skipped.

        Raises:
            InputError: when an attention is not (P, P).
        """
        mask = torch.from_numpy(sample.mask)
        for index in range(len(self.names)):
            covered = (mask == index).float()[None, None]
            if not covered.any():
                continue
            shares = F.interpolate(covered, size=[grid.rows, grid.columns], mode="area")
            inside = shares.flatten() >= 0.5
            if not inside.any() or inside.all():
                continue
            self._mean("chance").add(index, 100 * float(inside.double().mean()))
            for kind, weights in attentions.items():
                self._mean(kind).add(index, 100 * foreground_share(weights, inside))

    def merge(self, other: ForegroundAttention) -> None:
        """Add another part."""
        for kind, mean in other.shares.items():
            self._mean(kind).merge(mean)

    def compute(self) -> dict[str, float]:
        """Share (%) by kind of attention, and by chance."""
        values = {}
        for kind, mean in self.shares.items():
            means = mean.means()
            if means is not None:
                values[f"foreground attention {kind}"] = float(means[0])
        return values

    def _mean(self, kind: str) -> ClassMean:
        return self.shares.setdefault(kind, ClassMean(len(self.names)))


def foreground_share(attention: Tensor, inside: Tensor) -> float:
    """Share of the attention (P, P) of the patches `inside` (P,) that lands inside, in [0, 1].

    Raises:
        InputError: when the shapes do not belong together.
    """
    if tuple(attention.shape) != (len(inside), len(inside)):
        raise InputError(
            f"Expected attention ({len(inside)}, {len(inside)}), but got {tuple(attention.shape)}."
        )
    rows = attention[inside].double()
    return float((rows[:, inside].sum(dim=1) / rows.sum(dim=1).clamp(min=1e-12)).mean())
