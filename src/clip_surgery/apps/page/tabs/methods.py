"""The tab "Methods": the maps of one text by all methods that work with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.all_methods import explain_by_all_methods
from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    heat_layer,
    plain,
    text_buttons,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.requests import read_number, read_upload
from clip_surgery.apps.page.results import record
from clip_surgery.apps.page.scripts import CHOOSE_PART
from clip_surgery.apps.page.sessions import (
    Results,
    Session,
    at_size,
    reduced,
    require_session,
    require_shown,
    within,
)
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.maps import SCALES
from clip_surgery.apps.page.tabs.tab import (
    DRAWN_SIDE,
    PageParts,
    Tab,
    explain_lines,
    result_element,
)
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.tasks.heatmaps import heatmaps

PROGRESS = gr.Progress()
"""Tells Gradio to pass an object that shows the progress."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodMaps:
    """Explanations of one image by several methods.

    Attributes:
        explanations: the explanation of each method by its name.
        refused: for each method without a result, the reason.
        text: index of the text that is shown.
    """

    explanations: Mapping[str, Explanation]
    refused: Mapping[str, str]
    text: int = 0


class MethodsTab(Tab):
    """A card per method with its map of one text; buttons choose the text."""

    name, title = "methods", "Methods"
    hint = "Press Explain, then Show all methods."
    missing = "Press Show all methods first."

    def build(self) -> None:
        """Create the button and the result."""
        self.all = gr.Button("Show all methods", size="sm", elem_id="all-methods")
        self.result = result_element("methods", self.hint, CHOOSE_PART)

    def connect(self, parts: PageParts) -> None:
        """Run all methods when the button is pressed, and show another text when one is chosen."""
        inputs = [parts.shown, parts.image]
        parts.run(self.all.click, self.run_methods, inputs, [parts.shown, self.result])
        parts.draw(self.result.click, self.choose_text, parts.shown, [parts.shown, self.result])

    def run_methods(
        self, shown: Any, image: Any, progress: gr.Progress = PROGRESS
    ) -> tuple[Any, str]:
        """Return what is shown, and the maps of all methods that work with the model."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        checked_image = read_upload(self.actions, image)
        explanations, refused = explain_by_all_methods(
            self.actions,
            checked_image,
            session.explanation.texts,
            session.model,
            on_method=lambda number, count, method: progress((number, count), desc=method),
        )
        result = MethodMaps(explanations=explanations, refused=refused)
        kept.keep(before, self.name, result)
        return kept, methods_view(session, result)

    def choose_text(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, and the maps of another text."""
        kept = require_shown(shown)
        before = kept.results
        session, result = require_session(before), self._maps(before)
        last = len(session.explanation.texts) - 1
        number = int(read_number(getattr(event, "text", None), "a text", low=0, high=last))
        result = replace(result, text=number)
        kept.keep(before, self.name, result)
        return kept, methods_view(session, result)

    def has_result(self, results: Results) -> bool:
        """Whether the methods were run."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a card per method."""
        return methods_view(require_session(results), self._maps(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps of all methods for the text that is shown."""
        session, result = self.require(results), self._maps(results)
        image = reduced(session.image, DRAWN_SIDE)
        style = Style.of(image, tile=240, opacity=settings.opacity)
        tiles = [
            Tile(style.mapped(image, heatmaps(at_size(each, image.size))[0][result.text]), name)
            for name, each in result.explanations.items()
        ]
        text = session.explanation.texts[result.text]
        return gallery(tiles, heading=f"{image.name} · {text} · {session.model}").image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return scores, presence and peaks by method."""
        if not self.has_result(results):
            return {}
        explanations = self._maps(results).explanations
        return {"methods": {name: record(each) for name, each in explanations.items()}}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the maps of each method."""
        session, methods = self.require(results), list(self._maps(results).explanations)
        texts = list(session.explanation.texts)
        *lines, _ = explain_lines(session)
        return [
            *lines,
            "maps = {}",
            f"for method in {methods}:",
            f"    explanation = explainer.with_method(method)({session.image.name!r}, {texts})",
            "    maps[method] = clip_surgery.heatmaps(explanation)[0]",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `compare`."""
        session = self.require(results)
        texts = [f"--text={text}" for text in session.explanation.texts]
        options = [f"--model={session.model}", "--methods=all"]
        return ["clip-surgery", "compare", session.image.name, *texts, *options]

    def _maps(self, results: Results) -> MethodMaps:
        result = results.by_tab.get(self.name)
        if not isinstance(result, MethodMaps):
            raise InputError(self.missing)
        return result


def methods_view(session: Session, result: MethodMaps) -> str:
    """Return buttons for the texts, and a card per method."""
    size = within(session.image.size, LAYER_SIDE)
    text = session.explanation.texts[result.text]
    cards = []
    for name, explanation in result.explanations.items():
        heatmap = heatmaps(at_size(explanation, size), [text])[0][0]
        alt = f"Map of {text} by {name}: {describe_peak(heatmap, session.image.size)}"
        layer, values = heat_layer(heatmap), encode_map(heatmap)
        cards.append(Card(title=name, layer=layer, values=values, alt=alt))
    return (
        text_buttons(session.explanation.texts, result.text)
        + cards_view(session.image, cards, kind="cs-zoom")
        + colour_scale(SCALES["text"])
        + "".join(
            f'<p class="cs-note">{plain(name)}: no result ({plain(reason)})</p>'
            for name, reason in result.refused.items()
        )
    )
