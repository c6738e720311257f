"""What a segmenter may give beside masks: the last global attention of its image encoder.

Methods such as Trident read which parts of an image belong together from a segmenter. A `Segmenter`
need not offer this; one that does is a `DenseSegmenter`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageAttention:
    """The last global attention of the image encoder of a segmenter, for P cells of one image.

    The weights of all heads are a tensor (h, P, P), 0.8 GB for 64 x 64 cells and 12 heads, so they
    are computed for some queries at a time.

    Attributes:
        grid: rows and columns of the cells, which cover the whole image.
        values: the values of h heads (h, P, d).
        weights: a function that returns the weights (h, n, P) of n queries, which are given as a
            slice of the cells in row-major order. The weights of a query are not negative. They
            sum to 1, or to less if the encoder also attends to padding.

    Raises:
        InputError: if the values are not those of the cells of the grid.

    Example:
        >>> import torch
        >>> grid = PatchGrid(rows=1, columns=2)
        >>> even = torch.full((3, 2, 2), 0.5)
        >>> attention = ImageAttention(
        ...     grid=grid, values=torch.ones(3, 2, 4), weights=lambda queries: even[:, queries]
        ... )
        >>> attention.weights(slice(0, 1)).shape
        torch.Size([3, 1, 2])
    """

    grid: PatchGrid
    values: Tensor
    weights: Callable[[slice], Tensor]

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if len(shape) != 3 or shape[1] != self.grid.patches or not all(shape):
            raise InputError(
                f"Expected values (heads, {self.grid.patches}, width) of a grid of "
                f"{self.grid.rows} x {self.grid.columns} cells, but got {shape}."
            )


@runtime_checkable
class DenseSegmenter(Protocol):
    """The interface of segmenters that also give the attention of their image encoder."""

    def image_attention(self, image: InputImage, /) -> ImageAttention:
        """Return the last global attention of the image encoder.

        Args:
            image: the image in its original size.

        Raises:
            UnsupportedModelError: if the encoder of this model has no such attention.
        """
        ...


def attention_of_image(segmenter: Segmenter, image: InputImage) -> ImageAttention:
    """Return the last global attention of a segmenter for an image.

    Args:
        segmenter: a segmenter that is a `DenseSegmenter`, too.
        image: the image in its original size.

    Raises:
        UnsupportedModelError: if the segmenter does not give the attention of its image encoder.
        InputError: if it returns something else than an `ImageAttention`.
    """
    if not isinstance(segmenter, DenseSegmenter):
        raise UnsupportedModelError(
            f"{type(segmenter).__name__} does not give the attention of its image encoder "
            "(image_attention). SAM models such as facebook/sam-vit-base do."
        )
    attention = segmenter.image_attention(image)
    if not isinstance(attention, ImageAttention):
        raise InputError(
            f"{image.name}: expected an ImageAttention from the segmenter, "
            f"but got {type(attention).__name__}."
        )
    return attention
