"""Options that several commands share, as fields of frozen dataclasses.

A command takes such a dataclass as one parameter (see `option_groups`), so that an option has the
same name, help and default in every command. A subclass can change a default.
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

PAPER_MODEL = "open_clip:ViT-B-16/openai"
MODEL = "Model"  # a heading of the help

ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", envvar="CLIP_SURGERY_MODEL",
        help="CLIP model; 'clip-surgery models' lists them.",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
BatchSize = Annotated[
    int,
    typer.Option(
        min=1, help="Number of images that are processed together.", rich_help_panel=MODEL
    ),
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
        help="Leave out texts that are less likely to be in the image than this, from 0 to 1.",
    ),
]  # fmt: skip


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


def formats_option(kinds: str) -> Any:
    """Return the option --format, whose help lists the formats and the default."""
    return typer.Option("--format", "-f", help=f"{kinds}; separate several by commas.")


FigureFormats = Annotated[
    list[str] | None, formats_option("png, pdf, svg, json; default: png,json")
]
MaskFormats = Annotated[
    list[str] | None,
    formats_option(
        "png, pdf, svg (to look at), mask (palette PNG), json (COCO RLE); default: png,mask,json"
    ),
]


class FramingName(StrEnum):
    """Ways to bring an image to the size of the model's input."""

    KEEP_RATIO = "keep-ratio"
    SQUASH = "squash"
    LETTERBOX = "letterbox"


class Precision(StrEnum):
    """Floating-point types of the weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model, its device and type, and how images are resized for it."""

    model: ModelName = PAPER_MODEL
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="File of weights for --model open_clip:ARCH.",
            metavar="FILE",
            rich_help_panel=MODEL,
        ),
    ] = None
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Short side of the model's input, in pixels.", rich_help_panel=MODEL
        ),
    ] = None
    framing: Annotated[
        FramingName,
        typer.Option(
            help="How an image is brought to the size of the model's input.", rich_help_panel=MODEL
        ),
    ] = FramingName.KEEP_RATIO
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MODEL)
    ] = "auto"
    dtype: Annotated[
        Precision, typer.Option(help="Floating-point type of the weights.", rich_help_panel=MODEL)
    ] = Precision.FLOAT32
    truncate: Annotated[
        bool,
        typer.Option(
            "--truncate", help="Cut off texts that are too long instead of refusing them.",
            rich_help_panel=MODEL,
        ),
    ] = False  # fmt: skip

    def load(self, **settings: Any) -> Explainer:
        """Load the explainer of this model, with more settings of `clip_surgery.load`."""
        from clip_surgery.apps.cli.shared import console

        with console.status(f"loading {self.model}"):
            return self.recipe(**settings)()

    def recipe(self, **settings: Any) -> partial[Explainer]:
        """Return a function that loads the explainer and can be sent to other processes."""
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
    """The model, prompt templates, batch size and cache."""

    templates: Annotated[
        str,
        typer.Option(
            help="Name of a set of prompt templates, or one template such as 'a photo of a {}.'.",
            rich_help_panel=MODEL,
        ),
    ] = "clip_surgery"
    companion: Annotated[
        str | None,
        typer.Option(
            help="Image model without texts that helps methods such as proxy_clip: timm:NAME, such "
            "as timm:vit_base_patch8_224.dino, hf-hub:NAME, or a folder.",
            rich_help_panel=MODEL,
        ),
    ] = None
    batch_size: BatchSize = 8
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", help="Do not cache text features on disk.", rich_help_panel=MODEL
        ),
    ] = False

    def recipe(self, **settings: Any) -> partial[Explainer]:
        """Return a function that loads the explainer and can be sent to other processes."""
        return super().recipe(
            templates=self.templates,
            companion=self.companion,
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
