"""`clip-surgery points`: points on and beside each object, as prompts for a segmenter."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.point_options import PointOptions
from clip_surgery.apps.cli.shared.presence_option import MinPresence
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.boxes import Box
    from clip_surgery.tasks.points import Points

    ObjectResult = tuple[tuple[str, ...], Points, Mapping[str, Sequence[Box]]]


@with_options
def points(
    inputs: RequestOptions,
    outputs: OutputOptions,
    point_options: PointOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    sheet: SheetOptions,
    boxes: Annotated[
        bool, typer.Option("--boxes", help="Also find boxes around the regions of high scores.")
    ] = False,
    min_presence: MinPresence = None,
    formats: FigureFormats = None,
) -> None:
    """Find points on each object and points beside it, as prompts for SAM.

    clip-surgery points street.jpg person+bench dog

    "person+bench" is one object with two names.
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.apps.cli.shared.text_groups import split_objects, texts_of
    from clip_surgery.records.regions import points_record
    from clip_surgery.tasks.boxes import boxes as find_boxes
    from clip_surgery.tasks.points import points as find_points

    request = inputs.read()
    objects = split_objects(request.texts)
    drawing.check()
    sheet.check()
    rule = point_options.build()
    loop = ImageLoop.begin(
        "points",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load(method=method_options.build())

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [points_per_object] = find_points(
            explanation, objects, rule=rule, min_presence=min_presence
        )
        boxes_by_text: dict[str, Sequence[Box]] = {}
        if boxes:
            [text_boxes] = find_boxes(explanation, min_presence=min_presence)
            boxes_by_text = dict(zip(explanation.texts, text_boxes, strict=True))
        results: list[ObjectResult] = [
            (
                texts,
                object_points,
                {text: boxes_by_text[text] for text in texts if text in boxes_by_text},
            )
            for texts, object_points in zip(objects, points_per_object, strict=True)
        ]
        return ImageResult(
            record=points_record(explanation, results),
            files=sheet.files(lambda page: draw(image, explanation, results, drawing, sheet, page)),
            rows=[_row(texts, object_points) for texts, object_points, _ in results],
        )

    loop.explain(request.images, explainer, encode(explainer, texts_of(objects)), to_result)
    loop.finish(["object", Number("on it"), Number("off it"), Number("first point at x, y")])


def _row(texts: Sequence[str], object_points: Points) -> tuple[str, ...]:
    count = len(object_points.positives)
    first = "none"
    if count:
        x, y = object_points.positives[0]
        first = f"{x:.0f}, {y:.0f}"
    return "+".join(texts), str(count), str(len(object_points) - count), first


def draw(
    image: InputImage,
    explanation: Explanation,
    results: Sequence[ObjectResult],
    drawing: DrawingOptions,
    sheet: SheetOptions,
    page: PageFormat,
) -> Sheet:
    """Draw the image, and for each object its map with its points and boxes."""
    from clip_surgery.apps.cli.shared.drawing import at_most, heading, notice_if_nothing_is_drawn
    from clip_surgery.figures.annotations import draw_annotations
    from clip_surgery.figures.layout import gallery
    from clip_surgery.figures.tiles import Style, Tile
    from clip_surgery.tasks.heatmaps import heatmaps

    small, smaller = at_most(image, explanation)
    maps = heatmaps(smaller, contrast=drawing.scaling(smaller))[0]
    notice_if_nothing_is_drawn(image, smaller, maps, drawing)
    style = Style.for_gallery(
        small,
        len(results) + 1,
        tile=340,
        page=page,
        colour_map=drawing.colour_map,
        opacity=drawing.opacity,
    )
    tiles = [Tile(style.plain(small), "image")]
    for texts, object_points, boxes in results:
        if not len(object_points):  # a map scaled on its own would look as hot as any other
            tiles.append(Tile(style.plain(small), " + ".join(texts), "no point"))
            continue
        object_map = maps[explanation.text_indices(texts)].amax(dim=0)
        all_boxes = [box for text_boxes in boxes.values() for box in text_boxes]
        drawn = style.mapped(small, object_map).edited(
            partial(draw_annotations, original=image.size, points=object_points, boxes=all_boxes)
        )
        count = len(object_points.positives)
        note = f"{count} on it, {len(object_points) - count} off it"
        tiles.append(Tile(drawn, " + ".join(texts), sheet.heading(note)))
    return gallery(
        tiles,
        heading=sheet.heading(heading(image, explanation.method, explanation.backbone)),
        colour_map=drawing.colour_map,
        page=page,
    )
