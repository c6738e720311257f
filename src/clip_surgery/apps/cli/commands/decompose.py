"""`clip-surgery decompose`: what each attention head adds to the similarity of image and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.drawing_options import ColourOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_formats import ImageResult
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.surgery.decomposed_feature import DecomposedFeature


@with_options
def decompose(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ExplainerOptions,
    colours: ColourOptions,
    sheet: SheetOptions,
    top: Annotated[
        int, typer.Option(min=1, help="Number of heads whose maps are drawn: those that add most.")
    ] = 3,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A head whose map is drawn instead, counted from 0; repeatable.",
            metavar="BLOCK,HEAD",
        ),
    ] = None,
    formats: FigureFormats = None,
) -> None:
    """Show what each attention head and feed-forward network adds to the similarity with a text.

    clip-surgery decompose street.jpg bench --head 11,3

    The contributions add up to the similarity exactly. The figure has a table of blocks and heads,
    and maps that say through which patches the heads add it.
    """
    from clip_surgery.apps.cli.shared.drawing import shrunk
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.heads import best_heads, heads_sheet
    from clip_surgery.records.head_scores import decomposition_record
    from clip_surgery.tasks.decompose import decompose as decompose_feature

    request = inputs.read()
    if len(request.texts) != 1:
        raise InputError(
            f"Expected one text, but got {len(request.texts)}: put a sentence in quotes."
        )
    [text] = request.texts
    chosen = [read_head(name) for name in head or ()]
    colours.check()
    sheet.check()
    loop = ImageLoop.begin(
        "decompose",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load()
    feature = encode(explainer, [text]).labels.cpu()
    check_heads(chosen, [block.attention.heads for block in explainer.backbone.tower.blocks])

    def decompose_each(images: Sequence[InputImage]) -> list[DecomposedFeature]:
        return [decompose_feature(explainer, image) for image in images]

    def to_result(image: InputImage, parts: DecomposedFeature) -> ImageResult:
        scores = parts.scores(feature).heads[0]
        shown = chosen or best_heads(scores, top=top)
        record = decomposition_record(
            image, parts, text, feature, shown, backbone=explainer.backbone.name
        )
        return ImageResult(
            record=dict(record),
            files=sheet.files(
                lambda page: heads_sheet(
                    explainer,
                    shrunk(image),
                    parts,
                    text,
                    heads=shown,
                    colour_map=colours.colour_map,
                    opacity=colours.opacity,
                    is_plain=sheet.plain,
                    page=page,
                )
            ),
            rows=[
                (str(block), str(number), f"{float(scores[block, number]):+.3f}")
                for block, number in shown
            ],
        )

    loop.run(request.images, decompose_each, to_result)
    loop.finish([Number("block"), Number("head"), Number("adds")])


def read_head(text: str) -> tuple[int, int]:
    """Return the block and the head in a text such as "11,3".

    Raises:
        InputError: if the text is not two whole numbers.

    Example:
        >>> read_head("11,3")
        (11, 3)
    """
    try:
        block, head = map(int, text.split(","))
    except ValueError:
        raise InputError(f"Expected a head as BLOCK,HEAD, but got {text!r}.") from None
    return block, head


def check_heads(chosen: Sequence[tuple[int, int]], counts: Sequence[int]) -> None:
    """Check that a model has these heads.

    Args:
        chosen: the heads, as (block, head).
        counts: number of heads of each block.

    Raises:
        InputError: if it does not have one of them.
    """
    for block, head in chosen:
        if not 0 <= block < len(counts) or not 0 <= head < counts[block]:
            raise InputError(
                f"Expected a block below {len(counts)} and a head below {max(counts, default=0)}, "
                f"but got block {block} and head {head}."
            )
