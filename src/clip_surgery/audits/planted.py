"""A model with a planted shortcut: the ground truth that an audit must find.

The features of images and patches are changed linearly,

    h <- h + strength (h . u) t

with u the direction of a context, such as water, and t the text feature of a label. The more an
image shows of the context, the more it looks like the label. Nothing is trained, and the model is
only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.surgery.walk import walk


def plant_shortcut(backbone: Backbone, context: Tensor, label: Tensor, strength: float) -> Backbone:
    """Return a backbone that reads a context as a label.

    Args:
        backbone: the model, which is not changed.
        context: u, the direction of the context (D,).
        label: t, the text feature of the label (D,).
        strength: factor of the change; 0 changes nothing.
    """
    tower = backbone.tower
    direction, target = normalize(context, dim=0), normalize(label, dim=0)

    def changed(features: Tensor) -> Tensor:
        along = features @ direction.to(features)
        return features + strength * along[..., None] * target.to(features)

    planted = replace(
        tower,
        project=lambda tokens: changed(tower.project(tokens)),
        pool=lambda tokens: changed(tower.pool(tokens)),
    )
    return replace(backbone, tower=planted)


@torch.no_grad()
def context_direction(backbone: Backbone, of: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the mean feature of images of a context minus that of other images, of unit length.

    Args:
        backbone: the model.
        of: normalised pixels of images of the context, each (3, H, W).
        others: normalised pixels of other images.
    """
    means = []
    for images in (of, others):
        features = walk(backbone.tower, torch.stack(list(images))).image
        means.append(normalize(features.float(), dim=-1).mean(dim=0))
    return normalize(means[0] - means[1], dim=0)
