"""Sessions: the data of one visitor that the page keeps between two requests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """An image and its explanation, from which all views are drawn without running the model.

    Attributes:
        model: name of the model.
        image: the image, reduced to the size in which it is kept.
        explanation: explanation of the image in its size before it was reduced.
    """

    model: str
    image: InputImage
    explanation: Explanation

    @property
    def kept_explanation(self) -> Explanation:
        """The explanation in pixels of the kept image."""
        return at_size(self.explanation, self.image.size)


def require_session(session: object) -> Session:
    """Return the session if the page still keeps it.

    Raises:
        InputError: if it does not.
    """
    if not isinstance(session, Session):
        raise InputError("Press Explain first. The page no longer keeps an image of yours.")
    return session


def at_size(explanation: Explanation, size: Size) -> Explanation:
    """Return the explanation of one image for a copy of the image of another size."""
    [framing] = explanation.framings
    return replace(explanation, framings=(replace(framing, original=size),))


def within(size: Size, side: int) -> Size:
    """Return the size reduced to a longer side of at most `side` pixels.

    Example:
        >>> within(Size(300, 600), 200), within(Size(3, 6), 200)
        (Size(height=100, width=200), Size(height=3, width=6))
    """
    scale = min(1.0, side / max(size))
    return Size(*(max(1, round(length * scale)) for length in size))


def reduced(image: InputImage, side: int) -> InputImage:
    """Return the image, or a smaller copy if its longer side exceeds `side` pixels."""
    size = within(image.size, side)
    if size == image.size:
        return image
    small = image.image.resize(
        (size.width, size.height), Image.Resampling.LANCZOS, reducing_gap=3.0
    )
    return InputImage(image=small, name=image.name)
