"""What the page of an exported site must know of its model."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

from clip_surgery.explainer import Explainer
from clip_surgery.export.traced_tower import MIN_PATCHES, require_dense
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.surgery.reference_log_ratios import BEST_SHARE
from clip_surgery.text.features import TextFeatures

FORMAT = "clip-surgery web 1"


def describe(explainer: Explainer, features: TextFeatures) -> dict[str, Any]:
    """Return what the page must know of a model, ready for JSON.

    The fields are those of web/src/protocol.ts, apart from the files of the site.

    Args:
        explainer: the model, with a dense method.
        features: features of the texts of the site.
    """
    backbone, method, framing = explainer.backbone, explainer.method, explainer.framing
    method = require_dense(method)
    grid = backbone.tower.grid(torch.zeros(1, 3, *(2 * [MIN_PATCHES * backbone.tower.patch_size])))
    rule = explainer.find_presence_rule() or PresenceRule()
    return {
        "format": FORMAT,
        "clip_surgery": version("clip-surgery"),
        "model": backbone.name,
        "method": repr(method),
        "method_name": method.name,
        "texts": features.texts,
        "templates": explainer.templates,
        "framing": framing.mode,
        "size": framing.size or backbone.image_size,
        "patch_size": backbone.tower.patch_size,
        "least_patches": MIN_PATCHES,
        "max_patches": framing.max_patches,
        "max_aspect_ratio": framing.max_aspect_ratio,
        "margin": [round(255 * mean) for mean in backbone.image_mean],
        "logit_scale": backbone.logit_scale,
        "redundancy": method.redundancy,
        "weighting": method.weighting,
        "temperature": method.temperature,
        "presence": None
        if features.reference is None
        else {
            "image": rule.image,
            "patches": rule.patches,
            "offset": rule.offset,
            "best_share": BEST_SHARE,
        },
        "attention": {
            "scale": backbone.tower.at(grid).blocks[-1].attention.scale,
            "prefix_tokens": backbone.tower.prefix_tokens,
        },
        "text_tower": None,
        "nouns": backbone.nouns,
        "palette": colour_table(COLOUR_MAP).tobytes().hex(),
    }
