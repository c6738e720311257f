"""Refinements of class maps by name, with their settings.

Every refinement takes maps on a grid of cells and the colours of these cells, so that methods
(which know pixels and texts) and tasks (which know the original image) can use all of them.

Letters: B images, C texts, h x w cells, D joint width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid
from clip_surgery.refinement.guided_filter import refine_by_guide
from clip_surgery.refinement.laplacian import Variant, refine_by_laplacian
from clip_surgery.refinement.local_affinity import refine_by_colour
from clip_surgery.refinement.pixel_graph import propagate_on_pixels

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness."""


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


@dataclass(frozen=True, kw_only=True)
class LaplacianRefinement:
    """Solve for maps that follow the scores where these are confident, and colour edges elsewhere.

    The refinement of PEARL (see `refinement.laplacian`).

    Attributes:
        steps: number of steps of conjugate gradients.
        floor: lowest confidence of a cell, in (0, 1].
        logit_scale: factor on the scores before their softmax; 1 in the released code.
        variant: "paper" compares different texts, "released" does not.
        cells: cells along a side of a square image; 80 in the code, 224 for Cityscapes.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if variant is unknown.
    """

    name: ClassVar[str] = "laplacian"

    steps: int = 25
    floor: float = 0.05
    logit_scale: float = 1.0
    variant: Variant = "paper"
    cells: int = 80

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0)
        check_positive(self, "floor", "logit_scale")
        if self.variant not in get_args(Variant):
            raise UnknownNameError.among("variant", self.variant, get_args(Variant))

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return refine_by_laplacian(
            maps,
            brightness(colours),
            texts=texts,
            steps=self.steps,
            floor=self.floor,
            logit_scale=self.logit_scale,
            variant=self.variant,
        )


@dataclass(frozen=True, kw_only=True)
class GuidedRefinement:
    """Filter maps with the colours as guide (He et al., ECCV 2010; see `guided_filter`).

    Attributes:
        radius: reach of a window in cells, 0 or more.
        regularisation: added to the variances of colours.
        cells: cells along a side of a square image.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "guided"

    radius: int = 8
    regularisation: float = 1e-3
    cells: int = 112

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, radius=0)
        check_positive(self, "regularisation")

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return refine_by_guide(
            maps, colours, radius=self.radius, regularisation=self.regularisation
        )


@dataclass(frozen=True, kw_only=True)
class PamrRefinement:
    """Average maps over neighbours of similar colour (PAMR, CVPR 2020; see `local_affinity`).

    Attributes:
        steps: number of steps.
        dilation: distance of the nearer neighbours in cells; others are twice as far.
        cells: cells along a side of a square image; the published dilations are for pixels.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "pamr"

    steps: int = 10
    dilation: int = 8
    cells: int = 224

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0, dilation=1)

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        dilations = (self.dilation, 2 * self.dilation)
        return refine_by_colour(maps, colours, steps=self.steps, dilations=dilations)


@dataclass(frozen=True, kw_only=True)
class PixelGraphRefinement:
    """Propagate scores on a graph of pixels of similar colour (LPOSS+; see `pixel_graph`).

    Attributes:
        reach: reach of the window of a pixel, in cells.
        contrast: distance of colours at which a weight is 1 / e.
        spread: share of the neighbours, in [0, 1).
        steps: number of steps of conjugate gradients.
        cells: cells along a side of a square image. The code refines all pixels of an image whose
            short side is 448, which takes 16 times as long.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "pixel graph"

    reach: int = 6
    contrast: float = 0.01
    spread: float = 0.95
    steps: int = 10
    cells: int = 112

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0, reach=0)
        check_positive(self, "contrast")
        if not 0 <= self.spread < 1:
            raise InputError(f"Expected spread of 0 or more and below 1, but got {self.spread}.")

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return propagate_on_pixels(
            maps,
            colours,
            reach=self.reach,
            contrast=self.contrast,
            spread=self.spread,
            steps=self.steps,
        )


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


def brightness(colours: Tensor) -> Tensor:
    """Return the brightness (B, h, w) of colours (B, 3, h, w)."""
    return torch.einsum("bchw,c->bhw", colours, colours.new_tensor(LUMA))


def check_at_least(settings: object, **lowest: int) -> None:
    """Raise an `InputError` if a setting is not a whole number of at least its lowest value."""
    for name, low in lowest.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InputError(f"Expected {name} to be a whole number of {low} or more, got {value}.")


def check_positive(settings: object, *names: str) -> None:
    """Raise an `InputError` if a setting is not a finite number above 0."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            raise InputError(f"Expected {name} above 0, but got {value}.")
