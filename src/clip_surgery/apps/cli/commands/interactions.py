"""`clip-surgery interactions`: which words of a sentence go with which regions of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, notice_unknown_words
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_formats import ImageResult
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.tasks.interactions import Interactions


@with_options
def interactions(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ExplainerOptions,
    sheet: SheetOptions,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            help='Words of the sentence that count as one, such as "red car"; repeatable.'
        ),
    ] = None,
    regions: Annotated[
        int, typer.Option(min=1, help="Number of rows and of columns of regions.")
    ] = 6,
    masks: Annotated[
        int, typer.Option(min=2, help="Number of images with hidden regions for the fit.")
    ] = 300,
    top: Annotated[int, typer.Option(min=1, help="Maximum number of words to draw.")] = 4,
    formats: FigureFormats = None,
) -> None:
    """Show which words of a sentence go with which regions, by hiding both.

    clip-surgery interactions street.jpg "a red car on a road" --phrase "red car"

    The image is run with random regions hidden (300 times, and 200 times to judge the fit), so that
    this takes minutes with a large model on a CPU. Read the maps only where the fit is good.
    """
    from clip_surgery.apps.cli.shared.drawing import shrunk
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.interactions import interactions_sheet
    from clip_surgery.records.interactions import interactions_record
    from clip_surgery.tasks.interactions import interactions as find_interactions

    request, sentence = inputs.read_sentence()
    sheet.check()
    loop = ImageLoop.begin(
        "interactions",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load()
    notice_unknown_words(explainer.backbone, [sentence])

    def find_each(images: Sequence[InputImage]) -> list[Interactions]:
        return [
            find_interactions(
                explainer, image, sentence, phrases=phrase or (), regions=regions, masks=masks
            )
            for image in images
        ]

    def to_result(image: InputImage, interactions: Interactions) -> ImageResult:
        record = interactions_record(
            image, interactions, sentence, backbone=explainer.backbone.name
        )
        scores = zip(interactions.words, interactions.word_scores.tolist(), strict=True)
        return ImageResult(
            record=dict(record),
            files=sheet.files(
                lambda page: interactions_sheet(
                    shrunk(image), interactions, top=top, is_plain=sheet.plain, page=page
                )
            ),
            rows=[(word, f"{score:+.3f}", f"{interactions.fit:.2f}") for word, score in scores],
        )

    loop.run(request.images, find_each, to_result)
    loop.finish(["word", Number("adds"), Number("R2 of the fit")])
