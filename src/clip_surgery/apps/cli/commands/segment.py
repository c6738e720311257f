"""`clip-surgery segment`: assign every pixel to the class whose text matches it best."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    SEGMENTER_HELP,
    ExplainerOptions,
    FramingName,
    MaskFormats,
    MethodOptions,
    MinPresence,
    OutputOptions,
    PresetName,
    PresetOption,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.segmenters.segmenter import Segmenter
    from clip_surgery.windows import Windows


class BackgroundName(StrEnum):
    """How pixels of no class are recognised."""

    NONE = "none"
    THRESHOLD = "threshold"
    PROBABILITY = "probability"
    WORDS = "words"


class StitchName(StrEnum):
    """What is averaged where windows overlap."""

    LOGITS = "logits"
    OUTPUTS = "outputs"
    VALUES = "values"


@with_options
def segment(
    inputs: RequestOptions,
    outputs: OutputOptions,
    method_options: MethodOptions,
    model: ExplainerOptions,
    sheet: SheetOptions,
    background: Annotated[
        BackgroundName | None,
        typer.Option(
            help="Pixels without a class: none; those whose best score is below --threshold; those "
            "whose best class is less likely than --threshold (probability, as in published "
            "codes); or those that one of --background-words matches better. Default: words if "
            "--background-words is given, otherwise none.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest score of a class, from 0 to 1.")
    ] = 0.6,
    background_words: Annotated[
        str | None, typer.Option(help="Texts for the background, such as 'sky,wall,floor'.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=1, help="Explain the image in windows of this side, in pixels."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Distance from one window to the next, in pixels.")
    ] = None,
    stitch: Annotated[
        StitchName,
        typer.Option(
            help="What windows share: logits (scores), outputs (patch features) or values (the "
            "last block attends to the whole image)."
        ),
    ] = StitchName.LOGITS,
    min_presence: MinPresence = None,
    refine: Annotated[
        str,
        typer.Option(
            help="Move the borders of classes to edges of the image: laplacian, guided, pamr or "
            "'pixel graph'."
        ),
    ] = "none",
    preset: PresetOption = None,
    segmenter: Annotated[str | None, typer.Option(help=SEGMENTER_HELP)] = None,
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
    from clip_surgery.refinement.registry import as_refinement
    from clip_surgery.tasks.presence import presence
    from clip_surgery.tasks.segmentation import segment as find_segments
    from clip_surgery.tasks.text_selection import split_names
    from clip_surgery.windows import explain_windows

    request = inputs.read()
    classes = split_names(request.texts)
    if len(classes) > MAX_CLASSES:
        raise InputError(f"Expected at most {MAX_CLASSES} classes, but got {len(classes)}.")
    other_words = (
        tuple(word.strip() for word in background_words.split(",")) if background_words else ()
    )
    texts = check_texts([*(name for names in classes for name in names), *other_words])
    background_kind = background or (BackgroundName.WORDS if other_words else BackgroundName.NONE)
    if background_kind is BackgroundName.WORDS and not other_words:
        raise InputError("--background words needs texts: --background-words sky,wall,floor.")
    if other_words and background_kind is not BackgroundName.WORDS:
        raise InputError(f"--background-words do not go with --background {background_kind}.")
    sheet.check()
    windows = _windows(model, crop, stride, stitch)
    as_refinement(refine)
    check_preset(preset, segmenter, threshold=threshold, min_presence=min_presence, refine=refine)
    loop = ImageLoop.begin(
        "segment",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.MASK, Format.JSON],
        default=[Format.PNG, Format.MASK, Format.JSON],
    )
    explainer = model.load(method=method_options.build_for(preset))
    loaded_segmenter = load_named(segmenter, model.device)
    features = encode(explainer, texts)

    def to_result(image: InputImage, explanation: Explanation) -> ImageResult:
        [segmentation] = find_segments(
            explanation,
            classes,
            background=background_kind.value,
            threshold=threshold,
            background_words=other_words,
            min_presence=min_presence,
            refine=refine,
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


def load_named(segmenter: str | None, device: str) -> Segmenter | None:
    """Return the segmenter of a name, or None for None."""
    from clip_surgery.segmenters.registry import load_segmenter

    if segmenter is None:
        return None
    with console.status(f"loading {segmenter}"):
        return load_segmenter(segmenter, device=device)


def check_preset(
    preset: str | None,
    segmenter: str | None,
    *,
    threshold: float,
    min_presence: float | None,
    refine: str,
) -> None:
    """Check that a preset has what it needs, and is not given with an option that it sets.

    Raises:
        InputError: if not.
    """
    if preset == PresetName.BEST and segmenter is None:
        raise InputError("--preset best needs --segmenter, such as facebook/sam-vit-base.")
    if preset is not None and (threshold, min_presence, refine) != (0.6, None, "none"):
        raise InputError(
            "--preset sets --threshold, --min-presence and --refine; give it or these."
        )


def split_background_words(text: str | None) -> tuple[str, ...]:
    """Return the words of a list with commas; none if there is no list.

    Example:
        >>> split_background_words("sky, wall")
        ('sky', 'wall')
    """
    return tuple(word.strip() for word in text.split(",")) if text else ()


def _windows(
    model: ExplainerOptions, crop: int | None, stride: int | None, stitch: StitchName
) -> Windows | None:
    """Return the windows that --crop and --stride ask for; None without these options.

    Raises:
        InputError: if --framing is given, which windows do not use, or --stitch without windows.
    """
    from clip_surgery.windows import Windows

    if crop is None and stride is None:
        if stitch is not StitchName.LOGITS:
            raise InputError(f"--stitch {stitch} needs windows: --crop or --stride.")
        return None
    if model.framing is not FramingName.KEEP_RATIO:
        raise InputError(f"--framing {model.framing} does not go with windows (--crop, --stride).")
    return Windows(size=model.size, crop=crop, stride=stride, stitch=stitch.value)
