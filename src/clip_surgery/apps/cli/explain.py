"""`clip-surgery explain`: heatmaps of texts in pictures, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli import console
from clip_surgery.errors import ClipSurgeryError, InputError, UnsupportedModelError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.arguments import Request
    from clip_surgery.apps.cli.writing import Outputs
    from clip_surgery.backbones.backbone import Backbone
    from clip_surgery.backbones.text_features import TextFeatures
    from clip_surgery.explainer import Explainer
    from clip_surgery.inputs.images import Picture
    from clip_surgery.outputs.records import Record

PAPER_MODEL = "open_clip:ViT-B-16/openai"
SHOWN_ROWS = 40


class FramingName(StrEnum):
    """How a picture is laid into the model's frame, as options spell it."""

    KEEP_RATIO = "keep-ratio"
    SQUASH = "squash"
    LETTERBOX = "letterbox"


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
    method: Annotated[str, typer.Option(help="How to explain; see 'methods'.")] = "clip_surgery",
    depth: Annotated[
        int | None, typer.Option(help="How many of the last blocks the method changes.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the method."),
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
        float, typer.Option(min=0, max=1, help="Share of the colours over the picture.")
    ] = 0.6,
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
    from clip_surgery.apps.cli.settings import configured_method
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
    settings = configured_method(method, depth=depth, settings=setting or ())
    outputs.prepare()
    with _status(f"loading {model}"):
        from clip_surgery.explainer import load
        from clip_surgery.framing import FramingRule

        explainer = load(
            model,
            checkpoint=checkpoint,
            device=device,
            dtype=dtype.value,
            method=settings,
            templates=templates,
            framing=FramingRule(mode=_mode(framing), size=size),
            batch_size=batch_size,
            cache=not no_cache,
            truncate=truncate,
        )
    notice_unknown(explainer.backbone, texts)
    with _status(f"reading {len(texts)} text{'s' * (len(texts) > 1)}"):
        features = explainer.encode(texts)
    run = _Run(explainer, features, outputs, skipped=len(request.missing))
    run.all(request.images)
    _tell(run)
    if not run.records:
        raise typer.Exit(2)
    if run.skipped:
        raise typer.Exit(1)


@dataclass
class _Run:
    """One pass over the pictures: what was found, and how many could not be used."""

    explainer: Explainer
    features: TextFeatures
    outputs: Outputs
    skipped: int = 0
    records: list[Record] = field(default_factory=list)

    def all(self, paths: Sequence[Path]) -> None:
        """Explain in batches and write each batch at once: what is done stays done."""
        from clip_surgery.inputs.images import read_image

        size = self.explainer.batch_size
        with _progress(len(paths)) as advance:
            for start in range(0, len(paths), size):
                pictures = []
                for path in paths[start : start + size]:
                    with self._skipping():
                        pictures.append(read_image(path))
                self._batch(pictures)
                advance(min(size, len(paths) - start))

    def _batch(self, pictures: Sequence[Picture]) -> None:
        try:
            self._explain(pictures)
        except UnsupportedModelError:
            raise
        except ClipSurgeryError:
            if len(pictures) == 1:
                raise
            for picture in pictures:  # one of them is bad: the others are still worth having
                with self._skipping():
                    self._explain([picture])

    def _explain(self, pictures: Sequence[Picture]) -> None:
        from clip_surgery.outputs.records import records
