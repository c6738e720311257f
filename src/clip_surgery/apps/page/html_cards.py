"""Sheets: pieces of HTML that lay colours over one picture, as text.

A picture is written once a sheet and shown by each of its cards; a map is a layer of colours with
their own transparency, so that the browser can blend the two at any opacity by itself. All is in
the text (data: links): nothing of a visitor is a file that another could ask for.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.figures.overlay import COLOUR_MAP, FADE, colour_table
from clip_surgery.inputs.images import InputImage

LAYER_SIDE = 320
"""Longer side of a layer, in pixels: maps are smooth, the browser stretches them."""
# several sheets show one picture; what is kept here goes when the picture goes
_LINKS: WeakKeyDictionary[InputImage, str] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Card:
    """One picture of a sheet with a title.

    Attributes:
        title: plain text.
        note: plain text at the end of the line.
        layer: a picture with transparency that is laid over, as a link.
        marks: SVG elements in pixels of the picture.
        faint: whether it is drawn paler, for what is likely not there.
    """

    title: str
    note: str = ""
    layer: str = ""
    marks: str = ""
    faint: bool = False


def sheet(picture: InputImage, cards: Iterable[Card], *, kind: str = "") -> str:
    """Cards beside each other, all on the same picture."""
    size = picture.size
    drawn = "".join(_card(card, size.width, size.height) for card in cards)
    link = _picture_link(picture)
    return (
        f'<div class="cs-sheet {kind}" style="--cs-picture:url({link});'
        f'--cs-ratio:{size.width}/{size.height}">{drawn}</div>'
    )


def _picture_link(picture: InputImage) -> str:
    if picture not in _LINKS:
        _LINKS[picture] = data_link(picture.image, quality=88)
    return _LINKS[picture]


def _card(card: Card, width: int, height: int) -> str:
    title, faint = escape(card.title), " cs-faint" if card.faint else ""
    layer = f'<img class="cs-layer" alt="" src="{card.layer}">' if card.layer else ""
    marks = (
        f'<svg class="cs-marks" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f"{card.marks}</svg>"
        if card.marks
        else ""
    )
    note = f'<span class="cs-note">{escape(card.note)}</span>' if card.note else ""
    return (
        f'<figure class="cs-card{faint}" data-title="{title}">'
        f'<div class="cs-frame" role="img" aria-label="{title}">{layer}{marks}</div>'
        f"<figcaption><b>{title}</b>{note}</figcaption></figure>"
    )


def heat_layer(heatmap: Tensor, *, colour_map: str = COLOUR_MAP, fade: float = FADE) -> str:
    """A map (H, W) in [0, 1] as colours, as a link.

    Shown at opacity o over the picture it gives what `overlay` draws at opacity o.
    """
    heat = heatmap.clamp(0, 1).numpy()
    table = colour_table(colour_map)[np.rint(heat * 255).astype(np.uint8)]
    share = np.rint(255 * (1 - fade * (1 - heat))).astype(np.uint8)
    return data_link(Image.fromarray(np.dstack([table, share])), quality=85)


def data_link(image: Image.Image, *, quality: int | None = None) -> str:
    """A picture as a data: link, WebP at a quality, or without loss where there is none."""
    content = io.BytesIO()
    if quality is None:
        image.save(content, "WEBP", lossless=True, method=0)
    else:
        image.save(content, "WEBP", quality=quality, method=0)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def file_link(content: bytes, kind: str) -> str:
    """A file's content as a data: link, which the browser saves."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def disc(x: float, y: float, radius: float) -> str:
    """A click on the object."""
    return f'<circle class="cs-on" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def cross(x: float, y: float, reach: float) -> str:
    """A click off the object."""
    path = (
        f"M{x - reach:.1f} {y - reach:.1f}L{x + reach:.1f} {y + reach:.1f}"
        f"M{x - reach:.1f} {y + reach:.1f}L{x + reach:.1f} {y - reach:.1f}"
    )
    return f'<path class="cs-off-edge" d="{path}"/><path class="cs-off" d="{path}"/>'


def box(xyxy: Sequence[float]) -> str:
    """A rectangle from its corners."""
    left, top, right, bottom = xyxy
    place = f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'
    return f'<rect class="cs-box-edge" {place}/><rect class="cs-box" {place}/>'


def hint(text: str) -> str:
    """What stands where there is no answer yet."""
    return f'<div class="cs-hint">{escape(text)}</div>'
