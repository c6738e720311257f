"""Features of the texts for which images are explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError

Linkage = Literal["ward", "complete"]
"""How the distance of two clusters follows from the distances of their texts."""


@dataclass(frozen=True, kw_only=True)
class TextShift:
    """How texts move towards patches of an image; see `with_text_shift`.

    Attributes:
        share: share of the mean patch in a moved text, in [0, 1].
        cut: highest distance of texts in a cluster, of which one moves.
        image_share: share of the cosine of image and text in the similarity, in [0, 1].
        linkage: the clusters, of "ward" or "complete" linkage.

    Raises:
        InputError: if a value is outside of its range.
        UnknownNameError: if linkage is unknown.
    """

    share: float
    cut: float
    image_share: float
    linkage: Linkage = "ward"

    def __post_init__(self) -> None:
        for name in ("share", "image_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"Expected {name} in [0, 1], but got {getattr(self, name)}.")
        if not 0 <= self.cut < float("inf"):
            raise InputError(f"Expected cut of 0 or more, but got {self.cut}.")
        if self.linkage not in get_args(Linkage):
            raise UnknownNameError.among("linkage", self.linkage, get_args(Linkage))


@dataclass(frozen=True, kw_only=True, eq=False)
class TextFeatures:
    """Features of C texts, of the empty text and of R reference words, in the joint space.

    Attributes:
        texts: the C texts.
        labels: features of the texts (C, D), of unit length, float32.
        empty: feature of the empty text in the same templates (D,).
        reference: features of the reference words (R, D), or None without a vocabulary.
        experts: features of the C texts in the templates of the expert of each text (C, C, D), from
            `with_experts`, or None. Segmentation then compares experts.
        shift: how texts move in each image, from `with_text_shift`, or None.

    Raises:
        InputError: if the shapes do not agree, or the texts have both experts and a shift.
    """

    texts: tuple[str, ...]
    labels: Tensor
    empty: Tensor
    reference: Tensor | None = None
    experts: Tensor | None = None
    shift: TextShift | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.shape[0] != len(self.texts) or not self.texts:
            raise InputError(
                f"Expected text features of shape ({len(self.texts)}, D) for "
                f"{len(self.texts)} texts, but got {tuple(self.labels.shape)}."
            )
        width = self.labels.shape[1]
        if tuple(self.empty.shape) != (width,):
            raise InputError(
                f"Expected the empty text's feature of shape ({width},), "
                f"but got {tuple(self.empty.shape)}."
            )
        if self.reference is not None and (
            self.reference.ndim != 2 or self.reference.shape[1] != width
        ):
            raise InputError(
                f"Expected reference features of shape (R, {width}), "
                f"but got {tuple(self.reference.shape)}."
            )
        count = len(self.texts)
        if self.experts is not None and tuple(self.experts.shape) != (count, count, width):
            raise InputError(
                f"Expected experts of shape ({count}, {count}, {width}), "
                f"but got {tuple(self.experts.shape)}."
            )
        if self.experts is not None and self.shift is not None:
            raise InputError("Expected texts with experts or with a shift, but got both.")
