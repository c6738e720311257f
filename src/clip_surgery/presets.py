"""Presets of segmentation: a method, a refinement and thresholds that were chosen together.

"fast" needs the CLIP model alone, "balanced" also a companion such as DINO, and "best" also a
segmenter such as SAM. The settings of "fast" were chosen by the composition study on generated
scenes with the first edition of the demo model (`benchmarks/composition.py`, docs/composition.md),
for the default method. "scenes" is the best combination of that study with the second edition; the
setting of its method was chosen for the demo model too. The methods of the other two are published
ones, because no measurement on drawn scenes can speak for models that were trained on photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from clip_surgery.errors import UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of segmentation that belong together.

    Attributes:
        name: the name of the preset.
        summary: what it does and needs, in one sentence.
        method: the method, as on the command line.
        refine: refinement of the maps along the edges of the image.
        threshold: lowest level of the best class where background is found by a threshold.
        min_presence: names that are less likely than this do not compete.
        redraws: whether a segmenter redraws the regions.
    """

    name: str
    summary: str
    method: str
    refine: str
    threshold: float
    min_presence: float
    redraws: bool = False

    @property
    def refined_method(self) -> str:
        """The method with the refinement among its settings, as on the command line.

        Example:
            >>> PRESETS["scenes"].refined_method
            'gem(sharpness=8, refine=pamr)'
        """
        name, _, settings = self.method.partition("(")
        parts = [settings.removesuffix(")"), f"refine={self.refine}"]
        return f"{name}({', '.join(filter(None, parts))})"


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                name="fast",
                summary="The CLIP model alone, with borders at edges of the image.",
                method="clip_surgery",
                refine="pamr",
                threshold=0.5,
                min_presence=0.1,
            ),
            Preset(
                name="scenes",
                summary="The best combination for generated scenes and the demo model.",
                method="gem(sharpness=8)",
                refine="pamr",
                threshold=0.6,
                min_presence=0.1,
            ),
            Preset(
                name="balanced",
                summary="ProxyCLIP with a companion, with borders at edges of the image.",
                method="proxy_clip",
                refine="pamr",
                threshold=0.5,
                min_presence=0.1,
            ),
            Preset(
                name="best",
                summary="ProxyCLIP with a companion; a segmenter redraws each region.",
                method="proxy_clip",
                refine="pamr",
                threshold=0.5,
                min_presence=0.1,
                redraws=True,
            ),
        )
    }
)
"""All presets by name; those that need more follow those that need less."""


def preset_named(name: str) -> Preset:
    """Return the preset of this name.

    Raises:
        UnknownNameError: if there is none.

    Example:
        >>> preset_named("fast").method
        'clip_surgery'
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise UnknownNameError.among("preset", str(name), PRESETS)
    return PRESETS[name]
