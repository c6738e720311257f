"""`clip-surgery explain`: heatmaps of texts in pictures, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli import console
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.arguments import Request
    from clip_surgery.apps.cli.explaining import Run
    from clip_surgery.backbones.backbone import Backbone
    from clip_surgery.framing import FramingMode

PAPER_MODEL = "open_clip:ViT-B-16/openai"
SHOWN_ROWS = 40


class FramingName(StrEnum):
    """How a picture is laid into the model's frame, as options spell it."""

    KEEP_RATIO = "keep-ratio"
    SQUASH = "squash"
    LETTERBOX = "letterbox"


_MODES: dict[FramingName, FramingMode] = {
    FramingName.KEEP_RATIO: "keep ratio",
    FramingName.SQUASH: "squash",
    FramingName.LETTERBOX: "letterbox",
}


class Precision(StrEnum):
    """Floating-point types of the weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class DrawnContrast(StrEnum):
    """Contrasts that can be drawn; raw scores are in the other formats."""

    TEXT = "text"
    IMAGE = "image"


def explain(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... TEXT...",
            help="Pictures (files, folders, quoted patterns) and the texts to look for in them.",
        ),
    ],
    text: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="A text, whatever it looks like.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A file of texts, one a line.", metavar="FILE")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="CLIP_SURGERY_MODEL", help="Which CLIP; see 'models'."
        ),
    ] = PAPER_MODEL,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights for --model open_clip:ARCH.", metavar="FILE")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="How to explain, as similarity or 'clip_surgery(depth=8)'; see 'methods'."
        ),
    ] = "clip_surgery",
    depth: Annotated[
        int | None, typer.Option(help="How many of the last blocks the method changes.")
    ] = None,
    templates: Annotated[
        str, typer.Option(help="A set of prompt templates, or one such as 'a photo of a {}.'.")
    ] = "clip_surgery",
    size: Annotated[
        int | None, typer.Option(min=1, help="Short side the model sees, in pixels.")
    ] = None,
    framing: Annotated[
        FramingName, typer.Option(help="How a picture is laid into the model's frame.")
    ] = FramingName.KEEP_RATIO,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[Precision, typer.Option(help="Type of the weights.")] = Precision.FLOAT32,
    contrast: Annotated[
        DrawnContrast,
        typer.Option(help="Each map scaled alone, or all maps of an image together."),
    ] = DrawnContrast.TEXT,
    opacity: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the colours where it is hot.")
    ] = 0.75,
    colour_map: Annotated[str, typer.Option(help="One of matplotlib's colour maps.")] = "turbo",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results.", metavar="FOLDER")
    ] = Path("out"),
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="png, json, safetensors; several with commas."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that run together.")] = 8,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep no text features on disk.")
    ] = False,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long instead of refusing.")
    ] = False,
) -> None:
    """Draw where the model sees each text in each picture.

    clip-surgery explain street.jpg bench person --out out/
    """
    from clip_surgery.apps.cli.explaining import Run
    from clip_surgery.apps.cli.settings import one_method
    from clip_surgery.apps.cli.writing import Outputs, read_formats
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.outputs.overlay import colour_table

    request = _read_request(arguments, text or (), labels)
    texts = check_texts(request.texts)
    colour_table(colour_map)  # refuses an unknown name before the model is loaded
    outputs = Outputs(
        folder=out,
        formats=read_formats(formats or ["png"]),
        contrast=contrast.value,
        opacity=opacity,
        colour_map=colour_map,
        inputs=request.images,
    )
    explained_by = one_method(method, depth=depth)
    outputs.prepare()
    with console.status(f"loading {model}"):
        from clip_surgery.explainer import load
        from clip_surgery.framing import FramingRule

        explainer = load(
            model,
            checkpoint=checkpoint,
            device=device,
            dtype=dtype.value,
            method=explained_by,
            templates=templates,
            framing=FramingRule(mode=_MODES[framing], size=size),
            batch_size=batch_size,
            cache=not no_cache,
            truncate=truncate,
        )
    notice_unknown_words(explainer.backbone, texts)
    with console.status(f"reading {len(texts)} texts"):
        features = explainer.encode(texts)
    run = Run(explainer=explainer, features=features, outputs=outputs)
    run.skipped = len(request.missing)
    run.explain(request.images)
    _show(run)
    if not run.records:
        raise typer.Exit(2)
    if run.skipped:
        raise typer.Exit(1)


def notice_unknown_words(backbone: Backbone, texts: Sequence[str]) -> None:
    """Say so when a model that knows few words is asked for others."""
    from clip_surgery.backbones.vocabulary import unknown_texts

    unknown = unknown_texts(backbone, texts)
    if unknown:
        console.notice(
            f"this small model knows {len(backbone.nouns)} nouns (clip-surgery models demo) and "
            f"not {', '.join(unknown)}: such maps mean nothing. For real pictures take a "
            f"published CLIP: clip-surgery explain --model {PAPER_MODEL} IMAGE... TEXT..."
        )


def _read_request(arguments: Sequence[str], texts: Sequence[str], labels: Path | None) -> Request:
    """Sort the arguments, add texts from options, and tell which pictures are missing."""
    from clip_surgery.apps.cli.arguments import sort_arguments
    from clip_surgery.inputs.texts import read_labels

    request = sort_arguments(arguments)
    more = (*texts, *(read_labels(labels) if labels else ()))
    request = replace(request, texts=(*request.texts, *more))
    if not (request.images or request.missing):
        raise InputError("No picture among the arguments: give a file, a folder or a pattern.")
    if not request.texts:
        raise InputError("No text to look for: give one or more after the pictures.")
    for problem in request.missing:
        console.error(problem)
    if not request.images:
        raise typer.Exit(2)
    return request


def _show(run: Run) -> None:
    """The results as a table, and where the files are."""
    from rich.markup import escape
    from rich.table import Table

    rows = [(record["image"], text) for record in run.records for text in record["texts"]]
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("text", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("peak at x, y", justify="right")
    for image, text in rows[:SHOWN_ROWS]:
        peak = text["peak"]
        place = f"{peak['x']:.0f}, {peak['y']:.0f}" if peak else "flat"
        table.add_row(escape(image), escape(text["text"]), f"{text['score']:.3f}", place)
    screen = console.results()
    screen.print(table)
    if len(rows) > SHOWN_ROWS:
        screen.print(f"and {len(rows) - SHOWN_ROWS} more (--format json has them all)")
    written = run.outputs.written
    if len(written) == 1:
        screen.print(f"wrote {written[0]}", soft_wrap=True, markup=False)
    else:
        place = f"{run.outputs.folder}/"
        screen.print(f"wrote {len(written)} files to {place}", soft_wrap=True, markup=False)
    if run.skipped:
        screen.print(f"skipped {run.skipped} (see above)")
