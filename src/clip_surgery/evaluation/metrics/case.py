"""Case: one image with its explanation and its truth, as every metric sees it.

Maps are resized once and shared by all metrics; which of them is made depends on who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Sample
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.surgery.min_max import is_flat
from clip_surgery.tasks.heatmaps import finite_scores
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """The explanation of one image for all C names of a data set, beside its truth.

    Attributes:
        explanation: of one image, for the names, or for the prompts if there are any, and then
            for the background words.
        sample: the truth.
        names: the C names of the data set, which the mask indexes.
        prompts: the texts that stand for each name; each name for itself if None.
        background: the last texts of the explanation, which stand for no name.
        explainer: what made the explanation, for metrics that run the model again.
        features: of the explanation's texts, for the same; encoded again where they are None.

    Raises:
        InputError: when the explanation is not of one image for these texts and this mask, or
            the mask holds an index that no name has.
    """

    explanation: Explanation
    sample: Sample
    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...] | None = None
    background: tuple[str, ...] = ()
    explainer: Explainer | None = None
    features: TextFeatures | None = None

    def __post_init__(self) -> None:
        if len(self.asked) != len(self.names):
            raise InputError(
                f"Expected prompts for {len(self.names)} names, but got {len(self.asked)}."
            )
        texts = texts_to_explain(self.asked, self.background)
        if len(self.explanation) != 1 or self.explanation.texts != texts:
            raise InputError(
                f"Expected an explanation of 1 image for {len(self.names)} names by "
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
                f"Expected mask values below {len(self.names)}, one a name, but got {highest}."
            )

    @property
    def asked(self) -> tuple[tuple[str, ...], ...]:
        """The texts that stand for each name."""
        return tuple((name,) for name in self.names) if self.prompts is None else self.prompts

    @cached_property
    def starts(self) -> list[int]:
        """Where the texts of each name begin, and where the last one's end: C + 1 numbers."""
        return [0, *accumulate(map(len, self.asked))]

    @cached_property
    def by_name(self) -> Explanation:
        """The explanation with one row a name: the highest of its texts, no background words."""
        if self.prompts is None and not self.background:
            return self.explanation
        if not self.background and all(len(own) == 1 for own in self.asked):
            return replace(self.explanation, texts=self.names)
        whole, starts = self.explanation, self.starts
        return replace(
            whole,
            patch_scores=(highest_rows(whole.patch_scores[0], starts),),
            similarity=None
            if whole.similarity is None
            else (highest_rows(whole.similarity[0], starts),),
            image_scores=highest_rows(whole.image_scores[0], starts)[None],
            reference_log_ratios=None
            if whole.reference_log_ratios is None
            else highest_rows(whole.reference_log_ratios[0].T, starts).T[None],
            texts=self.names,
        )

    @cached_property
    def present(self) -> list[int]:
        """Indices of the names that have at least one judged pixel."""
        seen = np.zeros(len(self.names) + 2, dtype=np.bool_)
        seen[self.sample.mask.ravel()] = True  # -1 and -2 are the last two
        return np.flatnonzero(seen[:-2]).tolist()

    @cached_property
    def labelled(self) -> list[int]:
        """Indices of the names that are in the image, with pixels or only by its labels."""
        seen, said = set(self.present), self.sample.present
        return [index for index, name in enumerate(self.names) if index in seen or name in said]

    @cached_property
    def absent(self) -> list[int]:
        """Indices of the names that are surely not in the image."""
        labelled, unsure = set(self.labelled), self.sample.unsure
        return [
            index
            for index, name in enumerate(self.names)
            if index not in labelled and name not in unsure
        ]

    @cached_property
    def decided(self) -> list[int]:
        """Indices of the names of which it is known whether they are in the image."""
        return sorted([*self.labelled, *self.absent])

    @cached_property
    def mask(self) -> Tensor:
        """The true index of each pixel (H, W) int64."""
        return torch.from_numpy(np.require(self.sample.mask, requirements=["C", "W"]))

    @cached_property
    def judged(self) -> Tensor:
        """Which pixels count (H, W) bool."""
        return self.mask != NOT_JUDGED

    @cached_property
    def truth(self) -> Tensor:
        """The true index of each of the n judged pixels (n,) int64."""
        return self.at_judged(self.mask)

    @cached_property
    def insides(self) -> Tensor:
        """Which of the n judged pixels each present name has: (present, n) bool."""
        return self.truth == torch.tensor(self.present, dtype=torch.int64)[:, None]

    @cached_property
    def patch_scores(self) -> Tensor:
        """The evidence for every name (C, rows, columns), float32.

        Raises:
            InputError: when a score is not finite.
        """
        return finite_scores(self.by_name, 0).cpu()

    @cached_property
    def raw(self) -> Tensor:
        """Maps of the present names at the image's size, as they are: (present, H, W)."""
        return self.by_name.framings[0].restore_map(self.patch_scores[self.present])

    @cached_property
    def raw_judged(self) -> Tensor:
        """The raw maps where it counts: (present, n)."""
        return self.at_judged(self.raw)

    @cached_property
    def scaled_judged(self) -> Tensor:
        """Maps of the present names, each min-maxed over the image: (present, n) in [0, 1].

        They are those of `tasks.heatmaps`, at a quarter of its time.
        """
        low, high = self.raw.amin((1, 2)), self.raw.amax((1, 2))
        factor = (1 / (high - low)).masked_fill(is_flat(low, high), 0.0)
        return (self.raw_judged - low[:, None]).mul_(factor[:, None]).clamp_(0.0, 1.0)

    def at_judged(self, maps: Tensor) -> Tensor:
        """The judged pixels of maps (..., H, W), row by row: (..., n)."""
        flat = maps.flatten(-2)
        return flat if self._places is None else flat.index_select(-1, self._places)

    @cached_property
    def _places(self) -> Tensor | None:
        """Where the judged pixels are, None where all are."""
        judged = self.judged.numpy()
        return None if judged.all() else torch.from_numpy(np.flatnonzero(judged))


def texts_to_explain(
    prompts: Sequence[tuple[str, ...]], background: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The texts an explanation is made for: all prompts in order, then the background words.

    Example:
        >>> texts_to_explain([("sofa", "couch"), ("cat",)], ("wall",))
        ('sofa', 'couch', 'cat', 'wall')
    """
    return (*(text for own in prompts for text in own), *background)


def highest_rows(values: Tensor, starts: Sequence[int]) -> Tensor:
    """The highest of rows starts[i] to starts[i + 1] of values (texts, ...): (names, ...).

    Example:
        >>> highest_rows(torch.tensor([[1.0], [3.0], [2.0]]), [0, 2, 3]).tolist()
        [[3.0], [2.0]]
    """
    return torch.stack([values[start:stop].amax(dim=0) for start, stop in pairwise(starts)])
