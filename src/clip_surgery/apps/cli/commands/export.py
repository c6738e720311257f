"""`clip-surgery export`: write a model as files that run without this library."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ExplainerOptions,
    MethodOptions,
    OutFolder,
    Overwrite,
)
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explainer import Explainer


class ExportName(StrEnum):
    """Formats of an exported image tower."""

    ONNX = "onnx"
    TORCH = "torch"


@with_options
def export(
    method_options: MethodOptions,
    model: ExplainerOptions,
    to: Annotated[
        ExportName, typer.Option(help="onnx runs with onnxruntime, torch with torch alone.")
    ] = ExportName.ONNX,
    labels: Annotated[
        Path | None,
        typer.Option(help="Also export the texts of this file, one per line.", metavar="FILE"),
    ] = None,
    out: OutFolder = Path("bundle"),
    overwrite: Overwrite = False,
) -> None:
    """Write a model's image tower, and features of texts, for use without this library.

    clip-surgery export --model demo --to onnx --labels words.txt --out bundle

    The files accept batches and images of any size. They are run and compared with the model
    before they are put in place. A bundle of another model or method is not replaced.
    """
    from clip_surgery.apps.cli.shared.request import notice_unknown_words
    from clip_surgery.export.bundle import export_bundle
    from clip_surgery.inputs.texts import read_labels

    texts = None if labels is None else read_labels(labels)
    method = method_options.build()
    if model.device == "auto":  # a graph remembers where it was traced
        model = replace(model, device="cpu")
    explainer = model.load(method=method)
    if texts is not None:
        notice_unknown_words(explainer.backbone, texts)
    if not overwrite:
        check_bundle(out, explainer)
    with console.status("tracing, writing and comparing"):
        bundle = export_bundle(explainer, out, to=to.value, texts=texts)
    for name in bundle.files:
        console.result(f"wrote {bundle.folder / name}")
    console.result(f"largest difference from the model: {bundle.difference:.1e}")


def check_bundle(folder: Path, explainer: Explainer) -> None:
    """Refuse to replace a bundle of another model or method.

    Raises:
        InputError: if the folder holds such a bundle, or parts of one.
    """
    from clip_surgery.export.bundle import BANK, DESCRIPTION, TOWERS

    if not any((folder / name).exists() for name in (DESCRIPTION, BANK, *TOWERS.values())):
        return
    try:
        facts = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        old = facts["model"], facts["method"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        old = None
    if old != (explainer.backbone.name, repr(explainer.method)):
        raise InputError(
            f"{folder / DESCRIPTION}: holds another bundle"
            f"{f' ({old[1]} of {old[0]})' if old else ''}; choose another --out, or replace it "
            "with --overwrite."
        )
