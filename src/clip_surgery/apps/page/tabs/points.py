"""The tab "Points": points on and off each object, and its best box."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.html_cards import Card, box, cards_view, cross, disc
from clip_surgery.apps.page.requests import read_number
from clip_surgery.apps.page.results import points_and_boxes, points_result
from clip_surgery.apps.page.scripts import TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import Results, Session, require_session, require_shown
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import (
    PageParts,
    Tab,
    command_words,
    explain_lines,
    heading,
    result_element,
)
from clip_surgery.figures.annotations import draw_annotations
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.tiles import Style, Tile


class PointsTab(Tab):
    """A card per text with its points and its best box."""

    name, title = "points", "Points"

    def build(self) -> None:
        """Create the result and the minimum probability."""
        self.result = result_element("points", self.hint, TOGGLE_WIDTH)
        self.settings["min_presence"] = gr.Slider(
            0, 1, 0, step=0.05, label="Leave out texts less likely than", elem_id="min-presence"
        )

    def connect(self, parts: PageParts) -> None:
        """Redraw the points when the minimum probability changes."""
        slider = self.settings["min_presence"]
        inputs = [parts.shown, slider]
        parts.draw(slider.release, self.change_min_presence, inputs, self.result)

    def change_min_presence(self, shown: Any, min_presence: Any) -> str:
        """Return the points of the texts that are likely enough to be present."""
        session = require_session(require_shown(shown).results)
        return points_view(session, read_number(min_presence, "a probability", low=0, high=1))

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a card per text."""
        return points_view(require_session(results), settings.min_presence)

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return points and boxes over the image."""
        session = self.require(results)
        style = Style.of(session.image, tile=340)
        tiles = []
        by_text = points_and_boxes(session.kept_explanation, settings.min_presence)
        for text, (points, boxes) in by_text.items():
            drawn = style.plain(session.image).edited(
                partial(
                    draw_annotations, original=session.image.size, points=points, boxes=boxes[:1]
                )
            )
            note = f"{len(points.positives)} on, {len(points.negatives)} off"
            tiles.append(Tile(drawn, text, note if len(points) else "no points"))
        return gallery(tiles, heading=heading(session)).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return points and boxes of the texts."""
        if results.session is None:
            return {}
        result = points_result(results.session.explanation, settings.min_presence)
        return {"objects": result["objects"]}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes points and boxes."""
        presence = f"min_presence={settings.min_presence}"
        return [
            *explain_lines(self.require(results)),
            f"points = clip_surgery.points(explanation, {presence})[0]",
            f"boxes = clip_surgery.boxes(explanation, {presence})[0]",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `points`."""
        words = [*command_words("points", self.require(results)), "--boxes"]
        if settings.min_presence is not None:
            words.append(f"--min-presence={settings.min_presence}")
        return words


def points_view(session: Session, min_presence: float | None) -> str:
    """Return a card per text with points on and off the object, and its best box."""
    unit = max(session.image.size) / 60
    cards = []
    by_text = points_and_boxes(session.kept_explanation, min_presence)
    for text, (points, boxes) in by_text.items():
        marks = [box(best_box.xyxy) for best_box in boxes[:1]]
        marks += [cross(x, y, unit * 0.8) for x, y in points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in points.positives[::-1].tolist()]
        counts = f"{len(points.positives)} on, {len(points.negatives)} off"
        note = counts if marks else "no points"
        cards.append(
            Card(title=text, note=note, marks="".join(marks), alt=f"Points of {text}: {note}")
        )
    return cards_view(session.image, cards, kind="cs-zoom")
