"""Handlers of the elements of the page: they check the sent values and return what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, get_args

import gradio as gr

from clip_surgery.apps.page import views
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.examples import Example
from clip_surgery.apps.page.html_cards import file_link
from clip_surgery.apps.page.requests import read_choice, read_number, read_upload, warn
from clip_surgery.apps.page.results import drawing, full_record
from clip_surgery.apps.page.sessions import reduced, require_session
from clip_surgery.errors import InputError
from clip_surgery.methods.registry import METHODS
from clip_surgery.tasks.heatmaps import Contrast
from clip_surgery.tasks.segmentation import Background


@dataclass(frozen=True, kw_only=True, eq=False)
class Controls:
    """The handlers. Their arguments come from a visitor and are not trusted."""

    actions: Actions
    examples: Sequence[Example]

    def check(self, image: Any) -> Any:
        """Remove an image that cannot be used, and show the reason."""
        try:
            read_upload(self.actions, image)
        except InputError as error:
            warn(error)
            return None
        return gr.skip()

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
        image: Any,
        texts: Any,
        model: Any,
        method: Any,
        contrast: Any,
        min_presence: Any,
        background: Any,
    ) -> tuple[Any, ...]:
        """Return the session and all views that come from one run of the model."""
        checked_contrast = _contrast(contrast)
        checked_background = _background(background)
        checked_presence = _min_presence(min_presence)
        checked_image = read_upload(self.actions, image)
        session = self.actions.explain(checked_image, texts, model, method)
        return (
            session,
            views.maps_view(session, checked_contrast),
            views.points_view(session, checked_presence),
            views.tags_view(session.explanation),
            views.image_view(session.image),
            views.segments_view(session, checked_background),
        )

    def redraw_maps(self, session: Any, contrast: Any) -> str:
        """Return the maps in another contrast."""
        return views.maps_view(require_session(session), _contrast(contrast))

    def redraw_points(self, session: Any, min_presence: Any) -> str:
        """Return the points of the texts that are likely enough to be present."""
        return views.points_view(require_session(session), _min_presence(min_presence))

    def redraw_segments(self, session: Any, background: Any) -> str:
        """Return the segments with another rule for the background."""
        return views.segments_view(require_session(session), _background(background))

    def find_tags(self, image: Any, model: Any) -> str:
        """Return all texts that the page suggests, best first."""
        checked_image = read_upload(self.actions, image)
        return views.tags_view(self.actions.find_tags(checked_image, model))

    def sentence(self, image: Any, sentence: Any, model: Any, method: Any) -> str:
        """Return the words of a sentence, coloured by score, with maps of the best."""
        checked_image = read_upload(self.actions, image)
        explanation = self.actions.sentence(checked_image, sentence, model, method)
        return views.words_view(checked_image, explanation)

    def attention(self, session: Any, event: gr.EventData) -> str:
        """Return the attention of the patch at the clicked point."""
        kept = require_session(session)
        small = reduced(kept.image, views.DRAWN_SIDE)
        x, y = (read_number(getattr(event, axis, None), axis, low=0, high=1) for axis in ("x", "y"))
        point = (
            min(x * small.size.width, small.size.width - 1),
            min(y * small.size.height, small.size.height - 1),
        )
        return views.attention_view(small, self.actions.attention(small, point, kept.model))

    def masks(self, session: Any) -> str:
        """Return the segmented objects."""
        kept = require_session(session)
        return views.masks_view(kept, self.actions.masks(kept))

    def save_image(self, session: Any, contrast: Any, opacity: Any) -> dict[str, str]:
        """Return the maps as a PNG file for the browser to save."""
        kept = require_session(session)
        checked_opacity = read_number(opacity, "opacity", low=0, high=1)
        content = io.BytesIO()
        drawing(kept, contrast=_contrast(contrast), opacity=checked_opacity).save(content, "PNG")
        return _download(kept.image.name, ".png", "image/png", content.getvalue())

    def save_json(self, session: Any) -> dict[str, str]:
        """Return all results as a JSON file for the browser to save."""
        kept = require_session(session)
        content = json.dumps(full_record(kept), ensure_ascii=False, indent=2)
        return _download(kept.image.name, ".json", "application/json", content.encode())


def _min_presence(value: Any) -> float | None:
    """The minimum probability of presence; None for 0, with which it is not checked."""
    return read_number(value, "the minimum probability", low=0, high=1) or None


def _contrast(value: Any) -> Contrast:
    contrast: Any = read_choice(value, "contrast", get_args(Contrast))
    return contrast  # type: ignore[no-any-return]


def _background(value: Any) -> Background:
    background: Any = read_choice(value, "background", get_args(Background))
    return background  # type: ignore[no-any-return]


def _download(image_name: str, suffix: str, media_type: str, content: bytes) -> dict[str, str]:
    """A file in the form that the script `SAVE` takes."""
    return {
        "name": f"{PurePath(image_name).stem}{suffix}",
        "content": file_link(content, media_type),
    }
