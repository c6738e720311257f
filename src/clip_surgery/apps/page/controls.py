"""Handlers of the elements of the page: they check the sent values and return what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, get_args

import gradio as gr

from clip_surgery.apps.page import views
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.examples import Example
from clip_surgery.apps.page.html_cards import code, file_link, hint, notice
from clip_surgery.apps.page.reproduction import command, python_code
from clip_surgery.apps.page.requests import read_choice, read_number, read_upload, warn
from clip_surgery.apps.page.saved_results import TABS, Settings, full_record, tab_figure
from clip_surgery.apps.page.sessions import (
    Shown,
    at_size,
    reduced,
    require_session,
    require_shown,
)
from clip_surgery.errors import InputError
from clip_surgery.methods.registry import METHODS
from clip_surgery.tasks.heatmaps import Contrast
from clip_surgery.tasks.segmentation import Background

START_HINT = "Choose an image, type the texts to look for, and press Explain."
WORDS_HINT = "Type a sentence and press Read."
MASKS_HINT = "Press Explain, then Segment objects."


@dataclass(frozen=True, kw_only=True, eq=False)
class Controls:
    """The handlers. Their arguments come from a visitor and are not trusted."""

    actions: Actions
    examples: Sequence[Example]

    def change_image(self, shown: Any, image: Any) -> tuple[Any, ...]:
        """Clear the results of the last image, and remove an image that cannot be used."""
        kept = require_shown(shown)
        kept.clear()
        checked: Any = gr.skip()
        if image is not None:
            try:
                read_upload(self.actions, image)
            except InputError as error:
                warn(error)
                checked = None
        return (checked, kept, *self.cleared())

    def cleared(self) -> tuple[str, ...]:
        """Return what the notice and all tabs show without a result."""
        start = hint(START_HINT)
        without_masks = ("", start, start, start, hint(WORDS_HINT), start, start)
        return (*without_masks, hint(MASKS_HINT)) if self.actions.segmenter else without_masks

    def note_changes(self, shown: Any, texts: Any, model: Any, method: Any) -> str:
        """Return a notice if results are shown that belong to other settings than the chosen."""
        kept = require_shown(shown)
        if kept.session is None:
            return ""
        try:
            current = (self.actions.read_texts(texts), model, method)
        except InputError:
            current = ((), model, method)
        session = kept.session
        if current == (session.explanation.texts, session.model, session.method):
            return ""
        return notice(
            f"These results are for {', '.join(session.explanation.texts)} with {session.model} "
            f"and {session.method}. Press Explain to renew them."
        )

    def choose_example(self, event: gr.EventData) -> tuple[Any, list[str], str]:
        """Return image, texts and sentence of an example."""
        number = read_number(
            getattr(event, "example", None), "example", low=0, high=len(self.examples) - 1
        )
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

    def explain(
        self,
        shown: Any,
        image: Any,
        texts: Any,
        model: Any,
        method: Any,
        contrast: Any,
        min_presence: Any,
        background: Any,
    ) -> tuple[Any, ...]:
        """Return the kept results and all tabs; those that need another button are cleared."""
        settings = _settings(contrast, 0, min_presence, background)
        kept = require_shown(shown)
        kept.clear()
        number = kept.image_number
        checked_image = read_upload(self.actions, image)
        session = self.actions.explain(checked_image, texts, model, method)
        kept.keep(number, session=session)
        _, _, _, _, words, _, _, *masks = self.cleared()
        return (
            kept,
            "",
            views.maps_view(session, settings.contrast),
            views.points_view(session, settings.min_presence),
            views.tags_view(session.explanation),
            words,
            views.image_view(session.image),
            views.segments_view(session, settings.background),
            *masks,
        )

    def redraw_maps(self, shown: Any, contrast: Any) -> str:
        """Return the maps in another contrast."""
        return views.maps_view(require_session(shown), _contrast(contrast))

    def redraw_points(self, shown: Any, min_presence: Any) -> str:
        """Return the points of the texts that are likely enough to be present."""
        return views.points_view(require_session(shown), _min_presence(min_presence))

    def redraw_segments(self, shown: Any, background: Any) -> str:
        """Return the segments with another rule for the background."""
        return views.segments_view(require_session(shown), _background(background))

    def find_tags(self, shown: Any, image: Any, model: Any) -> tuple[Any, str]:
        """Return the kept results, and all texts that the page suggests, best first."""
        kept = require_shown(shown)
        number = kept.image_number
        explanation = self.actions.find_tags(read_upload(self.actions, image), model)
        kept.keep(number, tags=explanation)
        return kept, views.tags_view(explanation)

    def sentence(
        self, shown: Any, image: Any, sentence: Any, model: Any, method: Any
    ) -> tuple[Any, str]:
        """Return the kept results, and the words coloured by score with maps of the best."""
        kept = require_shown(shown)
        number = kept.image_number
        checked_image = read_upload(self.actions, image)
        explanation = self.actions.sentence(checked_image, sentence, model, method)
        small = reduced(checked_image, views.DRAWN_SIDE)
        explanation = replace(explanation, explanation=at_size(explanation.explanation, small.size))
        kept.keep(number, words=explanation, words_image=small)
        return kept, views.words_view(small, explanation)

    def attention(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return the kept results, and the attention of the patch at the clicked point."""
        kept = require_shown(shown)
        session, number = require_session(kept), kept.image_number
        small = reduced(session.image, views.DRAWN_SIDE)
        x, y = (read_number(getattr(event, axis, None), axis, low=0, high=1) for axis in ("x", "y"))
        point = (
            min(x * small.size.width, small.size.width - 1),
            min(y * small.size.height, small.size.height - 1),
        )
        attention_maps = self.actions.attention(small, point, session.model)
        kept.keep(number, attention=attention_maps, attention_image=small)
        return kept, views.attention_view(small, attention_maps)

    def masks(self, shown: Any) -> tuple[Any, str]:
        """Return the kept results, and the segmented objects."""
        kept = require_shown(shown)
        session, number = require_session(kept), kept.image_number
        masks = self.actions.masks(session)
        kept.keep(number, masks=masks)
        return kept, views.masks_view(session, masks)

    def save_image(self, shown: Any, tab: Any, *settings: Any) -> dict[str, str]:
        """Return the results of a tab as a PNG file for the browser to save."""
        kept, checked_tab = require_shown(shown), read_choice(tab, "tab", TABS)
        content = io.BytesIO()
        tab_figure(kept, checked_tab, _settings(*settings)).save(content, "PNG")
        name = f"{_image_stem(kept)}.{checked_tab}.png"
        return _download(name, "image/png", content.getvalue())

    def save_json(self, shown: Any, tab: Any, *settings: Any) -> dict[str, str]:
        """Return all results as a JSON file for the browser to save."""
        kept = require_shown(shown)
        result = full_record(kept, _settings(*settings))
        content = json.dumps(result, ensure_ascii=False, indent=2)
        return _download(f"{_image_stem(kept)}.json", "application/json", content.encode())

    def copy_python(self, shown: Any, tab: Any, *settings: Any) -> tuple[dict[str, str], str]:
        """Return Python code that computes the results of a tab."""
        return self._copied(python_code, shown, tab, settings)

    def copy_command(self, shown: Any, tab: Any, *settings: Any) -> tuple[dict[str, str], str]:
        """Return the command that computes the results of a tab."""
        return self._copied(command, shown, tab, settings)

    def _copied(
        self, write: Callable[..., str], shown: Any, tab: Any, settings: tuple[Any, ...]
    ) -> tuple[dict[str, str], str]:
        """The text for the clipboard, and HTML that shows it."""
        checked_tab = read_choice(tab, "tab", TABS)
        text = write(require_shown(shown), checked_tab, _settings(*settings))
        return {"text": text}, code(text)


def _settings(contrast: Any, opacity: Any, min_presence: Any, background: Any) -> Settings:
    return Settings(
        contrast=_contrast(contrast),
        opacity=read_number(opacity, "opacity", low=0, high=1),
        min_presence=_min_presence(min_presence),
        background=_background(background),
    )


def _min_presence(value: Any) -> float | None:
    """The minimum probability of presence; None for 0, with which it is not checked."""
    return read_number(value, "the minimum probability", low=0, high=1) or None


def _contrast(value: Any) -> Contrast:
    contrast: Any = read_choice(value, "contrast", get_args(Contrast))
    return contrast  # type: ignore[no-any-return]


def _background(value: Any) -> Background:
    background: Any = read_choice(value, "background", get_args(Background))
    return background  # type: ignore[no-any-return]


def _image_stem(shown: Shown) -> str:
    images = (shown.session and shown.session.image, shown.words_image)
    return next((PurePath(image.name).stem for image in images if image), "results")


def _download(name: str, media_type: str, content: bytes) -> dict[str, str]:
    """A file in the form that the script `SAVE` takes."""
    return {"name": name, "content": file_link(content, media_type)}
