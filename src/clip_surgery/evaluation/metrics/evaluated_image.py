"""One image with its explanation and its ground truth: the input of every metric.

Maps are resized once and shared by all metrics. Each property is computed when a metric first uses
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from clip_surgery.deferred_tensor import replaced, transformed, unread
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Sample
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.surgery.min_max import is_flat
from clip_surgery.tasks.score_batches import finite_scores
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedImage:
    """The explanation of one image for all C class names of a data set, with the ground truth.

    Attributes:
        explanation: explanation of one image. Its texts are the class names, or all prompts of
            the first class, of the second and so on, followed by the background words.
        sample: the image with its ground truth.
        names: the C class names of the data set. Values of the mask are indices of them.
        prompts: for each class, the texts that it is prompted with. If None, its name only.
        background: the background words, which belong to no class.
        explainer: the explainer of this explanation, for metrics that run the model again.
        features: features of the texts of the explanation, for the same metrics. If None, these
            metrics encode the texts again.

    Raises:
        InputError: if the explanation is not of one image for these texts, the mask is not of the
            size of the image, or the mask contains an index that no class has.
    """

    explanation: Explanation
    sample: Sample
    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...] | None = None
    background: tuple[str, ...] = ()
    explainer: Explainer | None = None
    features: TextFeatures | None = None

    def __post_init__(self) -> None:
        if len(self.texts_of_names) != len(self.names):
            raise InputError(
                f"Expected prompts for {len(self.names)} classes, but got "
                f"{len(self.texts_of_names)}."
            )
        texts = texts_to_explain(self.texts_of_names, self.background)
        if len(self.explanation) != 1 or self.explanation.texts != texts:
            raise InputError(
                f"Expected an explanation of 1 image for {len(self.names)} classes by "
                f"{len(texts)} texts, but got {len(self.explanation)} for "
                f"{len(self.explanation.texts)}, or other texts."
            )
        if self.features is not None and self.features.texts != texts:
            raise InputError("Expected features of the explanation's texts, but got others.")
        original = tuple(self.explanation.framings[0].original)
        if original != self.sample.mask.shape:
            raise InputError(f"Expected a mask of {original}, but got {self.sample.mask.shape}.")
        highest = int(self.sample.mask.max())
        if highest >= len(self.names):
            raise InputError(
                f"Expected mask values below {len(self.names)}, one per class, but got {highest}."
            )

    def require_explainer(self) -> Explainer:
        """Return the explainer, for a metric that runs the model again.

        Raises:
            InputError: if there is none.
        """
        if self.explainer is None:
            raise InputError(
                "Expected an evaluated image with its explainer, to run the model again."
            )
        return self.explainer

    @property
    def texts_of_names(self) -> tuple[tuple[str, ...], ...]:
        """For each class, the texts that it is prompted with."""
        return tuple((name,) for name in self.names) if self.prompts is None else self.prompts

    @cached_property
    def starts(self) -> list[int]:
        """Index of the first text of each class, and the end of the last class: C + 1 numbers."""
        return [0, *accumulate(map(len, self.texts_of_names))]

    @cached_property
    def by_name(self) -> Explanation:
        """The explanation with one row per class, the maximum of its texts, without background."""
        if self.prompts is None and not self.background:
            return self.explanation
        if not self.background and all(len(texts) == 1 for texts in self.texts_of_names):
            return replaced(self.explanation, texts=self.names)
        whole, starts = self.explanation, self.starts
        ratios = transformed(
            unread(whole, "reference_log_ratios"),
            lambda of_texts: highest_rows(of_texts[0].T, starts).T[None],
        )
        return replace(
            whole,
            patch_scores=(highest_rows(whole.patch_scores[0], starts),),
            similarity=None
            if whole.similarity is None
            else (highest_rows(whole.similarity[0], starts),),
            image_scores=highest_rows(whole.image_scores[0], starts)[None],
            reference_log_ratios=ratios,
            texts=self.names,
        )

    @cached_property
    def present(self) -> list[int]:
        """Indices of the classes that have at least one pixel in the mask."""
        seen = np.zeros(len(self.names) + 2, dtype=np.bool_)
        seen[self.sample.mask.ravel()] = True  # -1 and -2 are the last two
        return np.flatnonzero(seen[:-2]).tolist()

    @cached_property
    def labelled(self) -> list[int]:
        """Indices of the classes that are in the image, according to the mask or the labels."""
        with_pixels, labels = set(self.present), self.sample.present
        return [
            index for index, name in enumerate(self.names) if index in with_pixels or name in labels
        ]

    @cached_property
    def absent(self) -> list[int]:
        """Indices of the classes that are known not to be in the image."""
        labelled, unsure = set(self.labelled), self.sample.unsure
        return [
            index
            for index, name in enumerate(self.names)
            if index not in labelled and name not in unsure
        ]

    @cached_property
    def decided(self) -> list[int]:
        """Indices of the classes that are known to be in the image or known to be absent."""
        return sorted([*self.labelled, *self.absent])

    @cached_property
    def mask(self) -> Tensor:
        """The class index of each pixel, (H, W) int64; -1 is no class and -2 is not judged."""
        return torch.from_numpy(np.require(self.sample.mask, requirements=["C", "W"]))

    @cached_property
    def judged(self) -> Tensor:
        """The pixels that metrics count, (H, W) bool."""
        return self.mask != NOT_JUDGED

    @cached_property
    def true_indices(self) -> Tensor:
        """The class index of each of the n judged pixels, (n,) int64."""
        return self.at_judged(self.mask)

    @cached_property
    def object_pixels(self) -> Tensor:
        """The judged pixels of each present class, (present, n) bool."""
        return self.true_indices == torch.tensor(self.present, dtype=torch.int64)[:, None]

    @cached_property
    def patch_scores(self) -> Tensor:
        """The patch scores of every class, (C, rows, columns) float32.

        Raises:
            InputError: if a score is not finite.
        """
        return finite_scores(self.by_name, 0).cpu()

    @cached_property
    def maps(self) -> Tensor:
        """Maps of the present classes at the size of the image, not scaled: (present, H, W)."""
        return self.by_name.framings[0].restore_map(self.patch_scores[self.present])

    @cached_property
    def judged_maps(self) -> Tensor:
        """The maps at the judged pixels: (present, n)."""
        return self.at_judged(self.maps)

    @cached_property
    def judged_heatmaps(self) -> Tensor:
        """Maps at the judged pixels, each min-max scaled over the image: (present, n) in [0, 1].

        The values are those of `tasks.heatmaps`, computed in a quarter of the time.
        """
        low, high = self.maps.amin((1, 2)), self.maps.amax((1, 2))
        factor = (1 / (high - low)).masked_fill(is_flat(low, high), 0.0)
        return (self.judged_maps - low[:, None]).mul_(factor[:, None]).clamp_(0.0, 1.0)

    def at_judged(self, maps: Tensor) -> Tensor:
        """Select the judged pixels of maps (..., H, W), row by row: (..., n)."""
        flat = maps.flatten(-2)
        return flat if self._judged_indices is None else flat.index_select(-1, self._judged_indices)

    @cached_property
    def _judged_indices(self) -> Tensor | None:
        """Flat indices of the judged pixels, or None if all pixels are judged."""
        judged = self.judged.numpy()
        return None if judged.all() else torch.from_numpy(np.flatnonzero(judged))


def texts_to_explain(
    prompts: Sequence[tuple[str, ...]], background: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the texts to explain: all prompts in the order of the classes, then background words.

    Example:
        >>> texts_to_explain([("sofa", "couch"), ("cat",)], ("wall",))
        ('sofa', 'couch', 'cat', 'wall')
    """
    return (*(text for texts in prompts for text in texts), *background)


def highest_rows(values: Tensor, starts: Sequence[int]) -> Tensor:
    """Return the maximum of rows starts[i] to starts[i + 1], exclusive, of values (texts, ...).

    Args:
        values: one row per text.
        starts: as `EvaluatedImage.starts`.

    Returns:
        One row per class, (C, ...).

    Example:
        >>> highest_rows(torch.tensor([[1.0], [3.0], [2.0]]), [0, 2, 3]).tolist()
        [[3.0], [2.0]]
    """
    return torch.stack([values[start:stop].amax(dim=0) for start, stop in pairwise(starts)])
