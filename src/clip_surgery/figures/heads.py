"""Draw what the parts of an image tower add to the cosine with a text: heads and their maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.figures.fonts import INK, font
from clip_surgery.figures.layout import stack
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_table
from clip_surgery.figures.page_format import MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Colour, Sheet
from clip_surgery.figures.signed_overlay import DIVERGING
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.surgery.decomposed_feature import DecomposedFeature, PartScores
from clip_surgery.surgery.min_max import min_max

CELL_HW = (26, 78)
"""Height and width of a cell of the table, in pixels."""
_NARROW = 74  # width in pixels below which a cell has no number and short titles


def heads_figure(
    explainer: Explainer,
    image: ImageSource,
    parts: DecomposedFeature,
    text: str,
    *,
    top: int = 3,
    heads: Sequence[tuple[int, int]] = (),
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw what each head and feed-forward network adds to a cosine, and maps of the best heads.

    Args:
        explainer: the explainer that `decompose` used.
        image: the image that was decomposed.
        parts: the decomposed feature of the image, from `decompose`.
        text: the text; the templates of the explainer are used.
        top: number of heads whose maps are drawn, at least 1: those that add most.
        heads: the heads whose maps are drawn instead, as (block, head).
        tile: typical side of a map in pixels.
        colour_map: name of a colour map of matplotlib, for the maps.
        opacity: opacity of the maps in [0, 1], where they are 1.

    Raises:
        InputError: if `top` is below 1, or the text or image cannot be used.
        UnknownNameError: if matplotlib does not have the colour map.
    """
    return heads_sheet(
        explainer,
        image,
        parts,
        text,
        top=top,
        heads=heads,
        tile=tile,
        colour_map=colour_map,
        opacity=opacity,
    ).image()


def heads_sheet(
    explainer: Explainer,
    image: ImageSource,
    parts: DecomposedFeature,
    text: str,
    *,
    top: int = 3,
    heads: Sequence[tuple[int, int]] = (),
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    is_plain: bool = False,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Return the sheet of `heads_figure`, for any page.

    Args:
        explainer: as for `heads_figure`.
        image: as for `heads_figure`.
        parts: as for `heads_figure`.
        text: as for `heads_figure`.
        top: as for `heads_figure`.
        heads: as for `heads_figure`.
        tile: as for `heads_figure`.
        colour_map: as for `heads_figure`.
        opacity: as for `heads_figure`.
        is_plain: whether the heading and the numbers above the maps are left out.
        page: the format of the page.

    Raises:
        InputError: as for `heads_figure`.
        UnknownNameError: as for `heads_figure`.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 head, but got {top}.")
    input_image = read_image(image)
    feature = explainer.encode([text]).labels.cpu()
    scores = parts.scores(feature)
    positions = list(heads) or best_heads(scores.heads[0], top=top)
    framing = explainer.frame(input_image)
    maps = torch.stack(
        [
            framing.restore_map(parts.head_maps(feature, block=block, head=head)[0])
            for block, head in positions
        ]
    )
    notes = [f"adds {float(scores.heads[0, block, head]):+.3f}" for block, head in positions]
    heading = (
        f"Cosine with {text!r}: {float(scores.total()):.3f}. The table shows what each head and "
        "feed-forward network adds to it (other: embedding and biases); the maps show through "
        "which patches some heads add it."
    )
    body = figure(
        input_image,
        min_max(maps),
        [f"block {block}, head {head}" for block, head in positions],
        notes=None if is_plain else notes,
        heading="" if is_plain else heading,
        tile=tile,
        colour_map=colour_map,
        opacity=opacity,
        page=page,
    )
    return stack([body, _table(scores, page)], gap=0)


def best_heads(scores: Tensor, *, top: int) -> list[tuple[int, int]]:
    """Return the heads of highest score as (block, head), the best first, from scores (L, h)."""
    best = scores.flatten().argsort(descending=True)[:top].tolist()
    return [divmod(index, scores.shape[1]) for index in best]


def _table(scores: PartScores, page: PageFormat) -> Sheet:
    """Return a table with one row per block: its heads and its feed-forward network.

    On a page with a width, cells are narrower where the table would be too wide. Cells that are too
    narrow for numbers have colours only.

    The last row is the sum of the embedding, of all biases, and of an attention pool.
    """
    values = torch.cat([scores.heads[0], scores.feed_forward[0][:, None]], dim=1)
    columns = [*(f"head {head}" for head in range(values.shape[1] - 1)), "feed-forward"]
    names = [*(f"block {block}" for block in range(len(values))), "other"]
    height, width = CELL_HW
    margin = page.margin
    if page.content_width is not None:
        width = min(width, int(page.content_width / (len(columns) + 1)))
    letters, is_narrow = font(12), width < _NARROW
    if is_narrow:
        columns = [*(str(head) for head in range(values.shape[1] - 1)), "ff"]
        names = [*(str(block) for block in range(len(values))), "*"]
    table = Sheet(2 * margin + width * (len(columns) + 1), MARGIN + height * (len(names) + 1))
    limit = float(values.abs().max())

    def write(row: int, column: int, text: str, fill: Colour | None = None) -> None:
        left, upper = margin + width * column, height * row
        if fill is not None:
            table.box((left, upper), (width - 2, height - 2), fill)
        middle = (left + width // 2, upper + height // 2)
        table.text(middle, text, INK, letters, anchor="mm")

    for column, name in enumerate(columns, start=1):
        write(0, column, name)
    for row, name in enumerate(names, start=1):
        write(row, 0, name)
    for block, row_values in enumerate(values.tolist()):
        for column, value in enumerate(row_values):
            number = "" if is_narrow else f"{value:+.3f}"
            write(block + 1, column + 1, number, _colour(value, limit))
    other = float(scores.embedding + scores.pool + scores.rest)
    write(len(names), 1, "" if is_narrow else f"{other:+.3f}", _colour(other, limit))
    return table


def _colour(value: float, limit: float) -> Colour:
    """Return a light colour: red for positive, blue for negative values, white for zero."""
    level = 0.5 if limit <= 0 else 0.5 + 0.3 * max(-1.0, min(1.0, value / limit))
    red, green, blue = colour_table(DIVERGING)[round(255 * level)].tolist()
    return int(red), int(green), int(blue)
