"""`clip-surgery inspect`: the two findings of CLIP Surgery in any image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ColourOptions,
    ExplainerOptions,
    FigureFormats,
    MethodOptions,
    OutFolder,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, notice_unknown_words
from clip_surgery.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.inspection import AttentionKind, AttentionMap, SharedSimilarity


@with_options
def inspect(
    inputs: RequestOptions,
    by: MethodOptions,
    model: ExplainerOptions,
    colours: ColourOptions,
    point: Annotated[
        str | None,
        typer.Option(
            help="Whose attention to show, in pixels; the middle if not given.", metavar="X,Y"
        ),
    ] = None,
    block: Annotated[
        int, typer.Option(help="In which block, from the front or, below 0, from the end.")
    ] = -1,
    kinds: Annotated[
        str, typer.Option(help="Kinds of attention between commas: q-k, v-v, q-q, k-k.")
    ] = "q-k,v-v",
    out: OutFolder = Path("out"),
    formats: FigureFormats = None,
) -> None:
    """Show what goes wrong in CLIP: where a point looks, and what all texts share.

    clip-surgery inspect street.jpg bench person --point 320,200
    """
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.texts import inspection_record
    from clip_surgery.tasks.inspection import attention, redundancy

    request = inputs.read()
    texts = check_texts(request.texts)
    place = None if point is None else read_point(point)
    wanted = read_kinds(kinds)
    colours.check()
    run = Run.begin("inspect", request, out, formats or ["png", "json"], [Format.PNG, Format.JSON])
    explainer = model.load(method=by.build())
    notice_unknown_words(explainer.backbone, texts)

    def find(pictures: Sequence[InputImage]) -> list[tuple[SharedSimilarity, list[AttentionMap]]]:
        shared = redundancy(explainer, pictures, texts)
        looked = [
            attention(
                explainer,
                picture,
                place or (picture.size.width / 2, picture.size.height / 2),
                kinds=wanted,
                block=block,
            )
            for picture in pictures
        ]
        return list(zip(shared, looked, strict=True))

    def result(picture: InputImage, found: tuple[SharedSimilarity, list[AttentionMap]]) -> Result:
        shared, looked = found
        shares = zip(texts, shared.shares.tolist(), strict=True)
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, shared, looked, colours).save(path),
                Format.JSON: json_writer(inspection_record(shared, looked)),
            },
            rows=[(text, f"{share:.0%}") for text, share in shares],
        )

    run.over(request.images, find, result)
    run.finish(["text", Number("explained by the empty text")])


def draw(
    picture: InputImage,
    shared: SharedSimilarity,
    looked: Sequence[AttentionMap],
    colours: ColourOptions,
) -> Image:
    """The point with its attention, then the empty text's map beside those of the texts."""
    import numpy as np

    from clip_surgery.apps.cli.shared.drawing import at_most, heading
    from clip_surgery.figures.annotations import draw_annotations
    from clip_surgery.figures.layout import MARGIN, Style, Tile, stack, tile_row, with_margins
    from clip_surgery.tasks.heatmaps import heatmaps
    from clip_surgery.tasks.points import Points

    small, explanation = at_most(picture, shared.explanation)
    style = Style.of(small, tile=300, colour_map=colours.colour_map, opacity=colours.opacity)
    point = Points(xy=np.array([looked[0].point], np.float32), labels=np.ones(1, np.int64))
    first = [
        Tile(draw_annotations(style.plain(small), picture.size, points=point), "image", "the point")
    ]
    for one in looked:
        framing = replace(one.framing, original=small.size)
        image = style.mapped(small, replace(one, framing=framing).heatmap())
        title = f"{one.kind} attention"
        note = "what the point looks at"
        first.append(Tile(draw_annotations(image, picture.size, points=point), title, note))
    maps = heatmaps(explanation)[0]
    second = [Tile(style.mapped(small, maps[-1]), "empty text", "what all texts share")]
    for text, share, heatmap in zip(explanation.texts, shared.shares.tolist(), maps, strict=False):
        note = f"{share:.0%} explained by the empty text"
        second.append(Tile(style.mapped(small, heatmap), text, note))
    rows = [tile_row(first), *(tile_row(second[i : i + 5]) for i in range(0, len(second), 5))]
    return with_margins(
        stack(rows, gap=MARGIN),
        heading=heading(picture, explanation.method, explanation.backbone),
        colour_map=colours.colour_map,
    )


def read_point(text: str) -> tuple[float, float]:
    """A point such as "320,200".

    Raises:
        InputError: when it is none.

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
    """Kinds of attention between commas, each once.

    Raises:
        UnknownNameError: for another kind.

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
