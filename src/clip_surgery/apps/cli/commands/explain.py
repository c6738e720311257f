"""`clip-surgery explain`: heatmaps of texts in images, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    DrawingOptions,
    ExplainerOptions,
    MethodOptions,
    OutFolder,
    formats_option,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, encode

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage


@with_options
def explain(
    inputs: RequestOptions,
    by: MethodOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    out: OutFolder = Path("out"),
    formats: Annotated[
        list[str] | None, formats_option("png (alone if none is given), json, safetensors")
    ] = None,
) -> None:
    """Draw where the model sees each text in each image.

    clip-surgery explain street.jpg bench person --out out/
    """
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.peak_table import PEAK_COLUMNS, peak_rows
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.explanations import records

    request = inputs.read()
    texts = check_texts(request.texts)
    drawing.check()
    method = by.build()
    run = Run.begin(
        "explain", request, out, formats or ["png"], [Format.PNG, Format.JSON, Format.SAFETENSORS]
    )
    explainer = model.load(method=method, vocabulary=drawing.vocabulary)

    def result(picture: InputImage, explanation: Explanation) -> Result:
        [record] = records(explanation)
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, explanation, drawing).save(path),
                Format.JSON: json_writer(record),
                Format.SAFETENSORS: explanation.save,
            },
            rows=peak_rows(record),
        )

    run.explain(request.images, explainer, encode(explainer, texts), result)
    run.finish(PEAK_COLUMNS)


def draw(picture: InputImage, explanation: Explanation, drawing: DrawingOptions) -> Image:
    """The image and its maps as a figure."""
    from clip_surgery.apps.cli.shared.drawing import at_most, heading
    from clip_surgery.figures.maps import figure
    from clip_surgery.tasks.heatmaps import heatmaps

    small, explanation = at_most(picture, explanation)
    maps = heatmaps(explanation, contrast=drawing.scaling)[0]
    if drawing.scaling == "presence" and not maps.any():
        console.notice(
            f"{picture.name}: --contrast presence draws nothing, because no text is likely to be "
            "in the image; --contrast text draws each map on its own scale."
        )
    return figure(
        small,
        maps,
        explanation.texts,
        notes=[f"score {score:.3f}" for score in explanation.image_scores[0].tolist()],
        heading=heading(picture, explanation.method, explanation.backbone),
        opacity=drawing.opacity,
        colour_map=drawing.colour_map,
    )
