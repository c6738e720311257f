"""The attention of every head of every block as a table of small maps, and of one head larger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    data_link,
    heat_layer,
    text_buttons,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.sessions import within
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.explanations import DIGITS
from clip_surgery.surgery.min_max import min_max
from clip_surgery.tasks.head_attention import HeadAttention

SMALL_SIDE = 44
"""Longer side in pixels of a small map."""
KINDS = ("attention", "attention x value")
"""The share of the attention that a patch gets, and the length of what it adds."""
MEANING = "from the lowest to the highest value of each map"
NOTE = (
    "Attention x value is the length of what a patch adds. A patch that gets much attention and "
    "adds little is an attention sink. Choose a head to see its maps larger."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownHeads:
    """The attention of all heads, and what of it is shown.

    Attributes:
        attention: the attention of all heads.
        kind: index in `KINDS` of the small maps.
        chosen: block and head whose maps are shown larger.
    """

    attention: HeadAttention
    kind: int = 0
    chosen: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, attention: HeadAttention, before: ShownHeads | None) -> ShownHeads:
        """Return new attention; what the visitor chose before stays chosen where it exists."""
        blocks, heads = attention.weights.shape[:2]
        if before is None or before.chosen[0] >= blocks or before.chosen[1] >= heads:
            return cls(attention=attention, chosen=(blocks - 1, 0))
        return replace(before, attention=attention)

    @property
    def source(self) -> str:
        """Which token attends, in words."""
        patch = self.attention.patch
        if patch is None:
            return self.attention.source
        return f"patch in row {patch[0] + 1}, column {patch[1] + 1}"

    def record(self) -> dict[str, Any]:
        """Return the attention of the chosen head, ready for JSON."""
        block, head = self.chosen
        prefix = float(self.attention.prefix_weights[block, head])
        return {
            "source": self.attention.source,
            "patch": None if self.attention.patch is None else list(self.attention.patch),
            "block": block,
            "head": head,
            "weights": _rounded(self.attention.weights[block, head]),
            "lengths": _rounded(self.attention.lengths[block, head]),
            "prefix_weight": round(prefix, DIGITS),
        }


def _rounded(values: Tensor) -> list[list[float]]:
    rounded: list[list[float]] = values.double().numpy().round(DIGITS).tolist()
    return rounded


def attention_heads_view(image: InputImage, shown: ShownHeads, *, marks: str = "") -> str:
    """Return HTML of two larger maps of the chosen head, and of a table of the maps of all heads.

    Args:
        image: the image.
        shown: the attention, and what of it is shown.
        marks: SVG marks on the larger maps, in pixels of the image.
    """
    block, head = shown.chosen
    attention = shown.attention
    framing = replace(attention.framing, original=within(image.size, LAYER_SIDE))
    chosen = torch.stack([attention.weights[block, head], attention.lengths[block, head]])
    prefix = float(attention.prefix_weights[block, head])
    notes = [f"{1 - prefix:.0%} of it to the image" if prefix > 0 else "", ""]
    cards = [
        Card(
            title=f"block {block}, head {head}: {kind}",
            note=note,
            layer=heat_layer(heatmap),
            marks=marks,
            values=encode_map(heatmap),
            alt=f"{kind.capitalize()} of the {shown.source} in block {block}, head {head}: "
            f"{describe_peak(heatmap, image.size)}",
        )
        for kind, note, heatmap in zip(
            KINDS, notes, min_max(framing.restore_map(chosen)), strict=True
        )
    ]
    return (
        f'<p class="cs-note">What the {shown.source} attends to, in each head. {NOTE}</p>'
        + text_buttons(KINDS, shown.kind, label="Small maps")
        + f'<div class="cs-heads">{_table(image, shown)}'
        + f"{cards_view(image, cards, kind='cs-click')}</div>"
        + colour_scale(MEANING)
    )


def _table(image: InputImage, shown: ShownHeads) -> str:
    """HTML of a table with a button per head; the maps of all buttons are one image."""
    attention = shown.attention
    maps = (attention.weights, attention.lengths)[shown.kind]
    size = within(image.size, SMALL_SIDE)
    framing = replace(attention.framing, original=size)
    blocks, heads = maps.shape[:2]
    restored = framing.restore_map(maps)
    small = min_max(restored.flatten(0, 1)).reshape(restored.shape)
    rows = []
    for block in range(blocks):
        cells = "".join(
            f'<td><button type="button" data-block="{block}" data-head="{head}" '
            f'aria-pressed="{str((block, head) == shown.chosen).lower()}" '
            f'aria-label="block {block}, head {head}: '
            f'{describe_peak(small[block, head], image.size)}" style="background-position:'
            f'{_share(head, heads)}% {_share(block, blocks)}%"></button></td>'
            for head in range(heads)
        )
        rows.append(f'<tr><th scope="row">block {block}</th>{cells}</tr>')
    names = "".join(f'<th scope="col">{head}</th>' for head in range(heads))
    style = (
        f"--cs-sprite:url({_sprite(small)});--cs-sprite-size:{100 * heads}% {100 * blocks}%;"
        f"--cs-ratio:{size.width}/{size.height}"
    )
    return (
        '<div class="cs-scroll" tabindex="0" role="region" aria-label="Heads by block">'
        f'<table class="cs-thumbs" style="{style}"><caption>{KINDS[shown.kind]}; columns are heads'
        f"</caption><thead><tr><td></td>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div>"
    )


def _share(index: int, count: int) -> float:
    """The position in percent of one of `count` parts of a background."""
    return round(100 * index / max(1, count - 1), 3)


def _sprite(maps: Tensor) -> str:
    """Return the link of one image with all maps (L, h, H, W) in [0, 1] side by side."""
    tiled = maps.permute(0, 2, 1, 3).flatten(2, 3).flatten(0, 1)
    colours = colour_table(COLOUR_MAP)[np.rint(tiled.numpy() * 255).astype(np.uint8)]
    return data_link(Image.fromarray(colours), quality=85)
