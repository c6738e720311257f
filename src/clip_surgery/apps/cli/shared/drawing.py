"""Drawing: images and what was found in them, brought to the size of a figure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage

DRAWN_PIXELS = 640 * 640  # of an image in a figure: more would be slow and not be seen


def at_most(
    picture: InputImage, explanation: Explanation, *, pixels: int = DRAWN_PIXELS
) -> tuple[InputImage, Explanation]:
    """The image and its explanation at a size of at most `pixels`, to draw small figures.

    Maps of a large photograph for many texts would take gigabytes, to be shrunk in the figure.
    """
    small = shrunk(picture, pixels=pixels)
    if small is picture:
        return picture, explanation
    [framing] = explanation.framings
    return small, replace(explanation, framings=(replace(framing, original=small.size),))


def shrunk(picture: InputImage, *, pixels: int = DRAWN_PIXELS) -> InputImage:
    """The image itself, or a smaller one of at most `pixels`."""
    scale = math.sqrt(pixels / math.prod(picture.size))
    if scale >= 1:
        return picture
    size = Size(*(max(1, round(side * scale)) for side in picture.size))
    return InputImage(
        image=picture.image.resize((size.width, size.height), reducing_gap=3.0), name=picture.name
    )


def heading(picture: InputImage, method: str, backbone: str) -> str:
    """What a figure shows, in one line."""
    return f"{Path(picture.name).name} · {method} · {backbone}"
