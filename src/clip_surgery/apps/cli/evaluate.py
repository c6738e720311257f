"""`clip-surgery evaluate`: methods measured against exact masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli import console
from clip_surgery.errors import UnknownNameError

if TYPE_CHECKING:
    from clip_surgery.evaluation.report import Report

HELD_OUT_SEED = 2_000_003
DATASETS = ("scenes",)


def evaluate(
    dataset: Annotated[str, typer.Argument(help="What to measure on: scenes.")],
    method: Annotated[
        str,
        typer.Option(help="Methods between commas, as clip_surgery(depth=8); or 'all'."),
    ] = "similarity,maskclip,clip_surgery(redundancy=none),clip_surgery",
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="CLIP_SURGERY_MODEL", help="Which CLIP; see 'models'."
        ),
    ] = "demo",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights for --model open_clip:ARCH.", metavar="FILE")
    ] = None,
    templates: Annotated[
        str, typer.Option(help="A set of prompt templates, or one such as 'a photo of a {}.'.")
    ] = "clip_surgery",
    size: Annotated[
        int | None, typer.Option(min=1, help="Short side the model sees, in pixels.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, help="Which scenes; the default is the held-out set.")
    ] = HELD_OUT_SEED,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that run together.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
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
    with console.status(f"loading {model}"):
        from clip_surgery.evaluation import run
        from clip_surgery.evaluation.datasets.scenes import SceneDataset
        from clip_surgery.evaluation.report import markdown_table, save_reports
        from clip_surgery.explainer import load
        from clip_surgery.framing import FramingRule

        explainer = load(
            model,
            checkpoint=checkpoint,
            device=device,
            templates=templates,
            framing=FramingRule(size=size),
            batch_size=batch_size,
        )
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
