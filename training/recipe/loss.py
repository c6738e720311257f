"""The training loss: captions against images both ways, and labels by image-level presence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def caption_loss(logits: Tensor, also_true: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE of logits (B, B), images by captions.

    also_true: (B, B) bool, captions that are true of another picture; they are no negatives. None:
    every caption of another picture is a negative.
    """
    if also_true is not None:
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(also_true & ~own, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def label_loss(
    logits: Tensor, present: Tensor, *, compete: bool = False, both_ways: bool = True
) -> Tensor:
    """Multi-positive softmax of logits (B, C); present (B, C) bool.

    compete: cross-entropy with a uniform target over the present labels of an image, so that these
    labels compete with one another. Otherwise each present label stands against the absent labels
    of its image only. both_ways: the mean of this and of the same loss with images and labels
    exchanged; otherwise only the labels of each image are ranked.
    """
    one_way = competing if compete else separate
    loss = one_way(logits, present)
    return (loss + one_way(logits.mT, present.mT)) / 2 if both_ways else loss


def separate(logits: Tensor, present: Tensor) -> Tensor:
    """Mean over all present pairs: each against the absent labels of its image.

    logits: (..., B, C), present: (B, C). Returns (...).
    """
    absent = logits.masked_fill(present, -1e4)  # finite: a label may be in every picture
    each = torch.logaddexp(logits, absent.logsumexp(-1, keepdim=True)) - logits
    held = present.to(logits.dtype)
    return (each * held).sum((-2, -1)) / held.sum()


def competing(logits: Tensor, present: Tensor) -> Tensor:
    """Mean over the images that hold a label: cross-entropy with all present labels as target.

    logits: (..., B, C), present: (B, C). Returns (...).
    """
    held = present.to(logits.dtype)
    count = held.sum(-1)
    each = -(held * logits.log_softmax(-1)).sum(-1) / count.clamp(min=1)
    return each.sum(-1) / (count > 0).sum()


def also_true(named: Tensor, names_place: Tensor, present: Tensor) -> Tensor:
    """(..., B, B) bool: caption j names no place and only nouns that image i holds.

    named: (..., B, C), names_place: (..., B), present: (B, C).
    """
    missing = (~present).float() @ named.float().mT  # (..., B images, B captions)
    return (missing == 0) & ~names_place[..., None, :]
