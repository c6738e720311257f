"""The tab "Attention": what a chosen point attends to, on the whole and in every head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.attention_heads import ShownHeads
from clip_surgery.apps.page.attention_views import PointAttention, attention_view, image_view
from clip_surgery.apps.page.requests import read_number, read_point
from clip_surgery.apps.page.scripts import CLICK_POINT_OR_HEAD
from clip_surgery.apps.page.sessions import (
    Results,
    Shown,
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
from clip_surgery.figures.attention import attention_figure
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.records.explanations import DIGITS

DRAWN_SIDE = 768
"""Longer side in pixels of the image in the attention view."""


class AttentionTab(Tab):
    """The image to be clicked, the attention of the clicked point, and the heads of the model."""

    name, title = "attention", "Attention"
    missing = "Choose a point first."

    def build(self) -> None:
        """Create the buttons and the image to be clicked."""
        with gr.Row(elem_classes="cs-line"):
            self.heads_of_image = gr.Button(
                "All heads: whole image", size="sm", elem_id="heads-of-image", min_width=150
            )
            self.heads_of_point = gr.Button(
                "All heads: chosen point", size="sm", elem_id="heads-of-point", min_width=150
            )
        self.result = result_element("attention", self.hint, CLICK_POINT_OR_HEAD)

    def connect(self, parts: PageParts) -> None:
        """Show the attention of a clicked point, of all heads, and of a chosen head."""
        outputs = [parts.shown, self.result]
        parts.run(self.result.click, self.choose_point, parts.shown, outputs)
        parts.run(self.heads_of_image.click, self.show_image_heads, parts.shown, outputs)
        parts.run(self.heads_of_point.click, self.show_point_heads, parts.shown, outputs)
        parts.draw(self.result.select, self.choose_head, parts.shown, outputs)

    def choose_point(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, and the attention of the patch at the clicked point."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        small = reduced(session.image, DRAWN_SIDE)
        point = read_point(event, small.size)
        maps = self.actions.attention(small, point, session.model)
        attention = PointAttention(maps, small)
        earlier = before.by_tab.get(self.name)
        if isinstance(earlier, PointAttention) and earlier.heads is not None:
            head_attention = self.actions.head_attention(small, point, session.model)
            attention = replace(attention, heads=ShownHeads.of(head_attention, earlier.heads))
        return self._keep(kept, before, attention)

    def show_image_heads(self, shown: Any) -> tuple[Any, str]:
        """Return what is shown, and what the class token attends to in every head."""
        return self._show_heads(require_shown(shown), of_point=False)

    def show_point_heads(self, shown: Any) -> tuple[Any, str]:
        """Return what is shown, and what the patch at the chosen point attends to in every head."""
        return self._show_heads(require_shown(shown), of_point=True)

    def _show_heads(self, kept: Shown, *, of_point: bool) -> tuple[Any, str]:
        before = kept.results
        session = require_session(before)
        attention = before.by_tab.get(self.name)
        if not isinstance(attention, PointAttention):
            attention = PointAttention((), reduced(session.image, DRAWN_SIDE))
        if of_point and attention.point is None:
            raise InputError("Choose a point first: click in the image.")
        point = attention.point if of_point else None
        head_attention = self.actions.head_attention(attention.image, point, session.model)
        heads = ShownHeads.of(head_attention, attention.heads)
        return self._keep(kept, before, replace(attention, heads=heads))

    def choose_head(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, with the maps of another head or small maps of the other kind."""
        kept = require_shown(shown)
        before = kept.results
        attention = before.by_tab.get(self.name)
        if not isinstance(attention, PointAttention) or attention.heads is None:
            raise InputError("Press All heads first.")
        blocks, heads_per_block = attention.heads.attention.weights.shape[:2]
        kind, block, head = (getattr(event, name, None) for name in ("text", "block", "head"))
        if kind is not None:
            number = read_number(kind, "a kind", low=0, high=1)
            heads = replace(attention.heads, kind=int(number))
        else:
            block_number = read_number(block, "a block", low=0, high=blocks - 1)
            head_number = read_number(head, "a head", low=0, high=heads_per_block - 1)
            heads = replace(attention.heads, chosen=(int(block_number), int(head_number)))
        return self._keep(kept, before, replace(attention, heads=heads))

    def _keep(self, kept: Shown, before: Results, attention: PointAttention) -> tuple[Any, str]:
        kept.keep(before, self.name, attention)
        return kept, attention_view(attention)

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the image to be clicked, with the attention of the last point if there is one."""
        attention = results.by_tab.get(self.name)
        if isinstance(attention, PointAttention):
            return attention_view(attention)
        return image_view(require_session(results).image)

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the attention maps over the image, or the table of all heads if it is shown."""
        attention = self._attention(results)
        image = attention.image
        if attention.heads is not None:
            return attention_figure(image, attention.heads.attention, opacity=settings.opacity)
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
        point = attention.point
        record: dict[str, Any] = {
            "image": attention.image.name,
            "size": {"height": size.height, "width": size.width},
            "point": None if point is None else [round(value, 1) for value in point],
            "maps": [
                {
                    "kind": attention_map.kind,
                    "patch": list(attention_map.patch),
                    "weights": attention_map.weights.double().numpy().round(DIGITS).tolist(),
                }
                for attention_map in attention.maps
            ],
        }
        if attention.heads is not None:
            record["chosen_head"] = attention.heads.record()
        return {"attention": record}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the attention that is shown."""
        attention, session = self._attention(results), require_session(results)
        arguments = ["explainer", repr(session.image.name)]
        point = self._point(results)
        if point is not None:
            arguments.append(str(point))
        call = f"({', '.join(arguments)})"
        if attention.heads is None:
            return [*load_lines(session), f"maps = clip_surgery.attention{call}"]
        return [*load_lines(session), f"attention = clip_surgery.head_attention{call}"]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `inspect`, or `attention` if all heads are shown."""
        attention, session = self._attention(results), require_session(results)
        if attention.heads is None:
            words = command_words("inspect", session)
        else:
            options = [session.image.name, f"--model={session.model}"]
            words = ["clip-surgery", "attention", *options]
        point = self._point(results)
        return words if point is None else [*words, f"--point={point[0]},{point[1]}"]

    def _attention(self, results: Results) -> PointAttention:
        attention = results.by_tab.get(self.name)
        if not isinstance(attention, PointAttention):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return attention

    def _point(self, results: Results) -> tuple[float, float] | None:
        """The point in pixels of the explained image, which may be larger; None for all of it."""
        attention = self._attention(results)
        of_image = attention.heads is not None and attention.heads.attention.patch is None
        if attention.point is None or of_image:
            return None
        original = require_session(results).explanation.framings[0].original
        scale = original.width / attention.image.size.width
        x, y = attention.point
        return (round(x * scale, 1), round(y * scale, 1))
