"""clip-surgery: heatmaps, points, masks, tags and words out of any CLIP model, without training.

Names are loaded when they are first used, so that `import clip_surgery` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clip_surgery.errors import (
        ClipSurgeryError,
        InputError,
        MissingExtraError,
        UnknownNameError,
        UnsupportedModelError,
        WeightsError,
    )
    from clip_surgery.explainer import Explainer
    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.overlay import overlay
    from clip_surgery.figures.words import words_figure
    from clip_surgery.framing import Framing, FramingRule, Size
    from clip_surgery.grid import PatchGrid
    from clip_surgery.loading import load, wrap
    from clip_surgery.records.mask_files import decode_rle, encode_rle, palette_image
    from clip_surgery.segmenters.sam import SamSegmenter
    from clip_surgery.tasks.boxes import Box, BoxRule, boxes
    from clip_surgery.tasks.heatmaps import heatmaps
    from clip_surgery.tasks.inspection import AttentionMap, Redundancy, attention, redundancy
    from clip_surgery.tasks.masks import Mask, masks
    from clip_surgery.tasks.point_rules import PeakPoints, ReferencePoints
    from clip_surgery.tasks.points import Points, points
    from clip_surgery.tasks.presence import PresenceRule, presence
    from clip_surgery.tasks.segmentation import segment, split_names
    from clip_surgery.tasks.tags import Tag, tags
    from clip_surgery.tasks.words import words
    from clip_surgery.windows import Windows, explain_windows
    from clip_surgery.word_explanation import WordExplanation

_MODULES = {
    "AttentionMap": "tasks.inspection",
    "Box": "tasks.boxes",
    "BoxRule": "tasks.boxes",
    "ClipSurgeryError": "errors",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "Framing": "framing",
    "FramingRule": "framing",
    "InputError": "errors",
    "Mask": "tasks.masks",
    "MissingExtraError": "errors",
    "PatchGrid": "grid",
    "PeakPoints": "tasks.point_rules",
    "Points": "tasks.points",
    "PresenceRule": "tasks.presence",
    "Redundancy": "tasks.inspection",
    "ReferencePoints": "tasks.point_rules",
    "SamSegmenter": "segmenters.sam",
    "Size": "framing",
    "Tag": "tasks.tags",
    "UnknownNameError": "errors",
    "UnsupportedModelError": "errors",
    "WeightsError": "errors",
    "Windows": "windows",
    "WordExplanation": "word_explanation",
    "attention": "tasks.inspection",
    "boxes": "tasks.boxes",
    "decode_rle": "records.mask_files",
    "encode_rle": "records.mask_files",
    "explain_windows": "windows",
    "heatmaps": "tasks.heatmaps",
    "load": "loading",
    "masks": "tasks.masks",
    "overlay": "figures.overlay",
    "palette_image": "records.mask_files",
    "points": "tasks.points",
    "presence": "tasks.presence",
    "redundancy": "tasks.inspection",
    "segment": "tasks.segmentation",
    "split_names": "tasks.segmentation",
    "tags": "tasks.tags",
    "words": "tasks.words",
    "words_figure": "figures.words",
    "wrap": "loading",
}

__all__ = [
    "AttentionMap",
    "Box",
    "BoxRule",
    "ClipSurgeryError",
    "Explainer",
    "Explanation",
    "Framing",
    "FramingRule",
    "InputError",
    "Mask",
    "MissingExtraError",
    "PatchGrid",
    "PeakPoints",
    "Points",
    "PresenceRule",
    "Redundancy",
    "ReferencePoints",
    "SamSegmenter",
    "Size",
    "Tag",
    "UnknownNameError",
    "UnsupportedModelError",
    "WeightsError",
    "Windows",
    "WordExplanation",
    "attention",
    "boxes",
    "decode_rle",
    "encode_rle",
    "explain_windows",
    "heatmaps",
    "load",
    "masks",
    "overlay",
    "palette_image",
    "points",
    "presence",
    "redundancy",
    "segment",
    "split_names",
    "tags",
    "words",
    "words_figure",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
