"""What a tab of the results is. Each file of this folder is one tab, and `all_tabs` lists them.

A tab creates its elements, connects them, draws its result, saves it as a figure and as JSON, and
writes Python code and a command that compute it. The page does everything else: it clears and
redraws all tabs, keeps the history, and stops requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.html_cards import hint
from clip_surgery.apps.page.sessions import Results, Session, require_session
from clip_surgery.apps.page.settings import Settings
from clip_surgery.errors import InputError

DRAWN_SIDE = 640
"""Longer side in pixels of the image in a saved figure."""
KEPT_SIDE = 768
"""Longer side in pixels of the kept image."""
START_HINT = "Choose an image, type the texts to look for, and press Explain."


@dataclass(frozen=True, kw_only=True, eq=False)
class PageParts:
    """Elements of the page that tabs read, and functions that call a handler on an event.

    Attributes:
        shown: what the page shows to the visitor, a `Shown`.
        image: the chosen image.
        texts: the texts to look for.
        model: the chosen model.
        method: the chosen method.
        settings: the elements that the address keeps, by name, see `Tab.settings`.
        draw: calls a handler that does not run the model.
        run: calls a handler that runs the model. The visitor can stop it.
    """

    shown: Any
    image: Any
    texts: Any
    model: Any
    method: Any
    settings: dict[str, Any]
    draw: Callable[..., Any]
    run: Callable[..., Any]


class Tab(ABC):
    """One tab. Elements belong to one page, so a page has its own objects.

    Attributes:
        actions: the computations of the page.
        result: the element that shows the result.
        settings: elements that the address keeps, by name: those of `settings.NAMES` and of
            `settings.SENTENCES`.
    """

    name: ClassVar[str]
    """Name in addresses and names of files."""
    title: ClassVar[str]
    hint: ClassVar[str] = START_HINT
    """What is shown while there is no result."""
    missing: ClassVar[str] = "Press Explain first."
    """Message of actions that need a result."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions
        self.result: Any = None
        self.settings: dict[str, Any] = {}

    @abstractmethod
    def build(self) -> None:
        """Create the elements of the tab; one of them is `result`."""

    def connect(self, parts: PageParts) -> None:
        """Connect the elements of the tab with their handlers; by default there are none."""
        return

    def view(self, results: Results, settings: Settings) -> str:
        """Return HTML of the result, or the hint if there is none."""
        if self.has_result(results):
            return self.draw(results, settings)
        return hint(self.hint)

    def has_result(self, results: Results) -> bool:
        """Whether there is a result."""
        return results.session is not None

    def require(self, results: Results) -> Session:
        """Return the explanation of results that the tab can save or reproduce.

        Raises:
            InputError: if there is no explanation, or the tab has no result.
        """
        session = require_session(results)
        if not self.has_result(results):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return session

    @abstractmethod
    def draw(self, results: Results, settings: Settings) -> str:
        """Return HTML of the result."""

    @abstractmethod
    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the result as an image to save."""

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return entries for the JSON of all results."""
        return {}

    @abstractmethod
    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return lines of Python code that compute the result."""

    @abstractmethod
    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the words of a command that computes the result."""


def result_element(name: str, text: str, script: str | None = None) -> Any:
    """Return an element for a result, with a hint until there is one.

    Args:
        name: id of the element.
        text: the hint.
        script: script of the element, one of `scripts`.
    """
    return gr.HTML(
        hint(text), elem_id=name, js_on_load=script, apply_default_css=False, min_height=260
    )


def heading(session: Session) -> str:
    """Return the line above a figure: image, method and model."""
    explanation = session.explanation
    return f"{session.image.name} · {explanation.method} · {explanation.backbone}"


def load_lines(session: Session, method: str | None = None) -> list[str]:
    """Return lines of Python code that load the model of an explanation."""
    return [
        "import clip_surgery",
        "",
        f"explainer = clip_surgery.load({session.model!r}, method={method or session.method!r})",
    ]


def explain_lines(session: Session) -> list[str]:
    """Return lines of Python code that compute the explanation."""
    texts = list(session.explanation.texts)
    return [*load_lines(session), f"explanation = explainer({session.image.name!r}, {texts})"]


def command_words(command: str, session: Session, *, texts: bool = True) -> list[str]:
    """Return the words of a command for the image, texts, model and method of an explanation."""
    texts_of_command = session.explanation.texts if texts else ()
    return [
        "clip-surgery",
        command,
        session.image.name,
        *[f"--text={text}" for text in texts_of_command],
        f"--model={session.model}",
        f"--method={session.method}",
    ]
