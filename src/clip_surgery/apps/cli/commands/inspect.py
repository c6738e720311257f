"""`clip-surgery inspect`: the two findings of the CLIP Surgery paper in any image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from clip_surgery.apps.cli.shared.drawing_options import ColourOptions
from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, notice_unknown_words
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.inspection import AttentionKind, AttentionMap, SharedSimilarity


@with_options
def inspect(
    inputs: RequestOptions,
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    colours: ColourOptions,
    sheet: SheetOptions,
    point: Annotated[
        str | None,
        typer.Option(
            help="The point whose attention is shown, in pixels. Default: the centre of the image.",
            metavar="X,Y",
        ),
    ] = None,
    block: Annotated[
        int, typer.Option(help="Index of the block; negative numbers count from the last block.")
    ] = -1,
    kinds: Annotated[
        str, typer.Option(help="Kinds of attention, separated by commas: q-k, v-v, q-q, k-k.")
    ] = "q-k,v-v",
    formats: FigureFormats = None,
) -> None:
    """Show the attention of a point, and the part of the similarity that all texts share.

    clip-surgery inspect street.jpg bench person --point 320,200
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.texts import inspection_record
    from clip_surgery.tasks.inspection import attention, redundancy

    request = inputs.read()
    texts = check_texts(request.texts)
    chosen_point = None if point is None else read_point(point)
    chosen_kinds = read_kinds(kinds)
    colours.check()
    sheet.check()
    loop = ImageLoop.begin(
        "inspect",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load(method=method_options.build())
    notice_unknown_words(explainer.backbone, texts)

    def inspect_batch(
        images: Sequence[InputImage],
    ) -> list[tuple[SharedSimilarity, list[AttentionMap]]]:
        shared_similarities = redundancy(explainer, images, texts)
        attention_maps = [
            attention(
                explainer,
                image,
                chosen_point or (image.size.width / 2, image.size.height / 2),
                kinds=chosen_kinds,
                block=block,
            )
            for image in images
        ]
        return list(zip(shared_similarities, attention_maps, strict=True))

    def to_result(
        image: InputImage, inspected: tuple[SharedSimilarity, list[AttentionMap]]
    ) -> ImageResult:
        shared, attention_maps = inspected
        shares = zip(texts, shared.shares.tolist(), strict=True)
        return ImageResult(
            record=inspection_record(shared, attention_maps),
            files=sheet.files(
                lambda page: draw(image, shared, attention_maps, colours, sheet, page)
            ),
            rows=[(text, f"{share:.0%}") for text, share in shares],
        )

    loop.run(request.images, inspect_batch, to_result)
    loop.finish(["text", Number("explained by the empty text")])


def draw(
    image: InputImage,
    shared: SharedSimilarity,
    attention_maps: Sequence[AttentionMap],
    colours: ColourOptions,
    sheet: SheetOptions,
    page: PageFormat,
) -> Sheet:
    """Draw the attention of the point, and the maps of the empty text and of the texts."""
    import numpy as np

    from clip_surgery.apps.cli.shared.drawing import at_most, heading
    from clip_surgery.figures.annotations import draw_annotations
    from clip_surgery.figures.layout import stack, tile_rows, with_margins
    from clip_surgery.figures.tiles import Style, Tile
    from clip_surgery.tasks.heatmaps import heatmaps
    from clip_surgery.tasks.points import Points

    small, explanation = at_most(image, shared.explanation)
    count = max(1 + len(attention_maps), min(5, len(explanation.texts)))
    columns = page.columns(count)
    style = Style.for_gallery(
        small,
        count,
        tile=300,
        page=page,
        colour_map=colours.colour_map,
        opacity=colours.opacity,
    )
    point = Points(xy=np.array([attention_maps[0].point], np.float32), labels=np.ones(1, np.int64))
    with_point = partial(draw_annotations, original=image.size, points=point)
    first = [Tile(style.plain(small).edited(with_point), "image", "the point")]
    for attention_map in attention_maps:
        framing = replace(attention_map.framing, original=small.size)
        drawn = style.mapped(small, replace(attention_map, framing=framing).heatmap())
        title = f"{attention_map.kind} attention"
        note = "patches the point attends to"
        first.append(Tile(drawn.edited(with_point), title, note))
    maps = heatmaps(explanation)[0]
    second = [Tile(style.mapped(small, maps[-1]), "empty text", "shared by all texts")]
    for text, share, heatmap in zip(explanation.texts, shared.shares.tolist(), maps, strict=False):
        note = f"{share:.0%} explained by the empty text"
        second.append(Tile(style.mapped(small, heatmap), text, sheet.heading(note)))
    rows = [tile_rows(tiles, columns, page) for tiles in (first, second)]
    return with_margins(
        stack(rows, gap=page.row_gap),
        heading=sheet.heading(heading(image, explanation.method, explanation.backbone)),
        colour_map=colours.colour_map,
        page=page,
    )


def read_point(text: str) -> tuple[float, float]:
    """Return the coordinates (x, y) in a text such as "320,200".

    Raises:
        InputError: if the text is not two numbers.

    Example:
        >>> read_point("320, 200")
        (320.0, 200.0)
    """
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InputError(f"Expected a point as X,Y in pixels, but got {text!r}.") from None
    return x, y


def read_kinds(text: str) -> tuple[AttentionKind, ...]:
    """Return the kinds of attention in a list with commas, each once.

    Raises:
        UnknownNameError: for an unknown kind.

    Example:
        >>> read_kinds("q-k, v-v")
        ('q-k', 'v-v')
    """
    from clip_surgery.tasks.inspection import AttentionKind

    known = {kind: kind for kind in get_args(AttentionKind)}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UnknownNameError.among("kind of attention", name, known)
    return tuple(known[name] for name in dict.fromkeys(names))
