"""`clip-surgery compare`: one image explained by several methods, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.options import (
    DrawingOptions,
    ExplainerOptions,
    OutFolder,
    formats_option,
)
from clip_surgery.apps.cli.shared.request import RequestOptions, encode
from clip_surgery.errors import UnsupportedModelError

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip_surgery.explainer import Explainer
    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.methods.method import Method
    from clip_surgery.text.features import TextFeatures

SHOWN = "similarity,maskclip,clip_surgery,gem,sclip,clearclip,naclip,grad_cam,legrad"


@with_options
def compare(
    inputs: RequestOptions,
    model: ExplainerOptions,
    drawing: DrawingOptions,
    methods: Annotated[
        str,
        typer.Option(
            "--methods", "--method",
            help="Methods between commas, as clip_surgery(depth=8); or 'all'.",
        ),
    ] = SHOWN,
    out: OutFolder = Path("out"),
    formats: Annotated[
        list[str] | None, formats_option("png (alone if none is given), json")
    ] = None,
) -> None:  # fmt: skip
    """Draw several methods side by side: a row a method, a column a text.

    clip-surgery compare street.jpg bench person --methods similarity,clip_surgery,gem
    """
    from clip_surgery.apps.cli.shared.image_loop import Result, Run
    from clip_surgery.apps.cli.shared.output_files import Format, json_writer
    from clip_surgery.apps.cli.shared.peak_table import PEAK_COLUMNS, peak_rows
    from clip_surgery.inputs.texts import check_texts
    from clip_surgery.methods.registry import parse_methods
    from clip_surgery.records.explanations import records

    request = inputs.read()
    texts = check_texts(request.texts)
    drawing.check()
    chosen = parse_methods(methods)
    run = Run.begin("compare", request, out, formats or ["png"], [Format.PNG, Format.JSON])
    explainer = model.load(vocabulary=drawing.vocabulary)
    features = encode(explainer, texts)
    several = Several(chosen)

    def result(picture: InputImage, found: Mapping[str, Explanation]) -> Result:
        parts = {name: records(explanation)[0] for name, explanation in found.items()}
        rows = [(name, *row) for name, part in parts.items() for row in peak_rows(part)]
        return Result(
            files={
                Format.PNG: lambda path: draw(picture, found, several.refused, drawing).save(path),
                Format.JSON: json_writer({"methods": parts, "refused": several.refused}),
            },
            rows=rows,
        )

    run.over(
        request.images,
        lambda pictures: several.explain(explainer, pictures, features),
        result,
        at_a_time=explainer.batch_size,
    )
    run.finish(["method", *PEAK_COLUMNS])


@dataclass
class Several:
    """Methods that explain the same images; one that cannot serve the model is left out.

    Attributes:
        methods: by the name they are shown under.
        refused: why, for each that this model cannot serve.
    """

    methods: Mapping[str, Method]
    refused: dict[str, str] = field(default_factory=dict)

    def explain(
        self, explainer: Explainer, pictures: Sequence[InputImage], features: TextFeatures
    ) -> list[dict[str, Explanation]]:
        """For each image its explanation by every method that serves the model.

        Raises:
            UnsupportedModelError: when none does.
        """
        found: list[dict[str, Explanation]] = [{} for _ in pictures]
        for name, method in self.methods.items():
            if name in self.refused:
                continue
            try:
                explanation = explainer.with_method(method).explain_images(pictures, features)
            except UnsupportedModelError as error:
                # the list of methods that would serve is of no use beside them
                reason = error.problem
                self.refused[name] = reason.removeprefix(f"{method.name} ")
                console.notice(f"{name} is left out: it {self.refused[name]}")
                continue
            for of_picture, part in zip(found, explanation, strict=True):
                of_picture[name] = part
        if len(self.refused) == len(self.methods):
            raise UnsupportedModelError(
                f"None of these methods can serve {explainer.backbone.name}: "
                f"{', '.join(self.methods)}."
            )
        return found


def draw(
    picture: InputImage,
    found: Mapping[str, Explanation],
    refused: Mapping[str, str],
    drawing: DrawingOptions,
) -> Image:
    """The image, a row of maps per method, and below it the methods that are missing."""
    from clip_surgery.apps.cli.shared.drawing import at_most, heading
    from clip_surgery.figures.comparison import comparison
    from clip_surgery.tasks.heatmaps import heatmaps

    smaller = {name: at_most(picture, explanation) for name, explanation in found.items()}
    maps = {
        name: heatmaps(explanation, contrast=drawing.scaling)[0]
        for name, (_, explanation) in smaller.items()
    }
    first = next(iter(found.values()))
    scores = first.image_scores[0].tolist()
    return comparison(
        next(iter(smaller.values()))[0],
        maps,
        [f"{text} {score:.3f}" for text, score in zip(first.texts, scores, strict=True)],
        heading=heading(picture, f"{len(found)} methods", first.backbone),
        notes=[f"not drawn: {name} ({reason.rstrip('.')})" for name, reason in refused.items()],
        opacity=drawing.opacity,
        colour_map=drawing.colour_map,
    )
