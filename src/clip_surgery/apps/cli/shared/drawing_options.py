"""Options of the commands that draw maps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.tasks.heatmaps import Contrast

DRAWING = "Drawing"  # a heading of the help


class DrawnContrast(StrEnum):
    """Scalings of maps in figures; JSON and safetensors files contain raw scores."""

    AUTO = "auto"
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
            "range (text), or all maps of an image to one range (image). auto is presence if the "
            "probability is calibrated for the model, and otherwise text.",
            rich_help_panel=DRAWING,
        ),
    ] = DrawnContrast.AUTO

    def scaling(self, explanation: Explanation) -> Contrast:
        """Return the contrast for `heatmaps`, and say so if it is that of an uncalibrated model."""
        from clip_surgery.apps.cli.shared import console
        from clip_surgery.tasks.presence import is_presence_calibrated

        if self.contrast is DrawnContrast.TEXT:
            return "text"
        if self.contrast is DrawnContrast.IMAGE:
            return "image"
        if self.contrast is DrawnContrast.PRESENCE or is_presence_calibrated(explanation):
            return "presence"
        console.notice_once(
            f"presence is not calibrated for {explanation.backbone}, so each map is drawn on its "
            "own scale, and that of an absent text looks like any other. 'clip-surgery calibrate' "
            "fits it to labelled images; --contrast presence uses it as it is."
        )
        return "text"
