"""Case: one picture with its explanation and its truth, as every metric sees it.

Maps are resized once and shared by all metrics; which of them is made depends on who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Sample
from clip_surgery.explanation import Explanation
from clip_surgery.tasks.heatmaps import heatmaps


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """The explanation of one picture for all C names of a data set, beside its truth.

    Raises:
        InputError: when the explanation is not of one picture for these names and this mask.
    """

    explanation: Explanation
    sample: Sample
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.explanation) != 1 or self.explanation.texts != self.names:
            raise InputError(
                f"Expected an explanation of 1 picture for {len(self.names)} names, "
                f"but got {len(self.explanation)} for {len(self.explanation.texts)}."
            )
        original = tuple(self.explanation.framings[0].original)
        if original != self.sample.mask.shape:
            raise InputError(f"Expected a mask of {original}, but got {self.sample.mask.shape}.")

    @cached_property
    def present(self) -> list[int]:
        """Indices of the names that have at least one judged pixel."""
        seen = set(np.unique(self.sample.mask).tolist())
        return [index for index in range(len(self.names)) if index in seen]

    @cached_property
    def absent(self) -> list[int]:
        """Indices of the names that are not in the picture."""
        return [
            index
            for index, name in enumerate(self.names)
            if index not in self.present and name not in self.sample.present
        ]

    @cached_property
    def judged(self) -> Tensor:
        """Which pixels count (H, W) bool."""
        return self.mask != NOT_JUDGED

    @cached_property
    def mask(self) -> Tensor:
        """The true index of each pixel (H, W) int64."""
        return torch.from_numpy(self.sample.mask)

    @cached_property
    def raw(self) -> Tensor:
        """Maps of the present names at the picture's size, as they are: (present, H, W)."""
        scores = self.explanation.patch_scores[0][self.present]
        return self.explanation.framings[0].restore_map(scores)

    @cached_property
    def scaled(self) -> Tensor:
        """Maps of the present names, each min-maxed over the picture: (present, H, W)."""
        return heatmaps(self.explanation.only([self.names[index] for index in self.present]))[0]

    def inside(self, index: int) -> Tensor:
        """The judged pixels of a name: one bool per judged pixel."""
        return self.mask[self.judged] == index
