"""Figure: an image and its maps side by side, with titles, as one image to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.layout import Style, Tile, gallery
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
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
) -> Image.Image:
    """Draw the image, then one overlay per text, on a grid.

    `heatmaps` are (C, H, W) in [0, 1] of the image's size, `titles` and `notes` (a small line
    under a title) one per map. `tile` is the typical side of a drawn image in pixels.

    Raises:
        InputError: when maps, titles and notes are not equally many, a map is not of the
            image's size or not within [0, 1], or columns or tile is below 1.

    Example:
        >>> import torch
        >>> picture = Image.new("RGB", (40, 30))
        >>> figure(picture, torch.rand(2, 30, 40), ["dog", "cat"]).width
        1114
    """
    picture = read_image(image)
    check_count("titles", titles, heatmaps)
    if notes is not None:
        check_count("notes", notes, heatmaps)
    style = Style.of(picture, tile=tile, colour_map=colour_map, opacity=opacity)
    tiles = [Tile(style.plain(picture), "picture")]
    for index, title in enumerate(titles):
        note = "" if notes is None else notes[index]
        tiles.append(Tile(style.mapped(picture, heatmaps[index]), title, note))
    return gallery(tiles, heading=heading, columns=columns, colour_map=colour_map)


def check_count(name: str, given: Sequence[str], heatmaps: Tensor) -> None:
    """Refuse maps that are not (C, H, W), or as many names as there are not.

    Raises:
        InputError: when they do not belong together.
    """
    if heatmaps.ndim != 3 or len(given) != len(heatmaps):
        raise InputError(
            f"Expected heatmaps of shape (C, H, W) and as many {name}, but got "
            f"{tuple(heatmaps.shape)} and {len(given)} {name}."
        )
