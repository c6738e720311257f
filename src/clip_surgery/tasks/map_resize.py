"""Bilinear resize of patch maps to an image, in parts and with its exact extremes.

A bilinear resize is separable, and between two neighbouring patch centres it is an affine function
of the row for a fixed column, and the other way round. Two consequences are used here:

* Only the first and the last sample between two patch centres can be extremes along an axis (an
  affine function on a set of points has its extremes at the ends of the set). So the range of
  a resized map is the range over these rows and columns, about 2 (rows + 1) x 2 (columns + 1)
  samples instead of all pixels.
* Samples are independent of each other, so maps can be resized a few at a time into a buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from clip_surgery.framing import Framing, Size


@dataclass(frozen=True, eq=False)
class Axis:
    """Samples along one axis of a map.

    Attributes:
        cell: (n,) int64, the interval between patch centres that each sample lies in. Interval 0 is
            before the first centre, interval k between the centres k - 1 and k.
        weight: (n,) float32, the distance of each sample to the centre before it, in [0, 1].
        length: number of patches.
    """

    cell: Tensor
    weight: Tensor
    length: int

    @classmethod
    def of(
        cls, *, patches: int, patch_size: float, offset: int, content: int, samples: int
    ) -> Axis:
        """Samples at the pixel centres of an image of `samples` pixels.

        The image covers `content` pixels of the frame from `offset` on, and the frame has
        `patches` patches of `patch_size` pixels.
        """
        pixels = torch.arange(samples, dtype=torch.float64) + 0.5
        position = (pixels * (content / samples) + offset) / patch_size - 0.5
        before = position.floor().clamp(-1, patches - 1)
        cell = before.to(torch.int64) + 1
        return cls(cell, (position - before).clamp(0, 1).to(torch.float32), patches)

    def to(self, device: torch.device) -> Axis:
        """The same samples on a device."""
        if device == self.cell.device:
            return self
        return Axis(self.cell.to(device), self.weight.to(device), self.length)

    @cached_property
    def lower(self) -> Tensor:
        """(n,) patch before each sample."""
        return (self.cell - 1).clamp(min=0)

    @cached_property
    def upper(self) -> Tensor:
        """(n,) patch after each sample."""
        return self.cell.clamp(max=self.length - 1)

    @cached_property
    def extremes(self) -> Tensor:
        """(m,) indices of the first and the last sample of each interval, ascending."""
        change = self.cell[1:] != self.cell[:-1]
        end = torch.ones(1, dtype=torch.bool, device=change.device)
        return (torch.cat([end, change]) | torch.cat([change, end])).nonzero()[:, 0]

    def only(self, indices: Tensor) -> Axis:
        """Some of the samples."""
        return Axis(self.cell[indices], self.weight[indices], self.length)


@dataclass(frozen=True, eq=False)
class MapResize:
    """A bilinear resize from a patch grid to an image of (H, W) pixels.

    Example:
        >>> framing = Framing.squash(Size(2, 4), frame=Size(16, 32))
        >>> resize = MapResize.of(framing, Size(1, 2))
        >>> resize(torch.tensor([[[0.0, 1.0]]])).tolist()
        [[[0.0, 0.25, 0.75, 1.0], [0.0, 0.25, 0.75, 1.0]]]
    """

    rows: Axis
    columns: Axis

    @classmethod
    def of(
        cls,
        framing: Framing,
        grid: Size,
        *,
        size: Size | None = None,
        device: torch.device | None = None,
    ) -> MapResize:
        """The resize to the size of the original image, or to another size of the same image.

        The last few are kept, because many images of a data set are of one size.
        """
        return _resize(framing, grid, size or framing.original, device or torch.device("cpu"))

    @property
    def size(self) -> Size:
        """Height and width of the resized maps."""
        return Size(len(self.rows.cell), len(self.columns.cell))

    def __call__(self, maps: Tensor) -> Tensor:
        """Resize maps (..., rows, columns) to (..., H, W)."""
        wide = self.widen(maps)
        return torch.lerp(
            wide.index_select(-2, self.rows.lower),
            wide.index_select(-2, self.rows.upper),
            self.rows.weight[:, None],
        )

    def widen(self, maps: Tensor) -> Tensor:
        """Resize maps (..., rows, columns) along their columns only: (..., rows, W)."""
        return torch.lerp(
            maps.index_select(-1, self.columns.lower),
            maps.index_select(-1, self.columns.upper),
            self.columns.weight,
        )

    def into(self, out: Tensor, maps: Tensor, *, buffer: Tensor) -> None:
        """Resize maps (n, rows, columns) into `out` (n, H, W); `buffer` is of the same shape."""
        wide = self.widen(maps)
        torch.index_select(wide, 1, self.rows.lower, out=out)
        torch.index_select(wide, 1, self.rows.upper, out=buffer)
        out.lerp_(buffer, self.rows.weight[:, None])

    def range_of_resized(self, resized: Tensor) -> tuple[Tensor, Tensor]:
        """Return lowest and highest value (n, 1, 1) of resized maps (n, H, W)."""
        samples = resized.index_select(-2, self.rows.extremes)
        samples = samples.index_select(-1, self.columns.extremes)
        return samples.amin((-2, -1), keepdim=True), samples.amax((-2, -1), keepdim=True)

    def range_of(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return lowest and highest value (..., 1, 1) that maps (..., rows, columns) resize to."""
        samples = self._extremes(maps)
        return samples.amin((-2, -1), keepdim=True), samples.amax((-2, -1), keepdim=True)

    @cached_property
    def _extremes(self) -> MapResize:
        """The resize to those rows and columns alone where extremes can be."""
        return MapResize(
            self.rows.only(self.rows.extremes), self.columns.only(self.columns.extremes)
        )


@lru_cache(maxsize=16)
def _resize(framing: Framing, grid: Size, size: Size, device: torch.device) -> MapResize:
    rows = Axis.of(
        patches=grid.height,
        patch_size=framing.frame.height / grid.height,
        offset=framing.offset.height,
        content=framing.content.height,
        samples=size.height,
    )
    columns = Axis.of(
        patches=grid.width,
        patch_size=framing.frame.width / grid.width,
        offset=framing.offset.width,
        content=framing.content.width,
        samples=size.width,
    )
    return MapResize(rows.to(device), columns.to(device))


def tiles(count: int, size: Size, device: torch.device) -> Iterator[slice]:
    """Split maps of (H, W) pixels into slices that a processor's cache or a device holds well."""
    values = 2**19 if device.type == "cpu" else 2**26
    step = max(1, values // max(1, size.height * size.width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
