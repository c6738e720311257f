"""Options of the method, and presets, which set the method and the settings of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clip_surgery.methods.method import Method


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """The method that explains the model."""

    method: Annotated[
        str,
        typer.Option(
            help="Method, such as similarity or 'clip_surgery(depth=8)', or package.module:Class; "
            "'clip-surgery methods' lists them."
        ),
    ] = "clip_surgery"
    depth: Annotated[
        int | None,
        typer.Option(help="Number of blocks, counted from the last, that the method changes."),
    ] = None

    def build(self, segmenter: str | None = None) -> Method:
        """Return the method with its settings.

        Args:
            segmenter: name of the segmenter, for a method that needs one and has none.
        """
        from clip_surgery.apps.cli.shared.method_settings import read_method
        from clip_surgery.methods.segmenter_method import with_segmenter

        return with_segmenter(read_method(self.method, depth=self.depth), segmenter)

    def build_for(self, preset: str | None, segmenter: str | None = None) -> Method:
        """Return the method of a preset; without one, or if a method was chosen, as `build`.

        Args:
            preset: name of a preset, or None.
            segmenter: as for `build`.
        """
        if preset is None or self != MethodOptions():
            return self.build(segmenter)
        from clip_surgery.methods.registry import as_method
        from clip_surgery.presets import preset_named

        return as_method(preset_named(preset).method)


MethodSegmenter = Annotated[
    str | None,
    typer.Option(
        "--segmenter",
        help="SAM model (hub name or local folder) or another segmenter, for methods that need "
        "one: corr_clip and trident.",
    ),
]


class PresetName(StrEnum):
    """Presets of segmentation; a test compares them with the registry."""

    FAST = "fast"
    SCENES = "scenes"
    BALANCED = "balanced"
    BEST = "best"


PresetOption = Annotated[
    PresetName | None,
    typer.Option(
        help="Settings that belong together: fast (the model alone), balanced (with --companion) "
        "or best (with --companion and --segmenter). 'clip-surgery methods' lists them.",
    ),
]
