"""The layout that all figures share: small images with titles in rows, a heading and notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, PAPER, break_into_lines, font
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_bar, overlay
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage

MARGIN = 24
GAP = 14
TITLE_SIZE = 17
NOTE_SIZE = 13
"""Sizes in pixels."""
MIN_COLUMN_WIDTH = 150
"""Width in pixels of a column for its title, even if the image is narrower."""
MAX_COLUMNS = 5


@dataclass(frozen=True)
class Tile:
    """A small image with its title above it, and a smaller line below the title."""

    image: Image.Image
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

    def plain(self, image: InputImage) -> Image.Image:
        """Return the image in the size of a tile."""
        return image.image.resize((self.size.width, self.size.height), Image.Resampling.LANCZOS)

    def mapped(self, image: InputImage, heatmap: Tensor) -> Image.Image:
        """Return the image with a heatmap over it, in the size of a tile.

        Args:
            image: the image.
            heatmap: map (H, W) in [0, 1] of the size of the image.

        Raises:
            InputError: if the map is not of the size of the image or not within [0, 1].
        """
        if tuple(heatmap.shape) != tuple(image.size):
            raise InputError(
                f"{image.name}: expected heatmaps of the image's size {tuple(image.size)} "
                f"(height, width), but got {tuple(heatmap.shape)}."
            )
        resized = F.interpolate(
            heatmap.detach().float()[None, None], size=list(self.size), mode="bilinear",
            align_corners=False, antialias=True,
        )  # fmt: skip
        return overlay(
            self.plain(image), resized[0, 0], colour_map=self.colour_map, opacity=self.opacity
        )


def gallery(
    tiles: Sequence[Tile],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    columns: int | None = None,
    colour_map: str | None = None,
) -> Image.Image:
    """Draw tiles of one size on a grid.

    Args:
        tiles: the tiles.
        heading: a line above the grid.
        notes: lines below the grid.
        columns: number of columns. If None, at most five, with rows of about the same length.
        colour_map: name of a colour map, for a bar from low to high below the grid; None for none.

    Raises:
        InputError: if there is no tile, or if columns is below 1.
    """
    if not tiles:
        raise InputError("Expected at least one image to draw, but got none.")
    if columns is None:
        columns = math.ceil(len(tiles) / math.ceil(len(tiles) / MAX_COLUMNS))
    if columns < 1:
        raise InputError(f"Expected at least 1 column, but got {columns}.")
    rows = [tile_row(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return with_margins(
        stack(rows, gap=MARGIN), heading=heading, notes=notes, colour_map=colour_map
    )


def tile_row(tiles: Sequence[Tile]) -> Image.Image:
    """Draw one row of tiles of one size, with titles and notes above the images."""
    size = Size(tiles[0].image.height, tiles[0].image.width)
    width = max(size.width, min(MIN_COLUMN_WIDTH, 10 * size.height))
    title_font = font(TITLE_SIZE, *(tile.title for tile in tiles), bold=True)
    note_font = font(NOTE_SIZE, *(tile.note for tile in tiles))
    titles = [break_into_lines(tile.title, title_font, width=width, lines=2) for tile in tiles]
    notes = [break_into_lines(tile.note, note_font, width=width, lines=1) for tile in tiles]
    title_lines, note_lines = max(map(len, titles)), max(map(len, notes))
    title_step, note_step = round(TITLE_SIZE * 1.25), round(NOTE_SIZE * 1.4)
    top = title_lines * title_step + note_lines * note_step
    top += GAP // 2 if top else 0
    row = blank_image(len(tiles) * width + (len(tiles) - 1) * GAP, top + size.height)
    draw = ImageDraw.Draw(row)
    for index, tile in enumerate(tiles):
        middle = index * (width + GAP) + width / 2
        y = (title_lines - len(titles[index])) * title_step
        for line in titles[index]:
            draw.text((middle, y), line, INK, title_font, anchor="ma")
            y += title_step
        for line in notes[index]:
            draw.text((middle, y), line, FAINT_INK, note_font, anchor="ma")
        row.paste(tile.image, (round(middle - size.width / 2), top))
    return row


def stack(images: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Draw images below each other, aligned at the left, with a gap in pixels between them."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    stacked = blank_image(max(image.width for image in images), height)
    y = 0
    for image in images:
        stacked.paste(image, (0, y))
        y += image.height + gap
    return stacked


def with_margins(
    body: Image.Image,
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    colour_map: str | None = None,
) -> Image.Image:
    """Draw a figure with margins, a heading above it, and a colour bar and notes below it.

    Args:
        body: the figure.
        heading: a line above it.
        notes: lines below it.
        colour_map: name of a colour map, for a bar from low to high; None for no bar.
    """
    text_font = font(NOTE_SIZE, heading, *notes)
    step = round(NOTE_SIZE * 1.4)
    heading_lines = break_into_lines(heading, text_font, width=body.width, lines=2)
    note_lines = [
        line
        for note in notes
        for line in break_into_lines(note, text_font, width=body.width, lines=3)
    ]
    top = MARGIN + len(heading_lines) * step + (GAP if heading_lines else 0)
    footer = (
        GAP + step * (len(note_lines) + (colour_map is not None)) if note_lines or colour_map else 0
    )
    paper = blank_image(body.width + 2 * MARGIN, top + body.height + footer + MARGIN)
    draw = ImageDraw.Draw(paper)
    for index, line in enumerate(heading_lines):
        draw.text((MARGIN, MARGIN + index * step), line, FAINT_INK, text_font, anchor="la")
    paper.paste(body, (MARGIN, top))
    y = top + body.height + GAP
    if colour_map is not None:
        _bar(paper, y + step / 2, colour_map)
        y += step
    for line in note_lines:
        draw.text((MARGIN, y), line, FAINT_INK, text_font, anchor="la")
        y += step
    return paper


def blank_image(width: int, height: int) -> Image.Image:
    """Return an image in the background colour."""
    return Image.new("RGB", (width, height), PAPER)


def _bar(paper: Image.Image, middle: float, colour_map: str) -> None:
    """Draw "low", the colours and "high" at the right margin."""
    text_font = font(NOTE_SIZE)
    draw = ImageDraw.Draw(paper)
    right = paper.width - MARGIN
    draw.text((right, middle), "high", FAINT_INK, text_font, anchor="rm")
    bar = colour_bar(140, 10, colour_map)
    right -= round(text_font.getlength("high")) + 8 + bar.width
    paper.paste(bar, (right, round(middle - bar.height / 2)))
    draw.text((right - 8, middle), "low", FAINT_INK, text_font, anchor="rm")
