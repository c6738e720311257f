"""TextFeatures: all of the text side that a method may need."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class TextFeatures:
    """Unit-length text features of the labels, of the empty text and of reference words.

    Attributes:
        texts: the labels, C of them.
        labels: their features (C, D), unit length, float32.
        empty: the feature of the empty text through the same templates (D,).
        reference: features (R, D) of a fixed vocabulary, for redundancy that does not depend
            on the user's labels, or None.

    Raises:
        InputError: when the shapes do not belong together.
    """

    texts: tuple[str, ...]
    labels: Tensor
    empty: Tensor
    reference: Tensor | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.shape[0] != len(self.texts) or not self.texts:
            raise InputError(
                f"Expected label features of shape ({len(self.texts)}, D) for "
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
