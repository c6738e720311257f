"""Images and explanations at the size of a figure, and what figures say about them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.short_names import short_method, short_model
from clip_surgery.deferred_tensor import replaced
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage

DRAWN_PIXELS = 640 * 640  # of an image in a figure: more would be slow and could not be seen
FAINTEST_MAP = 0.05  # largest value of a map that can hardly be seen in a figure


def at_most(
    image: InputImage, explanation: Explanation, *, pixels: int = DRAWN_PIXELS
) -> tuple[InputImage, Explanation]:
    """Return the image and its explanation at a size of at most `pixels`.

    Maps of a large photograph for many texts would take gigabytes and be shrunk in the figure.
    """
    small = shrunk(image, pixels=pixels)
    if small is image:
        return image, explanation
    [framing] = explanation.framings
    return small, replaced(explanation, framings=(replace(framing, original=small.size),))


def shrunk(image: InputImage, *, pixels: int = DRAWN_PIXELS) -> InputImage:
    """Return the image itself if it has at most `pixels`, otherwise a smaller one."""
    scale = math.sqrt(pixels / math.prod(image.size))
    if scale >= 1:
        return image
    size = Size(*(max(1, round(side * scale)) for side in image.size))
    return InputImage(
        image=image.image.resize((size.width, size.height), reducing_gap=3.0), name=image.name
    )


def heading(image: InputImage, method: str, backbone: str) -> str:
    """Return the heading of a figure: the names of image, method and model.

    Args:
        image: the image.
        method: the method with all settings, as `Explanation.method` has it, or another text.
        backbone: name of the model.
    """
    return f"{Path(image.name).name} · {short_method(method)} · {short_model(backbone)}"


def score_notes(explanation: Explanation) -> list[str]:
    """Return for each text of one image a line with its score and, if known, its presence."""
    from clip_surgery.tasks.presence import is_presence_calibrated, presence

    notes = [f"score {score:.3f}" for score in explanation.image_scores[0].tolist()]
    if explanation.reference_log_ratios is None:
        return notes
    remark = "" if is_presence_calibrated(explanation) else " (uncalibrated)"
    return [
        f"{note} · presence {percent(value)}{remark}"
        for note, value in zip(notes, presence(explanation)[0].tolist(), strict=True)
    ]


def percent(probability: float) -> str:
    """Return a probability as a whole percentage.

    Example:
        >>> percent(0.934), percent(0.0001)
        ('93%', '0%')
    """
    return f"{probability:.0%}"


def notice_if_nothing_is_drawn(
    image: InputImage, explanation: Explanation, maps: Tensor, drawing: DrawingOptions
) -> None:
    """Print a notice if the contrast "presence" makes all maps of an image too faint to be seen.

    Args:
        image: the image.
        explanation: its explanation.
        maps: the maps that are drawn, (C, H, W) in [0, 1].
        drawing: the options that scaled them.
    """
    from clip_surgery.tasks.presence import presence

    if drawing.scaling(explanation) != "presence" or (
        maps.numel() and float(maps.max()) >= FAINTEST_MAP
    ):
        return
    values = presence(explanation)[0].tolist()
    texts = ", ".join(
        f"{text} {value:.3f}" for text, value in zip(explanation.texts, values, strict=True)
    )
    console.notice_once(
        f"{image.name}: no map is drawn, because no text is likely to be in the image (presence: "
        f"{texts}); --contrast text draws each map on its own scale."
    )
