"""Deletion and insertion: does the model itself lose and find a name where a map says it is?

Source: Petsiuk et al., "RISE" (arXiv 1806.07421). Patches are taken away from the one of most
evidence on, and replaced by the model's mean colour; or laid, in the same order, onto the blurred
image. The score of the name is followed; its mean over the way is the number. A good map makes
the score fall at once (deletion, lower is better) and rise at once (insertion, higher is better).

RISE's score is the probability of the class. Of CLIP that is the softmax over the data set's
names at the model's own scale; a name alone competes with the empty text. Or the plain cosine,
which no other name has a say in: all maps of one image begin and end at the same two scores, so
it needs no normalisation to compare methods (one that divides by the first score has no bound).

What differs from RISE: whole patches are taken, a number of them a step, as a map has no finer
evidence; the blur is wider, one patch, because CLIP knows most objects through a blur of 5 px.

An image costs 3 + 2 (steps - 1) forwards a name, so a name of ViT-B/16 as much as 33 images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, get_args

import torch
from PIL import ImageFilter
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.case import Case, highest_rows
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
    """Area under both curves in percent of the score, mean over classes of images.

    Args:
        names: the names of the data set.
        steps: in how many steps all patches go; at most one a patch.
        score: what is followed, "probability" in [0, 1] or "cosine" in [-1, 1].
        blur: standard deviation of the blur in patches.

    Raises:
        InputError: when steps is below 1 or blur is not above 0.
        UnknownNameError: for another score.
    """

    name = "deletion and insertion"

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

    def update(self, case: Case) -> None:
        """Take one image in; labels are enough, no mask is read.

        Raises:
            InputError: when the case has no explainer.
        """
        if case.explainer is None:
            raise InputError("Expected a case with its explainer, to run the model again.")
        if not case.labelled:
            return
        explainer, picture = case.explainer, read_image(case.sample.image)
        framing, patch = explainer.frame(picture), explainer.backbone.tower.patch_size
        grid = PatchGrid(framing.frame.height // patch, framing.frame.width // patch)
        ranks = patch_ranks(
            on_frame(
                case.patch_scores[case.labelled],
                case.explanation.framings[0],
                framing,
                grid,
            ),
            patches_in_image(framing, grid.rows, grid.columns),
        )
        with torch.no_grad():
            whole = explainer.pixels(picture)
            blurred = explainer.pixels(self._blurred(picture, framing, patch))
            grey = torch.zeros_like(whole)  # zero is the mean colour, once normalised
            cells = int(ranks[0].isfinite().sum())
            counts = torch.linspace(0, cells, min(self.steps, cells) + 1).round()
            frames = _frames(whole, grey, blurred, ranks, counts)
            scores = self._scores(case, explainer, frames)  # (frames, names)
        curves = _curves(scores, case.labelled, len(counts))  # (names, 2, steps + 1)
        areas = torch.trapezoid(curves.double(), (counts / cells).double())
        for index, found in zip(case.labelled, areas, strict=True):
            self.areas.add(index, 100 * found)

    def compute(self) -> dict[str, float]:
        """Deletion (%, lower is better) and insertion (%, higher is better)."""
        means = self.areas.means()
        return {} if means is None else {"deletion": float(means[0]), "insertion": float(means[1])}

    def _blurred(self, picture: InputImage, framing: Framing, patch: int) -> InputImage:
        """The image blurred by so many patches of the model's frame."""
        radius = self.blur * patch * framing.original.height / framing.content.height
        image = picture.image.filter(ImageFilter.GaussianBlur(radius))
        return InputImage(image=image, name=picture.name)

    def _scores(self, case: Case, explainer: Explainer, frames: Iterator[Tensor]) -> Tensor:
        """Scores of every name in every frame (frames, names), a batch at a time."""
        features = _features(case, explainer)
        found, batch = [], []
        for frame in frames:
            batch.append(frame)
            if len(batch) == explainer.batch_size:
                found.append(self._score(case, explainer, torch.cat(batch), features))
                batch = []
        if batch:
            found.append(self._score(case, explainer, torch.cat(batch), features))
        return torch.cat(found)

    def _score(
        self, case: Case, explainer: Explainer, pixels: Tensor, features: TextFeatures
    ) -> Tensor:
        image = walk(explainer.backbone.tower, pixels).image
        cosines = highest_rows(cosine(image, features.labels).T, case.starts).T.cpu()
        if self.score == "cosine":
            return cosines
        if len(case.names) == 1:
            empty = cosine(image, features.empty[None]).cpu()
            cosines = torch.cat([cosines, empty], dim=1)
        return (explainer.backbone.logit_scale * cosines).softmax(dim=1)[:, : len(case.names)]


def on_frame(maps: Tensor, framing: Framing, frame: Framing, grid: PatchGrid) -> Tensor:
    """Maps (n, rows, columns) of one framing on the patches of another: (n, grid).

    Each patch takes the value where its centre lies. Through windows an image is explained on a
    finer grid than the model's own frame has; where both are the same nothing changes.
    """
    centres = frame.restore_points(patch_centres(frame, grid.rows, grid.columns))
    x, y = framing.frame_points(centres).unbind(dim=-1)
    rows, columns = maps.shape[-2:]
    row = (y * rows / framing.frame.height).long().clamp(0, rows - 1)
    column = (x * columns / framing.frame.width).long().clamp(0, columns - 1)
    return maps[:, row, column]


def patch_ranks(maps: Tensor, inside: Tensor) -> Tensor:
    """The place of each patch in the order of evidence, 0 the highest: (n, rows, columns).

    Of equals the first comes first; patches not `inside` (rows, columns) have no place: inf.
    """
    flat = maps.masked_fill(~inside, float("-inf")).flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(flat.shape[1], dtype=torch.float32).expand_as(flat)
    ranks = torch.empty_like(flat).scatter_(1, order, places)
    return ranks.view_as(maps).masked_fill(~inside, float("inf"))


def _frames(
    whole: Tensor, grey: Tensor, blurred: Tensor, ranks: Tensor, counts: Tensor
) -> Iterator[Tensor]:
    """The frames (1, 3, H, W) to be scored: three ends, then per name and step a pair."""
    yield from (whole, grey, blurred)
    patch = whole.shape[-1] // ranks.shape[-1]
    for places in ranks:
        for count in counts[1:-1]:
            taken = (places < count).to(whole.device)
            pixels = taken.repeat_interleave(patch, 0).repeat_interleave(patch, 1)
            yield torch.where(pixels, grey, whole)
            yield torch.where(pixels, whole, blurred)


def _curves(scores: Tensor, indices: list[int], length: int) -> Tensor:
    """Deletion and insertion curves of each name, (n, 2, length), of the frames' scores."""
    curves = []
    steps = scores[3:].view(len(indices), length - 2, 2, scores.shape[1])
    for index, own in zip(indices, steps, strict=True):
        whole, grey, blurred = scores[:3, index]
        for start, way, end in zip(
            (whole, blurred), own[..., index].unbind(dim=1), (grey, whole), strict=True
        ):
            curves.append(torch.cat([start[None], way, end[None]]))
    return torch.stack(curves).view(len(indices), 2, length)


def _features(case: Case, explainer: Explainer) -> TextFeatures:
    """Features of the texts that stand for names, without background words."""
    texts = tuple(text for own in case.asked for text in own)
    if case.features is None:
        return replace(explainer, vocabulary=None).encode(texts)
    return replace(case.features, texts=texts, labels=case.features.labels[: len(texts)])
