"""Handlers of the elements on the left: they check the sent values and return what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.address import read_address
from clip_surgery.apps.page.examples import Example
from clip_surgery.apps.page.history import history_view
from clip_surgery.apps.page.html_cards import notice
from clip_surgery.apps.page.messages import page_message
from clip_surgery.apps.page.requests import drop_unusable, read_number, read_upload, warn
from clip_surgery.apps.page.sessions import Results, require_session, require_shown
from clip_surgery.apps.page.settings import DEFAULTS, NAMES, SENTENCES, Settings, read_settings
from clip_surgery.apps.page.tabs.tab import Tab
from clip_surgery.apps.page.typed_texts import read_texts
from clip_surgery.errors import InputError
from clip_surgery.methods.registry import METHODS

SHOWN_ERRORS = 3
"""Number of reasons in the message about a link."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InputControls:
    """The handlers. Their arguments come from a visitor and are not trusted.

    Attributes:
        actions: the computations of the page.
        examples: the example images.
        tabs: the tabs of the page by name.
    """

    actions: Actions
    examples: Sequence[Example]
    tabs: Mapping[str, Tab]

    def change_image(self, shown: Any, image: Any) -> tuple[Any, ...]:
        """Clear the results of the last image, and remove an image that cannot be used."""
        kept = require_shown(shown)
        kept.clear()
        checked = drop_unusable(self.actions, image)
        return (checked, kept, "", *self._views(kept.results, DEFAULTS))

    def note_changes(self, shown: Any, texts: Any, model: Any, method: Any) -> str:
        """Return a notice if results are shown that belong to other settings than the chosen."""
        session = require_shown(shown).results.session
        if session is None:
            return ""
        try:
            current = (read_texts(texts, self.actions.limits), model, method)
        except InputError:
            current = ((), model, method)
        if current == (session.explanation.texts, session.model, session.method):
            return ""
        return notice(
            f"These results are for {', '.join(session.explanation.texts)} with {session.model} "
            f"and {session.method}. Press Explain to renew them."
        )

    def choose_example(self, event: gr.EventData) -> tuple[Any, list[str], str]:
        """Return image, texts and sentence of an example."""
        last = len(self.examples) - 1
        number = read_number(getattr(event, "example", None), "an example", low=0, high=last)
        example = self.examples[int(number)]
        return example.image.image, list(example.texts), example.caption

    def choose_model(self, model: Any, method: Any) -> tuple[Any, Any, str]:
        """Return methods, suggested texts and remarks that belong to a model."""
        choice = self.actions.models[model]
        kept_method = method if method in choice.methods else choice.methods[0]
        return (
            gr.update(choices=list(choice.methods), value=kept_method),
            gr.update(choices=list(choice.suggested_texts)),
            self.remark(model, kept_method),
        )

    def remark(self, model: Any, method: Any) -> str:
        """Return the source of the method, and the methods that do not work with the model."""
        choice = self.actions.models[model]
        known = isinstance(method, str) and method in METHODS
        source = f"{method}: {METHODS[method].paper}." if known else ""
        missing = "".join(f"\n- {reason}" for reason in choice.left_out.values())
        return source + (f"\n\nNot available for this model:{missing}" if missing else "")

    def open_address(self, query: Any) -> tuple[Any, ...]:
        """Return what an address contains: an example, texts, the model, and settings of tabs."""
        state, errors = read_address(query, self.actions, self.examples, tuple(self.tabs))
        if errors:
            reasons = " ".join(page_message(error) for error in errors[:SHOWN_ERRORS])
            warn(InputError(f"Parts of the link were left out. {reasons}"))
        model = state.model or self.actions.models.first.name
        methods = list(self.actions.models[model].methods)
        example = None if state.example is None else self.examples[state.example]
        texts, sentences = state.texts, state.sentences
        if example is not None:
            texts, sentences = texts or example.texts, {"sentence": example.caption, **sentences}
        given = [
            None if example is None else example.image.image,
            None if texts is None else list(texts),
            state.model,
            None if state.method is None else gr.update(choices=methods, value=state.method),
            *[sentences.get(name) for name in SENTENCES],
            None if state.tab is None else gr.update(selected=state.tab),
            *[state.settings.get(name) for name in NAMES],
        ]
        values = [gr.skip() if value is None else value for value in given]
        return (*values, {"example": state.example})

    def explain(
        self, shown: Any, image: Any, texts: Any, model: Any, method: Any, *settings: Any
    ) -> tuple[Any, ...]:
        """Return the history and all tabs; those that need another button are cleared."""
        checked_settings = read_settings(*settings)
        kept = require_shown(shown)
        before = kept.results
        checked_image = read_upload(self.actions, image)
        session = self.actions.explain(checked_image, texts, model, method)
        kept.explained(before, session, upload=str(image["path"]), kept=self.actions.limits.history)
        views = self._views(kept.results, checked_settings)
        return (kept, "", history_view(kept), *views)

    def go_back(
        self,
        shown: Any,
        contrast: Any,
        opacity: Any,
        min_presence: Any,
        background: Any,
        event: gr.EventData,
    ) -> tuple[Any, ...]:
        """Return an earlier result with its image, texts, model and method."""
        settings = read_settings(contrast, opacity, min_presence, background)
        kept = require_shown(shown)
        last = self.actions.limits.history
        number = read_number(getattr(event, "result", None), "a result", low=0, high=last)
        results = kept.go_back(int(number))
        session = require_session(results)
        upload_is_kept = bool(results.upload) and Path(results.upload).is_file()
        return (
            results.upload if upload_is_kept else session.image.image,
            list(session.explanation.texts),
            session.model,
            session.method,
            kept,
            "",
            history_view(kept),
            *self._views(results, settings),
        )

    def _views(self, results: Results, settings: Settings) -> list[str]:
        """HTML of all tabs."""
        return [tab.view(results, settings) for tab in self.tabs.values()]
