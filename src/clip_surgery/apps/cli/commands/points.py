"""`clip-surgery points`: where to click on an object and where not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    DrawingOptions,
    ExplainerOptions,
    FigureFormats,
    MethodOptions,
    MinPresence,
    OutFolder,
    vocabulary_for,
)
from clip_surgery.apps.cli.shared.point_options import PointOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from PIL.Image import Image

    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.boxes import Box
    from clip_surgery.tasks.points import Points

    Clicks = tuple[tuple[str, ...], Points, Mapping[str, Sequence[Box]]]


@with_options
def points(
    inputs: RequestOptions,
    how: PointOptions,
    by: MethodOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    boxes: Annotated[
        bool, typer.Option("--boxes", help="Give boxes around the hot regions as well.")
    ] = False,
    min_presence: MinPresence = None,
    out: OutFolder = Path("out"),
    formats: FigureFormats = None,
) -> None:
    """Find clicks on each object and beside it, as SAM takes them.

    clip-surgery points street.jpg person+bench dog

    "person+bench" is one object with two names.
    """
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.apps.cli.shared.text_groups import split_objects, texts_of
    from clip_surgery.records.regions import points_record
    from clip_surgery.tasks.boxes import boxes as find_boxes
    from clip_surgery.tasks.points import points as find_points

    request = inputs.read()
    objects = split_objects(request.texts)
    drawing.check()
    rule = how.build()
    run = Run.begin("points", request, out, formats or ["png", "json"], [Format.PNG, Format.JSON])
    explainer = model.load(
        method=by.build(), vocabulary=drawing.vocabulary or vocabulary_for(min_presence)
    )

    def result(picture: InputImage, explanation: Explanation) -> Result:
        [clicks] = find_points(explanation, objects, rule=rule, min_presence=min_presence)
        by_text: dict[str, Sequence[Box]] = {}
        if boxes:
            [boxes_of_texts] = find_boxes(explanation, min_presence=min_presence)
            by_text = dict(zip(explanation.texts, boxes_of_texts, strict=True))
        found: list[Clicks] = [
            (texts, of_object, {text: by_text[text] for text in texts if text in by_text})
            for texts, of_object in zip(objects, clicks, strict=True)
        ]
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, explanation, found, drawing).save(path),
                Format.JSON: json_writer(points_record(explanation, found)),
            },
            rows=[_row(texts, clicks) for texts, clicks, _ in found],
        )

    run.explain(request.images, explainer, encode(explainer, texts_of(objects)), result)
    run.finish(["object", Number("on it"), Number("off it"), Number("first click at x, y")])


def _row(texts: Sequence[str], clicks: Points) -> tuple[str, ...]:
    count = len(clicks.positives)
    first = "none"
    if count:
        x, y = clicks.positives[0]
        first = f"{x:.0f}, {y:.0f}"
    return "+".join(texts), str(count), str(len(clicks) - count), first


def draw(
    picture: InputImage,
    explanation: Explanation,
    found: Sequence[Clicks],
    drawing: DrawingOptions,
) -> Image:
    """The image, and for each object its maps under its clicks and boxes."""
    from clip_surgery.apps.cli.shared.drawing import at_most, heading
    from clip_surgery.figures.annotations import draw_annotations
    from clip_surgery.figures.layout import Style, Tile, gallery
    from clip_surgery.tasks.heatmaps import heatmaps

    small, smaller = at_most(picture, explanation)
    maps = heatmaps(smaller, contrast=drawing.scaling)[0]
    style = Style.of(small, tile=340, colour_map=drawing.colour_map, opacity=drawing.opacity)
    tiles = [Tile(style.plain(small), "image")]
    for texts, clicks, boxes in found:
        if not len(clicks):  # a map scaled on its own would look as hot as any other
            tiles.append(Tile(style.plain(small), " + ".join(texts), "no click"))
            continue
        of_object = maps[explanation.text_indices(texts)].amax(dim=0)
        boxed = [box for of_text in boxes.values() for box in of_text]
        image = draw_annotations(
            style.mapped(small, of_object), picture.size, points=clicks, boxes=boxed
        )
        count = len(clicks.positives)
        note = f"{count} on it, {len(clicks) - count} off it"
        tiles.append(Tile(image, " + ".join(texts), note))
    return gallery(
        tiles,
        heading=heading(picture, explanation.method, explanation.backbone),
        colour_map=drawing.colour_map,
    )
