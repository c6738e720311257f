"""`clip-surgery export`: a model as files that run without this library."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import ExplainerOptions, MethodOptions, OutFolder


class ExportName(StrEnum):
    """What an image tower can be written as."""

    ONNX = "onnx"
    TORCH = "torch"


@with_options
def export(
    by: MethodOptions,
    model: ExplainerOptions,
    to: Annotated[
        ExportName, typer.Option(help="onnx runs with onnxruntime, torch with torch alone.")
    ] = ExportName.ONNX,
    labels: Annotated[
        Path | None,
        typer.Option(help="A fixed vocabulary: a file of texts, one a line.", metavar="FILE"),
    ] = None,
    out: OutFolder = Path("bundle"),
) -> None:
    """Write a model's image tower, and the texts of a fixed vocabulary, for use without it.

    clip-surgery export --model demo --to onnx --labels words.txt --out bundle

    Batch and size of the images stay open. What is written is run and compared first.
    """
    from clip_surgery.apps.cli.shared.request import notice_unknown_words
    from clip_surgery.export.bundle import export_bundle
    from clip_surgery.inputs.texts import read_labels

    texts = None if labels is None else read_labels(labels)
    method = by.build()
    words = "common" if getattr(method, "redundancy", None) == "vocabulary" else None
    if model.device == "auto":  # a graph remembers where it was traced
        model = replace(model, device="cpu")
    explainer = model.load(method=method, vocabulary=words)
    if texts is not None:
        notice_unknown_words(explainer.backbone, texts)
    with console.status("tracing, writing and comparing"):
        bundle = export_bundle(explainer, out, to=to.value, texts=texts)
    for name in bundle.files:
        console.result(f"wrote {bundle.folder / name}")
    console.result(f"largest difference from the model: {bundle.difference:.1e}")
