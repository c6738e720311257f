"""Where the overlapping windows of a large image are, and how much their patches count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from clip_surgery.grid import PatchGrid

Corner = tuple[int, int]
"""Row and column of the upper left patch of a window."""
WindowWeighting = Literal["tent", "equal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowLayout:
    """Where the windows of an image are.

    Attributes:
        whole: rows and columns of the patches of the image.
        window: rows and columns of the patches of a window.
        corners: row and column of the upper left patch of each window.
        weight: weight of each patch of a window where windows overlap (rows, columns).
        patch_size: side of a patch in pixels.
    """

    whole: PatchGrid
    window: PatchGrid
    corners: tuple[Corner, ...]
    weight: Tensor
    patch_size: int

    @classmethod
    def covering(
        cls,
        whole: PatchGrid,
        *,
        side: int,
        step: int,
        weighting: WindowWeighting,
        patch_size: int,
    ) -> WindowLayout:
        """Return windows of one size that cover an image.

        Args:
            whole: rows and columns of the patches of the image.
            side: side of a window in patches; less along a side of the image that is shorter.
            step: distance between neighbouring windows in patches.
            weighting: weight of the patches of a window, as for `window_weight`.
            patch_size: side of a patch in pixels.

        Example:
            >>> image = PatchGrid(rows=4, columns=7)
            >>> WindowLayout.covering(
            ...     image, side=4, step=2, weighting="equal", patch_size=16).corners
            ((0, 0), (0, 2), (0, 3))
        """
        window = PatchGrid(rows=min(side, whole.rows), columns=min(side, whole.columns))
        return cls(
            whole=whole,
            window=window,
            corners=tuple(
                (top, left)
                for top in window_starts(whole.rows, side, step)
                for left in window_starts(whole.columns, side, step)
            ),
            weight=window_weight(window.rows, window.columns, weighting),
            patch_size=patch_size,
        )

    def within(self, corner: Corner) -> tuple[slice, slice]:
        """Return the rows and columns of patches of the window at a corner."""
        top, left = corner
        return slice(top, top + self.window.rows), slice(left, left + self.window.columns)

    def crops(self, pixels: Tensor, corners: Sequence[Corner]) -> Tensor:
        """Return the windows (n, 3, h, w) of pixels (3, H, W) at n corners."""
        side = self.patch_size
        height, width = side * self.window.rows, side * self.window.columns
        return torch.stack(
            [
                pixels[:, side * top : side * top + height, side * left : side * left + width]
                for top, left in corners
            ]
        )

    def batches(self, size: int) -> Iterator[tuple[Corner, ...]]:
        """Yield the corners of all windows, at most `size` at a time."""
        for start in range(0, len(self.corners), size):
            yield self.corners[start : start + size]


def window_starts(length: int, side: int, step: int) -> list[int]:
    """Return the starts of windows of length `side`, `step` apart; the last ends at `length`.

    Example:
        >>> window_starts(10, 4, 3), window_starts(11, 4, 3), window_starts(3, 4, 3)
        ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    last = max(0, length - side)
    return [*range(0, last, step), last]


def window_weight(rows: int, columns: int, weighting: WindowWeighting) -> Tensor:
    """Return the weight of each patch of a window (rows, columns).

    Args:
        rows: number of rows of patches.
        columns: number of columns of patches.
        weighting: "tent" for less weight near the border of the window, "equal" for 1 everywhere.

    Example:
        >>> window_weight(1, 4, "tent").tolist(), window_weight(1, 2, "equal").tolist()
        ([[0.5, 1.0, 1.0, 0.5]], [[1.0, 1.0]])
    """
    if weighting == "equal":
        return torch.ones(rows, columns)
    return _tent(rows)[:, None] * _tent(columns)


def _tent(length: int) -> Tensor:
    """Return weights (length,) that rise from the borders to 1 in the middle; all are positive."""
    half = torch.arange(1, length + 1, dtype=torch.float32)
    rising = torch.minimum(half, half.flip(0))
    return rising / rising.max()
