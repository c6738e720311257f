"""`clip-surgery words`: the words of a sentence that an image shows, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared.drawing_options import ColourOptions
from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ModelOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutputOptions, formats_option
from clip_surgery.apps.cli.shared.request import RequestOptions
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.word_explanation import WordExplanation


class EvidenceName(StrEnum):
    """Scores by which words are ranked."""

    CONTRIBUTION = "contribution"
    SIMILARITY = "similarity"
    GRADIENT = "gradient"


class MapsName(StrEnum):
    """Maps of the words."""

    METHOD = "method"
    PATCHES = "patches"


@with_options
def words(
    inputs: RequestOptions,
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ModelOptions,
    colours: ColourOptions,
    sheet: SheetOptions,
    evidence: Annotated[
        EvidenceName,
        typer.Option(
            help="How much a word changes the similarity of the sentence, its own similarity to "
            "the image, or its relevance by gradient."
        ),
    ] = EvidenceName.CONTRIBUTION,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            help='Words of the sentence that count as one, such as "red car"; repeatable.'
        ),
    ] = None,
    maps: Annotated[
        MapsName,
        typer.Option(
            help="Maps of contributions by the method, or what each patch adds to a word's score."
        ),
    ] = MapsName.METHOD,
    text_depth: Annotated[
        int,
        typer.Option(min=1, help="Blocks of the text model that --evidence gradient uses."),
    ] = 1,
    top: Annotated[int, typer.Option(min=1, help="Maximum number of maps to draw.")] = 3,
    formats: Annotated[
        list[str] | None, formats_option("png, pdf, svg, json, safetensors; default: png,json")
    ] = None,
) -> None:
    """Score the words of a sentence by how well the image shows them, and draw their maps.

    clip-surgery words street.jpg "two people sit on a bench"

    The score of a word is how much it changes the similarity of the sentence and the image, on
    average over the sentence with other words deleted. Function words such as "a" and "of" and the
    words of "a photo of" are listed with their scores, but have no map.
    """
    from clip_surgery.apps.cli.shared.drawing import at_most
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.words import words_sheet
    from clip_surgery.records.texts import words_record
    from clip_surgery.tasks.words import words as find_words
    from clip_surgery.word_explanation import score_scale

    request, sentence = inputs.read_sentence()
    colours.check()
    sheet.check()
    loop = ImageLoop.begin(
        "words",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON, Format.SAFETENSORS],
        default=[Format.PNG, Format.JSON],
    )
    explainer = model.load(method=method_options.build())

    def explain_each(images: Sequence[InputImage]) -> list[WordExplanation]:
        return [
            find_words(
                explainer,
                image,
                sentence,
                evidence=evidence.value,
                phrases=phrase or (),
                depth=text_depth,
                maps=maps.value,
            )
            for image in images
        ]

    def draw(image: InputImage, word_explanation: WordExplanation, page: PageFormat) -> Sheet:
        small, explanation = at_most(image, word_explanation.explanation)
        return words_sheet(
            small,
            replace(word_explanation, explanation=explanation),
            top=top,
            colour_map=colours.colour_map,
            opacity=colours.opacity,
            is_plain=sheet.plain,
            page=page,
        )

    def to_result(image: InputImage, word_explanation: WordExplanation) -> ImageResult:
        return ImageResult(
            record=words_record(word_explanation),
            files={
                **sheet.files(lambda page: draw(image, word_explanation, page)),
                Format.SAFETENSORS: word_explanation.save,
            },
            rows=word_rows(word_explanation),
        )

    loop.run(request.images, explain_each, to_result)
    shares = [Number("explains")] if evidence is EvidenceName.CONTRIBUTION else []
    loop.finish(
        ["word", "kind", Number(evidence.value), *shares],
        notes=[f"{score_scale(evidence.value)} Only content words have a map."],
    )


def word_rows(word_explanation: WordExplanation) -> list[tuple[str, ...]]:
    """Return the words, their kinds and scores, the highest score first.

    Contributions are followed by the share of the variance of the similarity that a word explains.
    """
    from clip_surgery.inputs.function_words import is_function_word

    rows: list[tuple[str, ...]] = []
    for word in word_explanation.ranking(ends=True):
        kind = "content word"
        if word_explanation.kinds[word.position] != "word":
            kind = "special token"
        elif is_function_word(word.text):
            kind = "function word"
        shares = word_explanation.variance_shares
        explained = () if shares is None else (f"{float(shares[word.position]):.0%}",)
        rows.append((word.text, kind, f"{word.score:.3f}", *explained))
    return rows
