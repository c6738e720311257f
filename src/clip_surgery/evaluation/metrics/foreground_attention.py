"""Foreground attention ratio: the share of an object's attention that stays on the object.

It measures the first finding of CLIP Surgery (arXiv 2304.05653). For the patches of an object as
queries, it is the share of their attention to patches that falls on patches of the object: "q-k" is
the attention of the model, "v-v" the attention of CLIP Surgery. Uniform attention gives the
object's share of the image ("chance").

Explanations do not contain attention, so the model is run once more on each image, independently of
the method. Models without this kind of attention are skipped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import read_image
from clip_surgery.tasks.inspection import AttentionKind, patch_attention

KINDS: tuple[AttentionKind, ...] = ("q-k", "v-v")


class ForegroundAttention(SummedMetric):
    """Share of the attention inside the object in percent.

    The mean over images is taken for each class, then the mean over classes.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.shares = ClassMean(len(names), 1 + len(KINDS))  # chance, then one value per kind

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image.

        A patch belongs to an object if at least half of its pixels do. Objects to which no patch
        or every patch belongs are skipped.

        Raises:
            InputError: if the evaluated image has no explainer.
        """
        explainer = evaluated.require_explainer()
        if not evaluated.present:
            return
        image = read_image(evaluated.sample.image)
        framing = explainer.frame(image)
        tower = explainer.backbone.tower
        grid = PatchGrid(
            framing.frame.height // tower.patch_size, framing.frame.width // tower.patch_size
        )
        masks = evaluated.mask == torch.tensor(evaluated.present)[:, None, None]
        patches = patches_of(masks, framing, grid).flatten(1)  # (present, P)
        if not any(inside.any() and not inside.all() for inside in patches):
            return
        try:
            with torch.no_grad():
                attentions = patch_attention(tower, explainer.pixels(image), kinds=KINDS)
        except UnsupportedModelError:
            return
        weights = [attentions[kind][0].float().cpu() for kind in KINDS]
        for index, inside in zip(evaluated.present, patches, strict=True):
            if inside.any() and not inside.all():
                shares = [float(inside.double().mean())]
                shares += [foreground_share(attention, inside) for attention in weights]
                self.shares.add(index, 100 * torch.tensor(shares, dtype=torch.float64))

    def compute(self) -> dict[str, float]:
        """Return "foreground attention KIND" in percent, for chance and each kind of attention."""
        means = self.shares.means()
        if means is None:
            return {}
        kinds = ("chance", *KINDS)
        return {
            f"foreground attention {kind}": float(mean)
            for kind, mean in zip(kinds, means, strict=True)
        }


def patches_of(masks: Tensor, framing: Framing, grid: PatchGrid) -> Tensor:
    """Return the patches that belong to objects, at least half of their pixels.

    Letterbox margins belong to no object.

    Args:
        masks: (n, H, W) bool, the pixels of each object in the original image.
        framing: how the image was framed.
        grid: the patch grid.

    Returns:
        (n, rows, columns) bool.
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
    """Return the share of the attention from the object to itself, in [0, 1].

    Args:
        attention: (P, P), one row per query patch.
        inside: (P,) bool, the patches of the object.

    Raises:
        InputError: if the shapes do not match.
    """
    if tuple(attention.shape) != (len(inside), len(inside)):
        raise InputError(
            f"Expected attention ({len(inside)}, {len(inside)}), but got {tuple(attention.shape)}."
        )
    rows = attention[inside].double()
    return float((rows[:, inside].sum(dim=1) / rows.sum(dim=1).clamp(min=1e-12)).mean())
