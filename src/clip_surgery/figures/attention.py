"""Draw the attention of every head of every block as a table of small maps."""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from clip_surgery.figures.fonts import INK, font
from clip_surgery.figures.layout import beside, with_margins
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.figures.page_format import MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.tiles import Style
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.surgery.min_max import min_max
from clip_surgery.tasks.head_attention import HeadAttention

_GAP, _LABEL, _TOP = 3, 58, 44  # pixels between maps, and of the labels at the left and the top


def attention_figure(
    image: ImageSource | InputImage,
    attention: HeadAttention,
    *,
    tile: int = 72,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw two tables of L x h maps: what each head attends to, and what it adds from there.

    Each map has its own scale from its lowest to its highest value.

    Args:
        image: the image.
        attention: its attention, from `head_attention`.
        tile: typical side of a map in pixels.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the maps in [0, 1], where they are 1.

    Raises:
        InputError: if `tile` is below 1, or the image cannot be used.
        UnknownNameError: if matplotlib does not have the colour map.
    """
    return attention_sheet(
        image, attention, tile=tile, colour_map=colour_map, opacity=opacity
    ).image()


def attention_sheet(
    image: ImageSource | InputImage,
    attention: HeadAttention,
    *,
    tile: int = 72,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    is_plain: bool = False,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Return the sheet of `attention_figure`, for any page.

    Args:
        image: as for `attention_figure`.
        attention: as for `attention_figure`.
        tile: as for `attention_figure`; on a page with a width, maps fill the page.
        colour_map: as for `attention_figure`.
        opacity: as for `attention_figure`.
        is_plain: whether the heading and the notes are left out.
        page: the format of the page.

    Raises:
        InputError: as for `attention_figure`.
        UnknownNameError: as for `attention_figure`.
    """
    shown = read_image(image)
    grey = shown.image.convert("L").convert("RGB")  # so that only the maps have colours
    background = InputImage(image=grey, name=shown.name)
    blocks, heads = attention.weights.shape[:2]
    style = _style(background, heads, tile, colour_map, opacity, page)
    titled_maps = {"attention": attention.weights, "attention x value": attention.lengths}
    first, second = (
        _table(background, maps, attention, title, style) for title, maps in titled_maps.items()
    )
    body = beside(first, second, page)
    if is_plain:
        return with_margins(body, colour_map=colour_map, page=page)
    patch = attention.patch
    source = attention.source if patch is None else f"patch {patch} (row, column)"
    return with_margins(
        body,
        heading=f"What the {source} attends to, by block (rows, {blocks}) and head ({heads}).",
        notes=[
            "Attention x value is the length of what a patch adds. A patch with much attention "
            "that adds little is an attention sink. Each map has its own scale."
        ],
        colour_map=colour_map,
        page=page,
    )


def _style(
    image: InputImage, heads: int, tile: int, colour_map: str, opacity: float, page: PageFormat
) -> Style:
    """Return the style of maps of a typical side, or of those with which a table fills a page."""
    if page.content_width is None:
        return Style.of(image, tile=tile, colour_map=colour_map, opacity=opacity)
    width = (page.content_width - _LABEL) / heads - _GAP
    half = ((page.content_width - MARGIN) / 2 - _LABEL) / heads - _GAP
    return Style.filling(
        image, max(1.0, half if half >= tile / 2 else width), colour_map=colour_map, opacity=opacity
    )


def _table(
    image: InputImage, maps: Tensor, attention: HeadAttention, title: str, style: Style
) -> Sheet:
    """Return the maps (L, h, rows, columns) of all heads, the first block at the top."""
    blocks, heads = maps.shape[:2]
    framing = replace(attention.framing, original=image.size)
    step_x, step_y = style.size.width + _GAP, style.size.height + _GAP
    table, letters = Sheet(_LABEL + heads * step_x, _TOP + blocks * step_y), font(11)
    table.text((_LABEL, 0), title, INK, font(15, bold=True))
    for head in range(heads):
        middle = _LABEL + head * step_x + style.size.width / 2
        table.text((middle, _TOP - 11), str(head), INK, letters, anchor="mm")
    for block in range(blocks):
        upper = _TOP + block * step_y
        middle = upper + style.size.height / 2
        table.text((0, middle), f"block {block}", INK, letters, anchor="lm")
        restored = torch.stack([framing.restore_map(scores) for scores in maps[block]])
        for head, heatmap in enumerate(min_max(restored)):
            table.picture((_LABEL + head * step_x, upper), style.mapped(image, heatmap))
    return table
