"""`clip-surgery export`: write a model as files that run without this library, or as a web site."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutFolder, Overwrite
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explainer import Explainer
    from clip_surgery.export.bundle import Bundle, ExportFormat
    from clip_surgery.export.web.site import WebSite

WEB = "Web site (--to web)"  # a heading of the help


class ExportName(StrEnum):
    """What is written: an image tower in one of two formats, or a web site."""

    ONNX = "onnx"
    TORCH = "torch"
    WEB = "web"


class WeightsName(StrEnum):
    """Types of the weights of an exported image tower."""

    FLOAT32 = "float32"
    INT8 = "int8"


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """The type of the weights of the exported image tower."""

    quantise: Annotated[
        WeightsName,
        typer.Option(help="int8 is smaller and faster, and differs a little; not for torch."),
    ] = WeightsName.FLOAT32
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images that fix the ranges of int8; otherwise each run measures them.",
            metavar="FOLDER",
        ),
    ] = None

    def images(self) -> list[Path]:
        """Return the images of the calibration, at most 64."""
        from clip_surgery.inputs.image_folders import list_images

        return [] if self.calibration is None else list_images([self.calibration])[:64]


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """Options of an exported web site."""

    any_word: Annotated[
        bool,
        typer.Option(
            "--any-word",
            help="Also write the text tower, so that visitors can type words of their own.",
            rich_help_panel=WEB,
        ),
    ] = False
    example: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image that the page shows first; repeat it for more.",
            metavar="FILE",
            rich_help_panel=WEB,
        ),
    ] = None
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="Folder or archive of onnxruntime-web, for machines without the internet.",
            metavar="PATH",
            rich_help_panel=WEB,
        ),
    ] = None
    no_webgpu: Annotated[
        bool,
        typer.Option(
            "--no-webgpu",
            help="Leave out the 27 MB for WebGPU; visitors' processors compute with WebAssembly.",
            rich_help_panel=WEB,
        ),
    ] = False


@with_options
def export(
    method_options: MethodOptions,
    model: ExplainerOptions,
    weights: WeightOptions,
    web: WebOptions,
    to: Annotated[
        ExportName,
        typer.Option(help="onnx runs with onnxruntime, torch with torch alone, web in a browser."),
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

    clip-surgery export --model demo --to web --labels words.txt --out site

    The files accept batches and images of any size. They are run and compared with the model
    before they are put in place. A bundle of another model or method is not replaced. A web site
    computes in the visitor's browser; copy its folder to any web server, or try it with
    'python -m http.server --directory site'.
    """
    from clip_surgery.apps.cli.shared.request import notice_unknown_words
    from clip_surgery.export import bundle
    from clip_surgery.export.web import site
    from clip_surgery.inputs.texts import read_labels

    if to is ExportName.WEB and labels is None:
        raise InputError("Expected the words of the web site, in a file given with --labels.")
    texts = None if labels is None else read_labels(labels)
    images = weights.images()
    method = method_options.build()
    if model.device == "auto":  # a graph remembers where it was traced
        model = replace(model, device="cpu")
    explainer = model.load(method=method)
    if texts is not None:
        notice_unknown_words(explainer.backbone, texts)
    if not overwrite:
        if to is ExportName.WEB:
            check_folder(out, explainer, site.DESCRIPTION, ("index.html",))
        else:
            check_folder(out, explainer, bundle.DESCRIPTION, (bundle.BANK, *bundle.TOWERS.values()))
    exported: Bundle | WebSite
    with console.status("tracing, writing and comparing"):
        if to is ExportName.WEB:
            exported = site.export_web(
                explainer,
                out,
                texts=texts or (),
                any_word=web.any_word,
                weights=weights.quantise.value,
                calibration=images,
                examples=web.example or (),
                webgpu=not web.no_webgpu,
                runtime=web.runtime,
            )
        else:
            tower: ExportFormat = "onnx" if to is ExportName.ONNX else "torch"
            exported = bundle.export_bundle(
                explainer,
                out,
                to=tower,
                texts=texts,
                weights=weights.quantise.value,
                calibration=images,
            )
    for name in exported.files:
        console.result(f"wrote {exported.folder / name}")
    console.result(f"largest difference from the model: {exported.difference:.1e}")


def check_folder(
    folder: Path, explainer: Explainer, description: str, others: Sequence[str]
) -> None:
    """Refuse to replace an export of another model or method.

    Args:
        folder: the folder of the export.
        explainer: the model and method that are exported.
        description: name of the file that describes an export.
        others: names of other files of an export.

    Raises:
        InputError: if the folder holds such an export, or parts of one.
    """
    if not any((folder / name).exists() for name in (description, *others)):
        return
    try:
        facts = json.loads((folder / description).read_text(encoding="utf-8"))
        old = facts["model"], facts["method"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        old = None
    if old != (explainer.backbone.name, repr(explainer.method)):
        raise InputError(
            f"{folder / description}: holds another export"
            f"{f' ({old[1]} of {old[0]})' if old else ''}; choose another --out, or replace it "
            "with --overwrite."
        )
