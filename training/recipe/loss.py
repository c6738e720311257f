"""The training loss: captions against images both ways, and labels by image-level presence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def caption_loss(logits: Tensor, also_true: Tensor) -> Tensor:
    """Symmetric InfoNCE of logits (B, B), images by captions.

    also_true: (B, B) bool, captions that are true of another image; they are no negatives.
    """
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(also_true & ~own, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def label_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Multi-positive softmax of logits (B, C), both ways; present (B, C) bool.

    Each present label stands against all absent labels of its image, never against another present
    one, and each image that holds a label against all images that do not.
    """
    absent = logits.masked_fill(present, -1e4)  # finite: a label may be in every image
    rows = torch.logaddexp(logits, absent.logsumexp(1, keepdim=True)) - logits
    columns = torch.logaddexp(logits, absent.logsumexp(0, keepdim=True)) - logits
    held = present.to(logits.dtype)
    return ((rows + columns) * held).sum() / held.sum() / 2


def also_true(named: Tensor, names_place: Tensor, present: Tensor) -> Tensor:
    """(B, B) bool: caption j names no place and only nouns that image i holds."""
    missing = (~present).float() @ named.float().T  # (B images, B captions)
    return (missing == 0) & ~names_place[None, :]
