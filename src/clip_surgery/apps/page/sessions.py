"""Visits: what is kept of one visitor between two clicks, small and no longer than needed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A picture and what the model said of it; maps are drawn again from this, not computed again.

    Attributes:
        model: name of the model.
        picture: at the size it is kept in.
        explanation: of the picture as it came, in its own pixels.
    """

    model: str
    picture: InputImage
    explanation: Explanation

    @property
    def shown(self) -> Explanation:
        """The explanation in pixels of the kept picture."""
        return at_size(self.explanation, self.picture.size)


def at_size(explanation: Explanation, size: Size) -> Explanation:
    """The explanation of one picture, for a copy of the picture of this size."""
    [framing] = explanation.framings
    return replace(explanation, framings=(replace(framing, original=size),))


def within(size: Size, side: int) -> Size:
    """The size scaled down to a longer side of at most `side` pixels.

    Example:
        >>> within(Size(300, 600), 200), within(Size(3, 6), 200)
        (Size(height=100, width=200), Size(height=3, width=6))
    """
    scale = min(1.0, side / max(size))
    return Size(*(max(1, round(length * scale)) for length in size))


def shrunk(picture: InputImage, side: int) -> InputImage:
    """The picture itself, or a smaller copy whose longer side is `side`."""
    size = within(picture.size, side)
    if size == picture.size:
        return picture
    small = picture.image.resize(
        (size.width, size.height), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    return InputImage(image=small, name=picture.name)
