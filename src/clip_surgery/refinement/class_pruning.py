"""Which classes are in an image: overlap of maps before and after refinement, and of two classes.

Source: the two purifications of FreeCP (ICCV 2025). A class is redundant if its map changes much in
the refinement, and two classes are ambiguous if their refined maps are nearly the same.

Letters: B images, C texts, P patches.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def kept_in_refinement(before: Tensor, after: Tensor, *, threshold: float) -> Tensor:
    """Return which classes have maps that overlap before and after refinement, (B, C) bool.

    The overlap is sum(p r) / (sum(p) + sum(r)), at most 1/2 for maps in [0, 1]. If no class of an
    image exceeds the threshold, the class with the largest overlap is kept.

    Args:
        before: maps p before refinement (B, C, P), in [0, 1].
        after: maps r after refinement (B, C, P), in [0, 1].
        threshold: overlap that a class must exceed.
    """
    shared = (before * after).sum(dim=-1)
    overlap = shared / (before.sum(dim=-1) + after.sum(dim=-1) + 1e-8)
    largest = overlap == overlap.amax(dim=-1, keepdim=True)
    none = ~(overlap > threshold).any(dim=-1, keepdim=True)
    return (overlap > threshold) | (none & largest)


def ambiguous_groups(maps: Tensor, *, threshold: float) -> list[list[int]]:
    """Return groups of two or more classes of one image whose maps are nearly the same.

    Two classes with sum(min(r)) / sum(max(r)) of at least the threshold are in one group, and so
    are classes that are connected by others.

    Args:
        maps: refined maps r of the classes (C, P), in [0, 1].
        threshold: soft intersection over union, in [0, 1].
    """
    from scipy.sparse.csgraph import connected_components  # only needed where classes are pruned

    total = maps.sum(dim=-1)
    shared = torch.stack([torch.minimum(class_map, maps).sum(dim=-1) for class_map in maps])
    union = total[:, None] + total - shared  # min + max of two numbers is their sum
    close = (shared >= threshold * union) & (union > 0)
    _, labels = connected_components(close.cpu().numpy(), directed=False)
    groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return [group for group in groups if len(group) > 1]
