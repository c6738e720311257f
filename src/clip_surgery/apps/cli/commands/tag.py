"""`clip-surgery tag`: which of many texts are in an image."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ExplainerOptions,
    FigureFormats,
    MinPresence,
    OutFolder,
    vocabulary_for,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, encode

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage


class ScoreName(StrEnum):
    """What ranks the texts."""

    SURGERY = "surgery"
    SOFTMAX = "softmax"
    PRESENCE = "presence"
    COSINE = "cosine"


@with_options
def tag(
    inputs: RequestOptions,
    model: ExplainerOptions,
    score: Annotated[
        ScoreName,
        typer.Option(
            help="What ranks the texts: compared with each other (surgery), as shares of one "
            "(softmax), against common words (presence), or alone (cosine)."
        ),
    ] = ScoreName.SURGERY,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many tags an image has at most.")
    ] = 10,
    threshold: Annotated[
        float | None, typer.Option(help="Leave out texts with a lower score.")
    ] = None,
    min_presence: MinPresence = None,
    out: OutFolder = Path("out"),
    formats: FigureFormats = None,
) -> None:
    """Say which of the texts are in each image, best first.

    clip-surgery tag street.jpg bench person dog car

    Without a text, a few hundred common nouns are tried.
    """
    from clip_surgery.apps.cli.shared.drawing import heading
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.tags import tags_figure
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.inputs.vocabulary import resolve_vocabulary
    from clip_surgery.records.texts import tags_record
    from clip_surgery.tasks.tags import tags as find_tags

    request = inputs.read(need_texts=False)
    given = check_texts(request.texts) if request.texts else ()
    run = Run.begin("tag", request, out, formats or ["png", "json"], [Format.PNG, Format.JSON])
    vocabulary = "common" if score is ScoreName.PRESENCE else vocabulary_for(min_presence)
    explainer = model.load(method="similarity", vocabulary=vocabulary)
    texts = given or resolve_vocabulary("common", known=explainer.backbone.nouns) or ()

    def result(picture: InputImage, explanation: Explanation) -> Result:
        [found] = find_tags(
            explanation,
            score=score.value,
            threshold=threshold,
            top=top,
            min_presence=min_presence,
        )
        told = heading(picture, f"tags by {score}", explanation.backbone)
        return Result(
            files={
                Format.PNG: lambda path: tags_figure(picture, found, heading=told).save(path),
                Format.JSON: json_writer(tags_record(explanation, found)),
            },
            rows=[(one.text, f"{one.score:.3f}") for one in found],
        )

    run.explain(request.images, explainer, encode(explainer, texts), result)
    run.finish(["tag", Number("score")])
