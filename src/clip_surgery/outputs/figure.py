"""Figure: a picture and its maps side by side, with titles, as one picture to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, Picture, read_image
from clip_surgery.outputs.lettering import FAINT_INK, INK, PAPER, fit, font
from clip_surgery.outputs.overlay import COLOUR_MAP, OPACITY, colour_bar, overlay

MARGIN = 24
GAP = 14
TITLE_SIZE = 17
NOTE_SIZE = 13
NARROWEST = 150  # a column keeps room for a title even where the picture is a strip


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
    """Draw the picture, then one overlay per text, on a grid.

    `heatmaps` are (C, H, W) in [0, 1] of the picture's size, `titles` and `notes` (a small line
    under a title) one per map. `tile` is the typical side of a drawn picture in pixels.

    Raises:
        InputError: when maps, titles and notes are not equally many, a map is not of the
            picture's size or not within [0, 1], or columns or tile is below 1.

    Example:
        >>> import torch
        >>> picture = Image.new("RGB", (40, 30))
        >>> figure(picture, torch.rand(2, 30, 40), ["dog", "cat"]).width
        1114
    """
    picture = read_image(image)
    _check_count("titles", titles, heatmaps)
    if notes is not None:
        _check_count("notes", notes, heatmaps)
    style = _Style(_tile_size(picture.size, tile), colour_map, opacity)
    cells = [_Cell(style.plain(picture), "picture")]
    for index, title in enumerate(titles):
        note = "" if notes is None else notes[index]
        cells.append(_Cell(style.mapped(picture, heatmaps[index]), title, note))
    if columns is None:  # at most five beside each other, rows about equally long
        columns = math.ceil(len(cells) / math.ceil(len(cells) / 5))
    if columns < 1:
        raise InputError(f"Expected at least 1 column, but got {columns}.")
    rows = [_beside(cells[i : i + columns], style) for i in range(0, len(cells), columns)]
    return _on_paper(_below(rows, gap=MARGIN), heading, style)


def comparison(
    image: ImageSource,
    rows: Mapping[str, Tensor],
    titles: Sequence[str],
    *,
    heading: str = "",
    tile: int = 230,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the picture, and beside it one row of overlays per method, one column per text.

    `rows` maps a row's title to its heatmaps (C, H, W) in [0, 1] of the picture's size.

    Raises:
        InputError: when there is no row, maps and titles are not equally many, a map is not of
            the picture's size or not within [0, 1], or tile is below 1.
    """
    picture = read_image(image)
    if not rows:
        raise InputError("Expected at least one row of heatmaps, but got none.")
    style = _Style(_tile_size(picture.size, tile), colour_map, opacity)
    drawn = []
    for position, (name, heatmaps) in enumerate(rows.items()):
        _check_count("titles", titles, heatmaps)
        cells = [
            _Cell(style.mapped(picture, heatmap), title if position == 0 else "")
            for title, heatmap in zip(titles, heatmaps, strict=True)
        ]
        row = _beside(cells, style)
        label = _upright_label(name, style.size.height)
        labelled = _sheet(label.width + GAP + row.width, row.height)
        labelled.paste(label, (0, row.height - label.height))
        labelled.paste(row, (label.width + GAP, 0))
        drawn.append(labelled)
    maps = _below(drawn, gap=GAP)
    large = 1.0 if len(rows) == 1 else 1.5
    beside = _Style(_tile_size(picture.size, round(tile * large)), colour_map, opacity)
    first = _beside([_Cell(beside.plain(picture), "picture")], beside)
    sheet = _sheet(first.width + MARGIN + maps.width, max(first.height, maps.height))
    sheet.paste(first, (0, (sheet.height - first.height) // 2))
    sheet.paste(maps, (first.width + MARGIN, (sheet.height - maps.height) // 2))
    return _on_paper(sheet, heading, style)


@dataclass(frozen=True)
class _Style:
    """How every tile of one figure is drawn."""

    size: Size
    colour_map: str
    opacity: float

    def plain(self, picture: Picture) -> Image.Image:
        return picture.image.resize((self.size.width, self.size.height), Image.Resampling.LANCZOS)

    def mapped(self, picture: Picture, heatmap: Tensor) -> Image.Image:
        if tuple(heatmap.shape) != tuple(picture.size):
            raise InputError(
                f"{picture.name}: expected heatmaps of the picture's size {tuple(picture.size)} "
                f"(height, width), but got {tuple(heatmap.shape)}."
            )
        resized = F.interpolate(
            heatmap.detach().float()[None, None], size=list(self.size), mode="bilinear",
            align_corners=False, antialias=True,
        )  # fmt: skip
        return overlay(
            self.plain(picture), resized[0, 0], colour_map=self.colour_map, opacity=self.opacity
        )


@dataclass(frozen=True)
class _Cell:
    image: Image.Image
    title: str
    note: str = ""


def _tile_size(size: Size, tile: int) -> Size:
    """The size a picture is drawn in: about tile x tile pixels in area, its ratio kept."""
    if tile < 1:
        raise InputError(f"Expected tile to be at least 1 px, but got {tile}.")
    scale = min(tile / math.sqrt(size.height * size.width), 1.6 * tile / max(size))
    return Size(max(1, round(size.height * scale)), max(1, round(size.width * scale)))


def _beside(cells: Sequence[_Cell], style: _Style) -> Image.Image:
    """One row of cells: titles and notes above, tiles aligned below them."""
    width = max(style.size.width, min(NARROWEST, 10 * style.size.height))
    title_font, note_font = font(TITLE_SIZE, bold=True), font(NOTE_SIZE)
    titles = [fit(cell.title, title_font, width=width, lines=2) for cell in cells]
    notes = [fit(cell.note, note_font, width=width, lines=1) for cell in cells]
    title_lines, note_lines = max(map(len, titles)), max(map(len, notes))
    title_step, note_step = round(TITLE_SIZE * 1.25), round(NOTE_SIZE * 1.4)
    top = title_lines * title_step + note_lines * note_step
    top += GAP // 2 if top else 0
    sheet = _sheet(len(cells) * width + (len(cells) - 1) * GAP, top + style.size.height)
    draw = ImageDraw.Draw(sheet)
    for index, cell in enumerate(cells):
        middle = index * (width + GAP) + width / 2
        y = (title_lines - len(titles[index])) * title_step
        for line in titles[index]:
            draw.text((middle, y), line, INK, title_font, anchor="ma")
            y += title_step
        for line in notes[index]:
            draw.text((middle, y), line, FAINT_INK, note_font, anchor="ma")
        sheet.paste(cell.image, (round(middle - style.size.width / 2), top))
    return sheet


def _upright_label(text: str, length: int) -> Image.Image:
    """A row's title, read from bottom to top, `length` pixels long."""
    letters = font(TITLE_SIZE, bold=True)
    lines = fit(text, letters, width=length, lines=2)
    step = round(TITLE_SIZE * 1.25)
    label = _sheet(length, step * max(1, len(lines)))
    draw = ImageDraw.Draw(label)
    for index, line in enumerate(lines):
        draw.text((length / 2, index * step), line, INK, letters, anchor="ma")
    return label.transpose(Image.Transpose.ROTATE_90)


def _below(sheets: Sequence[Image.Image], *, gap: int) -> Image.Image:
    height = sum(sheet.height for sheet in sheets) + gap * (len(sheets) - 1)
    stack = _sheet(max(sheet.width for sheet in sheets), height)
    y = 0
    for sheet in sheets:
        stack.paste(sheet, (0, y))
        y += sheet.height + gap
    return stack


def _on_paper(sheet: Image.Image, heading: str, style: _Style) -> Image.Image:
    """Margins, the heading above, and what the colours mean below."""
    letters = font(NOTE_SIZE)
    lines = fit(heading, letters, width=sheet.width, lines=2)
    step = round(NOTE_SIZE * 1.4)
    top = MARGIN + len(lines) * step + (GAP if lines else 0)
    paper = _sheet(sheet.width + 2 * MARGIN, top + sheet.height + GAP + step + MARGIN)
    draw = ImageDraw.Draw(paper)
    for index, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + index * step), line, FAINT_INK, letters, anchor="la")
    paper.paste(sheet, (MARGIN, top))
    middle = top + sheet.height + GAP + step / 2
    right = paper.width - MARGIN
    draw.text((right, middle), "high", FAINT_INK, letters, anchor="rm")
    bar = colour_bar(140, 10, style.colour_map)
    right -= round(letters.getlength("high")) + 8 + bar.width
    paper.paste(bar, (right, round(middle - bar.height / 2)))
    draw.text((right - 8, middle), "low", FAINT_INK, letters, anchor="rm")
    return paper


def _sheet(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def _check_count(name: str, given: Sequence[str], heatmaps: Tensor) -> None:
    if heatmaps.ndim != 3 or len(given) != len(heatmaps):
        raise InputError(
            f"Expected heatmaps of shape (C, H, W) and as many {name}, but got "
            f"{tuple(heatmaps.shape)} and {len(given)} {name}."
        )
