"""`clip-surgery attention`: what a token attends to, in every head of every block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.commands.inspect import read_point
from clip_surgery.apps.cli.shared.drawing_options import ColourOptions
from clip_surgery.apps.cli.shared.model_options import ModelOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.request import RequestOptions
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_formats import ImageResult
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.head_attention import HeadAttention


@with_options
def attention(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ModelOptions,
    colours: ColourOptions,
    sheet: SheetOptions,
    point: Annotated[
        str | None,
        typer.Option(
            help="A point whose patch attends, in pixels. Default: the class token, or for models "
            "without one the mean over all patches.",
            metavar="X,Y",
        ),
    ] = None,
    formats: FigureFormats = None,
) -> None:
    """Show what the class token or a patch attends to, in every head of every block.

    clip-surgery attention street.jpg --point 320,200

    Beside the weights, the figure shows what patches add (attention x value): an attention sink has
    much attention and adds little.
    """
    from clip_surgery.apps.cli.shared.drawing import shrunk
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.attention import attention_sheet
    from clip_surgery.records.head_scores import head_attention_record
    from clip_surgery.tasks.head_attention import head_attention

    request = inputs.read(need_texts=False)
    if request.texts:
        raise InputError(f"Expected images only, but got the text {request.texts[0]!r}.")
    chosen = None if point is None else read_point(point)
    colours.check()
    sheet.check()
    loop = ImageLoop.begin(
        "attention",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load()

    def attend_each(images: Sequence[InputImage]) -> list[HeadAttention]:
        return [head_attention(explainer, image, chosen) for image in images]

    def to_result(image: InputImage, attention: HeadAttention) -> ImageResult:
        record = head_attention_record(image, attention, backbone=explainer.backbone.name)
        blocks, heads = attention.weights.shape[:2]
        prefix = f"{float(attention.prefix_weights[-1].mean()):.0%}"
        return ImageResult(
            record=dict(record),
            files=sheet.files(
                lambda page: attention_sheet(
                    shrunk(image),
                    attention,
                    colour_map=colours.colour_map,
                    opacity=colours.opacity,
                    is_plain=sheet.plain,
                    page=page,
                )
            ),
            rows=[(attention.source, str(blocks), str(heads), prefix)],
        )

    loop.run(request.images, attend_each, to_result)
    loop.finish(["from", Number("blocks"), Number("heads"), Number("to prefix tokens, last block")])
