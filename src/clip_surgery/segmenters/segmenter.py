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
    """The position of an object, in pixels of the original image.

    At least one of points, box and rough mask is given.

    Attributes:
        xy: M points (M, 2), x before y; (0, 2) if there are none.
        labels: point labels (M,): 1 for points on the object, 0 for points off it.
        box: left, top, right and bottom, or None.
        logits: a rough mask (H, W) of the size of the image, above 0 on the object, or None.

    Raises:
        InputError: if nothing is given, or if the numbers of points and labels differ.

    Example:
        >>> xy = np.array([[40, 30]], np.float32)
        >>> Prompt(xy=xy, labels=np.array([1])).box is None
        True
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
    """The candidate masks of a segmenter for one prompt.

    Attributes:
        masks: K masks (K, H, W) bool of the size of the image, K at least 1.
        scores: (K,), the quality of each mask as the segmenter estimates it; higher is better.

    Raises:
        InputError: if there is no mask, or if the numbers of masks and scores differ.
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
