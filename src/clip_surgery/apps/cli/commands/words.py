"""`clip-surgery words`: which words of a sentence an image shows, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ColourOptions,
    MethodOptions,
    ModelOptions,
    OutFolder,
    formats_option,
)
from clip_surgery.apps.cli.shared.request import RequestOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.word_explanation import WordExplanation


class EvidenceName(StrEnum):
    """What ranks the words."""

    SIMILARITY = "similarity"
    GRADIENT = "gradient"


@with_options
def words(
    inputs: RequestOptions,
    by: MethodOptions,
    model: ModelOptions,
    colours: ColourOptions,
    evidence: Annotated[
        EvidenceName,
        typer.Option(help="Rank words by likeness to the image, or by gradient of the sentence."),
    ] = EvidenceName.SIMILARITY,
    text_depth: Annotated[
        int, typer.Option(min=1, help="Blocks of the text model that --evidence gradient reads.")
    ] = 1,
    top: Annotated[int, typer.Option(min=1, help="How many words have their map drawn.")] = 3,
    out: OutFolder = Path("out"),
    formats: Annotated[
        list[str] | None, formats_option("png, json (both if none is given), safetensors")
    ] = None,
) -> None:
    """Show which words of a sentence the image shows, and where each is.

    clip-surgery words street.jpg "two people sit on a bench"
    """
    from clip_surgery.apps.cli.shared.drawing import at_most
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.words import words_figure
    from clip_surgery.records.texts import words_record
    from clip_surgery.tasks.words import words as find_words

    request = inputs.read()
    if len(request.texts) != 1:
        raise InputError(
            f"Expected one sentence, but got {len(request.texts)} texts: put it in quotes."
        )
    [sentence] = request.texts
    colours.check()
    run = Run.begin(
        "words",
        request,
        out,
        formats or ["png", "json"],
        [Format.PNG, Format.JSON, Format.SAFETENSORS],
    )
    explainer = model.load(method=by.build())

    def find(pictures: Sequence[InputImage]) -> list[WordExplanation]:
        return [
            find_words(explainer, one, sentence, evidence=evidence.value, depth=text_depth)
            for one in pictures
        ]

    def draw(picture: InputImage, found: WordExplanation, path: Path) -> None:
        small, explanation = at_most(picture, found.explanation)
        words_figure(
            small,
            replace(found, explanation=explanation),
            top=top,
            colour_map=colours.colour_map,
            opacity=colours.opacity,
        ).save(path)

    def result(picture: InputImage, found: WordExplanation) -> Result:
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, found, path),
                Format.JSON: json_writer(words_record(found)),
                Format.SAFETENSORS: found.save,
            },
            rows=[(word.text, f"{word.score:.3f}") for word in found.ranking()],
        )

    run.over(request.images, find, result)
    run.finish(["word", Number(evidence.value)])
