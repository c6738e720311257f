"""The tab "Masks": the object of each text, cut out by a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import Card, cards_view, cross, data_link, disc
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
from clip_surgery.figures.annotations import cut_out, draw_annotations
from clip_surgery.figures.layout import Style, Tile, gallery
from clip_surgery.records.regions import masks_record
from clip_surgery.tasks.masks import Mask

SEGMENTER = "facebook/sam-vit-base"
"""The segmenter in the code; the page may use another one."""


class MasksTab(Tab):
    """A card per text with the segmented object and the points of its prompt."""

    name, title = "masks", "Masks"
    hint = "Press Explain, then Segment objects."
    missing = "Press Segment objects first."

    def build(self) -> None:
        """Create the button and the result."""
        self.segment = gr.Button("Segment objects", size="sm", elem_id="segment")
        self.result = result_element("masks", self.hint, TOGGLE_WIDTH)

    def connect(self, parts: PageParts) -> None:
        """Segment the objects when the button is pressed."""
        outputs = [parts.shown, self.result]
        parts.run(self.segment.click, self.segment_objects, parts.shown, outputs)

    def segment_objects(self, shown: Any) -> tuple[Any, str]:
        """Return what is shown, and the segmented objects."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        masks = self.actions.masks(session)
        kept.keep(before, self.name, masks)
        return kept, masks_view(session, masks)

    def has_result(self, results: Results) -> bool:
        """Whether objects were segmented."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a card per text."""
        return masks_view(require_session(results), results.by_tab[self.name])

    def figure(self, results: Results, settings: Settings) -> Image.Image:
        """Return the objects, cut out."""
        session = self.require(results)
        style = Style.of(session.image, tile=340)
        tiles = []
        masks = results.by_tab[self.name]
        for text, mask in zip(session.explanation.texts, masks, strict=True):
            drawn, note = style.plain(session.image), "no object found"
            if mask is not None:
                drawn = cut_out(drawn, mask.mask)
                drawn = draw_annotations(drawn, session.image.size, points=mask.points)
                note = f"score {mask.score:.2f}"
            tiles.append(Tile(drawn, text, note))
        return gallery(tiles, heading=heading(session))

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the mask of each text."""
        if results.session is None or not self.has_result(results):
            return {}
        kept = results.session.kept_explanation
        return {"masks": masks_record(kept, results.by_tab[self.name], kept.texts)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that segments the objects."""
        session = self.require(results)
        arguments = f"explanation, [{session.image.name!r}], segmenter"
        return [
            *explain_lines(session),
            f"segmenter = clip_surgery.load_segmenter({SEGMENTER!r})",
            f"masks = clip_surgery.masks({arguments})[0]",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `masks`."""
        return command_words("masks", self.require(results))


def masks_view(session: Session, masks: Sequence[Mask | None]) -> str:
    """Return a card per text with the segmented object and the points of its prompt."""
    unit = max(session.image.size) / 60
    cards = []
    for text, mask in zip(session.explanation.texts, masks, strict=True):
        if mask is None:
            note = "no object found"
            cards.append(Card(title=text, note=note, faint=True, alt=f"Mask of {text}: {note}"))
            continue
        marks = [cross(x, y, unit * 0.8) for x, y in mask.points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in mask.points.positives.tolist()]
        layer = _dark_outside(mask.mask)
        note = f"score {mask.score:.2f}"
        area = float(mask.mask.double().mean())
        alt = f"Mask of {text}: {note}, {area:.0%} of the image"
        cards.append(Card(title=text, note=note, layer=layer, marks="".join(marks), alt=alt))
    return cards_view(session.image, cards, kind="cs-zoom cs-solid")


def _dark_outside(mask: Tensor) -> str:
    """Link of a layer that darkens everything outside of a mask (H, W)."""
    covered = np.zeros((*mask.shape, 4), np.uint8)
    covered[..., 3] = np.where(mask.numpy(), 0, 205)
    return data_link(Image.fromarray(covered))
