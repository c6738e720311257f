"""The tab "Segments": the best text of each pixel."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from clip_surgery.apps.page.html_cards import Card, cards_view, data_link, hint, plain
from clip_surgery.apps.page.map_values import encode_classes
from clip_surgery.apps.page.messages import NO_PIXEL_SCORES
from clip_surgery.apps.page.results import segmentation
from clip_surgery.apps.page.sessions import Results, Session, require_session, require_shown
from clip_surgery.apps.page.settings import Settings, read_background
from clip_surgery.apps.page.tabs.tab import (
    PageParts,
    Tab,
    command_words,
    explain_lines,
    heading,
    result_element,
)
from clip_surgery.figures.segments import segmentation_figure
from clip_surgery.inputs.names import printable
from clip_surgery.records.mask_files import palette_image
from clip_surgery.records.regions import segmentation_record
from clip_surgery.tasks.segmentation import Background

BACKGROUNDS = [("only where a text scores high", "threshold"), ("every pixel", "none")]


class SegmentsTab(Tab):
    """Each pixel in the colour of its best text. A click on a segment leaves only this text."""

    name, title = "segments", "Segments"

    def build(self) -> None:
        """Create the result and the rule for the background."""
        self.result = result_element("segments", self.hint)
        self.settings["background"] = gr.Radio(
            BACKGROUNDS, value="threshold", label="Pixels", elem_id="background"
        )

    def connect(self, parts: PageParts) -> None:
        """Redraw the segments when the rule for the background changes."""
        rule = self.settings["background"]
        parts.draw(rule.input, self.change_background, [parts.shown, rule], self.result)

    def change_background(self, shown: Any, background: Any) -> str:
        """Return the segments with another rule for the background."""
        session = require_session(require_shown(shown).results)
        return segments_view(session, read_background(background))

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the segments and the area of each text."""
        return segments_view(require_session(results), settings.background)

    def figure(self, results: Results, settings: Settings) -> Image.Image:
        """Return the segments over the image."""
        session = self.require(results)
        return segmentation_figure(
            session.image,
            segmentation(session, settings.background),
            session.explanation.texts,
            heading=heading(session),
            opacity=settings.opacity,
        ).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the pixels of each text; nothing if the method does not score pixels."""
        session = results.session
        if session is None or session.explanation.similarity is None:
            return {}
        classes = [[text] for text in session.explanation.texts]
        segments = segmentation(session, settings.background)
        return {"segments": segmentation_record(session.kept_explanation, segments, classes)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the segments."""
        arguments = f"explanation, background={settings.background!r}"
        lines = explain_lines(self.require(results))
        return [*lines, f"classes = clip_surgery.segment({arguments})[0]"]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `segment`."""
        option = f"--background={settings.background}"
        return [*command_words("segment", self.require(results)), option]


def segments_view(session: Session, background: Background) -> str:
    """Return each pixel in the colour of its best text, and the area of each text."""
    if session.explanation.similarity is None:
        return hint(NO_PIXEL_SCORES)
    classes = segmentation(session, background).cpu().numpy()
    palette = palette_image(classes).getpalette() or []
    texts = session.explanation.texts
    counts = np.bincount(classes.ravel() + 1, minlength=1 + len(texts))
    shares = counts[1:] / classes.size
    colours = palette_image(classes).convert("RGB")
    colours.putalpha(Image.fromarray(np.where(classes < 0, 0, 255).astype(np.uint8)))
    order = np.argsort(-shares).tolist()
    legend = "".join(
        f'<li><button type="button" data-class="{n + 1}" aria-pressed="false" '
        f'data-colour="{_rgb(palette, n)}"><i style="background:rgb({_rgb(palette, n)})"></i>'
        f"{plain(texts[n])}<span>{shares[n]:.1%}</span></button></li>"
        for n in order
    )
    alt = "Best text of each pixel: " + ", ".join(f"{texts[n]} {shares[n]:.1%}" for n in order)
    card = Card(
        title="Best text of each pixel",
        note="click a segment to see only its text",
        layer=data_link(colours),
        alt=alt,
        values=encode_classes(classes),
    )
    names = escape(json.dumps([printable(text) for text in texts]))
    return (
        f'<div class="cs-segments" data-names="{names}">{cards_view(session.image, [card])}'
        f'<ul class="cs-legend">{legend}</ul></div>'
    )


def _rgb(palette: list[int], number: int) -> str:
    """The colour of a text in a palette that begins with the background."""
    return ",".join(map(str, palette[3 * number + 3 : 3 * number + 6]))
