"""Foreground attention ratio: how much of an object's attention stays on the object.

CLIP Surgery's first finding (arXiv 2304.05653) as a number: for the patches of an object as
queries, the share of their attention to patches that lands inside the object; q-k is the model's
own attention, v-v that of the surgery. An object's share of the image is what chance gives.

An explanation does not hold the attention: the image runs through the model's own frame once
more, whatever method explained it. A model without such attention is skipped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import read_image
from clip_surgery.tasks.inspection import AttentionKind, patch_attention

KINDS: tuple[AttentionKind, ...] = ("q-k", "v-v")


class ForegroundAttention(SummedMetric):
    """Share of attention inside the object in percent, mean over classes of images."""

    name = "foreground attention"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.shares = ClassMean(len(names), 1 + len(KINDS))  # chance, then the kinds

    def update(self, case: Case) -> None:
        """Take one image in.

        A patch is the object's where at least half of its pixels are; objects that no patch is
        of, or all are, are skipped.

        Raises:
            InputError: when the case has no explainer.
        """
        if case.explainer is None:
            raise InputError("Expected a case with its explainer, to look into the model.")
        if not case.present:
            return
        picture = read_image(case.sample.image)
        framing = case.explainer.frame(picture)
        tower = case.explainer.backbone.tower
        grid = PatchGrid(
            framing.frame.height // tower.patch_size, framing.frame.width // tower.patch_size
        )
        masks = case.mask == torch.tensor(case.present)[:, None, None]
        patches = patches_of(masks, framing, grid).flatten(1)  # (present, P)
        if not any(inside.any() and not inside.all() for inside in patches):
            return
        try:
            with torch.no_grad():
                attentions = patch_attention(tower, case.explainer.pixels(picture), kinds=KINDS)
        except UnsupportedModelError:
            return
        weights = [attentions[kind][0].float().cpu() for kind in KINDS]
        for index, inside in zip(case.present, patches, strict=True):
            if inside.any() and not inside.all():
                shares = [float(inside.double().mean())]
                shares += [foreground_share(one, inside) for one in weights]
                self.shares.add(index, 100 * torch.tensor(shares, dtype=torch.float64))

    def compute(self) -> dict[str, float]:
        """Share (%) by chance, and by kind of attention."""
        means = self.shares.means()
        if means is None:
            return {}
        kinds = ("chance", *KINDS)
        return {
            f"foreground attention {kind}": float(mean)
            for kind, mean in zip(kinds, means, strict=True)
        }


def patches_of(masks: Tensor, framing: Framing, grid: PatchGrid) -> Tensor:
    """Which patches objects (n, H, W) bool own, at least half of each: (n, rows, columns) bool.

    Letterbox margins belong to none.
    """
    covered = masks.float()[None]
    if framing.content == framing.frame:
        shares = F.interpolate(covered, size=[grid.rows, grid.columns], mode="area")[0]
    else:
        content = F.interpolate(covered, size=list(framing.content), mode="area")[0]
        top, left = framing.offset
        bottom = framing.frame.height - framing.content.height - top
        right = framing.frame.width - framing.content.width - left
        framed = F.pad(content, (left, right, top, bottom))
        shares = F.interpolate(framed[None], size=[grid.rows, grid.columns], mode="area")[0]
    return shares >= 0.5


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
