"""`clip-surgery segment`: assign every pixel to the class whose text matches it best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared.method_options import MethodOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import MaskFormats, OutputOptions
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.segmentation_options import SegmentationOptions
from clip_surgery.apps.cli.shared.segmenter_option import load_named_segmenter
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.apps.cli.shared.window_options import WindowOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage


@with_options
def segment(
    segmentation_options: SegmentationOptions,
    window_options: WindowOptions,
    inputs: RequestOptions,
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    sheet: SheetOptions,
    formats: MaskFormats = None,
) -> None:
    """Assign every pixel to the class whose text matches it best.

    clip-surgery segment street.jpg person,man,woman bench road --background threshold

    "person,man,woman" is one class with three names. With --segmenter, each region is redrawn.
    """
    from clip_surgery.apps.cli.shared.drawing import heading, shrunk
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import Number
    from clip_surgery.figures.segments import resized, segmentation_figure
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.mask_files import MAX_CLASSES, palette_image
    from clip_surgery.records.regions import segmentation_record
    from clip_surgery.tasks.presence import presence
    from clip_surgery.tasks.segmentation import segment as find_segments
    from clip_surgery.tasks.text_selection import split_names
    from clip_surgery.windows import explain_windows

    request = inputs.read()
    classes = split_names(request.texts)
    if len(classes) > MAX_CLASSES:
        raise InputError(f"Expected at most {MAX_CLASSES} classes, but got {len(classes)}.")
    background_words = segmentation_options.words
    texts = check_texts([*(name for names in classes for name in names), *background_words])
    segmentation_options.check()
    sheet.check()
    windows = window_options.build(model)
    loop = ImageLoop.begin(
        "segment",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.MASK, Format.JSON],
        default=[Format.PNG, Format.MASK, Format.JSON],
    )
    preset, segmenter = segmentation_options.preset, segmentation_options.segmenter
    explainer = model.load(method=method_options.build_for(preset, segmenter))
    loaded_segmenter = None if segmenter is None else load_named_segmenter(segmenter, model.device)
    features = encode(explainer, texts)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [segmentation] = find_segments(
            explanation,
            classes,
            background=segmentation_options.background_kind.value,
            threshold=segmentation_options.threshold,
            background_words=background_words,
            min_presence=segmentation_options.min_presence,
            refine=segmentation_options.refine,
            images=image,
            segmenter=loaded_segmenter,
            preset=preset,
        )
        small = shrunk(image)
        presences = None
        if explanation.reference_log_ratios is not None and not sheet.plain:
            presences = presence(explanation, [list(names) for names in classes])[0].tolist()
        record = segmentation_record(explanation, segmentation, classes)
        pixels = image.size.height * image.size.width
        return ImageResult(
            record=record,
            files={
                **sheet.files(
                    lambda page: segmentation_figure(
                        small,
                        resized(segmentation, small.size),
                        [", ".join(names) for names in classes],
                        presences=presences,
                        heading=sheet.heading(
                            heading(image, explanation.method, explanation.backbone)
                        ),
                        page=page,
                    )
                ),
                Format.MASK: lambda path: palette_image(segmentation).save(path),
            },
            rows=[
                (",".join(entry["names"]), str(entry["id"]), f"{entry['area'] / pixels:.1%}")
                for entry in record["classes"]
            ],
        )

    if windows is None:
        loop.explain(request.images, explainer, features, to_result)
    else:

        def explain_each(images: Sequence[InputImage]) -> list[Explanation]:
            return [
                explain_windows(explainer, image, features, windows=windows) for image in images
            ]

        loop.run(request.images, explain_each, to_result)
    loop.finish(["class", Number("mask value"), Number("share")])
