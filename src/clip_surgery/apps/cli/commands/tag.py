"""`clip-surgery tag`: the texts that an image shows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import FigureFormats, OutputOptions
from clip_surgery.apps.cli.shared.presence_option import MinPresence
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage


class ScoreName(StrEnum):
    """Scores by which texts are ranked."""

    SURGERY = "surgery"
    SOFTMAX = "softmax"
    PRESENCE = "presence"
    COSINE = "cosine"


@with_options
def tag(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ExplainerOptions,
    sheet: SheetOptions,
    score: Annotated[
        ScoreName,
        typer.Option(
            help="Score by which texts are ranked: after feature surgery (surgery), softmax over "
            "the texts (softmax), probability against common words (presence), or the plain "
            "cosine similarity (cosine)."
        ),
    ] = ScoreName.SURGERY,
    top: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of tags of an image.")
    ] = 10,
    threshold: Annotated[
        float | None, typer.Option(help="Leave out texts with a lower score.")
    ] = None,
    min_presence: MinPresence = None,
    miss_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default=False,
            help="Leave out as many texts as possible while at most this share of the present "
            "ones is missed, between 0 and 1. It needs 'clip-surgery calibrate' first.",
        ),
    ] = None,
    false_discovery_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default=False,
            help="Leave out texts so that at most this share of the tags is absent on average "
            "(Benjamini-Hochberg). It needs 'clip-surgery calibrate' first.",
        ),
    ] = None,
    formats: FigureFormats = None,
) -> None:
    """List the texts that each image shows, those with the highest score first.

    clip-surgery tag street.jpg bench person dog car

    If no text is given, a few hundred common nouns are used.
    """
    from clip_surgery.apps.cli.shared.drawing import heading
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.tags import tags_figure
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.inputs.vocabulary import resolve_vocabulary
    from clip_surgery.records.texts import tags_record
    from clip_surgery.tasks.presence import explainer_calibration
    from clip_surgery.tasks.tags import tags as find_tags

    request = inputs.read(need_texts=False)
    if miss_rate is not None and min_presence is not None:
        raise InputError("Expected either --miss-rate or --min-presence, but got both.")
    given_texts = check_texts(request.texts) if request.texts else ()
    sheet.check()
    loop = ImageLoop.begin(
        "tag",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load(method="similarity")
    texts = given_texts or resolve_vocabulary("common", known=explainer.backbone.nouns) or ()

    if miss_rate is not None:
        min_presence = explainer_calibration(explainer).threshold(miss_rate)
        console.notice(f"a miss rate of {miss_rate:g} is a presence of {min_presence:.3g}.")
    elif false_discovery_rate is not None:
        explainer_calibration(explainer)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [image_tags] = find_tags(
            explanation,
            score=score.value,
            threshold=threshold,
            top=top,
            min_presence=min_presence,
            false_discovery_rate=false_discovery_rate,
        )
        title = sheet.heading(heading(image, f"tags by {score}", explanation.backbone))
        return ImageResult(
            record=tags_record(explanation, image_tags),
            files=sheet.files(
                lambda page: tags_figure(image, image_tags, heading=title, page=page)
            ),
            rows=[(tag.text, f"{tag.score:.3f}") for tag in image_tags],
        )

    loop.explain(request.images, explainer, encode(explainer, texts), to_result)
    loop.finish(["tag", Number("score")])
