"""`clip-surgery compare`: one image explained by several methods, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.method_options import MethodSegmenter
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutputOptions, formats_option
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import UnsupportedModelError

if TYPE_CHECKING:
    from clip_surgery.explainer import Explainer
    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.methods.method import Method
    from clip_surgery.text.features import TextFeatures

UNCALIBRATED = "Presence is not calibrated for {}, so the map of an absent text may be bright."
DEFAULT_METHODS = "similarity,maskclip,clip_surgery,gem,sclip,clearclip,naclip,grad_cam,legrad"


@with_options
def compare(
    inputs: RequestOptions,
    outputs: OutputOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    sheet: SheetOptions,
    methods: Annotated[
        str,
        typer.Option(
            "--methods", "--method",
            help="Methods separated by commas, such as 'gem,clip_surgery(depth=8)', or 'all'.",
        ),
    ] = DEFAULT_METHODS,
    segmenter: MethodSegmenter = None,
    formats: Annotated[
        list[str] | None, formats_option("png, pdf, svg, json; default: png")
    ] = None,
) -> None:  # fmt: skip
    """Draw the maps of several methods: one row per method, one column per text.

    clip-surgery compare street.jpg bench person --methods similarity,clip_surgery,gem
    """
    from clip_surgery.apps.cli.shared.image_loop import ImageLoop
    from clip_surgery.apps.cli.shared.method_settings import read_methods
    from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format, ImageResult
    from clip_surgery.apps.cli.shared.tables import PEAK_COLUMNS, peak_rows
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.records.explanations import records

    request = inputs.read()
    texts = check_texts(request.texts)
    drawing.check()
    sheet.check()
    chosen_methods = read_methods(methods, segmenter=segmenter)
    loop = ImageLoop.begin(
        "compare",
        request,
        outputs,
        formats,
        known=[*FIGURE_FORMATS, Format.JSON],
        default=[Format.PNG],
    )
    explainer = model.load()
    features = encode(explainer, texts)
    comparison = MethodComparison(chosen_methods)

    def to_result(image: InputImage, explanations: Mapping[str, Explanation]) -> ImageResult:
        parts = {name: records(explanation)[0] for name, explanation in explanations.items()}
        return ImageResult(
            record={
                "methods": parts,
                "refused": comparison.refused,
                "remarks": comparison.remarks,
            },
            files=sheet.files(
                lambda page: draw(image, explanations, comparison.notes(), drawing, sheet, page)
            ),
            rows=[(name, *row) for name, part in parts.items() for row in peak_rows(part)],
        )

    loop.run(
        request.images,
        lambda images: comparison.explain(explainer, images, features),
        to_result,
        batch_size=explainer.batch_size,
    )
    loop.finish(
        ["method", *PEAK_COLUMNS],
        notes=[f"{name}: {remark}" for name, remark in comparison.remarks.items()],
    )


@dataclass
class MethodComparison:
    """Several methods that explain the same images.

    Methods that do not support the model are left out.

    Attributes:
        methods: the methods by the names they are shown under.
        refused: for each method that does not support the model, the reason.
        remarks: for each method whose settings do not suit the model, a remark that says why.
    """

    methods: Mapping[str, Method]
    refused: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def explain(
        self, explainer: Explainer, images: Sequence[InputImage], features: TextFeatures
    ) -> list[dict[str, Explanation]]:
        """Return for each image its explanations by method name.

        Raises:
            UnsupportedModelError: if no method supports the model.
        """
        from clip_surgery.methods.remarks import method_remark

        explanations: list[dict[str, Explanation]] = [{} for _ in images]
        for name, method in self.methods.items():
            if name in self.refused:
                continue
            try:
                explanation = explainer.with_method(method).explain_images(images, features)
            except UnsupportedModelError as error:
                # The whole message also lists methods that support the model.
                self.refused[name] = error.problem.removeprefix(f"{method.name} ")
                console.notice(f"{name} is left out: it {self.refused[name]}")
                continue
            remark = method_remark(method, explainer.backbone)
            if remark is not None:
                self.remarks[name] = remark
            for by_method, image_explanation in zip(explanations, explanation, strict=True):
                by_method[name] = image_explanation
        if len(self.refused) == len(self.methods):
            raise UnsupportedModelError(
                f"None of these methods can serve {explainer.backbone.name}: "
                f"{', '.join(self.methods)}."
            )
        return explanations

    def notes(self) -> list[str]:
        """Return the lines below a figure: methods that are missing, and remarks on the others."""
        return [
            *(f"not drawn: {name} ({why.rstrip('.')})" for name, why in self.refused.items()),
            *(f"{name}: {remark}" for name, remark in self.remarks.items()),
        ]


def draw(
    image: InputImage,
    explanations: Mapping[str, Explanation],
    notes: Sequence[str],
    drawing: DrawingOptions,
    sheet: SheetOptions,
    page: PageFormat,
) -> Sheet:
    """Draw the image and one row of maps per method; below them the notes."""
    from clip_surgery.apps.cli.shared.drawing import (
        at_most,
        heading,
        notice_if_nothing_is_drawn,
        percent,
    )
    from clip_surgery.figures.comparison import comparison
    from clip_surgery.tasks.heatmaps import heatmaps
    from clip_surgery.tasks.presence import is_presence_calibrated, presence

    smaller = {name: at_most(image, explanation) for name, explanation in explanations.items()}
    # All rows are scaled by the presence of the same method, so that they can be compared.
    reference = explanations[presence_method(list(explanations))]
    probabilities = presence(reference)[0]
    contrast = drawing.scaling(reference)
    column_notes = [f"presence {percent(value)}" for value in probabilities.tolist()]
    if not is_presence_calibrated(reference):
        column_notes = [""] * len(column_notes)
        notes = [*notes, UNCALIBRATED.format(reference.backbone)]
    maps = {}
    for name, (_, explanation) in smaller.items():
        if contrast == "presence":
            maps[name] = heatmaps(explanation)[0] * probabilities[:, None, None]
        else:
            maps[name] = heatmaps(explanation, contrast=contrast)[0]
    notice_if_nothing_is_drawn(image, reference, next(iter(maps.values())), drawing)
    return comparison(
        next(iter(smaller.values()))[0],
        maps,
        list(reference.texts),
        column_notes=sheet.notes(column_notes),
        heading=sheet.heading(heading(image, _method_count(len(explanations)), reference.backbone)),
        notes=[] if sheet.plain else notes,
        opacity=drawing.opacity,
        colour_map=drawing.colour_map,
        page=page,
    )


def presence_method(names: Sequence[str]) -> str:
    """Return the method whose presence scales the maps of all methods.

    It is CLIP Surgery if it is among them, because the rule of presence was fitted to its scores,
    and otherwise the first one.

    Example:
        >>> presence_method(["gem", "clip_surgery(depth=3)"])
        'clip_surgery(depth=3)'
    """
    return next((name for name in names if name.partition("(")[0] == "clip_surgery"), names[0])


def _method_count(count: int) -> str:
    """The number of methods with its noun."""
    return "1 method" if count == 1 else f"{count} methods"
