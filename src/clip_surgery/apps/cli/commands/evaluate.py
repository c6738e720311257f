"""`clip-surgery evaluate`: methods measured against the truth of a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import SCENES, RunOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    MODEL,
    PAPER_MODEL,
    BatchSize,
    ExplainerOptions,
    FramingName,
    Overwrite,
)

if TYPE_CHECKING:
    from clip_surgery.evaluation.protocols.registry import Protocol
    from clip_surgery.explainer import Explainer
    from clip_surgery.framing import FramingMode

# Written here for the help, which imports nothing; a test holds them against the registries.
DATASETS = (
    *("scenes", "folder", "voc20", "voc21", "voc07", "context59", "context60", "imagenet_s50"),
    *("coco", "coco_stuff", "coco_tags", "nus_wide", "cityscapes", "ade20k"),
)
PROTOCOLS = (
    *("scenes", "paper_explainability", "paper_segmentation", "paper_tags", "labels_given"),
    *("sliding_window", "sliding_window_background"),
)
BY_PROTOCOL = "the protocol's"
FRAMING_MODES: dict[FramingName, FramingMode] = {
    FramingName.KEEP_RATIO: "keep ratio",
    FramingName.SQUASH: "squash",
    FramingName.LETTERBOX: "letterbox",
}


class Against(StrEnum):
    """What numbers can be put beside."""

    PAPER = "paper"


@dataclass(frozen=True, kw_only=True)
class MeasuredModel(ExplainerOptions):
    """The model that is measured; the protocol says how images and texts are brought to it."""

    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="CLIP_SURGERY_MODEL", help="Which CLIP; see 'models'.",
            rich_help_panel=MODEL, show_default=f"demo for scenes, else {PAPER_MODEL}",
        ),
    ] = "demo"  # fmt: skip
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Short side the model sees, in pixels.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = None  # fmt: skip
    framing: Annotated[
        FramingName,
        typer.Option(
            help="How an image is laid into the model's frame.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = FramingName.KEEP_RATIO  # fmt: skip
    templates: Annotated[
        str,
        typer.Option(
            help="A set of prompt templates, or one such as 'a photo of a {}.'.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = "clip_surgery"  # fmt: skip
    batch_size: BatchSize = 16

    def following(self, protocol: Protocol) -> partial[Explainer]:
        """How to load it as a protocol wants it, which has these options in it already."""
        modes = {mode: name for name, mode in FRAMING_MODES.items()}
        wanted = replace(
            self,
            size=protocol.size,
            framing=modes[protocol.framing],
            templates=protocol.templates,
        )
        return wanted.recipe(vocabulary=protocol.vocabulary)


@with_options
def evaluate(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            help=f"Data set: {', '.join(DATASETS)}, or package.module:Class of your own.",
            metavar="DATASET",
        ),
    ],
    model: MeasuredModel,
    running: RunOptions,
    root: Annotated[
        Path | None, typer.Option(help="The folder the data set is in.", metavar="FOLDER")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of the data set.", show_default="the one papers use")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"How it is measured: {', '.join(PROTOCOLS)}.", show_default="the data set's"
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Methods between commas, as clip_surgery(depth=8); or 'all'.",
            show_default=BY_PROTOCOL,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many images, evenly spaced.", show_default=f"all; {SCENES} scenes"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Which scenes.", show_default="those held out of training"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the reports to this JSON file.", metavar="FILE"),
    ] = None,
    overwrite: Overwrite = False,
    against: Annotated[
        Against | None, typer.Option(help="Show published numbers beside these.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Measure methods on a data set.

    clip-surgery evaluate scenes --method all --out report.json

    clip-surgery evaluate voc20 --root VOCdevkit --against paper

    --size, --framing and --templates change the protocol, and reports say so.

    A run that was stopped goes on when the same command is given again.
    """
    from clip_surgery.apps.cli.shared.evaluation_run import EvaluationRun, open_images, prepare_file
    from clip_surgery.apps.cli.shared.report_tables import show_published_comparison, show_reports
    from clip_surgery.evaluation.datasets.subset import Subset
    from clip_surgery.evaluation.protocols.registry import default_protocol, protocol_named
    from clip_surgery.methods.registry import parse_methods

    own = default_protocol(dataset) if protocol is None else protocol_named(protocol)
    chosen = own.changed(
        size=model.size,
        framing=FRAMING_MODES[model.framing] if _is_given(context, "framing") else None,
        templates=model.templates if _is_given(context, "templates") else None,
    )
    methods = parse_methods(method or ",".join(chosen.methods))
    pictures = open_images(dataset, root, split=split, seed=seed, count=count)
    if dataset != "scenes" and not _is_given(context, "model"):
        model = replace(model, model=PAPER_MODEL)
    if out is not None:
        prepare_file(out)
    reports, interrupted = EvaluationRun(
        dataset=pictures,
        root=root,
        protocol=chosen,
        methods=methods,
        recipe=model.following(chosen),
        running=running,
    ).run(out, overwrite=overwrite)
    if reports:
        show_reports(reports, markdown=markdown, protocol=chosen.name)
    if reports and against is Against.PAPER:
        show_published_comparison(
            reports,
            dataset=dataset,
            protocol=chosen,
            differences=[
                *([f"only {len(pictures)} images"] if isinstance(pictures, Subset) else []),
                *([] if split is None else [f"split {split} was chosen"]),
            ],
            markdown=markdown,
        )
    if interrupted:
        console.notice("the same command goes on from here.")
        raise KeyboardInterrupt
    if any(report.failures for report in reports):
        raise typer.Exit(1)


def _is_given(context: typer.Context, option: str) -> bool:
    """Whether somebody chose an option, on the command line or in the environment."""
    source = context.get_parameter_source(option)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
