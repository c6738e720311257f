"""The grid of patches of an image: from a row of patches to a map, and back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.errors import InputError


@dataclass(frozen=True)
class PatchGrid:
    """Number of rows and columns of the patches of one image; patches are in row-major order.

    Raises:
        InputError: if rows or columns is below 1.

    Example:
        >>> import torch
        >>> PatchGrid(rows=2, columns=3).to_map(torch.arange(6)).tolist()
        [[0, 1, 2], [3, 4, 5]]
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise InputError(
                f"Expected a grid of at least 1 x 1 patches, but got {self.rows} x {self.columns}."
            )

    @property
    def patches(self) -> int:
        """Number of patches, rows x columns."""
        return self.rows * self.columns

    def to_map(self, values: Tensor) -> Tensor:
        """Return values of patches (..., P) as maps (..., rows, columns).

        Raises:
            InputError: if the last dimension is not the number of patches.
        """
        if values.shape[-1] != self.patches:
            raise InputError(
                f"Expected {self.patches} patches for a {self.rows} x {self.columns} grid, "
                f"but got shape {tuple(values.shape)}."
            )
        return values.reshape(*values.shape[:-1], self.rows, self.columns)

    def from_map(self, maps: Tensor) -> Tensor:
        """Return maps (..., rows, columns) as values of patches (..., P).

        Raises:
            InputError: if the last two dimensions are not the grid.
        """
        if tuple(maps.shape[-2:]) != (self.rows, self.columns):
            raise InputError(
                f"Expected maps of {self.rows} x {self.columns}, but got shape {tuple(maps.shape)}."
            )
        return maps.flatten(-2)
