"""Log ratios of a text's probability to that of reference words, for an image and its patches.

A cosine alone does not tell whether a text is present in an image, because the level of cosines
differs between models and between images. The comparison with reference words and the empty text
does. With c_t the cosine of the image with text t, S_pt that of patch p, k the factor by which the
model multiplies cosines (its logit scale), and r the R reference words and the empty text,

    image   = k c_t - log(mean over r of exp(k c_r))
    patches = mean over the best patches p of  k S_pt - log(mean over r of exp(k S_pr))

Both are log ratios. 0 means that the text matches as well as an average word; exp(value) is the
ratio of the text's probability to the mean probability of the words under the model's softmax. The
best patches are those with the highest values. Presence (tasks/presence) is derived from both.

Letters: B images, C texts, D joint width, P patches, R reference words.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import TextFeatures

BEST_SHARE = 0.03
"""Fraction of patches that are the best ones (at least one); about the size of a small object."""


def reference_log_ratios(features: Features, texts: TextFeatures, *, scale: float) -> Tensor:
    """Return the log ratios of each text to the reference words, for image and patches.

    Args:
        features: features of B images.
        texts: features of C texts, with reference words.
        scale: k, the model's factor on cosines before its softmax (100 in OpenAI's models).

    Returns:
        (B, 2, C) float32: [:, 0] compares with the whole image, [:, 1] with its best patches.

    Raises:
        InputError: if the texts have no reference words.
    """
    if texts.reference is None:
        raise InputError("Expected reference words beside the texts, but got none.")
    words = torch.cat([texts.reference, texts.empty[None]])  # (R + 1, D)
    whole = _log_ratio(features.image, texts.labels, words, scale)  # (B, C)
    dense = _log_ratio(features.patches, texts.labels, words, scale)  # (B, P, C)
    best = max(1, round(BEST_SHARE * dense.shape[1]))
    return torch.stack([whole, dense.topk(best, dim=1).values.mean(dim=1)], dim=1)


def _log_ratio(features: Tensor, labels: Tensor, words: Tensor, scale: float) -> Tensor:
    """Return k cos(f, t) - log(mean over r of exp(k cos(f, r))), (..., C)."""
    unit = normalize(features.float(), dim=-1)  # for both products
    words, labels = (normalize(texts.float(), dim=-1).to(unit.device) for texts in (words, labels))
    word_logits = (scale * (unit @ words.T)).logsumexp(dim=-1, keepdim=True)
    return scale * (unit @ labels.T) - word_logits + math.log(len(words))
