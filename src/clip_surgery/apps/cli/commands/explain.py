"""`clip-surgery explain`: heatmaps of texts in images, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    ExplainerOptions,
    MethodOptions,
    OutputOptions,
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
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    formats: Annotated[
        list[str] | None, formats_option("png (alone if none is given), json, safetensors")
    ] = None,
) -> None:
    """Draw where the model sees each text in each image.

    clip-surgery explain street.jpg bench person --out out/
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_files import Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import PEAK_COLUMNS, peak_rows
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.explanations import records

    request = inputs.read()
    texts = check_texts(request.texts)
    drawing.check()
    method = method_options.build()
    loop = ImageLoop.begin(
        "explain",
        request,
        outputs,
        formats,
        known=[Format.PNG, Format.JSON, Format.SAFETENSORS],
        default=[Format.PNG],
    )
    explainer = model.load(method=method)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [record] = records(explanation)
        return ImageResult(
            record=record,
            files={
                Format.PNG: lambda path: draw(image, explanation, drawing).save(path),
                Format.SAFETENSORS: explanation.save,
            },
            rows=peak_rows(record),
        )

    loop.explain(request.images, explainer, encode(explainer, texts), to_result)
    loop.finish(PEAK_COLUMNS)


def draw(image: InputImage, explanation: Explanation, drawing: DrawingOptions) -> Image:
    """Draw the image and its maps."""
    from clip_surgery.apps.cli.shared.drawing import (
        at_most,
        heading,
        notice_if_nothing_is_drawn,
        score_notes,
    )
    from clip_surgery.figures.maps import figure
    from clip_surgery.tasks.heatmaps import heatmaps

    small, explanation = at_most(image, explanation)
    maps = heatmaps(explanation, contrast=drawing.scaling)[0]
    notice_if_nothing_is_drawn(image, explanation, maps, drawing)
    return figure(
        small,
        maps,
        explanation.texts,
        notes=score_notes(explanation),
        heading=heading(image, explanation.method, explanation.backbone),
        opacity=drawing.opacity,
        colour_map=drawing.colour_map,
    )
