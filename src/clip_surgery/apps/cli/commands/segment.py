"""`clip-surgery segment`: every pixel to the class whose text it matches best."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ExplainerOptions,
    FramingName,
    MaskFormats,
    MethodOptions,
    OutFolder,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.windows import Windows


class BackgroundName(StrEnum):
    """Where no class is."""

    NONE = "none"
    THRESHOLD = "threshold"
    WORDS = "words"


@with_options
def segment(
    inputs: RequestOptions,
    by: MethodOptions,
    model: ExplainerOptions,
    background: Annotated[
        BackgroundName | None,
        typer.Option(
            help="Where no class is: nowhere, where the best one is below --threshold, or where "
            "one of --background-words is better. Words if there are any, else none.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="How high a class must be, from 0 to 1.")
    ] = 0.6,
    background_words: Annotated[
        str | None, typer.Option(help="Texts for what is no class, as 'sky,wall,floor'.")
    ] = None,
    crop: Annotated[
        int | None, typer.Option(min=1, help="Look through windows of this side, in pixels.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="From one window to the next, in pixels.")
    ] = None,
    out: OutFolder = Path("out"),
    formats: MaskFormats = None,
) -> None:
    """Give every pixel the class whose text it matches best.

    clip-surgery segment street.jpg person,man,woman bench road --background threshold

    "person,man,woman" is one class with three names.
    """
    from clip_surgery.apps.cli.shared.drawing import heading, shrunk
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.segments import resized, segmentation_figure
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.mask_files import MAX_CLASSES, palette_image
    from clip_surgery.records.regions import segmentation_record
    from clip_surgery.tasks.segmentation import segment as find_segments
    from clip_surgery.tasks.text_selection import split_names
    from clip_surgery.windows import explain_windows

    request = inputs.read()
    classes = split_names(request.texts)
    if len(classes) > MAX_CLASSES:
        raise InputError(f"Expected at most {MAX_CLASSES} classes, but got {len(classes)}.")
    words = tuple(word.strip() for word in background_words.split(",")) if background_words else ()
    texts = check_texts([*(name for names in classes for name in names), *words])
    where = background or (BackgroundName.WORDS if words else BackgroundName.NONE)
    if where is BackgroundName.WORDS and not words:
        raise InputError("--background words needs some: --background-words sky,wall,floor.")
    if words and where is not BackgroundName.WORDS:
        raise InputError(f"--background-words do not go with --background {where}.")
    windows = _windows(model, crop, stride)
    kinds = [Format.PNG, Format.MASK, Format.JSON]
    run = Run.begin("segment", request, out, formats or kinds, kinds)
    explainer = model.load(method=by.build())
    features = encode(explainer, texts)

    def result(picture: InputImage, explanation: Explanation) -> Result:
        [found] = find_segments(
            explanation,
            classes,
            background=where.value,
            threshold=threshold,
            background_words=words,
        )
        small = shrunk(picture)
        record = segmentation_record(explanation, found, classes)
        total = picture.size.height * picture.size.width
        return Result(
            files={
                Format.PNG: lambda path: segmentation_figure(
                    small,
                    resized(found, small.size),
                    [names[0] for names in classes],
                    heading=heading(picture, explanation.method, explanation.backbone),
                ).save(path),
                Format.MASK: lambda path: palette_image(found).save(path),
                Format.JSON: json_writer(record),
            },
            rows=[
                (",".join(one["names"]), str(one["id"]), f"{one['area'] / total:.1%}")
                for one in record["classes"]
            ],
        )

    if windows is None:
        run.explain(request.images, explainer, features, result)
    else:

        def find(pictures: Sequence[InputImage]) -> list[Explanation]:
            return [explain_windows(explainer, one, features, windows=windows) for one in pictures]

        run.over(request.images, find, result)
    run.finish(["class", Number("mask value"), Number("share")])


def _windows(model: ExplainerOptions, crop: int | None, stride: int | None) -> Windows | None:
    """The windows asked for, if any."""
    from clip_surgery.windows import Windows

    if crop is None and stride is None:
        return None
    if model.framing is not FramingName.KEEP_RATIO:
        raise InputError(f"--framing {model.framing} does not go with windows (--crop, --stride).")
    return Windows(size=model.size, crop=crop, stride=stride)
