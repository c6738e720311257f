"""Options: what commands share, each written once, as fields of frozen dataclasses.

A command takes such a dataclass as one parameter (see `grouping`). So an option has one name,
help and default wherever it stands, and a command that wants another default says only that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clip_surgery.explainer import Explainer
    from clip_surgery.framing import FramingMode, FramingRule
    from clip_surgery.methods.method import Method
    from clip_surgery.tasks.heatmaps import Contrast

PAPER_MODEL = "open_clip:ViT-B-16/openai"
MODEL, DRAWING = "Model", "Drawing"  # headings of the help
SEGMENTER_HELP = (
    "SAM or SAM 2 model that segments objects (hub name or local folder), a registered segmenter, "
    "or package.module:Class."
)

ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", envvar="CLIP_SURGERY_MODEL", help="Which CLIP; see 'models'.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
BatchSize = Annotated[
    int, typer.Option(min=1, help="Images that run together.", rich_help_panel=MODEL)
]
OutFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results.", metavar="FOLDER")
]
STANDARD_OUTPUT = "-"
"""The value of --out that means JSON lines on standard output."""
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing files, even if they hold other results."),
]
MinPresence = Annotated[
    float | None,
    typer.Option(
        min=0, max=1,
        help="Leave out texts that are less likely in the image than this, from 0 to 1.",
    ),
]  # fmt: skip


def formats_option(kinds: str) -> Any:
    """The option --format; `kinds` says which there are, and which is the default."""
    return typer.Option("--format", "-f", help=f"{kinds}; several with commas.")


FigureFormats = Annotated[list[str] | None, formats_option("png, json (both if none is given)")]
MaskFormats = Annotated[
    list[str] | None,
    formats_option("png (to look at), mask (palette PNG), json (COCO RLE); all if none is given"),
]


class FramingName(StrEnum):
    """How an image is laid into the model's frame, as options spell it."""

    KEEP_RATIO = "keep-ratio"
    SQUASH = "squash"
    LETTERBOX = "letterbox"


class Precision(StrEnum):
    """Floating-point types of the weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class DrawnContrast(StrEnum):
    """Contrasts that can be drawn; raw scores are in the other formats."""

    TEXT = "text"
    IMAGE = "image"
    PRESENCE = "presence"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, where it runs, and how images are brought to it."""

    model: ModelName = PAPER_MODEL
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights for --model open_clip:ARCH.", metavar="FILE", rich_help_panel=MODEL
        ),
    ] = None
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Short side the model sees, in pixels.", rich_help_panel=MODEL),
    ] = None
    framing: Annotated[
        FramingName,
        typer.Option(help="How an image is laid into the model's frame.", rich_help_panel=MODEL),
    ] = FramingName.KEEP_RATIO
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MODEL)
    ] = "auto"
    dtype: Annotated[
        Precision, typer.Option(help="Type of the weights.", rich_help_panel=MODEL)
    ] = Precision.FLOAT32
    truncate: Annotated[
        bool,
        typer.Option(
            "--truncate", help="Cut texts that are too long instead of refusing.",
            rich_help_panel=MODEL,
        ),
    ] = False  # fmt: skip

    def load(self, **settings: Any) -> Explainer:
        """The explainer of this model, with these settings of `clip_surgery.load` besides."""
        from clip_surgery.apps.cli.shared import console

        with console.status(f"loading {self.model}"):
            return self.recipe(**settings)()

    def recipe(self, **settings: Any) -> partial[Explainer]:
        """How to load it, as a value that other processes can be sent."""
        from clip_surgery.loading import load

        return partial(
            load,
            self.model,
            checkpoint=self.checkpoint,
            device=self.device,
            dtype=self.dtype.value,
            framing=self._framing_rule(),
            truncate=self.truncate,
            **settings,
        )

    def _framing_rule(self) -> FramingRule:
        from clip_surgery.framing import FramingRule

        modes: dict[FramingName, FramingMode] = {
            FramingName.KEEP_RATIO: "keep ratio",
            FramingName.SQUASH: "squash",
            FramingName.LETTERBOX: "letterbox",
        }
        return FramingRule(mode=modes[self.framing], size=self.size)


@dataclass(frozen=True, kw_only=True)
class ExplainerOptions(ModelOptions):
    """The model, and how texts are read and images batched."""

    templates: Annotated[
        str,
        typer.Option(
            help="A set of prompt templates, or one such as 'a photo of a {}.'.",
            rich_help_panel=MODEL,
        ),
    ] = "clip_surgery"
    batch_size: BatchSize = 8
    no_cache: Annotated[
        bool,
        typer.Option("--no-cache", help="Keep no text features on disk.", rich_help_panel=MODEL),
    ] = False

    def recipe(self, **settings: Any) -> partial[Explainer]:
        """How to load it, as a value that other processes can be sent."""
        return super().recipe(
            templates=self.templates,
            batch_size=self.batch_size,
            cache=not self.no_cache,
            **settings,
        )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where results are written."""

    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER",
            help="Folder for the results, or - for JSON lines on standard output. A result "
            "replaces an earlier one for the same image only; other images of the same name get "
            "the endings -2, -3 and so on.",
        ),
    ] = Path("out")  # fmt: skip
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """How the model is explained."""

    method: Annotated[
        str,
        typer.Option(
            help="How to explain, as similarity or 'clip_surgery(depth=8)'; see 'methods'."
        ),
    ] = "clip_surgery"
    depth: Annotated[
        int | None, typer.Option(help="How many of the last blocks the method changes.")
    ] = None

    def build(self) -> Method:
        """The method with its settings."""
        from clip_surgery.apps.cli.shared.method_settings import one_method

        return one_method(self.method, depth=self.depth)


@dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """How maps are coloured in a figure."""

    opacity: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of the colours where it is hot.", rich_help_panel=DRAWING
        ),
    ] = 0.75
    colour_map: Annotated[
        str, typer.Option(help="One of matplotlib's colour maps.", rich_help_panel=DRAWING)
    ] = "turbo"

    def check(self) -> None:
        """Refuse an unknown colour map, before a model is loaded.

        Raises:
            UnknownNameError: for a colour map that matplotlib does not have.
        """
        from clip_surgery.figures.overlay import colour_table

        colour_table(self.colour_map)


@dataclass(frozen=True, kw_only=True)
class DrawingOptions(ColourOptions):
    """How maps are scaled and coloured in a figure."""

    contrast: Annotated[
        DrawnContrast,
        typer.Option(
            help="Each map scaled alone, or all maps of an image together, or each alone and "
            "paler the less likely its text is in the image.",
            rich_help_panel=DRAWING,
        ),
    ] = DrawnContrast.TEXT

    @property
    def scaling(self) -> Contrast:
        """The contrast as `heatmaps` calls it."""
        return self.contrast.value

    @property
    def vocabulary(self) -> str | None:
        """The reference words that this contrast needs."""
        return "common" if self.contrast is DrawnContrast.PRESENCE else None


def vocabulary_for(min_presence: float | None) -> str | None:
    """The reference words that presence needs, if it is asked for."""
    return None if min_presence is None else "common"
