"""Sessions: the data of one visitor that the page keeps between two requests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from clip_surgery.deferred_tensor import replaced
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage


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
class Results:
    """The results for one image that belong together.

    Attributes:
        session: the explanation, or None before there is one.
        by_tab: results of tabs that run the model themselves, by the name of the tab.
        upload: path of the uploaded file of the image, which the page deletes after a while.
    """

    session: Session | None = None
    by_tab: dict[str, Any] = field(default_factory=dict)
    upload: str = ""


@dataclass(kw_only=True, eq=False)
class Shown:
    """What the page shows to one visitor. Requests of the visitor change it in place.

    Attributes:
        results: the results that are shown.
        history: earlier results and those that are shown, the newest last.
    """

    results: Results = field(default_factory=Results)
    history: list[Results] = field(default_factory=list)

    def clear(self) -> None:
        """Show no result, because the image of the visitor is another one."""
        self.results = Results()

    def explained(self, before: Results, session: Session, *, upload: str, kept: int) -> None:
        """Show a new explanation, and add it to the history.

        Args:
            before: the results that were shown when the explanation began.
            session: the explanation.
            upload: path of the uploaded file.
            kept: maximum number of results in the history.

        Raises:
            InputError: if the visitor has changed the image since then.
        """
        self._check_unchanged(before)
        self.results = Results(session=session, upload=upload)
        self.history = [*self.history, self.results][-kept:]

    def keep(self, before: Results, tab: str, result: Any) -> None:
        """Keep the result of a tab.

        Args:
            before: the results that were shown when the work began.
            tab: name of the tab.
            result: what the tab needs to draw its result.

        Raises:
            InputError: if other results are shown since then.
        """
        self._check_unchanged(before)
        self.results.by_tab[tab] = result

    def go_back(self, number: int) -> Results:
        """Show the results with an index of the history again, and return them.

        Raises:
            InputError: if there are none.
        """
        if not 0 <= number < len(self.history):
            raise InputError("The page no longer keeps this result.")
        self.results = self.history[number]
        return self.results

    def _check_unchanged(self, before: Results) -> None:
        if self.results is not before:
            raise InputError("The results were changed meanwhile. Please press the button again.")


def require_shown(shown: object) -> Shown:
    """Return what the page shows to the visitor.

    Raises:
        InputError: for any other value.
    """
    if not isinstance(shown, Shown):
        raise InputError("The page no longer keeps your results. Reload it.")
    return shown


def require_session(results: object) -> Session:
    """Return the explanation if the page still keeps it.

    Args:
        results: results that contain the explanation.

    Raises:
        InputError: if they do not.
    """
    session = results.session if isinstance(results, Results) else results
    if not isinstance(session, Session):
        raise InputError("Press Explain first. The page no longer keeps an image of yours.")
    return session


def at_size(explanation: Explanation, size: Size) -> Explanation:
    """Return the explanation of one image for a copy of the image of another size."""
    [framing] = explanation.framings
    return replaced(explanation, framings=(replace(framing, original=size),))


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
