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

    def build(self) -> Method:
        """Return the method with its settings."""
        from clip_surgery.apps.cli.shared.method_settings import read_method

        return read_method(self.method, depth=self.depth)

    def build_for(self, preset: str | None) -> Method:
        """Return the method of a preset; without one, or if a method was chosen, as `build`.

        Args:
            preset: name of a preset, or None.
        """
        if preset is None or self != MethodOptions():
            return self.build()
        from clip_surgery.methods.registry import as_method
        from clip_surgery.presets import preset_named

        return as_method(preset_named(preset).method)


class PresetName(StrEnum):
    """Presets of segmentation; a test compares them with the registry."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"


PresetOption = Annotated[
    PresetName | None,
    typer.Option(
        help="Settings that belong together: fast (the model alone), balanced (with --companion) "
        "or best (with --companion and --segmenter). 'clip-surgery methods' lists them.",
    ),
]
