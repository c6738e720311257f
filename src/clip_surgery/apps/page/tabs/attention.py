"""The tab "Attention": what the patch at a chosen point attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.html_cards import Card, cards_view, colour_scale, disc, heat_layer
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.requests import read_point
from clip_surgery.apps.page.scripts import CLICK_POINT
from clip_surgery.apps.page.sessions import (
    Results,
    reduced,
    require_session,
    require_shown,
)
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import (
    PageParts,
    Tab,
    command_words,
    load_lines,
    result_element,
)
from clip_surgery.errors import InputError
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.explanations import DIGITS
from clip_surgery.tasks.inspection import AttentionMap

DRAWN_SIDE = 768
"""Longer side in pixels of the image in the attention view."""
KEYS_NOTE = "or use the arrow keys and Enter"
KEYS_ALT = (
    "The image. Arrow keys move the point, Enter shows what the patch at this point attends to."
)
ATTENTION_TITLES = {"q-k": "CLIP's own attention (q-k)", "v-v": "CLIP Surgery's attention (v-v)"}


@dataclass(frozen=True, eq=False)
class PointAttention:
    """The attention maps of a point and the image, reduced. The point is in its pixels."""

    maps: Sequence[AttentionMap]
    image: InputImage


class AttentionTab(Tab):
    """The image to be clicked, and the attention of the patch at the clicked point."""

    name, title = "attention", "Attention"
    missing = "Choose a point first."

    def build(self) -> None:
        """Create the image to be clicked."""
        self.result = result_element("attention", self.hint, CLICK_POINT)

    def connect(self, parts: PageParts) -> None:
        """Show the attention of a clicked point."""
        outputs = [parts.shown, self.result]
        parts.run(self.result.click, self.choose_point, parts.shown, outputs)

    def choose_point(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, and the attention of the patch at the clicked point."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        small = reduced(session.image, DRAWN_SIDE)
        maps = self.actions.attention(small, read_point(event, small.size), session.model)
        kept.keep(before, self.name, PointAttention(maps, small))
        return kept, attention_view(small, maps)

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the image to be clicked, with the attention of the last point if there is one."""
        attention = results.by_tab.get(self.name)
        if isinstance(attention, PointAttention):
            return attention_view(attention.image, attention.maps)
        return image_view(require_session(results).image)

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the attention maps over the image."""
        attention = self._attention(results)
        image = attention.image
        style = Style.of(image, tile=340, opacity=settings.opacity)
        tiles = [
            Tile(style.mapped(image, attention_map.heatmap()), f"attention {attention_map.kind}")
            for attention_map in attention.maps
        ]
        x, y = attention.maps[0].point
        return gallery(tiles, heading=f"{image.name} · point x {x:.0f}, y {y:.0f} px").image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the point and the weights of its attention."""
        attention = results.by_tab.get(self.name)
        if not isinstance(attention, PointAttention):
            return {}
        size = attention.image.size
        record = {
            "image": attention.image.name,
            "size": {"height": size.height, "width": size.width},
            "point": [round(value, 1) for value in attention.maps[0].point],
            "maps": [
                {
                    "kind": attention_map.kind,
                    "patch": list(attention_map.patch),
                    "weights": attention_map.weights.double().numpy().round(DIGITS).tolist(),
                }
                for attention_map in attention.maps
            ],
        }
        return {"attention": record}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the attention."""
        x, y = self._point(results)
        session = self.require(results)
        arguments = f"explainer, {session.image.name!r}, ({x}, {y})"
        return [*load_lines(session), f"maps = clip_surgery.attention({arguments})"]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `inspect`."""
        x, y = self._point(results)
        return [*command_words("inspect", self.require(results)), f"--point={x},{y}"]

    def _attention(self, results: Results) -> PointAttention:
        attention = results.by_tab.get(self.name)
        if not isinstance(attention, PointAttention):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return attention

    def _point(self, results: Results) -> tuple[float, float]:
        """The chosen point in pixels of the explained image, which may be larger."""
        attention = self._attention(results)
        original = require_session(results).explanation.framings[0].original
        scale = original.width / attention.image.size.width
        x, y = attention.maps[0].point
        return (round(x * scale, 1), round(y * scale, 1))


def image_view(image: InputImage) -> str:
    """Return the image by itself, to be clicked."""
    card = Card(title="Click anywhere in the image", note=KEYS_NOTE, alt=KEYS_ALT)
    return cards_view(image, [card], kind="cs-click")


def attention_view(image: InputImage, attention_maps: Sequence[AttentionMap]) -> str:
    """Return the clicked point, and a card per kind of attention of its patch."""
    x, y = attention_maps[0].point
    mark = disc(x, y, max(image.size) / 60)
    position = f"x {x:.0f}, y {y:.0f} px"
    cards = [Card(title="The point", note=position, marks=mark, alt=f"{KEYS_ALT} Now {position}.")]
    for attention_map in attention_maps:
        heatmap = attention_map.heatmap()
        title = ATTENTION_TITLES.get(attention_map.kind, attention_map.kind)
        alt = f"{title} of the point: {describe_peak(heatmap, image.size)}"
        cards.append(
            Card(
                title=title,
                layer=heat_layer(heatmap),
                marks=mark,
                alt=alt,
                values=encode_map(heatmap),
            )
        )
    meaning = "share of the attention, divided by the largest share of each map"
    return cards_view(image, cards, kind="cs-click") + colour_scale(meaning)
