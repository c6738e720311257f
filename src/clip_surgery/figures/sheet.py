"""A figure as a list of texts, images and boxes, drawn by Pillow for the screen and for print.

All figures are composed on sheets. Lengths are pixels of the figure on a screen; images are drawn
only when the resolution of the output is known, so that the same sheet gives a PNG for the screen,
a PNG of 300 dpi, and PDF and SVG files with letters instead of pixels (`figures.print_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from clip_surgery.figures.fonts import EMOJI_SIZE, PAPER, Font, Run, missing_characters
from clip_surgery.framing import Size
from clip_surgery.inputs.names import printable

Colour = tuple[int, int, int]
Anchor = Literal["la", "ma", "lm", "mm", "rm"]
"""Left, middle or right of a line, and its ascender or its middle, as in Pillow."""


@dataclass(frozen=True)
class Picture:
    """An image that is drawn in the resolution of the output.

    Attributes:
        size: height and width on a sheet.
        draw: returns the image in a size in pixels.
    """

    size: Size
    draw: Callable[[Size], Image.Image]

    def edited(self, edit: Callable[[Image.Image], Image.Image]) -> Picture:
        """Return the image as `edit` changes it; its size stays."""
        return Picture(self.size, lambda size: edit(self.draw(size)))


@dataclass(frozen=True)
class PlacedPicture:
    """An image with its upper left corner at (x, y)."""

    x: float
    y: float
    picture: Picture

    def pixels(self, density: float) -> Image.Image:
        """Return the image with `density` pixels per unit of the sheet."""
        return self.picture.draw(
            Size(*(max(1, round(side * density)) for side in self.picture.size))
        )


@dataclass(frozen=True)
class PlacedText:
    """A line of text at (x, y); `is_upright` lines run from bottom to top, centred at (x, y)."""

    x: float
    y: float
    text: str
    colour: Colour
    font: Font
    anchor: Anchor
    is_upright: bool = False

    @property
    def left(self) -> float:
        """Where the line begins, from the left edge of the sheet."""
        share = {"l": 0.0, "m": 0.5, "r": 1.0}[self.anchor[0]]
        return self.x - share * self.font.getlength(self.text)

    @property
    def baseline(self) -> float:
        """The height of the line on which letters stand, from the upper edge of the sheet."""
        ascent, descent = self.font.metrics()
        return self.y + (ascent if self.anchor[1] == "a" else (ascent - descent) / 2)


@dataclass(frozen=True)
class Box:
    """A filled rectangle with its upper left corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: Colour
    outline: Colour | None = None
    radius: float = 0


Element = PlacedPicture | PlacedText | Box


@dataclass
class Sheet:
    """A figure of a size, on which things are drawn in the order in which they are added.

    Attributes:
        width: width in pixels on a screen.
        height: height in pixels on a screen.
        elements: what is drawn.
    """

    width: float
    height: float
    elements: list[Element] = field(default_factory=list, repr=False)

    def text(
        self, xy: tuple[float, float], text: str, colour: Colour, font: Font, anchor: Anchor = "la"
    ) -> None:
        """Add a line of text; an anchor says which of its points is at `xy`."""
        self.elements.append(PlacedText(*xy, printable(text), colour, font, anchor))

    def upright_text(self, xy: tuple[float, float], text: str, colour: Colour, font: Font) -> None:
        """Add a line of text that runs from bottom to top, centred at `xy`."""
        self.elements.append(PlacedText(*xy, printable(text), colour, font, "mm", is_upright=True))

    def picture(self, xy: tuple[float, float], picture: Picture) -> None:
        """Add an image with its upper left corner at `xy`."""
        self.elements.append(PlacedPicture(*xy, picture))

    def box(self, xy: tuple[float, float], size: tuple[float, float], fill: Colour,
            *, outline: Colour | None = None, radius: float = 0) -> None:  # fmt: skip
        """Add a rectangle of a size (width, height) with its upper left corner at `xy`."""
        self.elements.append(Box(*xy, *size, fill, outline, radius))

    def paste(self, sheet: Sheet, xy: tuple[float, float]) -> None:
        """Add the elements of another sheet, whose upper left corner is at `xy`."""
        for element in sheet.elements:
            self.elements.append(replace(element, x=element.x + xy[0], y=element.y + xy[1]))

    def texts(self) -> Iterator[PlacedText]:
        """Yield the lines of text."""
        return (element for element in self.elements if isinstance(element, PlacedText))

    def missing_characters(self) -> str:
        """Return the characters of its texts for which this machine has no font."""
        return missing_characters(line.text for line in self.texts())

    def image(self, density: float = 1.0) -> Image.Image:
        """Return the sheet as an RGB image.

        Args:
            density: pixels per unit of length of the sheet; 1 for the screen.
        """
        size = (max(1, round(self.width * density)), max(1, round(self.height * density)))
        paper = Image.new("RGB", size, PAPER)
        draw = ImageDraw.Draw(paper)
        for element in self.elements:
            if isinstance(element, PlacedPicture):
                corner = (round(element.x * density), round(element.y * density))
                paper.paste(element.pixels(density), corner)
            elif isinstance(element, Box):
                _draw_box(draw, element, density)
            else:
                _draw_text(paper, element, density)
        return paper

    def _repr_png_(self) -> bytes:
        """Return the sheet as PNG, which notebooks show."""
        png = BytesIO()
        self.image().save(png, format="PNG")
        return png.getvalue()

    def save(self, path: Path | str) -> None:
        """Write the sheet for the screen, as a PNG file.

        Raises:
            OSError: if the file cannot be written.
        """
        self.image().save(path)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, density: float) -> None:
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    draw.rounded_rectangle(
        tuple(density * corner for corner in corners), radius=box.radius * density,
        fill=box.fill, outline=box.outline, width=max(1, round(density)),
    )  # fmt: skip


def _draw_text(paper: Image.Image, line: PlacedText, density: float) -> None:
    if line.is_upright:
        upright = text_image(line.text, line.font, line.colour, density)
        upright = upright.transpose(Image.Transpose.ROTATE_90)
        x, y = line.x * density - upright.width / 2, line.y * density - upright.height / 2
        paper.paste(upright, (round(x), round(y)), upright)
        return
    x, baseline = round(line.left * density), round(line.baseline * density)
    _draw_runs(paper, (x, baseline), line.text, line.font, line.colour, density)


def text_image(text: str, font: Font, colour: Colour, density: float) -> Image.Image:
    """Return a line of text on a transparent background, from its ascender to its descender."""
    ascent, descent = (round(part * density) for part in font.metrics())
    width = max(1, round(font.getlength(text) * density))
    image = Image.new("RGBA", (width, max(1, ascent + descent)), (*colour, 0))
    _draw_runs(image, (0, ascent), text, font, colour, density)
    return image


def _draw_runs(
    image: Image.Image,
    start: tuple[float, int],
    text: str,
    font: Font,
    colour: Colour,
    density: float,
) -> None:
    """Draw the parts of a text one after the other, each with its font."""
    left, baseline = start
    size = font.size * density
    for run in font.runs(text):
        length = run.length(size)
        if run.is_colour:
            emoji, ascent = _emoji_image(run, size)
            image.paste(emoji, (round(left), round(baseline - ascent)), emoji)
        else:
            ImageDraw.Draw(image).text(
                (round(left), baseline), run.text, (*colour, 255), run.face(size), anchor="ls"
            )
        left += length


def _emoji_image(run: Run, size: float) -> tuple[Image.Image, float]:
    """Coloured emoji on a transparent background, and how far they are above the baseline."""
    face = run.face(size)
    ascent, descent = face.getmetrics()
    bitmaps = Image.new("RGBA", (max(1, round(face.getlength(run.text))), ascent + descent))
    ImageDraw.Draw(bitmaps).text((0, ascent), run.text, font=face, anchor="ls", embedded_color=True)
    scale = size / EMOJI_SIZE
    reduced = tuple(max(1, round(side * scale)) for side in bitmaps.size)
    return bitmaps.resize((reduced[0], reduced[1]), Image.Resampling.LANCZOS), ascent * scale
