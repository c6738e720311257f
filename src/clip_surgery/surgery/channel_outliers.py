"""Find outlier tokens by channels that few patches activate, and mix them with their neighbours.

Source: the released code of RF-CLIP (arXiv 2511.16170). Its channels are a list for the weights of
OpenAI's ViT-B/16. For other models they are found in each image by a rule of this library: an
outlier channel is one that far exceeds its share of a token in few patches. A channel that exceeds
it in many patches is a component that tokens share, and names no outlier.

Letters: B images, P patches, E tower width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.outliers import sum_of_neighbours

OPENAI_VIT_B_16 = (4, 162, 189, 326, 429, 474, 633, 713)
"""The channels of the released code, for the weights of OpenAI's ViT-B/16 and no others."""
FEW = 0.1
"""Largest share of the patches in which a channel that names outliers is active.

SC-CLIP repairs 5 % of the patches, and SFP up to 10 of 196; twice that is allowed for.
"""


def find_active_patches(
    patches: Tensor, *, channels: tuple[int, ...] | None = None, factor: float = 5.0
) -> Tensor:
    """Return which patches are outliers by their channels, (B, P) bool.

    With a(e) = (x(e) - min x) / sum(x - min x) the share of channel e in a patch x, the patch is an
    outlier if a(e) > factor / E in one of the channels. In a constant patch all shares are 0.

    Args:
        patches: (B, P, E), the output of a block.
        channels: the channels, in [0, E). If None, those that exceed factor / E in at least one
            patch of the image and in at most a tenth of its patches.
        factor: how many times the mean share 1 / E a channel of an outlier exceeds.

    Raises:
        InputError: if the tower is narrower than a channel.
    """
    width = patches.shape[-1]
    if channels is not None and max(channels) >= width:
        raise InputError(
            f"Expected channels below {width}, the width of the tower, but got {max(channels)}."
        )
    patches = at_least_float32(patches)
    above = patches - patches.amin(dim=-1, keepdim=True)
    limit = above.sum(dim=-1, keepdim=True) * (factor / width)
    if channels is not None:
        return (above[..., list(channels)] > limit).any(dim=-1)
    active = above > limit  # (B, P, E)
    is_rare = active.sum(dim=1, keepdim=True) <= FEW * patches.shape[1]
    return (active & is_rare).any(dim=-1)


def mix_with_neighbours(
    patches: Tensor,
    outliers: Tensor,
    grid: PatchGrid,
    *,
    share: float = 0.4,
    zero_border: bool = False,
) -> Tensor:
    """Return patches in which each outlier x becomes (1 - share) x + share m.

    m is the mean over the up to nine patches of the 3 x 3 neighbourhood, x and other outliers
    included.

    Args:
        patches: (B, P, E).
        outliers: (B, P) bool.
        grid: rows and columns of the patches.
        share: share of the mean, in [0, 1].
        zero_border: whether patches outside of the grid count as zeros in the mean, as in the
            released code. By default they do not count.

    Returns:
        Patches (B, P, E).
    """
    total = patches + sum_of_neighbours(patches, grid)
    if zero_border:
        mean = total / 9
    else:
        mean = total / (1 + sum_of_neighbours(torch.ones_like(patches[:1, :, :1]), grid))
    return torch.where(outliers[..., None], (1 - share) * patches + share * mean, patches)
