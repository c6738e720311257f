"""What a refinement of class maps is, and all refinements by name.

Every refinement takes maps on a grid of cells and the colours of these cells, so that methods
(which know pixels and texts) and tasks (which know the original image) can use all of them.

Letters: B images, C texts, h x w cells, D joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid
from clip_surgery.refinement.guided_filter import GuidedRefinement
from clip_surgery.refinement.laplacian import LaplacianRefinement
from clip_surgery.refinement.local_affinity import PamrRefinement
from clip_surgery.refinement.pixel_graph import PixelGraphRefinement


@runtime_checkable
class Refinement(Protocol):
    """A frozen dataclass of settings whose instances refine maps.

    Attributes:
        name: the name of the refinement in `segment` and in methods.
        cells: about this many cells along a side of a square image are refined. The grid has the
            aspect ratio of the image and about cells^2 cells.
    """

    name: ClassVar[str]

    @property
    def cells(self) -> int:
        """Number of cells along a side of a square image."""
        ...

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps.

        Args:
            maps: scores (B, C, h, w).
            colours: (B, 3, h, w), red, green and blue in [0, 1].
            texts: features of the texts (C, D), if they are known.
        """
        ...


REFINEMENTS: Mapping[str, type[Refinement]] = MappingProxyType(
    {
        cls.name: cls
        for cls in (LaplacianRefinement, GuidedRefinement, PamrRefinement, PixelGraphRefinement)
    }
)
"""All refinements by name."""


def as_refinement(refinement: str | Refinement) -> Refinement | None:
    """Return the refinement that a name means; "none" means None.

    Raises:
        UnknownNameError: if the name is unknown.
        InputError: if the argument is neither a name nor a refinement.

    Example:
        >>> as_refinement("guided")
        GuidedRefinement(radius=8, regularisation=0.001, cells=112)
    """
    if isinstance(refinement, str):
        if refinement == "none":
            return None
        if refinement not in REFINEMENTS:
            raise UnknownNameError.among("refinement", refinement, ("none", *REFINEMENTS))
        return REFINEMENTS[refinement]()
    if isinstance(refinement, type) or not isinstance(refinement, Refinement):
        raise InputError(f"Expected a refinement or its name, but got {refinement!r}.")
    return refinement


def grid_of_cells(height: int, width: int, cells: int) -> PatchGrid:
    """Return a grid of about cells^2 cells with the aspect ratio of height to width.

    Example:
        >>> grid_of_cells(224, 224, 80), grid_of_cells(10, 1000, 8)
        (PatchGrid(rows=80, columns=80), PatchGrid(rows=1, columns=80))
    """
    ratio = (height / width) ** 0.5
    return PatchGrid(rows=max(1, round(cells * ratio)), columns=max(1, round(cells / ratio)))
