"""Options of windows, by which a large image is explained part by part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.model_options import FramingName, ModelOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.windows import Windows


class StitchName(StrEnum):
    """What is averaged where windows overlap."""

    LOGITS = "logits"
    OUTPUTS = "outputs"
    VALUES = "values"


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Sizes of the windows, and what is averaged where they overlap."""

    crop: Annotated[
        int | None,
        typer.Option(min=1, help="Explain the image in windows of this side, in pixels."),
    ] = None
    stride: Annotated[
        int | None, typer.Option(min=1, help="Distance from one window to the next, in pixels.")
    ] = None
    stitch: Annotated[
        StitchName,
        typer.Option(
            help="What windows share: logits (scores), outputs (patch features) or values (the "
            "last block attends to the whole image)."
        ),
    ] = StitchName.LOGITS

    def build(self, model: ModelOptions) -> Windows | None:
        """Return the windows; None without --crop and --stride.

        Args:
            model: options of the model, whose size is that to which the image is resized first.

        Raises:
            InputError: if --framing is given, which windows do not use, or --stitch without
                windows, or --stride is larger than --crop.
        """
        from clip_surgery.windows import Windows

        if self.crop is None and self.stride is None:
            if self.stitch is not StitchName.LOGITS:
                raise InputError(f"--stitch {self.stitch} needs windows: --crop or --stride.")
            return None
        if model.framing is not FramingName.KEEP_RATIO:
            raise InputError(
                f"--framing {model.framing} does not go with windows (--crop, --stride)."
            )
        return Windows(
            size=model.size, crop=self.crop, stride=self.stride, stitch=self.stitch.value
        )
