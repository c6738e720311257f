"""`clip-surgery evaluate`: methods evaluated against the ground truth of a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import (
    SCENES,
    DatasetRoot,
    DatasetSplit,
    RunOptions,
)
from clip_surgery.apps.cli.shared.method_options import MethodSegmenter
from clip_surgery.apps.cli.shared.model_options import (
    MODEL,
    PAPER_MODEL,
    BatchSize,
    ExplainerOptions,
    FramingName,
)
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import Overwrite
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.evaluation.protocols.registry import Protocol
    from clip_surgery.explainer import Explainer
    from clip_surgery.framing import FramingMode

# Copies for the help, which imports nothing; a test compares them with the registries.
DATASETS = (
    *("scenes", "folder", "voc20", "voc21", "voc07", "context59", "context60", "imagenet_s50"),
    *("coco", "coco_stuff", "coco_tags", "nus_wide", "cityscapes", "ade20k"),
)
PROTOCOLS = (
    *("scenes", "paper_explainability", "paper_segmentation", "paper_tags", "labels_given"),
    *("sliding_window", "sliding_window_background"),
)
FAMILIES = (
    *("sc_clip", "sfp", "res_clip", "pearl", "proxy_clip", "cass"),
    *("rf_clip", "trident", "corr_clip", "lposs", "free_cp", "ita_clip"),
)
BY_PROTOCOL = "the protocol's"
FRAMING_MODES: dict[FramingName, FramingMode] = {
    FramingName.KEEP_RATIO: "keep ratio",
    FramingName.SQUASH: "squash",
    FramingName.LETTERBOX: "letterbox",
}


class Against(StrEnum):
    """Sources of published numbers."""

    PAPER = "paper"


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel(ExplainerOptions):
    """The model that is evaluated. The protocol sets size, framing and templates."""

    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="CLIP_SURGERY_MODEL",
            help="CLIP model; 'clip-surgery models' lists them.",
            rich_help_panel=MODEL, show_default=f"demo for scenes, else {PAPER_MODEL}",
        ),
    ] = "demo"  # fmt: skip
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Short side of the model's input, in pixels.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = None  # fmt: skip
    framing: Annotated[
        FramingName,
        typer.Option(
            help="How an image is brought to the size of the model's input.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = FramingName.KEEP_RATIO  # fmt: skip
    templates: Annotated[
        str,
        typer.Option(
            help="Name of a set of prompt templates, or one template such as 'a photo of a {}.'.",
            rich_help_panel=MODEL, show_default=BY_PROTOCOL,
        ),
    ] = "clip_surgery"  # fmt: skip
    batch_size: BatchSize = 16

    def recipe_for(self, protocol: Protocol) -> partial[Explainer]:
        """Return a function that loads the model with the settings of a protocol."""
        modes = {mode: name for name, mode in FRAMING_MODES.items()}
        options = replace(
            self,
            size=protocol.size,
            framing=modes[protocol.framing],
            templates=protocol.templates,
        )
        return options.recipe(vocabulary=protocol.vocabulary)


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
    model: EvaluatedModel,
    running: RunOptions,
    root: DatasetRoot = None,
    split: DatasetSplit = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Evaluation protocol: {', '.join(PROTOCOLS)}; or the settings that the authors "
            f"of a method used on this data set: {', '.join(FAMILIES)}.",
            show_default="the data set's",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Methods separated by commas, such as 'gem,clip_surgery(depth=8)', or 'all'.",
            show_default=BY_PROTOCOL,
        ),
    ] = None,
    segmenter: MethodSegmenter = None,
    class_names: Annotated[
        Path | None,
        typer.Option(
            help="File with the names that classes are prompted with, such as that of an author: "
            "one line for each class, names separated by commas.",
            metavar="FILE",
            show_default="those of the data set",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of images, evenly spaced over the data set.",
            show_default=f"all; {SCENES} scenes",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed of the generated scenes.", show_default="scenes held out of training"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the reports to this JSON file.", metavar="FILE"),
    ] = None,
    overwrite: Overwrite = False,
    against: Annotated[Against | None, typer.Option(help="Compare with published numbers.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Evaluate methods on a data set.

    clip-surgery evaluate scenes --method all --out report.json

    clip-surgery evaluate voc20 --root VOCdevkit --against paper

    --size, --framing and --templates change the protocol, and reports name the changes.

    An interrupted evaluation continues when the same command is given again. A file of reports of
    another evaluation is not replaced.
    """
    from clip_surgery.apps.cli.shared.evaluation_run import EvaluationRun, open_images, prepare_file
    from clip_surgery.apps.cli.shared.method_settings import read_methods
    from clip_surgery.apps.cli.shared.report_tables import show_published_comparison, show_reports
    from clip_surgery.evaluation.datasets.subset import Subset
    from clip_surgery.evaluation.protocols.registry import default_protocol, protocol_for

    base_protocol = (
        default_protocol(dataset) if protocol is None else protocol_for(protocol, dataset)
    )
    protocol_settings = base_protocol.changed(
        size=model.size,
        framing=FRAMING_MODES[model.framing] if _is_given(context, "framing") else None,
        templates=model.templates if _is_given(context, "templates") else None,
    )
    methods = read_methods(method or ",".join(protocol_settings.methods), segmenter=segmenter)
    images = open_images(
        dataset, root, split=split, seed=seed, count=count, class_names=class_names
    )
    if class_names is not None and protocol_settings.prompts == "names":
        raise InputError(
            f"The protocol {protocol_settings.name} prompts each class with its official name "
            "alone, so that --class-names has no effect; choose another --protocol."
        )
    if dataset != "scenes" and not _is_given(context, "model"):
        model = replace(model, model=PAPER_MODEL)
    if out is not None:
        prepare_file(out)
    reports, interrupted = EvaluationRun(
        dataset=images,
        root=root,
        protocol=protocol_settings,
        methods=methods,
        recipe=model.recipe_for(protocol_settings),
        running=running,
    ).run(out, overwrite=overwrite)
    if reports:
        show_reports(reports, markdown=markdown, protocol=protocol_settings.name)
    if reports and against is Against.PAPER:
        show_published_comparison(
            reports,
            dataset=dataset,
            protocol=protocol_settings,
            differences=[
                *([f"only {len(images)} images"] if isinstance(images, Subset) else []),
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
    """Whether an option was given on the command line or in the environment."""
    source = context.get_parameter_source(option)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
