"""Find outlier tokens by the diagonal of attention.

Source: the released code of SFP (ICCV 2025): an outlier is a patch to which the class token attends
more than the patch attends to itself. The code finds outliers in the second-last block of one
image; here every image of a batch has its own outliers.

Letters: B images, P patches, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.attention import Heads


def find_class_favourites(heads: Heads, *, gain: float = 1.5, limit: int = 10) -> Tensor:
    """Return which patches receive more from the class token than from themselves, (B, P) bool.

    With A the attention of a block, averaged over its heads, patch i is an outlier if

        gain A(class, i) > A(i, i)

    and of these patches only the `limit` ones with the largest A(class, i) are.

    Args:
        heads: query, key and value of one block; the first token is the class token.
        gain: factor on the attention of the class token.
        limit: largest number of outliers per image, at least 0.
    """
    from_class, from_itself = class_and_own_attention(heads)
    surplus = torch.where(gain * from_class > from_itself, from_class, -1.0)
    kept = min(limit, surplus.shape[1])
    chosen = surplus.topk(kept, dim=-1).indices
    among_largest = torch.zeros_like(surplus, dtype=torch.bool).scatter(1, chosen, True)
    return among_largest & (surplus >= 0)


def class_and_own_attention(heads: Heads) -> tuple[Tensor, Tensor]:
    """Return the attention that patches receive from the class token and from themselves.

    The attention matrix (B, N, N) is computed for one head at a time.

    Returns:
        Two tensors (B, P), averaged over the heads.
    """
    prefix, count = heads.prefix_tokens, heads.query.shape[1]
    rows = []
    for query, key in zip(heads.query.unbind(1), heads.key.unbind(1), strict=True):
        logits = at_least_float32(query @ key.mT * heads.scale)
        attention = logits.softmax(dim=-1)
        to_itself = attention.diagonal(dim1=-2, dim2=-1)
        rows.append(torch.stack([attention[:, 0, prefix:], to_itself[:, prefix:]]))
    from_class, from_itself = torch.stack(rows).sum(dim=0) / count
    return from_class, from_itself
