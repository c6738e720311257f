"""The tab "Masks": the object of each text, cut out by a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import Card, cards_view, cross, data_link, disc
from clip_surgery.apps.page.requests import read_point
from clip_surgery.apps.page.scripts import CLICK_POINT, TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import (
    Results,
    Session,
    Shown,
    require_session,
    require_shown,
)
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import (
    PageParts,
    Tab,
    command_words,
    explain_lines,
    heading,
    result_element,
)
from clip_surgery.errors import InputError
from clip_surgery.figures.annotations import cut_out, draw_annotations
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.records.regions import masks_record
from clip_surgery.tasks.masks import Mask

SEGMENTER = "facebook/sam-vit-base"
"""The segmenter in the code; the page may use another one."""
KEYS_NOTE = "or use the arrow keys and Enter"
KEYS_ALT = "The image. Arrow keys move the point, Enter segments the object at this point."


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMasks:
    """The masks of an image.

    Attributes:
        of_texts: the object of each text, or None before they were segmented.
        at_point: the object at the point that was clicked last, or None.
    """

    of_texts: Sequence[Mask | None] | None = None
    at_point: Mask | None = None

    def all(self, session: Session) -> list[tuple[str, Mask | None]]:
        """Each mask with its title, the clicked object first."""
        clicked: list[tuple[str, Mask | None]] = []
        if self.at_point is not None:
            clicked.append((self.at_point.text, self.at_point))
        if self.of_texts is None:
            return clicked
        return [*clicked, *zip(session.explanation.texts, self.of_texts, strict=True)]


NO_MASKS = ShownMasks()


class MasksTab(Tab):
    """The image to be clicked, the object at the clicked point, and a card per text."""

    name, title = "masks", "Masks"
    hint = "Press Explain, then Segment objects, or click an object."
    missing = "Press Segment objects or click an object first."

    def build(self) -> None:
        """Create the button and the result."""
        self.segment = gr.Button("Segment objects", size="sm", elem_id="segment")
        self.result = result_element("masks", self.hint, TOGGLE_WIDTH + CLICK_POINT)

    def connect(self, parts: PageParts) -> None:
        """Segment all objects when the button is pressed, and one when it is clicked."""
        outputs = [parts.shown, self.result]
        parts.run(self.segment.click, self.segment_objects, parts.shown, outputs)
        parts.run(self.result.click, self.segment_at_point, parts.shown, outputs)

    def segment_objects(self, shown: Any) -> tuple[Any, str]:
        """Return what is shown, and the object of each text."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        masks = self.actions.masks(session)
        return self._keep(kept, before, replace(self._shown_masks(before), of_texts=masks))

    def segment_at_point(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, and the object at the clicked point."""
        kept = require_shown(shown)
        before = kept.results
        image = require_session(before).image
        mask = self.actions.mask_at(image, read_point(event, image.size))
        return self._keep(kept, before, replace(self._shown_masks(before), at_point=mask))

    def _keep(self, kept: Shown, before: Results, masks: ShownMasks) -> tuple[Any, str]:
        kept.keep(before, self.name, masks)
        return kept, masks_view(require_session(before), masks)

    def require(self, results: Results) -> Session:
        """Return the explanation of results with masks.

        Raises:
            InputError: if nothing was segmented.
        """
        session = require_session(results)
        if self.name not in results.by_tab:
            raise InputError(f"{self.missing} This tab has no result yet.")
        return session

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the image to be clicked, and a card per mask."""
        return masks_view(require_session(results), self._shown_masks(results))

    def figure(self, results: Results, settings: Settings) -> Image.Image:
        """Return the objects, cut out."""
        session = self.require(results)
        style = Style.of(session.image, tile=340)
        tiles = []
        for text, mask in self._shown_masks(results).all(session):
            drawn, note = style.plain(session.image), "no object found"
            if mask is not None:
                drawn = drawn.edited(partial(cut_out, mask=mask.mask)).edited(
                    partial(draw_annotations, original=session.image.size, points=mask.points)
                )
                note = f"score {mask.score:.2f}"
            tiles.append(Tile(drawn, text, note))
        return gallery(tiles, heading=heading(session)).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the mask of each text and of the clicked object."""
        session = results.session
        if session is None or self.name not in results.by_tab:
            return {}
        titles, masks = zip(*self._shown_masks(results).all(session), strict=True)
        return {"masks": masks_record(session.kept_explanation, masks, titles)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that segments the object of each text."""
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

    def _shown_masks(self, results: Results) -> ShownMasks:
        masks = results.by_tab.get(self.name)
        return masks if isinstance(masks, ShownMasks) else NO_MASKS


def masks_view(session: Session, shown_masks: ShownMasks) -> str:
    """Return the image to be clicked, and a card per mask with the points of its prompt."""
    click = Card(title="Click an object to segment it", note=KEYS_NOTE, alt=KEYS_ALT)
    cards = [_mask_card(title, mask, session) for title, mask in shown_masks.all(session)]
    masks = cards_view(session.image, cards, kind="cs-zoom cs-solid") if cards else ""
    image = cards_view(session.image, [click], kind="cs-click")
    return f'{image}<div class="cs-masks">{masks}</div>'


def _mask_card(title: str, mask: Mask | None, session: Session) -> Card:
    unit = max(session.image.size) / 60
    if mask is None:
        note = "no object found"
        return Card(title=title, note=note, faint=True, alt=f"Mask of {title}: {note}")
    marks = [cross(x, y, unit * 0.8) for x, y in mask.points.negatives.tolist()]
    marks += [disc(x, y, unit) for x, y in mask.points.positives.tolist()]
    note = f"score {mask.score:.2f}"
    area = float(mask.mask.double().mean())
    alt = f"Mask of {title}: {note}, {area:.0%} of the image"
    return Card(
        title=title, note=note, layer=_dark_outside(mask.mask), marks="".join(marks), alt=alt
    )


def _dark_outside(mask: Tensor) -> str:
    """Link of a layer that darkens everything outside of a mask (H, W)."""
    covered = np.zeros((*mask.shape, 4), np.uint8)
    covered[..., 3] = np.where(mask.numpy(), 0, 205)
    return data_link(Image.fromarray(covered))
