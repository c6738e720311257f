"""Small images with titles, which figures place in rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, font
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, checked_heatmap, overlay
from clip_surgery.figures.page_format import GAP, SCREEN, PageFormat
from clip_surgery.figures.sheet import Picture, Sheet
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage

TITLE_SIZE = 17
NOTE_SIZE = 13
"""Font sizes in pixels."""
MIN_COLUMN_WIDTH = 150
"""Width in pixels of a column for its title, even if the image is narrower."""
TALLEST = 2.0
"""Largest ratio of height to width of an image that fills its column."""


@dataclass(frozen=True)
class Tile:
    """A small image with its title above it, and a smaller line below the title."""

    picture: Picture
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Style:
    """How the tiles of a figure are drawn.

    Attributes:
        size: size of a tile in pixels.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the overlays in [0, 1], where the maps are 1.
    """

    size: Size
    colour_map: str = COLOUR_MAP
    opacity: float = OPACITY

    @classmethod
    def of(
        cls,
        image: InputImage,
        *,
        tile: int,
        colour_map: str = COLOUR_MAP,
        opacity: float = OPACITY,
    ) -> Style:
        """Return a style for tiles with the ratio of an image.

        Args:
            image: the image.
            tile: typical side of a tile in pixels; its area is about tile x tile.
            colour_map: name of a colour map of matplotlib.
            opacity: opacity of the overlays in [0, 1], where the maps are 1.

        Raises:
            InputError: if tile is below 1.
        """
        if tile < 1:
            raise InputError(f"Expected tile to be at least 1 px, but got {tile}.")
        height, width = image.size
        scale = min(tile / math.sqrt(height * width), 1.6 * tile / max(height, width))
        size = Size(max(1, round(height * scale)), max(1, round(width * scale)))
        return cls(size, colour_map, opacity)

    @classmethod
    def filling(
        cls,
        image: InputImage,
        width: float,
        *,
        colour_map: str = COLOUR_MAP,
        opacity: float = OPACITY,
    ) -> Style:
        """Return a style for tiles that fill columns of a width in pixels.

        An image that is more than twice as tall as wide is made narrower than its column.
        """
        height_px, width_px = image.size
        scale = min(width / width_px, TALLEST * width / height_px)
        size = Size(max(1, round(height_px * scale)), max(1, math.floor(width_px * scale)))
        return cls(size, colour_map, opacity)

    @classmethod
    def for_gallery(
        cls,
        image: InputImage,
        count: int,
        *,
        tile: int,
        page: PageFormat = SCREEN,
        colour_map: str = COLOUR_MAP,
        opacity: float = OPACITY,
    ) -> Style:
        """Return a style for `count` tiles on a grid: of a typical side, or of a page's columns.

        Args:
            image: the image.
            count: number of tiles.
            tile: typical side of a tile in pixels, for a page without a width.
            page: the format of the page.
            colour_map: name of a colour map of matplotlib.
            opacity: opacity of the overlays in [0, 1], where the maps are 1.

        Raises:
            InputError: if tile is below 1.
        """
        width = page.column_width(page.columns(count))
        if width is None:
            return cls.of(image, tile=tile, colour_map=colour_map, opacity=opacity)
        return cls.filling(image, width, colour_map=colour_map, opacity=opacity)

    def plain(self, image: InputImage) -> Picture:
        """Return the image in the size of a tile."""
        return Picture(self.size, lambda size: resized_image(image, size))

    def mapped(self, image: InputImage, heatmap: Tensor) -> Picture:
        """Return the image with a heatmap over it, in the size of a tile.

        Args:
            image: the image.
            heatmap: map (H, W) in [0, 1] of the size of the image.

        Raises:
            InputError: if the map is not of the size of the image or not within [0, 1].
        """
        heat = torch.from_numpy(checked_heatmap(heatmap, image.size, image.name))

        def draw(size: Size) -> Image.Image:
            resized = F.interpolate(
                heat[None, None], size=list(size), mode="bilinear",
                align_corners=False, antialias=True,
            )  # fmt: skip
            return overlay(
                resized_image(image, size), resized[0, 0], colour_map=self.colour_map,
                opacity=self.opacity,
            )  # fmt: skip

        return Picture(self.size, draw)


def resized_image(image: InputImage, size: Size) -> Image.Image:
    """Return an image in another size."""
    return image.image.resize((size.width, size.height), Image.Resampling.LANCZOS)


def tile_row(tiles: Sequence[Tile], *, column_width: float | None = None) -> Sheet:
    """Draw one row of tiles of one size, with titles and notes above the images.

    Args:
        tiles: the tiles.
        column_width: width in pixels of a column. If None, that of the images, or a little more
            for their titles.
    """
    size = tiles[0].picture.size
    width = column_width or max(size.width, min(MIN_COLUMN_WIDTH, 10 * size.height))
    title_font, note_font = font(TITLE_SIZE, bold=True), font(NOTE_SIZE)
    titles = [break_into_lines(tile.title, title_font, width=width, lines=2) for tile in tiles]
    notes = [break_into_lines(tile.note, note_font, width=width, lines=2) for tile in tiles]
    title_count, note_count = max(map(len, titles)), max(map(len, notes))
    title_step, note_step = round(TITLE_SIZE * 1.25), round(NOTE_SIZE * 1.4)
    top = title_count * title_step + note_count * note_step
    top += GAP // 2 if top else 0
    row = Sheet(len(tiles) * width + (len(tiles) - 1) * GAP, top + size.height)
    for index, tile in enumerate(tiles):
        middle = index * (width + GAP) + width / 2
        y = (title_count - len(titles[index])) * title_step
        y += (note_count - len(notes[index])) * note_step
        for line in titles[index]:
            row.text((middle, y), line, INK, title_font, anchor="ma")
            y += title_step
        for line in notes[index]:
            row.text((middle, y), line, FAINT_INK, note_font, anchor="ma")
            y += note_step
        row.picture((middle - size.width / 2, top), tile.picture)
    return row
