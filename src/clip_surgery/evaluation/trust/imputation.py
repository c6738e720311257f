"""Noisy linear imputation: fill removed pixels from their neighbours.

Source: ROAD, Rong et al. (arXiv 2202.00449). A removed pixel is the weighted mean of its eight
neighbours (1/6 for direct ones, 1/12 for diagonal ones), which are known or removed themselves: a
sparse system of linear equations. The shape of the removed region is then hardly visible, so that a
model cannot read the class from it. Neighbours beyond the edge of the image do not count.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.errors import InputError

NOISE = 0.01
_WEIGHTS = {
    (row, column): 1 / 6 if 0 in (row, column) else 1 / 12
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    if (row, column) != (0, 0)
}


def impute(pixels: Tensor, removed: Tensor, *, noise: float = NOISE, seed: int = 0) -> Tensor:
    """Return an image in which the removed pixels are replaced.

    Args:
        pixels: (3, H, W).
        removed: (H, W) bool.
        noise: standard deviation of the noise that is added to the replaced pixels.
        seed: seed of the noise.

    Returns:
        (3, H, W). Pixels that are not removed are unchanged. If all are removed, they are noise
        around the mean of each channel.

    Raises:
        InputError: if the shapes differ.
    """
    if removed.shape != pixels.shape[1:]:
        raise InputError(
            f"Expected a mask of {tuple(pixels.shape[1:])}, but got {tuple(removed.shape)}."
        )
    mask = removed.cpu().numpy()
    if not mask.any():
        return pixels
    values = pixels.detach().double().cpu().numpy()
    if mask.all():
        filled = np.repeat(values.mean(axis=(1, 2))[None], mask.size, axis=0)
    else:
        filled = _solve(values, mask)
    random = torch.randn(filled.shape, generator=torch.Generator().manual_seed(seed))
    result = pixels.clone()
    result[:, removed.to(pixels.device)] = (
        torch.from_numpy(filled).to(pixels) + noise * random.to(pixels)
    ).T
    return result


def _solve(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solve (sum of weights) x_i - sum over neighbours of w x_n = 0 for the removed pixels."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    height, width = mask.shape
    numbers = np.full((height + 2, width + 2), -2)  # -2 is beyond the edge, -1 is known
    numbers[1:-1, 1:-1] = -1
    row, column = np.nonzero(mask)
    count = len(row)
    numbers[row + 1, column + 1] = np.arange(count)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    diagonal, known = np.zeros(count), np.zeros((count, len(values)))
    rows, columns, weights = [np.arange(count)], [np.arange(count)], [diagonal]
    for (down, across), weight in _WEIGHTS.items():
        r, c = row + 1 + down, column + 1 + across
        neighbour = numbers[r, c]
        diagonal += weight * (neighbour != -2)
        known += weight * (neighbour == -1)[:, None] * padded[:, r, c].T
        is_removed = neighbour >= 0
        rows.append(np.flatnonzero(is_removed))
        columns.append(neighbour[is_removed])
        weights.append(np.full(int(is_removed.sum()), -weight))
    matrix = coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(count, count),
    ).tocsc()
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.asarray(factors.solve(known))
