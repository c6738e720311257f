"""Controls: what the elements of the page call, from values as sent to values as shown."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import gradio as gr

from clip_surgery.apps.page import views
from clip_surgery.apps.page.actions import Actions, still_there
from clip_surgery.apps.page.answers import drawing, everything
from clip_surgery.apps.page.examples import Example
from clip_surgery.apps.page.html_cards import file_link
from clip_surgery.apps.page.requests import read_number, read_upload, warn
from clip_surgery.apps.page.sessions import shrunk
from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Controls:
    """The handlers of the page."""

    actions: Actions
    examples: Sequence[Example]

    def check(self, picture: Any) -> Any:
        """Say at once what is wrong with a picture, and let go of it."""
        try:
            read_upload(self.actions, picture)
        except InputError as error:
            warn(error)
            return None
        return gr.skip()

    def choose_example(self, event: gr.EventData) -> tuple[Any, list[str], str]:
        """Picture, words and sentence of an example."""
        number = int(
            read_number(
                getattr(event, "example", None), "example", low=0, high=len(self.examples) - 1
            )
        )
        chosen = self.examples[number]
        return chosen.picture.image, list(chosen.words), chosen.caption

    def choose_model(self, model: Any, method: Any) -> tuple[Any, Any, str]:
        """The methods, words and remarks that belong to a model."""
        offer = self.actions.offers[model]
        kept = method if method in offer.methods else offer.methods[0]
        return (
            gr.update(choices=list(offer.methods), value=kept),
            gr.update(choices=list(offer.words)),
            self.remark(model, kept),
        )

    def remark(self, model: Any, method: Any) -> str:
        """What the method is, and which ones this model cannot serve."""
        from clip_surgery.methods.registry import METHODS

        offer = self.actions.offers[model]
        told = f"{method}: {METHODS[method].paper}." if method in METHODS else ""
        missing = "".join(f"\n- {reason}" for reason in offer.left_out.values())
        return told + (f"\n\nNot with this model:{missing}" if missing else "")

    def explain(
        self,
        picture: Any,
        words: Any,
        model: Any,
        method: Any,
        contrast: Any,
        least: Any,
        background: Any,
    ) -> tuple[Any, ...]:
        """Everything that one look of the model shows."""
        read = read_upload(self.actions, picture)
        visit = self.actions.explain(read, words, model, method)
        return (
            visit,
            views.maps_view(visit, contrast),
            views.points_view(visit, _least(least)),
            views.tags_view(visit.explanation),
            views.image_view(visit.picture),
            views.segments_view(visit, background),
        )

    def redraw(self, visit: Any, contrast: Any) -> str:
        """The maps in another contrast."""
        return views.maps_view(still_there(visit), contrast)

    def repoint(self, visit: Any, least: Any) -> str:
        """The points of the words that are likely enough."""
        return views.points_view(still_there(visit), _least(least))

    def recolour(self, visit: Any, background: Any) -> str:
        """The segments with another background."""
        return views.segments_view(still_there(visit), background)

    def tag(self, picture: Any, model: Any) -> str:
        """All words that the page suggests, best first."""
        return views.tags_view(self.actions.find_tags(read_upload(self.actions, picture), model))

    def sentence(self, picture: Any, sentence: Any, model: Any, method: Any) -> str:
        """The words of a sentence."""
        read = read_upload(self.actions, picture)
        return views.words_view(read, self.actions.sentence(read, sentence, model, method))

    def attention(self, visit: Any, event: gr.EventData) -> str:
        """What the clicked point looks at."""
        kept = still_there(visit)
        small = shrunk(kept.picture, views.DRAWN_SIDE)
        across, down = (
            read_number(v, "a point", low=0, high=1)
            for v in (getattr(event, axis, None) for axis in "xy")
        )
        point = (
            min(across * small.size.width, small.size.width - 1),
            min(down * small.size.height, small.size.height - 1),
        )
        return views.attention_view(small, self.actions.attention(small, point, kept.model))

    def masks(self, visit: Any) -> str:
        """The objects cut out."""
        kept = still_there(visit)
        return views.masks_view(kept, self.actions.masks(kept))

    def save_picture(self, visit: Any, contrast: Any, opacity: Any) -> dict[str, str]:
        """The maps as a PNG, for the browser to save."""
        kept = still_there(visit)
        share = read_number(opacity, "opacity", low=0, high=1)
        content = io.BytesIO()
        drawing(kept, contrast=contrast, opacity=share).save(content, "PNG")
        return _file(kept.picture.name, ".png", "image/png", content.getvalue())

    def save_json(self, visit: Any) -> dict[str, str]:
        """All that was found as JSON, for the browser to save."""
        kept = still_there(visit)
        content = json.dumps(everything(kept), ensure_ascii=False, indent=2)
        return _file(kept.picture.name, ".json", "application/json", content.encode())


def _least(sent: Any) -> float | None:
    """The least presence; 0 asks for nothing."""
    return read_number(sent, "the least presence", low=0, high=1) or None


def _file(picture: str, suffix: str, kind: str, content: bytes) -> dict[str, str]:
    return {"name": f"{PurePath(picture).stem}{suffix}", "content": file_link(content, kind)}
