"""HTML cards that show one image with different layers and marks.

The image is written once for all cards that show it. A map is a layer of colours with its own
transparency, so that the browser can blend the two at any opacity. Images are part of the HTML
("data:" links), so that no other visitor can request them as files.
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

from clip_surgery.figures.overlay import COLOUR_MAP, FADE, colour_table, opacities
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable

_ALPHA_QUALITY = 60
"""Quality of the transparency of a layer: at 100, it takes more time than everything else."""
LAYER_SIDE = 320
"""Longer side of a layer in pixels. Maps are smooth, and the browser enlarges them."""
# Several views show one image. An entry is removed together with its image.
_LINKS: WeakKeyDictionary[InputImage, str] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card with a title that shows the image.

    Attributes:
        title: plain text.
        note: plain text at the end of the title line.
        layer: link of a partly transparent image that is laid over the image.
        marks: SVG elements in pixels of the image.
        faint: whether the layer is drawn paler, for texts that are probably not in the image.
        alt: what the card shows, in words, for visitors who do not see it; the title by default.
        values: values of the layer for the browser, from `map_values`.
        right_layer: link of a second layer, shown to the right of a border that can be moved.
        right_values: values of the second layer.
    """

    title: str
    note: str = ""
    layer: str = ""
    marks: str = ""
    faint: bool = False
    alt: str = ""
    values: str = ""
    right_layer: str = ""
    right_values: str = ""


def cards_view(image: InputImage, cards: Iterable[Card], *, kind: str = "") -> str:
    """Return HTML of cards side by side, all of which show the same image.

    Args:
        image: the image.
        cards: the cards.
        kind: CSS classes of the group of cards.
    """
    size = image.size
    role = "application" if "cs-click" in kind else "img"  # "application" gets the arrow keys
    cards_html = "".join(_card(card, size.width, size.height, role) for card in cards)
    return (
        f'<div class="cs-cards {kind}" style="--cs-image:url({_image_link(image)});'
        f'--cs-ratio:{size.width}/{size.height}">{cards_html}</div>'
    )


def plain(text: str) -> str:
    """Return HTML that shows the text as it is, with control characters escaped."""
    return escape(printable(text))


def _image_link(image: InputImage) -> str:
    if image not in _LINKS:
        _LINKS[image] = data_link(image.image, quality=88)
    return _LINKS[image]


def _card(card: Card, width: int, height: int, role: str) -> str:
    title, faint = plain(card.title), " cs-faint" if card.faint else ""
    layer = f'<img class="cs-layer" alt="" src="{card.layer}">' if card.layer else ""
    marks = (
        f'<svg class="cs-marks" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f"{card.marks}</svg>"
        if card.marks
        else ""
    )
    note = f'<span class="cs-note">{plain(card.note)}</span>' if card.note else ""
    values = f' data-values="{escape(card.values)}"' if card.values else ""
    if card.right_layer:
        layer += f'<img class="cs-layer cs-right" alt="" src="{card.right_layer}">'
        layer += '<span class="cs-border"></span>'
        values += f' data-right-values="{escape(card.right_values)}"'
    return (
        f'<figure class="cs-card{faint}" data-title="{title}">'
        f'<div class="cs-frame" role="{role}" tabindex="0" aria-label="{plain(card.alt) or title}"'
        f"{values}>{layer}{marks}</div>"
        f"<figcaption><b>{title}</b>{note}</figcaption></figure>"
    )


def colour_scale(meaning: str, *, colour_map: str = COLOUR_MAP) -> str:
    """Return HTML of a bar of the colours from 0 to 1.

    Args:
        meaning: what 0 and 1 are, as plain text.
        colour_map: name of the colour map.
    """
    stops = ",".join(
        f"rgb({red},{green},{blue})" for red, green, blue in colour_table(colour_map)[::15].tolist()
    )
    return (
        '<p class="cs-scale"><span>0</span>'
        f'<i style="background:linear-gradient(90deg,{stops})"></i><span>1</span>'
        f"<span>{plain(meaning)}</span></p>"
    )


def heat_layer(heatmap: Tensor, *, colour_map: str = COLOUR_MAP, fade: float = FADE) -> str:
    """Return the link of a layer that shows a map.

    Over the image at an opacity, the layer looks like `figures.overlay` at this opacity.

    Args:
        heatmap: map (H, W) in [0, 1].
        colour_map: name of the colour map.
        fade: how much more transparent low values are, in [0, 1].
    """
    heat = heatmap.clamp(0, 1).numpy()
    table = colour_table(colour_map)[np.rint(heat * 255).astype(np.uint8)]
    alpha = np.rint(255 * opacities(heat, opacity=1, fade=fade)).astype(np.uint8)
    return data_link(Image.fromarray(np.dstack([table, alpha])), quality=85)


def data_link(image: Image.Image, *, quality: int | None = None) -> str:
    """Return an image as a "data:" link in WebP; without a quality, it is lossless."""
    content = io.BytesIO()
    if quality is None:
        image.save(content, "WEBP", lossless=True, method=0)
    else:
        image.save(content, "WEBP", quality=quality, alpha_quality=_ALPHA_QUALITY, method=0)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def file_link(content: bytes, media_type: str) -> str:
    """Return the content of a file as a "data:" link, which the browser saves."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def disc(x: float, y: float, radius: float) -> str:
    """Return the SVG mark of a point on the object."""
    return f'<circle class="cs-on" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'


def cross(x: float, y: float, radius: float) -> str:
    """Return the SVG mark of a point off the object."""
    path = (
        f"M{x - radius:.1f} {y - radius:.1f}L{x + radius:.1f} {y + radius:.1f}"
        f"M{x - radius:.1f} {y + radius:.1f}L{x + radius:.1f} {y - radius:.1f}"
    )
    return f'<path class="cs-off-edge" d="{path}"/><path class="cs-off" d="{path}"/>'


def box(xyxy: Sequence[float]) -> str:
    """Return the SVG rectangle with the corners (left, top, right, bottom)."""
    left, top, right, bottom = xyxy
    position = f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'
    return f'<rect class="cs-box-edge" {position}/><rect class="cs-box" {position}/>'


def numbered_box(
    xyxy: Sequence[float], label: str, colour: tuple[int, int, int], *, side: float
) -> str:
    """Return the SVG rectangle with the corners (left, top, right, bottom) and a label in it.

    Args:
        xyxy: the corners in pixels.
        label: plain text of one or two characters.
        colour: red, green and blue in 0..255.
        side: height of the label in pixels.
    """
    left, top, right, bottom = xyxy
    position = f'x="{left:.1f}" y="{top:.1f}"'
    size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
    paint = f"rgb{colour}".replace(" ", "")
    return (
        f'<rect class="cs-box-edge" {position} {size}/>'
        f'<rect class="cs-box" {position} {size} style="stroke:{paint}"/>'
        f'<rect {position} width="{0.75 * side:.1f}" height="{side:.1f}" fill="{paint}"/>'
        f'<text x="{left + 0.37 * side:.1f}" y="{top + 0.82 * side:.1f}" fill="#fff" '
        f'text-anchor="middle" font-weight="700" font-size="{0.9 * side:.1f}">{plain(label)}</text>'
    )


def text_buttons(texts: Sequence[str], chosen: int, *, label: str = "Text") -> str:
    """Return HTML of a button per text; the chosen one is marked.

    Args:
        texts: the texts.
        chosen: index of the marked one.
        label: name of the group of buttons, for screen readers.
    """
    buttons = "".join(
        f'<button type="button" data-text="{number}" '
        f'aria-pressed="{str(number == chosen).lower()}">{plain(text)}</button>'
        for number, text in enumerate(texts)
    )
    return f'<div class="cs-texts" role="group" aria-label="{plain(label)}">{buttons}</div>'


def hint(text: str) -> str:
    """Return HTML with a text that is shown while there is no result."""
    return f'<div class="cs-hint">{plain(text)}</div>'


def notice(text: str) -> str:
    """Return HTML of a remark above results."""
    return f'<p class="cs-notice" role="status">{plain(text)}</p>'


def code(text: str) -> str:
    """Return HTML of code, line by line."""
    lines = "\n".join(plain(line) for line in text.split("\n"))
    return f'<pre class="cs-code" tabindex="0" aria-label="Copied to the clipboard">{lines}</pre>'
