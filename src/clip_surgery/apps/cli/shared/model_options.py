"""Options of the model, as fields of frozen dataclasses.

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
