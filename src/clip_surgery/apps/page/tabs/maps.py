"""The tab "Maps": where each text is in the image."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL.Image import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    heat_layer,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.results import maps, record
from clip_surgery.apps.page.scripts import TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import (
    Results,
    Session,
    at_size,
    reduced,
    require_session,
    require_shown,
)
from clip_surgery.apps.page.settings import Settings, read_contrast
from clip_surgery.apps.page.tabs.tab import (
    DRAWN_SIDE,
    PageParts,
    Tab,
    command_words,
    explain_lines,
    heading,
    result_element,
)
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import OPACITY
from clip_surgery.inputs.images import InputImage
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.presence import presence

UNLIKELY = 0.1
"""Texts with a lower probability of presence are drawn paler."""
SCALES = {
    "text": "each map from its own lowest to its own highest value",
    "image": "all maps from their common lowest to their common highest value",
    "presence": "each map from its own lowest value, times the presence of its text",
}
CONTRASTS = [
    ("each text by itself", "text"),
    ("all texts on one scale", "image"),
    ("by presence", "presence"),
]


class MapsTab(Tab):
    """A card per text with its map and its probability of presence."""

    name, title = "maps", "Maps"

    def build(self) -> None:
        """Create the result and the contrast."""
        self.result = result_element("maps", self.hint, TOGGLE_WIDTH)
        self.settings["contrast"] = gr.Radio(
            CONTRASTS, value="text", label="Contrast", elem_id="contrast"
        )

    def connect(self, parts: PageParts) -> None:
        """Redraw the maps when the contrast changes."""
        contrast = self.settings["contrast"]
        parts.draw(contrast.input, self.change_contrast, [parts.shown, contrast], self.result)

    def change_contrast(self, shown: Any, contrast: Any) -> str:
        """Return the maps in another contrast."""
        results = require_shown(shown).results
        require_session(results)
        return self.draw(results, Settings(contrast=read_contrast(contrast)))

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a card per text."""
        return maps_view(require_session(results), settings.contrast)

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps over the image as one figure."""
        session = self.require(results)
        return drawing(session, contrast=settings.contrast, opacity=settings.opacity)

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return scores, presence and peaks of the texts."""
        session = results.session
        return {} if session is None else {"explanation": record(session.explanation)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that writes a map per text."""
        session = self.require(results)
        image = session.image.name
        return [
            *explain_lines(session),
            f"maps = clip_surgery.heatmaps(explanation, contrast={settings.contrast!r})[0]",
            "for text, heatmap in zip(explanation.texts, maps):",
            f"    figure = clip_surgery.overlay({image!r}, heatmap, opacity={settings.opacity})",
            '    figure.save(f"{text}.png")',
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `explain`."""
        options = [f"--contrast={settings.contrast}", f"--opacity={settings.opacity}"]
        return [*command_words("explain", self.require(results)), *options]


def maps_view(session: Session, contrast: Contrast) -> str:
    """Return a card per text with its map and its probability of presence."""
    heatmaps_by_text = maps(session, contrast, side=LAYER_SIDE)
    probabilities = presence(session.explanation)[0].tolist()
    cards = [
        _map_card(text, probability, heatmap, session.image)
        for text, probability, heatmap in zip(
            session.explanation.texts, probabilities, heatmaps_by_text, strict=True
        )
    ]
    return cards_view(session.image, cards, kind="cs-zoom") + colour_scale(SCALES[contrast])


def _map_card(text: str, probability: float, heatmap: Tensor, image: InputImage) -> Card:
    """The map of a text; the title says if the text is probably not in the image."""
    absent = probability < UNLIKELY
    note = f"presence {probability:.0%}" + (", probably absent" if absent else "")
    return Card(
        title=text,
        note=note,
        layer=heat_layer(heatmap),
        faint=absent,
        alt=f"Map of {text}: {note}, {describe_peak(heatmap, image.size)}",
        values=encode_map(heatmap),
    )


def drawing(session: Session, *, contrast: Contrast = "text", opacity: float = OPACITY) -> Image:
    """Return the maps over the image as one figure."""
    image = reduced(session.image, DRAWN_SIDE)
    explanation = at_size(session.explanation, image.size)
    probabilities = presence(explanation)[0].tolist()
    return figure(
        image,
        heatmaps(explanation, contrast=contrast)[0],
        explanation.texts,
        notes=[f"presence {probability:.0%}" for probability in probabilities],
        heading=heading(session),
        opacity=opacity,
    ).image()
