"""`clip-surgery masks`: masks of objects from SAM, prompted with the maps of texts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import MaskFormats, OutputOptions
from clip_surgery.apps.cli.shared.point_options import PointOptions
from clip_surgery.apps.cli.shared.presence_option import MinPresence
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.segmenter_option import SEGMENTER_HELP, load_named_segmenter
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from torch import Tensor

    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.masks import Mask

SEGMENTER = "facebook/sam-vit-base"


class PromptKindName(StrEnum):
    """Kinds of prompts for the segmenter."""

    POINTS = "points"
    BOX = "box"
    MAP = "map"


@with_options
def masks(
    inputs: RequestOptions,
    outputs: OutputOptions,
    point_options: PointOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    sheet: SheetOptions,
    segmenter: Annotated[str, typer.Option(help=SEGMENTER_HELP)] = SEGMENTER,
    prompt_kind: Annotated[
        list[PromptKindName] | None,
        typer.Option(help="Prompt for the segmenter; may be repeated. Default: points."),
    ] = None,
    min_presence: MinPresence = None,
    formats: MaskFormats = None,
) -> None:
    """Segment each object with SAM, prompted with points that are found for the texts.

    clip-surgery masks street.jpg person+bench dog --segmenter facebook/sam-vit-base
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.apps.cli.shared.text_groups import split_objects, texts_of
    from clip_surgery.records.mask_files import palette_image
    from clip_surgery.records.regions import masks_record
    from clip_surgery.tasks.masks import masks as find_masks

    request = inputs.read()
    objects = split_objects(request.texts)
    names = ["+".join(texts) for texts in objects]
    sheet.check()
    rule, method = point_options.build(), method_options.build(segmenter)
    loop = ImageLoop.begin(
        "masks",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.MASK, Format.JSON],
        default=[Format.PNG, Format.MASK, Format.JSON],
    )
    loaded_segmenter = load_named_segmenter(segmenter, model.device)
    explainer = model.load(method=method)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [object_masks] = find_masks(
            explanation,
            [image],
            loaded_segmenter,
            objects,
            prompt_kinds=[kind.value for kind in prompt_kind or [PromptKindName.POINTS]],
            rule=rule,
            min_presence=min_presence,
        )
        return ImageResult(
            record=masks_record(explanation, object_masks, names),
            files={
                **sheet.files(
                    lambda page: draw(image, explanation, object_masks, names, sheet, page)
                ),
                Format.MASK: lambda path: palette_image(label_map(image, object_masks)).save(path),
            },
            rows=[_row(name, mask) for name, mask in zip(names, object_masks, strict=True)],
        )

    loop.explain(request.images, explainer, encode(explainer, texts_of(objects)), to_result)
    loop.finish(["object", Number("score"), Number("share")])


def _row(name: str, mask: Mask | None) -> tuple[str, ...]:
    if mask is None:
        return name, "none", ""
    return name, f"{mask.score:.3f}", f"{mask.mask.float().mean():.1%}"


def label_map(image: InputImage, object_masks: Sequence[Mask | None]) -> Tensor:
    """Return (H, W) with the index of the object at each pixel, and -1 where there is none.

    Where masks overlap, the one with the higher score counts.
    """
    import torch

    labels = torch.full(tuple(image.size), -1)
    best_scores = torch.full(tuple(image.size), float("-inf"))
    for index, mask in enumerate(object_masks):
        if mask is not None:
            is_better = mask.mask & (best_scores < mask.score)
            labels[is_better], best_scores[is_better] = index, mask.score
    return labels


def draw(
    image: InputImage,
    explanation: Explanation,
    object_masks: Sequence[Mask | None],
    names: Sequence[str],
    sheet: SheetOptions,
    page: PageFormat,
) -> Sheet:
    """Draw the image, and each object cut out, with the prompts of the segmenter."""
    from clip_surgery.apps.cli.shared.drawing import heading
    from clip_surgery.figures.annotations import cut_out, draw_annotations
    from clip_surgery.figures.layout import gallery
    from clip_surgery.figures.tiles import Style, Tile

    style = Style.for_gallery(image, len(names) + 1, tile=340, page=page)
    tiles = [Tile(style.plain(image), "image")]
    for name, mask in zip(names, object_masks, strict=True):
        drawn = style.plain(image)
        note = "not found"
        if mask is not None:
            boxes = [] if mask.box is None else [mask.box]
            drawn = drawn.edited(partial(cut_out, mask=mask.mask)).edited(
                partial(draw_annotations, original=image.size, points=mask.points, boxes=boxes)
            )
            note = f"score {mask.score:.3f}"
        tiles.append(Tile(drawn, name, note if mask is None else sheet.heading(note)))
    line = heading(image, explanation.method, explanation.backbone)
    return gallery(tiles, heading=sheet.heading(line), page=page)
