"""Standing: how far a text stands out from ordinary words, in an image and in its best patches.

A cosine alone does not say whether a text is in the image: its level differs from model to
model and from image to image. Compared with reference words and with the empty text it does.
With the model's own factor k on cosines, R reference words r and the empty text as one more,

    image = k c_t - log mean_r exp(k c_r)
    patches = mean over the best patches p of  k S_pt - log mean_r exp(k S_pr)

Each is a log ratio: 0 where the text matches as an average word does, and exp of it is how many
times likelier the text is under the model's own softmax. Both rise with the text's own cosine.
Letters: B images, C texts, D joint width, P patches, R words.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import TextFeatures

BEST_SHARE = 0.03
"""Share of the patches that "the best patches" means, at least one: a small object's size."""


def reference_log_ratios(features: Features, texts: TextFeatures, *, scale: float) -> Tensor:
    """How far each text stands out from `texts.reference`: (B, 2, C), image then patches.

    `scale` is k, the factor the model multiplies cosines with.

    Raises:
        InputError: when the texts come without reference words.
    """
    if texts.reference is None:
        raise InputError("Expected reference words beside the texts, but got none.")
    words = torch.cat([texts.reference, texts.empty[None]])  # (R + 1, D)
    whole = _log_ratio(features.image, texts.labels, words, scale)  # (B, C)
    dense = _log_ratio(features.patches, texts.labels, words, scale)  # (B, P, C)
    best = max(1, round(BEST_SHARE * dense.shape[1]))
    return torch.stack([whole, dense.topk(best, dim=1).values.mean(dim=1)], dim=1)


def _log_ratio(features: Tensor, labels: Tensor, words: Tensor, scale: float) -> Tensor:
    """k cos(f, t) - log mean_r exp(k cos(f, r)): (..., C)."""
    ordinary = (scale * cosine(features, words)).logsumexp(dim=-1, keepdim=True)
    return scale * cosine(features, labels) - ordinary + math.log(len(words))
