"""Graphs of patches from the keys of two models, joined head by head by their spectra.

Source: CASS, "Distilling Spectral Graph for Object-Context Aware Open-Vocabulary Semantic
Segmentation" (CVPR 2025, arXiv 2411.17150), and its released code. A graph is s k k^T of the P
patches of one head, which is never decomposed itself: the squared singular values of the keys
(P, d) are its own.

Letters: B images, P patches, d head width, h heads.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

Variant = Literal["paper", "released"]
_SPECTRUM, _RELEASED_RANK = 20, 10
_PREFERENCE = 1e-6
"""Cost of pairing heads of other numbers, far below a difference of spectra that matters."""


def joined_graphs(
    keys: Tensor,
    companion_keys: Tensor,
    *,
    scale: float,
    weight: float = 10.0,
    kept: float = 0.95,
    variant: Variant = "paper",
) -> Tensor:
    """Return the graphs (h, P, P) of one image, each joined with one of the companion's.

    With w the distance between the spectra of two heads, a head's graph A and the low-rank graph K
    of the companion's head become (weight w K + A) / (weight w + 1). Heads are paired so that the
    sum of the distances is largest.

    Args:
        keys: (h, P, d) of the model.
        companion_keys: (g, P, d') of the companion on the same patches, in any number of heads.
        scale: factor s on k k^T.
        weight: factor on the distance.
        kept: share of the sum of singular values that the low-rank graph keeps.
        variant: "released" takes head j of the companion for head i of the model where the pairing
            has head i of the companion and head j of the model, and keeps the ten largest singular
            values, whatever their sum, as the released code does.
    """
    graphs = [scale * key @ key.mT for key in keys.double()]
    companions = _in_range_of(companion_keys.double(), keys.double())
    if len(companions) < len(keys):  # its heads are repeated, so that each head has a partner
        companions = companions.repeat(-(-len(keys) // len(companions)), 1, 1)[: len(keys)]
    spectra = torch.stack([_spectrum(key, scale) for key in keys.double()])
    companion_spectra = torch.stack([_spectrum(key, scale) for key in companions])
    distance = (companion_spectra[:, None] - spectra).abs().sum(dim=-1)  # (companion heads, heads)
    joined = []
    for head, partner, share in _pairs(distance, released=variant == "released"):
        rank = _RELEASED_RANK if variant == "released" else None
        low_rank = _low_rank(companions[partner], scale, kept=kept, rank=rank)
        low_rank = _in_range_of(low_rank, graphs[head])
        joined.append((weight * share * low_rank + graphs[head]) / (weight * share + 1))
    return torch.stack(joined).to(keys.dtype)


def _pairs(distance: Tensor, *, released: bool) -> list[tuple[int, int, float]]:
    """(head of the model, head of the companion, distance), in the order of the model's heads."""
    from scipy.optimize import linear_sum_assignment

    distance = distance.detach()
    costs: np.ndarray = 1 - distance.cpu().numpy()
    # Sums of distances are often equal, because spectra lie in a row. Then rounding would choose
    # the pairing, so that of near numbers is preferred.
    steps = np.subtract.outer(np.arange(costs.shape[0]), np.arange(costs.shape[1]))
    costs += _PREFERENCE * np.square(steps)
    rows, columns = linear_sum_assignment(costs)
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        # The code reads the row, a head of the companion, as a head of the model, and vice versa.
        head, partner = (row, column) if released else (column, row)
        if head < distance.shape[1] and partner < distance.shape[0]:
            pairs.append((head, partner, float(distance[row, column])))
    paired = {head for head, _, _ in pairs}
    pairs += [
        (head, head, float(distance[head, head]))
        for head in range(distance.shape[1])
        if head not in paired
    ]
    return sorted(pairs)


def _spectrum(keys: Tensor, scale: float) -> Tensor:
    """The largest eigenvalues of a graph of keys (P, d), of length 1 by L2 and then by L1."""
    values = scale * torch.linalg.svdvals(keys).square()[:_SPECTRUM]
    values = pad(values, (0, _SPECTRUM - len(values)))
    return normalize(normalize(values, dim=0), p=1.0, dim=0)


def _low_rank(keys: Tensor, scale: float, *, kept: float, rank: int | None) -> Tensor:
    """The graph (P, P) of keys (P, d) at low rank, with stretched values and an empty diagonal."""
    left, values, _ = torch.linalg.svd(keys, full_matrices=False)
    values = scale * values.square()
    if rank is None:
        share = values.cumsum(dim=0) / values.sum().clamp(min=1e-30)
        rank = int((share < kept).sum()) + 1
    left, values = left[:, :rank], values[:rank]
    low, high = values.min(), values.max()
    stretched = _rescaled(values) * (1.5 * high - 0.5 * low) + 0.5 * low
    graph: Tensor = (left * stretched) @ left.mT
    graph.fill_diagonal_(0.0)
    return graph


def _in_range_of(values: Tensor, target: Tensor) -> Tensor:
    """Values with the minimum and maximum of a target."""
    return _rescaled(values) * (target.max() - target.min()) + target.min()


def _rescaled(values: Tensor) -> Tensor:
    """Values min-maxed to [0, 1]; zeros if all are equal."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else torch.zeros_like(values)
