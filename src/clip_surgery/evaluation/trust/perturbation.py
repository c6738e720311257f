"""Faithfulness: does the score depend on the patches that the map ranks highest?

- ROAD (arXiv 2202.00449): patches are removed by noisy linear imputation, the most relevant first
  (MoRF) and the least relevant first (LeRF). The value is the mean of (score LeRF - score MoRF) / 2
  over 10, 20, ..., 90 % of the patches. A random order has the mean 0.
- Insertion minus deletion (arXiv 1806.07421), minus the same for a random order.
- Sensitivity-n (arXiv 1711.06104): the correlation, over random sets of n patches, of the sum of
  the map over the set with the fall of the cosine when the set is replaced by the mean colour. It
  is 1 for a map of the weights of a linear model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from clip_surgery.evaluation.metrics.deletion_insertion import (
    blurred_image,
    patch_ranks,
    perturbation_curves,
    perturbed_frames,
)
from clip_surgery.evaluation.trust.case import Case
from clip_surgery.evaluation.trust.imputation import impute

LEVELS = tuple(level / 10 for level in range(1, 10))
STEPS = 10
RANDOM_ORDERS = 2
SETS = 100
SET_SHARE = 0.2
"""Number of random sets of patches, and the size of a set as a share of the patches."""


def road(case: Case, scores: Tensor) -> float:
    """Return the mean of (score LeRF - score MoRF) / 2, in [-0.5, 0.5]. Cost: 18 forward passes.

    Args:
        case: the image and text.
        scores: the map (rows, columns).
    """
    patches = int(case.inside.sum())
    frames = []
    for signed in (-scores, scores):  # the least relevant first, then the most relevant first
        ranks = patch_ranks(signed[None], case.inside)[0]
        for number, level in enumerate(LEVELS):
            removed = case.enlarged(ranks < round(level * patches))
            frames.append(impute(case.pixels[0], removed, seed=case.seed + number))
    least, most = case.probabilities(frames).double().view(2, len(LEVELS))
    return float((least - most).mean() / 2)


def insertion_minus_deletion(case: Case, maps: Tensor) -> Tensor:
    """Return the area under the insertion curve minus that under the deletion curve, (n,).

    The cost is 3 + 2 (STEPS - 1) n forward passes.

    Args:
        case: the image and text.
        maps: n maps (n, rows, columns).
    """
    explainer = case.explainer
    patch = explainer.backbone.tower.patch_size
    framing = explainer.frame(case.image)
    ranks = patch_ranks(maps, case.inside)
    patches = int(case.inside.sum())
    counts = torch.linspace(0, patches, min(STEPS, patches) + 1).round()
    blurred = explainer.pixels(blurred_image(case.image, framing, patch))
    grey = torch.zeros_like(case.pixels)
    frames = [frame[0] for frame in perturbed_frames(case.pixels, grey, blurred, ranks, counts)]
    scores = case.probabilities(frames)[:, None]
    curves = perturbation_curves(scores, [0] * len(maps), len(counts)).double()
    deletion, insertion = torch.trapezoid(curves, (counts / patches).double()).unbind(dim=1)
    return insertion - deletion


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomSets:
    """Scores of an image without random sets of patches, which the maps of all methods share."""

    case: Case

    @cached_property
    def random_order(self) -> float:
        """Insertion minus deletion of random orders, the mean of several."""
        generator = torch.Generator().manual_seed(self.case.seed)
        shape = (RANDOM_ORDERS, *self.case.inside.shape)
        random = torch.rand(shape, generator=generator)
        return float(insertion_minus_deletion(self.case, random).mean())

    @cached_property
    def sets(self) -> Tensor:
        """Random sets of patches, (SETS, rows, columns) bool."""
        generator = torch.Generator().manual_seed(self.case.seed)
        inside = self.case.inside
        order = torch.rand(SETS, *inside.shape, generator=generator)
        return patch_ranks(order, inside) < max(1, round(SET_SHARE * int(inside.sum())))

    @cached_property
    def falls(self) -> Tensor:
        """The fall of the cosine without each set, (SETS,). Cost: SETS + 1 forward passes."""
        case = self.case
        whole = case.pixels[0]
        frames = [
            whole.masked_fill(case.enlarged(set_).to(whole.device), 0.0) for set_ in self.sets
        ]
        return case.cosines([whole]) - case.cosines(frames)

    def sensitivity(self, scores: Tensor) -> float:
        """Return sensitivity-n of a map (rows, columns)."""
        return linear_correlation((self.sets * scores).flatten(1).sum(dim=1), self.falls)


def linear_correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation of two vectors (n,); 0 if one of them is constant.

    Example:
        >>> round(linear_correlation(torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 4, 6])), 6)
        1.0
    """
    centred = torch.stack([first.double(), second.double()])
    scale = centred.abs().amax(dim=1)
    centred = centred - centred.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1)
    if bool((lengths <= 1e-9 * scale.clamp(min=1e-300)).any()):
        return 0.0
    return float((centred[0] @ centred[1] / lengths.prod()).clamp(-1, 1))
