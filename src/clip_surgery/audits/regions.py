"""The regions of an image, and what a label loses when each of them is removed.

Source: clusters of dense features, each removed in turn (conceptual counterfactuals, CCI). The
regions of an image are clusters (k-means) of its dense patch features. Each region is replaced by
the mean colour, and the evidence of every label is compared with that of the whole image. The
evidence is the log-odds of the label against all other words,

    m_L(f) = s cos(f, t_L) - log sum over words w other than L of exp(s cos(f, t_w))

with s the logit scale of the model. A label's own map is not used: a model that reads water as
"boat" has a high map of "boat" on water.

Cost: 2 + k forward passes for an image with k regions.

Letters: L labels, W words (labels first, then the vocabulary), k regions, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.surgery.consistent_features import consistent_features
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk

REGIONS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageRegions:
    """The regions of one image and their effect.

    Attributes:
        evidence: log-odds of each label in the image, (L,).
        best_word: index of the word that the image matches best.
        losses: what the log-odds of each label lose without each region, (k, L).
        features: mean dense feature of each region, of unit length, (k, D).
        sizes: share of the patches that each region has, (k,).
        regions: index of the region of each patch, (rows, columns).
        image: the image feature, of unit length, (D,).
    """

    evidence: NDArray[np.float32]
    best_word: int
    losses: NDArray[np.float32]
    features: NDArray[np.float32]
    sizes: NDArray[np.float32]
    regions: NDArray[np.uint8]
    image: NDArray[np.float32]


@torch.no_grad()
def image_regions(
    backbone: Backbone, pixels: Tensor, words: Tensor, *, labels: int, count: int = REGIONS
) -> ImageRegions:
    """Find the regions of an image and measure what every label loses without each.

    Args:
        backbone: the model.
        pixels: normalised pixels of one image (1, 3, H, W).
        words: text features (W, D), those of the labels first.
        labels: number of labels L.
        count: largest number of regions k. A flat image has one region.
    """
    features = consistent_features(backbone.tower, pixels)
    patches = normalize(features.patches[0].float().cpu(), dim=-1)
    regions = cluster(patches, count)
    grid = features.grid
    side = backbone.tower.patch_size
    frames = []
    for region in range(int(regions.max()) + 1):
        mask = grid.to_map(torch.from_numpy(regions == region))
        mask = mask.repeat_interleave(side, 0).repeat_interleave(side, 1).to(pixels.device)
        frames.append(pixels[0].masked_fill(mask, 0.0))  # zero is the mean colour
    without = walk(backbone.tower, torch.stack(frames)).image
    whole = log_odds(features.image, words, labels=labels, scale=backbone.logit_scale)[0]
    changed = log_odds(without, words, labels=labels, scale=backbone.logit_scale)
    means = [
        patches[torch.from_numpy(regions == region)].mean(dim=0) for region in range(len(frames))
    ]
    return ImageRegions(
        evidence=whole.numpy(),
        best_word=int(cosine(features.image, words)[0].argmax()),
        losses=(whole - changed).numpy(),
        features=normalize(torch.stack(means), dim=-1).numpy(),
        sizes=(np.bincount(regions) / len(regions)).astype(np.float32),
        regions=regions.reshape(grid.rows, grid.columns).astype(np.uint8),
        image=normalize(features.image[0].float().cpu(), dim=-1).numpy(),
    )


def log_odds(features: Tensor, words: Tensor, *, labels: int, scale: float) -> Tensor:
    """Return the log-odds (B, L) of each label against all other words, on the CPU.

    Args:
        features: image features (B, D).
        words: text features (W, D), those of the labels first; at least two.
        labels: number of labels L.
        scale: logit scale.
    """
    logits = (scale * cosine(features, words)).cpu()  # (B, W)
    total = logits.logsumexp(dim=-1, keepdim=True)
    share = (logits[:, :labels] - total).double()
    # log(p / (1 - p)) from log p; a probability of exactly 1 has the largest finite log-odds
    rest = torch.log(-torch.expm1(share).clamp(max=-1e-15))
    return (share - rest).float()


def cluster(patches: Tensor, count: int) -> NDArray[np.int64]:
    """Return the region of each patch (P,), numbered from 0 without gaps, by k-means.

    Args:
        patches: (P, D) features of unit length.
        count: largest number of regions.
    """
    import warnings

    from sklearn.cluster import KMeans

    values = patches.double().numpy()
    different = len(np.unique(values.round(6), axis=0))
    if min(count, different) < 2:
        return np.zeros(len(values), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different patches than regions
        clusters = KMeans(min(count, different), n_init=1, random_state=0).fit(values)
    return np.unique(clusters.labels_, return_inverse=True)[1].astype(np.int64)
