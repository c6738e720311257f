"""`clip-surgery explain`: heatmaps of texts in images, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.method_options import MethodOptions, MethodSegmenter
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutputOptions, formats_option
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_formats import ImageResult
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage


@with_options
def explain(
    inputs: RequestOptions,
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    sheet: SheetOptions,
    segmenter: MethodSegmenter = None,
    formats: Annotated[
        list[str] | None,
        formats_option(
            "png, pdf, svg (a sheet with all maps), overlays (a PNG per text), html (a report of "
            "all images), json, jsonl, npz, safetensors; default: png,overlays"
        ),
    ] = None,
) -> None:
    """Draw where the model sees each text in each image.

    clip-surgery explain street.jpg bench person --out out/
    """
    from clip_surgery.apps.cli.shared.explanation_files import ExplanationFiles
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import Format
    from clip_surgery.apps.cli.shared.tables import PEAK_COLUMNS
    from clip_surgery.inputs.texts import check_texts

    request = inputs.read()
    texts = check_texts(request.texts)
    drawing.check()
    sheet.check()
    method = method_options.build(segmenter)
    loop = ImageLoop.begin(
        "explain",
        request,
        outputs,
        formats,
        known=[kind for kind in Format if kind is not Format.MASK],
        default=[Format.PNG, Format.OVERLAYS],
    )
    explainer = model.load(method=method)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        return ExplanationFiles(image, explanation, drawing, sheet).result()

    loop.explain(request.images, explainer, encode(explainer, texts), to_result)
    loop.finish(PEAK_COLUMNS)
