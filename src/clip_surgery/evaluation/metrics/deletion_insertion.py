"""Deletion and insertion: how the score of a class changes when the patches of its map are changed.

Source: Petsiuk et al., "RISE" (arXiv 1806.07421). For deletion, patches are replaced by the mean
colour of the model, in the order of decreasing map values. For insertion, patches of the image are
placed onto the blurred image in the same order. The result is the area under the curve of the score
over the share of changed patches. For a good map the score falls quickly (deletion, lower is
better) and rises quickly (insertion, higher is better).

In RISE the score is the probability of the class. For CLIP this is the softmax over the class names
at the logit scale of the model; a single class competes with the empty text. Alternatively it is
the cosine similarity, which does not depend on other classes. All maps of an image start and end at
the same two scores, so no normalization is needed to compare methods.

Differences to RISE: whole patches are changed, several in each step, because a map has no finer
resolution; and the blur is wider (one patch), because CLIP recognizes most objects through a blur
of 5 px.

An image takes 3 + 2 (steps - 1) forward passes per class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, get_args

import torch
from PIL import ImageFilter
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage, highest_rows
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean
from clip_surgery.explainer import Explainer
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.patch_centres import patch_centres, patches_in_image
from clip_surgery.text.features import TextFeatures

PerturbationScore = Literal["probability", "cosine"]


class DeletionInsertion(SummedMetric):
    """Area under both curves, 100 times the mean score.

    The mean over images is taken for each class, then the mean over classes.

    Args:
        names: class names of the data set.
        steps: number of steps in which all patches are changed; at most the number of patches.
        score: "probability" in [0, 1] or "cosine" in [-1, 1].
        blur: standard deviation of the blur in patches.

    Raises:
        InputError: if `steps` is below 1 or `blur` is not above 0.
        UnknownNameError: if the score is unknown.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        steps: int = 16,
        score: PerturbationScore = "probability",
        blur: float = 1.0,
    ) -> None:
        if steps < 1 or not blur > 0:
            raise InputError(f"Expected steps and a blur above 0, but got {steps} and {blur}.")
        if score not in get_args(PerturbationScore):
            raise UnknownNameError.among("score", score, get_args(PerturbationScore))
        self.steps, self.score, self.blur = steps, score, blur
        self.areas = ClassMean(len(names), 2)  # deletion, insertion

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Only its labels are needed, not its mask.

        Raises:
            InputError: if the evaluated image has no explainer.
        """
        explainer = evaluated.require_explainer()
        if not evaluated.labelled:
            return
        image = read_image(evaluated.sample.image)
        framing, patch = explainer.frame(image), explainer.backbone.tower.patch_size
        grid = PatchGrid(framing.frame.height // patch, framing.frame.width // patch)
        ranks = patch_ranks(
            on_frame(
                evaluated.patch_scores[evaluated.labelled],
                evaluated.explanation.framings[0],
                framing,
                grid,
            ),
            patches_in_image(framing, grid.rows, grid.columns),
        )
        with torch.no_grad():
            whole = explainer.pixels(image)
            blurred = explainer.pixels(blurred_image(image, framing, patch, patches=self.blur))
            grey = torch.zeros_like(whole)  # zero is the mean colour after normalization
            patches = int(ranks[0].isfinite().sum())
            counts = torch.linspace(0, patches, min(self.steps, patches) + 1).round()
            frames = perturbed_frames(whole, grey, blurred, ranks, counts)
            scores = self._scores(evaluated, explainer, frames)  # (frames, names)
        curves = perturbation_curves(
            scores, evaluated.labelled, len(counts)
        )  # (names, 2, steps + 1)
        areas = torch.trapezoid(curves.double(), (counts / patches).double())
        for index, area in zip(evaluated.labelled, areas, strict=True):
            self.areas.add(index, 100 * area)

    def compute(self) -> dict[str, float]:
        """Return "deletion" (lower is better) and "insertion" (higher is better)."""
        means = self.areas.means()
        return {} if means is None else {"deletion": float(means[0]), "insertion": float(means[1])}

    def _scores(
        self, evaluated: EvaluatedImage, explainer: Explainer, frames: Iterator[Tensor]
    ) -> Tensor:
        """Return the scores of every class in every frame, (frames, C), in batches."""
        features = _features(evaluated, explainer)
        scores, batch = [], []
        for frame in frames:
            batch.append(frame)
            if len(batch) == explainer.batch_size:
                scores.append(self._score(evaluated, explainer, torch.cat(batch), features))
                batch = []
        if batch:
            scores.append(self._score(evaluated, explainer, torch.cat(batch), features))
        return torch.cat(scores)

    def _score(
        self,
        evaluated: EvaluatedImage,
        explainer: Explainer,
        pixels: Tensor,
        features: TextFeatures,
    ) -> Tensor:
        image = walk(explainer.backbone.tower, pixels).image
        cosines = highest_rows(cosine(image, features.labels).T, evaluated.starts).T.cpu()
        if self.score == "cosine":
            return cosines
        if len(evaluated.names) == 1:
            empty = cosine(image, features.empty[None]).cpu()
            cosines = torch.cat([cosines, empty], dim=1)
        return (explainer.backbone.logit_scale * cosines).softmax(dim=1)[:, : len(evaluated.names)]


def blurred_image(
    image: InputImage, framing: Framing, patch: int, *, patches: float = 1.0
) -> InputImage:
    """Return the blurred image. The radius is some patches in the frame of the model."""
    radius = patches * patch * framing.original.height / framing.content.height
    return InputImage(image=image.image.filter(ImageFilter.GaussianBlur(radius)), name=image.name)


def on_frame(maps: Tensor, framing: Framing, frame: Framing, grid: PatchGrid) -> Tensor:
    """Sample maps of one framing at the patch centres of another framing.

    With windows, an image is explained on a finer grid than the frame of the model has. If both
    framings are the same, the maps are returned unchanged.

    Args:
        maps: (n, rows, columns) maps of `framing`.
        framing: framing of the explanation.
        frame: framing of the model.
        grid: patch grid of the model.

    Returns:
        (n, grid.rows, grid.columns).
    """
    centres = frame.restore_points(patch_centres(frame, grid.rows, grid.columns))
    x, y = framing.frame_points(centres).unbind(dim=-1)
    rows, columns = maps.shape[-2:]
    row = (y * rows / framing.frame.height).long().clamp(0, rows - 1)
    column = (x * columns / framing.frame.width).long().clamp(0, columns - 1)
    return maps[:, row, column]


def patch_ranks(maps: Tensor, inside: Tensor) -> Tensor:
    """Return the rank of each patch, 0 for the highest value; equal values keep their order.

    Args:
        maps: (n, rows, columns).
        inside: (rows, columns) bool, the patches that contain a part of the image.

    Returns:
        (n, rows, columns) float32; patches that are not inside have rank infinity.
    """
    flat = maps.masked_fill(~inside, float("-inf")).flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    positions = torch.arange(flat.shape[1], dtype=torch.float32).expand_as(flat)
    ranks = torch.empty_like(flat).scatter_(1, order, positions)
    return ranks.view_as(maps).masked_fill(~inside, float("inf"))


def perturbed_frames(
    whole: Tensor, grey: Tensor, blurred: Tensor, ranks: Tensor, counts: Tensor
) -> Iterator[Tensor]:
    """Yield the frames (1, 3, H, W) to score: three ends, then a pair per class and step."""
    yield from (whole, grey, blurred)
    patch = whole.shape[-1] // ranks.shape[-1]
    for class_ranks in ranks:
        for count in counts[1:-1]:
            changed = (class_ranks < count).to(whole.device)
            pixels = changed.repeat_interleave(patch, 0).repeat_interleave(patch, 1)
            yield torch.where(pixels, grey, whole)
            yield torch.where(pixels, whole, blurred)


def perturbation_curves(scores: Tensor, indices: list[int], length: int) -> Tensor:
    """Return the deletion and insertion curve of each class, (n, 2, length)."""
    curves = []
    steps = scores[3:].view(len(indices), length - 2, 2, scores.shape[1])
    for index, class_scores in zip(indices, steps, strict=True):
        whole, grey, blurred = scores[:3, index]
        for start, middle, end in zip(
            (whole, blurred), class_scores[..., index].unbind(dim=1), (grey, whole), strict=True
        ):
            curves.append(torch.cat([start[None], middle, end[None]]))
    return torch.stack(curves).view(len(indices), 2, length)


def _features(evaluated: EvaluatedImage, explainer: Explainer) -> TextFeatures:
    """Return the features of the prompts of all classes, without background words."""
    texts = tuple(text for texts in evaluated.texts_of_names for text in texts)
    if evaluated.features is None:
        return replace(explainer, vocabulary=None).encode(texts)
    return replace(evaluated.features, texts=texts, labels=evaluated.features.labels[: len(texts)])
