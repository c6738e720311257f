"""`clip-surgery match`: why an image matches a text or another image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.model_options import ModelOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutputOptions, formats_option
from clip_surgery.apps.cli.shared.request import RequestOptions, read_rival
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.match import Match


@with_options
def match(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ModelOptions,
    sheet: SheetOptions,
    rival: Annotated[
        str | None,
        typer.Option(help="Another text: the result says why the first one and not this one."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="An image instead of a text, with which images are compared."),
    ] = None,
    rival_image: Annotated[
        Path | None,
        typer.Option(help="Another image instead of --rival: why the first one and not this one."),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(help='Words of the texts that count as one, such as "red car"; repeatable.'),
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Maximum number of words, or of pairs of patches, to draw.")
    ] = 3,
    opacity: Annotated[
        float, typer.Option(min=0, max=1, help="Opacity of the strongest colours, from 0 to 1.")
    ] = 0.85,
    formats: Annotated[
        list[str] | None, formats_option("png, pdf, svg, json, html, jsonl; default: png,json")
    ] = None,
) -> None:
    """Show why an image matches a text: what each patch and each word adds to the similarity.

    clip-surgery match street.jpg "a red car" --rival "a red bus"

    The numbers of patches and of the rest (feed-forward networks, biases, and what words add only
    together) sum up to the similarity exactly. With --like, two images are compared.
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.match_files import MATCH_COLUMNS, match_result
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.tasks.match import explain_match

    sheet.check()
    request, query = inputs.read_query(like)
    other = read_rival(rival, rival_image)
    loop = ImageLoop.begin(
        "match",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON, Format.HTML, Format.JSONL],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load()

    def explain_each(images: Sequence[InputImage]) -> list[Match]:
        return [
            explain_match(explainer, query, image, other, phrases=phrase or ()) for image in images
        ]

    loop.run(
        request.images,
        explain_each,
        lambda image, match: match_result(
            image,
            match,
            explainer,
            query_image=None if isinstance(query, str) else query,
            top=top,
            opacity=opacity,
            sheet=sheet,
        ),
    )
    first, *numbers, last = MATCH_COLUMNS
    loop.finish([first, *map(Number, numbers), last])
