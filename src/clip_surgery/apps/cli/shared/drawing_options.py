"""Options of the commands that draw maps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clip_surgery.tasks.heatmaps import Contrast

DRAWING = "Drawing"  # a heading of the help


class DrawnContrast(StrEnum):
    """Scalings of maps in figures; JSON and safetensors files contain raw scores."""

    TEXT = "text"
    IMAGE = "image"
    PRESENCE = "presence"


@dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """Colours of the maps in a figure."""

    opacity: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Opacity of a map at its maximum, from 0 to 1.",
            rich_help_panel=DRAWING,
        ),
    ] = 0.7
    colour_map: Annotated[
        str,
        typer.Option(
            help="Name of a colour map of matplotlib, such as viridis or turbo.",
            rich_help_panel=DRAWING,
        ),
    ] = "inferno"

    def check(self) -> None:
        """Check the colour map before a model is loaded.

        Raises:
            UnknownNameError: if matplotlib does not have the colour map.
        """
        from clip_surgery.figures.overlay import colour_table

        colour_table(self.colour_map)


@dataclass(frozen=True, kw_only=True)
class DrawingOptions(ColourOptions):
    """Scaling and colours of the maps in a figure."""

    contrast: Annotated[
        DrawnContrast,
        typer.Option(
            help="Scale each map to its own range times the probability that its text is in the "
            "image, so that the map of an absent text is faint (presence), each map to its own "
            "range (text), or all maps of an image to one range (image).",
            rich_help_panel=DRAWING,
        ),
    ] = DrawnContrast.PRESENCE

    @property
    def scaling(self) -> Contrast:
        """The value of `contrast` for `heatmaps`."""
        return self.contrast.value
