"""Draw an image and its heatmaps for print, by matplotlib: PNG at 300 dpi, PDF and SVG.

Letters have the size of captions whatever the width of the figure is. In PDF and SVG they stay
letters or outlines, and the maps are embedded at 300 dpi.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, break_into_lines, font
from clip_surgery.figures.layout import MAX_COLUMNS, Style
from clip_surgery.figures.maps import check_count
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_bar
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
WIDTH_MM = 180.0
"""Width of a figure over both columns of a journal."""
TITLE_PT, NOTE_PT = 7.0, 5.5
GAP_MM = 2.0
TITLE_GAP_MM = 0.6
TOP_MM = 1.0
NARROWEST_TILE_MM = 25.0
"""Sizes of letters in points; gaps, upper margin and width of the narrowest map in millimetres."""
_MM_PER_INCH, _PT_PER_INCH = 25.4, 72.0
_LINE = 1.3  # distance of lines, in sizes of letters


def print_sheet(
    image: ImageSource,
    heatmaps: Tensor,
    titles: Sequence[str],
    *,
    notes: Sequence[str] | None = None,
    heading: str = "",
    width_mm: float = WIDTH_MM,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Figure:
    """Return a figure of matplotlib with the image and one overlay per text on a grid.

    Args:
        image: the explained image.
        heatmaps: C maps (C, H, W) in [0, 1] of the size of the image.
        titles: C titles.
        notes: C smaller lines below the titles, or None.
        heading: a line above the figure; none if it is empty.
        width_mm: width of the figure in millimetres.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the overlays in [0, 1], where the maps are 1.

    Raises:
        InputError: if the numbers of maps, titles and notes differ, if a map is not of the size of
            the image or not within [0, 1], or if the width is below 10 mm.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> sheet = print_sheet(Image.new("RGB", (4, 3)), torch.rand(1, 3, 4), ["dog"], width_mm=60)
        >>> round(sheet.get_figwidth() * 25.4)
        60
    """
    input_image = read_image(image)
    check_count("titles", titles, heatmaps)
    if notes is not None:
        check_count("notes", notes, heatmaps)
    if not width_mm >= 10:
        raise InputError(f"Expected a width of at least 10 mm, but got {width_mm:g} mm.")
    columns, tile_mm = _columns(len(titles) + 1, width_mm)
    tiles = _tiles(input_image, heatmaps, tile_mm, colour_map=colour_map, opacity=opacity)
    texts = _broken(["image", *titles], ["", *notes] if notes is not None else [], width_mm=tile_mm)
    return _draw(tiles, texts, columns, tile_mm, width_mm, heading, colour_map)


def save_print(sheet: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the ending of the path.

    The same figure gives the same bytes.

    Raises:
        OSError: if the file cannot be written.
    """
    from matplotlib import rc_context

    kind = path.suffix.removeprefix(".")
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Producer": "clip-surgery", "Creator": "clip-surgery"},
        "svg": {"Date": None, "Creator": "clip-surgery"},
        "png": {"Software": "clip-surgery"},
    }
    settings: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "clip-surgery"}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font")
        sheet.savefig(path, format=kind, dpi=DPI, metadata=metadata[kind], facecolor="white")


_Text = tuple[list[str], list[str]]  # the lines of a title, and those of the note below it


def _columns(tiles: int, width_mm: float) -> tuple[int, float]:
    """The number of columns, and the width of a column in millimetres."""
    most = max(1, math.floor((width_mm + GAP_MM) / (NARROWEST_TILE_MM + GAP_MM)))
    rows = math.ceil(tiles / min(MAX_COLUMNS, most))
    columns = math.ceil(tiles / rows)
    return columns, (width_mm - (columns - 1) * GAP_MM) / columns


def _tiles(
    image: InputImage, heatmaps: Tensor, tile_mm: float, *, colour_map: str, opacity: float
) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The image and its overlays at the resolution of the print."""
    height, width = image.size
    pixels = max(1, round(tile_mm / _MM_PER_INCH * DPI))
    # A very tall image is made narrower than its column, so that it is at most twice as tall.
    scale = min(pixels / width, 2 * pixels / height)
    size = Size(max(1, round(height * scale)), max(1, round(width * scale)))
    style = Style(size, colour_map, opacity)
    overlays = [style.mapped(image, heatmap) for heatmap in heatmaps]
    return [np.asarray(picture) for picture in (style.plain(image), *overlays)]


def _broken(titles: Sequence[str], notes: Sequence[str], *, width_mm: float) -> list[_Text]:
    """The titles and notes, broken into lines of a width."""
    scale = 10  # fonts are measured larger, because Pillow rounds their widths to pixels
    width = width_mm / _MM_PER_INCH * _PT_PER_INCH * scale
    title_font = font(round(TITLE_PT * scale), *titles, bold=True)
    note_font = font(round(NOTE_PT * scale), *notes)
    return [
        (
            break_into_lines(printable(title), title_font, width=width, lines=2),
            break_into_lines(printable(note), note_font, width=width, lines=2),
        )
        for title, note in zip(titles, notes or [""] * len(titles), strict=True)
    ]


def _draw(
    tiles: Sequence[np.ndarray[Any, np.dtype[np.uint8]]],
    texts: Sequence[_Text],
    columns: int,
    tile_mm: float,
    width_mm: float,
    heading: str,
    colour_map: str,
) -> Figure:
    """The figure, whose height follows from its parts."""
    from matplotlib.figure import Figure

    title_mm, note_mm = (_line_mm(TITLE_PT), _line_mm(NOTE_PT))
    tile_height_mm = tiles[0].shape[0] / DPI * _MM_PER_INCH
    above_mm = max(len(title) for title, _ in texts) * title_mm
    above_mm += max(len(note) for _, note in texts) * note_mm + TITLE_GAP_MM
    rows = math.ceil(len(tiles) / columns)
    first_mm = TOP_MM + (note_mm + GAP_MM if heading else 0.0)
    step_mm = above_mm + tile_height_mm + GAP_MM
    height_mm = first_mm + rows * step_mm + note_mm
    sheet = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH))
    page = _Page(sheet, width_mm, height_mm)
    if heading:
        page.text(0, TOP_MM, printable(heading), NOTE_PT, FAINT_INK, align="left")
    for index, (tile, (title, note)) in enumerate(zip(tiles, texts, strict=True)):
        middle = index % columns * (tile_mm + GAP_MM) + tile_mm / 2
        top = first_mm + index // columns * step_mm + above_mm
        page.image(middle, top, tile)
        y = top - TITLE_GAP_MM - len(title) * title_mm - len(note) * note_mm
        for line in title:
            page.text(middle, y, line, TITLE_PT, INK, bold=True)
            y += title_mm
        for line in note:
            page.text(middle, y, line, NOTE_PT, FAINT_INK)
            y += note_mm
    page.bar(colour_map)
    return sheet


class _Page:
    """A figure on which things are placed by millimetres from the left and from the top."""

    def __init__(self, sheet: Figure, width_mm: float, height_mm: float) -> None:
        self.sheet, self.width_mm, self.height_mm = sheet, width_mm, height_mm

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: tuple[int, int, int],
        *,
        align: str = "center",
        bold: bool = False,
    ) -> None:
        """Write a line whose top is at y."""
        from matplotlib.font_manager import FontProperties

        face = FontProperties(fname=str(font(12, text, bold=bold).path), size=size)
        self.sheet.text(
            x / self.width_mm, 1 - y / self.height_mm, text,
            fontproperties=face, color=[value / 255 for value in colour],
            ha=align, va="top", parse_math=False,
        )  # fmt: skip

    def image(self, middle: float, top: float, pixels: Any) -> None:
        """Place an image at 300 dpi, with its upper edge centred at (middle, top)."""
        height, width = (side / DPI * _MM_PER_INCH for side in pixels.shape[:2])
        corner = ((middle - width / 2) / self.width_mm, 1 - (top + height) / self.height_mm)
        axes = self.sheet.add_axes((*corner, width / self.width_mm, height / self.height_mm))
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()

    def bar(self, colour_map: str) -> None:
        """Draw "low", the colours and "high" in the lower right corner."""
        length, line = min(25.0, self.width_mm / 3), _line_mm(NOTE_PT)
        top, right = self.height_mm - line, self.width_mm - 5.5
        width, height = (round(side / _MM_PER_INCH * DPI) for side in (length, 1.6))
        self.image(right - length / 2, top + 0.3, np.asarray(colour_bar(width, height, colour_map)))
        self.text(right + 0.8, top, "high", NOTE_PT, FAINT_INK, align="left")
        self.text(right - length - 0.8, top, "low", NOTE_PT, FAINT_INK, align="right")


def _line_mm(points: float) -> float:
    """The distance of lines of letters of this size, in millimetres."""
    return points * _LINE / _PT_PER_INCH * _MM_PER_INCH
