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
    from clip_surgery.explainer import Explainer, load, wrap
    from clip_surgery.explanation import Explanation
    from clip_surgery.framing import Framing, FramingRule, Size
    from clip_surgery.grid import PatchGrid
    from clip_surgery.outputs.overlay import overlay
    from clip_surgery.tasks.heatmaps import heatmaps

_MODULES = {
    "ClipSurgeryError": "errors",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "Framing": "framing",
    "FramingRule": "framing",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "PatchGrid": "grid",
    "Size": "framing",
    "UnknownNameError": "errors",
    "UnsupportedModelError": "errors",
    "WeightsError": "errors",
    "heatmaps": "tasks.heatmaps",
    "load": "explainer",
    "overlay": "outputs.overlay",
    "wrap": "explainer",
}

__all__ = [
    "ClipSurgeryError",
    "Explainer",
    "Explanation",
    "Framing",
    "FramingRule",
    "InputError",
    "MissingExtraError",
    "PatchGrid",
    "Size",
    "UnknownNameError",
    "UnsupportedModelError",
    "WeightsError",
    "heatmaps",
    "load",
    "overlay",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
