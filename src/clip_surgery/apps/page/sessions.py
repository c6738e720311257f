"""Sessions: the data of one visitor that the page keeps between two requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage
from clip_surgery.tasks.inspection import AttentionMap
from clip_surgery.tasks.masks import Mask
from clip_surgery.word_explanation import WordExplanation


@dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """An image and its explanation, from which all views are drawn without running the model.

    Attributes:
        model: name of the model.
        method: name of the method that the visitor chose.
        image: the image, reduced to the size in which it is kept.
        explanation: explanation of the image in its size before it was reduced.
        preset: preset with which the image is segmented, or None.
    """

    model: str
    image: InputImage
    explanation: Explanation
    method: str = ""
    preset: str | None = None

    @property
    def kept_explanation(self) -> Explanation:
        """The explanation in pixels of the kept image."""
        return at_size(self.explanation, self.image.size)


@dataclass(kw_only=True, eq=False)
class Shown:
    """The results that the page shows to one visitor. Requests of the visitor change it in place.

    Attributes:
        session: the last explanation.
        tags: explanation of all suggested texts, shown instead of those of the session.
        words: the words of a sentence.
        words_image: the image of the words, reduced.
        attention: the attention maps of a point.
        attention_image: the image of the attention maps, reduced.
        masks: the segmented objects of the texts of the session.
        image_number: number of times that the image was changed.
    """

    session: Session | None = None
    tags: Explanation | None = None
    words: WordExplanation | None = None
    words_image: InputImage | None = None
    attention: Sequence[AttentionMap] = ()
    attention_image: InputImage | None = None
    masks: Sequence[Mask | None] | None = None
    image_number: int = 0

    def clear(self) -> None:
        """Forget all results, because they do not belong to the image of the visitor any more."""
        number = self.image_number + 1
        vars(self).update(vars(Shown(image_number=number)))

    def keep(self, image_number: int, **results: Any) -> None:
        """Keep results that were computed for an image.

        Raises:
            InputError: if the visitor has changed the image since then.
        """
        if image_number != self.image_number:
            raise InputError("The image was changed meanwhile. Please press the button again.")
        vars(self).update(results)


def require_shown(shown: object) -> Shown:
    """Return the results of the visitor.

    Raises:
        InputError: for any other value.
    """
    if not isinstance(shown, Shown):
        raise InputError("The page no longer keeps your results. Reload it.")
    return shown


def require_session(session: object) -> Session:
    """Return the session if the page still keeps it.

    Args:
        session: a session, or the results that contain it.

    Raises:
        InputError: if it does not.
    """
    if isinstance(session, Shown):
        session = session.session
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
