"""Tiles: small images with titles, laid in rows on one sheet of paper.

What every figure of this library is built of, so that all of them look alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, PAPER, fit, font
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_bar, overlay
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage

MARGIN = 24
GAP = 14
TITLE_SIZE = 17
NOTE_SIZE = 13
NARROWEST = 150  # a column keeps room for a title even where the image is a strip
MOST_BESIDE = 5


@dataclass(frozen=True)
class Tile:
    """A small image with its title, and a small line below that."""

    image: Image.Image
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Style:
    """How every tile of one figure is drawn."""

    size: Size
    colour_map: str = COLOUR_MAP
    opacity: float = OPACITY

    @classmethod
    def of(
        cls,
        picture: InputImage,
        *,
        tile: int,
        colour_map: str = COLOUR_MAP,
        opacity: float = OPACITY,
    ) -> Style:
        """Tiles of about tile x tile pixels in area, with the image's ratio.

        Raises:
            InputError: when tile is below 1.
        """
        if tile < 1:
            raise InputError(f"Expected tile to be at least 1 px, but got {tile}.")
        height, width = picture.size
        scale = min(tile / math.sqrt(height * width), 1.6 * tile / max(height, width))
        size = Size(max(1, round(height * scale)), max(1, round(width * scale)))
        return cls(size, colour_map, opacity)

    def plain(self, picture: InputImage) -> Image.Image:
        """The image at the size of a tile."""
        return picture.image.resize((self.size.width, self.size.height), Image.Resampling.LANCZOS)

    def mapped(self, picture: InputImage, heatmap: Tensor) -> Image.Image:
        """The image under a heatmap (H, W) in [0, 1] of its size, at the size of a tile.

        Raises:
            InputError: when the map is not of the image's size or not within [0, 1].
        """
        if tuple(heatmap.shape) != tuple(picture.size):
            raise InputError(
                f"{picture.name}: expected heatmaps of the image's size {tuple(picture.size)} "
                f"(height, width), but got {tuple(heatmap.shape)}."
            )
        resized = F.interpolate(
            heatmap.detach().float()[None, None], size=list(self.size), mode="bilinear",
            align_corners=False, antialias=True,
        )  # fmt: skip
        return overlay(
            self.plain(picture), resized[0, 0], colour_map=self.colour_map, opacity=self.opacity
        )


def gallery(
    tiles: Sequence[Tile],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    columns: int | None = None,
    colour_map: str | None = None,
) -> Image.Image:
    """Tiles of one size on a grid; at most five beside each other unless `columns` says else.

    `heading` stands above, `notes` below, and a bar from low to high where `colour_map` names
    what the colours are.

    Raises:
        InputError: when there is no tile, or columns is below 1.
    """
    if not tiles:
        raise InputError("Expected at least one image to draw, but got none.")
    if columns is None:  # rows about equally long
        columns = math.ceil(len(tiles) / math.ceil(len(tiles) / MOST_BESIDE))
    if columns < 1:
        raise InputError(f"Expected at least 1 column, but got {columns}.")
    rows = [beside(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return on_paper(below(rows, gap=MARGIN), heading=heading, notes=notes, colour_map=colour_map)


def beside(tiles: Sequence[Tile]) -> Image.Image:
    """One row of tiles of one size: titles and notes above, images aligned below them."""
    size = Size(tiles[0].image.height, tiles[0].image.width)
    width = max(size.width, min(NARROWEST, 10 * size.height))
    title_font = font(TITLE_SIZE, *(tile.title for tile in tiles), bold=True)
    note_font = font(NOTE_SIZE, *(tile.note for tile in tiles))
    titles = [fit(tile.title, title_font, width=width, lines=2) for tile in tiles]
    notes = [fit(tile.note, note_font, width=width, lines=1) for tile in tiles]
    title_lines, note_lines = max(map(len, titles)), max(map(len, notes))
    title_step, note_step = round(TITLE_SIZE * 1.25), round(NOTE_SIZE * 1.4)
    top = title_lines * title_step + note_lines * note_step
    top += GAP // 2 if top else 0
    row = sheet(len(tiles) * width + (len(tiles) - 1) * GAP, top + size.height)
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


def below(sheets: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Sheets below each other, aligned on the left."""
    height = sum(part.height for part in sheets) + gap * (len(sheets) - 1)
    stack = sheet(max(part.width for part in sheets), height)
    y = 0
    for part in sheets:
        stack.paste(part, (0, y))
        y += part.height + gap
    return stack


def on_paper(
    body: Image.Image,
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    colour_map: str | None = None,
) -> Image.Image:
    """Margins, the heading above, and below what the colours mean, then the notes."""
    letters = font(NOTE_SIZE, heading, *notes)
    step = round(NOTE_SIZE * 1.4)
    above = fit(heading, letters, width=body.width, lines=2)
    under = [line for note in notes for line in fit(note, letters, width=body.width, lines=3)]
    top = MARGIN + len(above) * step + (GAP if above else 0)
    foot = GAP + step * (len(under) + (colour_map is not None)) if under or colour_map else 0
    paper = sheet(body.width + 2 * MARGIN, top + body.height + foot + MARGIN)
    draw = ImageDraw.Draw(paper)
    for index, line in enumerate(above):
        draw.text((MARGIN, MARGIN + index * step), line, FAINT_INK, letters, anchor="la")
    paper.paste(body, (MARGIN, top))
    y = top + body.height + GAP
    if colour_map is not None:
        _bar(paper, y + step / 2, colour_map)
        y += step
    for line in under:
        draw.text((MARGIN, y), line, FAINT_INK, letters, anchor="la")
        y += step
    return paper


def sheet(width: int, height: int) -> Image.Image:
    """Empty paper."""
    return Image.new("RGB", (width, height), PAPER)


def _bar(paper: Image.Image, middle: float, colour_map: str) -> None:
    """Draw "low", the colours and "high" at the right margin."""
    letters = font(NOTE_SIZE)
    draw = ImageDraw.Draw(paper)
    right = paper.width - MARGIN
    draw.text((right, middle), "high", FAINT_INK, letters, anchor="rm")
    bar = colour_bar(140, 10, colour_map)
    right -= round(letters.getlength("high")) + 8 + bar.width
    paper.paste(bar, (right, round(middle - bar.height / 2)))
    draw.text((right - 8, middle), "low", FAINT_INK, letters, anchor="rm")
