"""`clip-surgery evaluate`: methods measured against exact masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli import console
from clip_surgery.apps.cli.grouping import with_options
from clip_surgery.apps.cli.options import BatchSize, ExplainerOptions, ModelName
from clip_surgery.errors import UnknownNameError

if TYPE_CHECKING:
    from clip_surgery.evaluation.report import Report

HELD_OUT_SEED = 2_000_003
DATASETS = ("scenes",)


@dataclass(frozen=True, kw_only=True)
class MeasuredModel(ExplainerOptions):
    """The model that is measured: the scenes are drawn for the demo, and small."""

    model: ModelName = "demo"
    batch_size: BatchSize = 16


@with_options
def evaluate(
    dataset: Annotated[str, typer.Argument(help="What to measure on: scenes.")],
    model: MeasuredModel,
    method: Annotated[
        str,
        typer.Option(help="Methods between commas, as clip_surgery(depth=8); or 'all'."),
    ] = "similarity,maskclip,clip_surgery(redundancy=none),clip_surgery",
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, help="Which scenes; the default is the held-out set.")
    ] = HELD_OUT_SEED,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the reports to this JSON file.", metavar="FILE"),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Measure methods on pictures with exact masks.

    clip-surgery evaluate scenes --method all --out report.json
    """
    if dataset not in DATASETS:
        raise UnknownNameError.among("data set", dataset, DATASETS)
    from clip_surgery.methods.registry import parse_methods

    methods = parse_methods(method)
    from clip_surgery.evaluation import run
    from clip_surgery.evaluation.datasets.scenes import SceneDataset
    from clip_surgery.evaluation.report import markdown_table, save_reports

    explainer = model.load()
    scenes = SceneDataset(seed=seed, count=count)
    with console.progress("evaluating", total=len(scenes)) as advance:
        reports = run.evaluate(explainer, scenes, methods, on_progress=advance)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_reports(reports, out)
        console.notice(f"reports are in {out}")
    if markdown:
        typer.echo(markdown_table(reports))
    else:
        _show(reports)


def _show(reports: list[Report]) -> None:
    from rich.table import Table

    from clip_surgery.evaluation.report import format_value

    first = reports[0]
    table = Table(title=f"{first.settings['dataset']}, {first.settings['backbone']}")
    table.add_column("method")
    columns = list(first.values)
    for name in columns:
        table.add_column(name, justify="right")
    for report in reports:
        cells = (
            format_value(name, report.values[name]) if name in report.values else "-"
            for name in columns
        )
        table.add_row(report.row, *cells)
    console.results().print(table)
