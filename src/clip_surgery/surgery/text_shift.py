"""Move the likeliest text of each group of similar texts towards the patches that it fits best.

Source: the object-presence prior of CASS (arXiv 2411.17150) and its released code: Ward clusters of
the texts by their cosine distances; in each cluster the text with the highest similarity to the
image moves towards its two best patches. The released code of RF-CLIP (arXiv 2511.16170) does the
same with complete linkage.

Letters: B images, P patches, C texts, D joint width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.text.features import Linkage

PATCHES = 2
"""Number of patches that a text moves towards."""


def text_clusters(texts: Tensor, *, cut: float, linkage: Linkage = "ward") -> list[list[int]]:
    """Return the indices of the texts (C, D) in each cluster.

    Args:
        texts: features of any length.
        cut: highest distance within a cluster.
        linkage: "ward" or "complete".
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if len(texts) < 2:
        return [[index] for index in range(len(texts))]
    unit = normalize(texts.double(), dim=-1)
    distances = (1 - unit @ unit.T).clamp(min=0).detach().cpu().numpy()
    np.fill_diagonal(distances, 0)
    tree = hierarchy.linkage(squareform(distances, checks=False), linkage)
    labels = hierarchy.fcluster(tree, cut, "distance")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def shifted_texts(
    patches: Tensor, texts: Tensor, image: Tensor, clusters: list[list[int]], *, share: float
) -> Tensor:
    """Return the texts of each image, of unit length (B, C, D).

    Args:
        patches: features of patches (B, P, D), of any length.
        texts: features of texts (C, D), of any length.
        image: cosines of images and texts (B, C).
        clusters: the indices of the texts in each cluster.
        share: share of the mean patch, in [0, 1].
    """
    unit, patches = normalize(texts.float(), dim=-1), normalize(patches.float(), dim=-1)
    shifted = unit.expand(len(patches), -1, -1).clone()
    for cluster in clusters:
        members = torch.tensor(cluster, device=image.device)
        chosen = members[image[:, members].argmax(dim=1)]  # (B,)
        wanted = unit[chosen]  # (B, D)
        similarity = torch.einsum("bpd,bd->bp", patches, wanted)
        best = similarity.topk(min(PATCHES, patches.shape[1]), dim=1).indices
        near = patches.gather(1, best[..., None].expand(-1, -1, patches.shape[-1])).mean(dim=1)
        moved = (1 - share) * wanted + share * normalize(near, dim=-1)
        shifted[torch.arange(len(chosen)), chosen] = normalize(moved, dim=-1)
    return shifted
