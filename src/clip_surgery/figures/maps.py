"""Draw an image and its heatmaps side by side as one figure."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.figures.page_format import SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.inputs.images import ImageSource, read_image


def figure(
    image: ImageSource,
    heatmaps: Tensor,
    titles: Sequence[str],
    *,
    notes: Sequence[str] | None = None,
    heading: str = "",
    columns: int | None = None,
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw the image and one overlay per text on a grid.

    Args:
        image: the explained image.
        heatmaps: C maps (C, H, W) in [0, 1] of the size of the image.
        titles: C titles.
        notes: C smaller lines below the titles, or None.
        heading: a line above the figure.
        columns: number of columns; if None, at most five.
        tile: typical side of a tile in pixels.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the overlays in [0, 1], where the maps are 1.
        page: the format of the page, for example `PageFormat.of_print(85)`.

    Raises:
        InputError: if the numbers of maps, titles and notes differ, if a map is not of the size of
            the image or not within [0, 1], or if columns or tile is below 1.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> street = Image.new("RGB", (40, 30))
        >>> figure(street, torch.rand(2, 30, 40), ["dog", "cat"]).width
        1114
    """
    input_image = read_image(image)
    check_count("titles", titles, heatmaps)
    if notes is not None:
        check_count("notes", notes, heatmaps)
    style = Style.for_gallery(
        input_image, len(titles) + 1, tile=tile, page=page, colour_map=colour_map, opacity=opacity
    )
    tiles = [Tile(style.plain(input_image), "image")]
    for index, title in enumerate(titles):
        note = "" if notes is None else notes[index]
        tiles.append(Tile(style.mapped(input_image, heatmaps[index]), title, note))
    return gallery(tiles, heading=heading, columns=columns, colour_map=colour_map, page=page)


def check_count(name: str, given: Sequence[str], heatmaps: Tensor) -> None:
    """Check that heatmaps have the shape (C, H, W), and that there are C texts for them.

    Args:
        name: what the texts are, for the message, such as "titles".
        given: the texts.
        heatmaps: the maps.

    Raises:
        InputError: if the shape or the number is different.
    """
    if heatmaps.ndim != 3 or len(given) != len(heatmaps):
        raise InputError(
            f"Expected heatmaps of shape (C, H, W) and as many {name}, but got "
            f"{tuple(heatmaps.shape)} and {len(given)} {name}."
        )
