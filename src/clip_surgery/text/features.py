"""Features of the texts for which images are explained."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.errors import InputError


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

    Raises:
        InputError: if the shapes do not agree.
    """

    texts: tuple[str, ...]
    labels: Tensor
    empty: Tensor
    reference: Tensor | None = None
    experts: Tensor | None = None

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
