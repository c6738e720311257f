"""`clip-surgery masks`: objects cut out by SAM, which is shown where the texts are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    SEGMENTER_HELP,
    ExplainerOptions,
    MaskFormats,
    MethodOptions,
    MinPresence,
    OutFolder,
    vocabulary_for,
)
from clip_surgery.apps.cli.shared.point_options import PointOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, encode

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.masks import Mask

SEGMENTER = "facebook/sam-vit-base"


class PromptKindName(StrEnum):
    """What the segmenter is shown."""

    POINTS = "points"
    BOX = "box"
    MAP = "map"


@with_options
def masks(
    inputs: RequestOptions,
    how: PointOptions,
    by: MethodOptions,
    model: ExplainerOptions,
    segmenter: Annotated[str, typer.Option(help=SEGMENTER_HELP)] = SEGMENTER,
    prompt_kind: Annotated[
        list[PromptKindName] | None,
        typer.Option(help="What the segmenter is shown, may be repeated; points if none is given."),
    ] = None,
    min_presence: MinPresence = None,
    out: OutFolder = Path("out"),
    formats: MaskFormats = None,
) -> None:
    """Cut out each object: texts to clicks to masks, with SAM.

    clip-surgery masks street.jpg person+bench dog --segmenter facebook/sam-vit-base
    """
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.apps.cli.shared.text_groups import split_objects, texts_of
    from clip_surgery.records.mask_files import palette_image
    from clip_surgery.records.regions import masks_record
    from clip_surgery.tasks.masks import masks as find_masks

    request = inputs.read()
    objects = split_objects(request.texts)
    names = ["+".join(texts) for texts in objects]
    rule, method = how.build(), by.build()
    kinds = [Format.PNG, Format.MASK, Format.JSON]
    run = Run.begin("masks", request, out, formats or kinds, kinds)
    with console.status(f"loading {segmenter}"):
        from clip_surgery.segmenters.registry import load_segmenter

        loaded_segmenter = load_segmenter(segmenter, device=model.device)
    explainer = model.load(method=method, vocabulary=vocabulary_for(min_presence))

    def result(picture: InputImage, explanation: Explanation) -> Result:
        [found] = find_masks(
            explanation,
            [picture],
            loaded_segmenter,
            objects,
            prompt_kinds=[one.value for one in prompt_kind or [PromptKindName.POINTS]],
            rule=rule,
            min_presence=min_presence,
        )
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, explanation, found, names).save(path),
                Format.MASK: lambda path: palette_image(layered(picture, found)).save(path),
                Format.JSON: json_writer(masks_record(explanation, found, names)),
            },
            rows=[_row(name, mask) for name, mask in zip(names, found, strict=True)],
        )

    run.explain(request.images, explainer, encode(explainer, texts_of(objects)), result)
    run.finish(["object", Number("score"), Number("share")])


def _row(name: str, mask: Mask | None) -> tuple[str, ...]:
    if mask is None:
        return name, "none", ""
    return name, f"{mask.score:.3f}", f"{mask.mask.float().mean():.1%}"


def layered(picture: InputImage, found: Sequence[Mask | None]) -> Tensor:
    """The masks as one (H, W), -1 for none; where two overlap, the one with the higher score."""
    import torch

    layers = torch.full(tuple(picture.size), -1)
    best = torch.full(tuple(picture.size), float("-inf"))
    for number, mask in enumerate(found):
        if mask is not None:
            wins = mask.mask & (best < mask.score)
            layers[wins], best[wins] = number, mask.score
    return layers


def draw(
    picture: InputImage,
    explanation: Explanation,
    found: Sequence[Mask | None],
    names: Sequence[str],
) -> Image:
    """The image, and each object cut out, with what the segmenter was shown."""
    from clip_surgery.apps.cli.shared.drawing import heading
    from clip_surgery.figures.annotations import cut_out, draw_annotations
    from clip_surgery.figures.layout import Style, Tile, gallery

    style = Style.of(picture, tile=340)
    tiles = [Tile(style.plain(picture), "image")]
    for name, mask in zip(names, found, strict=True):
        image = style.plain(picture)
        note = "not found"
        if mask is not None:
            boxes = [] if mask.box is None else [mask.box]
            cut = cut_out(image, mask.mask)
            image = draw_annotations(cut, picture.size, points=mask.points, boxes=boxes)
            note = f"score {mask.score:.3f}"
        tiles.append(Tile(image, name, note))
    return gallery(tiles, heading=heading(picture, explanation.method, explanation.backbone))
