"""Draw the attention of every head of every block as a table of small maps."""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from clip_surgery.figures.fonts import INK, font
from clip_surgery.figures.layout import MARGIN, Style, blank_image, stack, with_margins
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.surgery.min_max import min_max
from clip_surgery.tasks.head_attention import HeadAttention

_GAP, _LABEL = 3, 58  # pixels between thumbnails, and of the labels at the left


def attention_figure(
    image: ImageSource | InputImage,
    found: HeadAttention,
    *,
    tile: int = 72,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw two tables of L x h maps: what each head attends to, and what it adds from there.

    Each map has its own scale from its lowest to its highest value.

    Args:
        image: the image.
        found: its attention, from `head_attention`.
        tile: typical side of a thumbnail in pixels.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the maps in [0, 1], where they are 1.

    Raises:
        InputError: if `tile` is below 1, or the image cannot be used.
        UnknownNameError: if matplotlib does not have the colour map.
    """
    shown = read_image(image)
    style = Style.of(shown, tile=tile, colour_map=colour_map, opacity=opacity)
    grey = style.plain(shown).convert("L").convert("RGB")  # so that only the maps have colours
    small = InputImage(image=grey, name=shown.name)
    tables = [
        _table(small, maps, found, title, style)
        for maps, title in (
            (found.weights, "attention"),
            (found.lengths, "attention x value"),
        )
    ]
    blocks, heads = found.weights.shape[:2]
    source = found.source if found.patch is None else f"patch {found.patch} (row, column)"
    beside = heads * (style.size.width + _GAP) * 2 <= 1500
    body = _beside(tables) if beside else stack(tables, gap=MARGIN)
    return with_margins(
        body,
        heading=f"What the {source} attends to, by block (rows, {blocks}) and head ({heads}).",
        notes=[
            "Attention x value is the length of what a patch adds. A patch with much attention "
            "that adds little is an attention sink. Each map has its own scale."
        ],
        colour_map=colour_map,
    )


def _table(
    image: InputImage, maps: Tensor, found: HeadAttention, title: str, style: Style
) -> Image.Image:
    """Return the maps (L, h, rows, columns) as thumbnails, the first block at the top."""
    blocks, heads = maps.shape[:2]
    framing = replace(found.framing, original=image.size)
    step_x, step_y = style.size.width + _GAP, style.size.height + _GAP
    top = 44
    canvas = blank_image(_LABEL + heads * step_x, top + blocks * step_y)
    draw, letters = ImageDraw.Draw(canvas), font(11)
    draw.text((_LABEL, 0), title, INK, font(15, bold=True))
    for head in range(heads):
        draw.text(
            (_LABEL + head * step_x + style.size.width / 2, top - 4),
            str(head),
            INK,
            letters,
            anchor="mb",
        )
    for block in range(blocks):
        upper = top + block * step_y
        draw.text((0, upper + style.size.height / 2), f"block {block}", INK, letters, anchor="lm")
        restored = torch.stack([framing.restore_map(scores) for scores in maps[block]])
        for head, heatmap in enumerate(min_max(restored)):
            canvas.paste(style.mapped(image, heatmap), (_LABEL + head * step_x, upper))
    return canvas


def _beside(tables: list[Image.Image]) -> Image.Image:
    """Return tables of one height next to each other."""
    width = sum(table.width for table in tables) + MARGIN * (len(tables) - 1)
    canvas = blank_image(width, max(table.height for table in tables))
    left = 0
    for table in tables:
        canvas.paste(table, (left, 0))
        left += table.width + MARGIN
    return canvas
