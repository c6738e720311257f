"""The interface of promptable segmentation models, with their prompts and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import InputImage


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """Where an object is, in pixels of the image; at least one of the three is given.

    Attributes:
        xy: points (M, 2), x before y; may be empty.
        labels: (M,) 1 on the object, 0 off it.
        box: left, top, right, bottom, or None.
        logits: a rough mask (H, W) at the image's size, above 0 on the object, or None.

    Raises:
        InputError: when nothing is given, or points and labels are not equally many.
    """

    xy: NDArray[np.float32]
    labels: NDArray[np.int64]
    box: tuple[float, float, float, float] | None = None
    logits: Tensor | None = None

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or self.labels.shape != self.xy.shape[:1]:
            raise InputError(
                "Expected points (M, 2) and as many labels, "
                f"but got {self.xy.shape} and {self.labels.shape}."
            )
        if not len(self.xy) and self.box is None and self.logits is None:
            raise InputError("Expected a prompt with points, a box or a rough mask, but got none.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """What a segmenter proposes for one prompt.

    Attributes:
        masks: (K, H, W) bool at the image's size.
        scores: (K,) how good the model thinks each one is.

    Raises:
        InputError: when there is none, or masks and scores are not equally many.
    """

    masks: Tensor
    scores: Tensor

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or self.scores.shape != self.masks.shape[:1] or not len(self.masks):
            raise InputError(
                "Expected masks (K, H, W) and K scores, "
                f"but got {tuple(self.masks.shape)} and {tuple(self.scores.shape)}."
            )


class Segmenter(Protocol):
    """The interface of promptable segmentation models: any function or object with this call.

    All prompts of an image are given in one call, so that the image can be embedded once for all of
    them. Other packages can offer a segmenter by name, see `register_segmenter`.
    """

    def __call__(self, image: InputImage, prompts: Sequence[Prompt], /) -> list[Candidates]:
        """Return candidate masks of one image.

        Args:
            image: the image in its original size; `image.image` is an RGB image of Pillow.
            prompts: N prompts, in pixels of the image.

        Returns:
            N entries, the candidates of each prompt in the order of the prompts.
        """
        ...
