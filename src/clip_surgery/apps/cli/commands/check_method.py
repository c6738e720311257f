"""`clip-surgery check-method`: can the maps of a method be believed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import (
    DatasetRoot,
    DatasetSplit,
    JournalOptions,
)
from clip_surgery.apps.cli.shared.model_options import BatchSize, ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import Overwrite
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.evaluation.trust.run import TrustReport

BASELINES = ("similarity", "random order")
# A copy for the help, which imports nothing; a test compares it with the registry.
CHECKS = (
    *("randomisation", "gibberish", "absent", "road", "insertion_deletion", "sensitivity"),
    *("mosaic", "flip"),
)


@dataclass(frozen=True, kw_only=True)
class CheckedModel(ExplainerOptions):
    """The model whose maps are checked."""

    batch_size: BatchSize = 16


@with_options
def check_method(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Data set with labels, as for 'clip-surgery evaluate'; masks are not used.",
            metavar="DATASET",
        ),
    ],
    model: CheckedModel,
    running: JournalOptions,
    root: DatasetRoot = None,
    split: DatasetSplit = None,
    method: Annotated[
        str,
        typer.Option(help="Methods separated by commas, such as 'gem,clip_surgery(depth=8)'."),
    ] = "similarity,clip_surgery",
    check: Annotated[
        list[str] | None,
        typer.Option(help=f"A check: {', '.join(CHECKS)}. All if none is given."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="Number of images, evenly spaced over the data set.")
    ] = 50,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the generated scenes.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the values to this JSON file.", metavar="FILE"),
    ] = None,
    overwrite: Overwrite = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Check whether the maps of methods can be believed, without masks.

    clip-surgery check-method scenes --method clip_surgery,rollout --model demo

    A map should change if the weights of the model are random or the text has no meaning, the score
    should depend on the patches that it ranks highest, and it should be the same for the mirrored
    image. Random maps are the baseline. Values are means over images with 95 % intervals.

    The model is not changed: randomised weights are those of a copy.
    """
    import json

    from clip_surgery.apps.cli.shared.evaluation_run import open_images, prepare_file
    from clip_surgery.apps.cli.shared.run_journal import run_journal
    from clip_surgery.evaluation.datasets.dataset import describe_dataset
    from clip_surgery.evaluation.execution.journal import write_durably
    from clip_surgery.evaluation.trust.run import check_methods
    from clip_surgery.methods.registry import parse_methods

    methods = parse_methods(method)
    images = open_images(dataset, root, split=split, seed=seed, count=count)
    if out is not None:
        prepare_file(out)
        if out.exists() and not overwrite:
            raise InputError(f"{out}: exists; choose another --out, or replace it: --overwrite.")
    explainer = model.load()
    checks = check or CHECKS

    def identity() -> tuple[object, ...]:
        return (
            describe_dataset(images),
            None if root is None else str(root.resolve()),
            {row: repr(value) for row, value in methods.items()},
            (tuple(checks), repr(model), explainer.backbone.fingerprint()),
        )

    with run_journal(running, "checks", identity) as journal:
        with console.progress("checking", total=len(images)) as advance:
            report = check_methods(
                explainer,
                images,
                methods,
                checks=checks,
                journal=journal.folder,
                on_progress=advance,
            )
        if out is not None:
            write_durably(out, (json.dumps(report.to_values(), indent=1) + "\n").encode())
            console.notice(f"values are in {out}")
        journal.finish()
    if markdown:
        console.result(report.table())
    else:
        _show(report)


def _show(report: TrustReport) -> None:
    """Print a row for each check, with a column for each method."""
    from clip_surgery.apps.cli.shared.tables import Number, show_table
    from clip_surgery.evaluation.trust.checks import CHECKS as ALL

    methods = list(report.values)
    rows = []
    for name, check in ALL.items():
        if not any(name in row for row in report.values.values()):
            continue
        better = "higher" if check.higher_is_better else "lower"
        cells = [
            row[name].text() + _mark(report, method, name) if name in row else "-"
            for method, row in report.values.items()
        ]
        rows.append((f"{check.title} ({better} is better)", *cells))
    show_table(
        ("check", *map(Number, methods)),
        rows,
        title=f"{report.images} images, {report.model}; mean and half of the 95 % interval",
    )
    console.result("* better than similarity and than random maps, with intervals apart")


def _mark(report: TrustReport, method: str, check: str) -> str:
    """Return "*" if a method is better than all baselines that are in the report."""
    baselines = [name for name in BASELINES if name in report.values]
    if method in baselines or len(baselines) < len(BASELINES):
        return ""
    return "*" if all(report.beats(method, name, check) for name in baselines) else ""
