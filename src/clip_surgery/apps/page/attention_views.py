"""The attention of a clicked point over the image, and below it that of all heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.apps.page.attention_heads import ShownHeads, attention_heads_view
from clip_surgery.apps.page.html_cards import Card, cards_view, colour_scale, disc, heat_layer
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.inputs.images import InputImage
from clip_surgery.tasks.inspection import AttentionMap

KEYS_NOTE = "or use the arrow keys and Enter"
KEYS_ALT = (
    "The image. Arrow keys move the point, Enter shows what the patch at this point attends to."
)
ATTENTION_TITLES = {"q-k": "CLIP's own attention (q-k)", "v-v": "CLIP Surgery's attention (v-v)"}


@dataclass(frozen=True, eq=False)
class PointAttention:
    """The attention of a point and of all heads, and the image, reduced.

    Attributes:
        maps: the attention maps of the point, or none before a point is chosen.
        image: the image; the point is in its pixels.
        heads: the attention of all heads, or None before the visitor asks for it.
    """

    maps: Sequence[AttentionMap]
    image: InputImage
    heads: ShownHeads | None = None

    @property
    def point(self) -> tuple[float, float] | None:
        """The chosen point (x, y)."""
        return self.maps[0].point if self.maps else None


def image_view(image: InputImage) -> str:
    """Return the image by itself, to be clicked."""
    card = Card(title="Click anywhere in the image", note=KEYS_NOTE, alt=KEYS_ALT)
    return cards_view(image, [card], kind="cs-click")


def attention_view(attention: PointAttention) -> str:
    """Return the image to be clicked with the attention of its point, and the heads if shown."""
    image, heads = attention.image, attention.heads
    if attention.point is None:
        html = image_view(image)
    else:
        html = _point_view(image, attention.maps, attention.point)
    if heads is None:
        return html
    marks = ""
    if attention.point is not None and heads.attention.patch is not None:
        marks = disc(*attention.point, max(image.size) / 60)
    return html + attention_heads_view(image, heads, marks=marks)


def _point_view(
    image: InputImage, attention_maps: Sequence[AttentionMap], point: tuple[float, float]
) -> str:
    """Return the clicked point, and a card per kind of attention of its patch."""
    x, y = point
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
