"""An HTML report of a folder of images: one file that needs no server and no other file.

Each image is a card with its thumbnail. A button per text shows the map of the text while the
pointer is over it or the keyboard focuses it. The cards can be sorted by name, or by score or
presence of a text. All names and texts are escaped, and the page allows no script but its own.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.figures.overlay import COLOUR_MAP, FADE, OPACITY, colour_table, opacities
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable

THUMBNAIL = 320
"""Longer side of an image in pixels."""
LAYER = 112
"""Longer side of a map in pixels; the browser enlarges it smoothly."""


def image_card(
    image: InputImage,
    heatmaps: Tensor,
    texts: Sequence[str],
    scores: Sequence[float],
    presences: Sequence[float] | None,
    *,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> str:
    """Return the HTML of one image: its thumbnail, and a button with a map for each text.

    Args:
        image: the image.
        heatmaps: C maps (C, H, W) in [0, 1] of the size of the image.
        texts: C texts.
        scores: C scores.
        presences: C probabilities of presence, or None if they are not known.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the maps in [0, 1], where they are 1.
    """
    thumbnail = image.image.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    name = _plain(Path(image.name).name)
    data = {
        "name": printable(Path(image.name).name),
        "score": [round(score, 6) for score in scores],
        "presence": None if presences is None else [round(value, 6) for value in presences],
        "texts": [printable(text) for text in texts],
    }
    buttons = "".join(
        _button(text, score, None if presences is None else presences[index])
        for index, (text, score) in enumerate(zip(texts, scores, strict=True))
    )
    layers = "".join(
        f'<img class="layer" alt="" src="{_layer(heatmap, colour_map, opacity)}">'
        for heatmap in heatmaps
    )
    return (
        f'<article data-values="{escape(json.dumps(data))}"><div class="frame" '
        f'style="aspect-ratio:{thumbnail.width}/{thumbnail.height}">'
        f'<img alt="{name}" src="{_link(thumbnail, "JPEG", quality=82)}">{layers}</div>'
        f'<h2 title="{_plain(image.name)}">{name}</h2>'
        f'<div class="texts">{buttons}</div></article>\n'
    )


def html_report(command: str, cards: Sequence[str]) -> str:
    """Return the page that shows the cards.

    Args:
        command: name of the command that explained the images, for the title.
        cards: HTML of each image, from `image_card`.
    """
    folder = files("clip_surgery.apps.cli.shared").joinpath("html_report_files")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    count = "1 image" if len(cards) == 1 else f"{len(cards)} images"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>clip-surgery {escape(command)}: {count}</title><style>{style}</style></head>\n"
        f"<body><header><h1>clip-surgery {escape(command)}</h1><p>{count}. Point at a text, or "
        "focus it with the Tab key, to see where the model finds it. "
        "Numbers are the score and, if known, the presence.</p><label>Sort by "
        '<select id="key"></select></label></header>\n<main>\n'
        f"{''.join(cards)}</main><script>{script}</script></body></html>\n"
    )


def _button(text: str, score: float, presence: float | None) -> str:
    """A text with its score and presence; pale if the text is not likely to be in the image."""
    note = f"{score:.3f}" if presence is None else f"{score:.3f} · {presence:.0%}"
    pale = ' class="absent"' if presence is not None and presence < 0.5 else ""
    return f'<button type="button"{pale}>{_plain(text)} <small>{note}</small></button>'


def _layer(heatmap: Tensor, colour_map: str, opacity: float) -> str:
    """The link of a small image of the map, which is transparent where the map is low."""
    height, width = heatmap.shape
    scale = min(1.0, LAYER / max(height, width))
    small = F.interpolate(
        heatmap[None, None].float(),
        size=[max(1, round(height * scale)), max(1, round(width * scale))],
        mode="bilinear", align_corners=False, antialias=True,
    )[0, 0]  # fmt: skip
    heat = small.clamp(0, 1).numpy()
    colours = colour_table(colour_map)[np.rint(heat * 255).astype(np.uint8)]
    alpha = np.rint(255 * opacities(heat, opacity=opacity, fade=FADE)).astype(np.uint8)
    return _link(Image.fromarray(np.dstack([colours, alpha])), "WEBP", quality=80)


def _link(image: Image.Image, kind: str, *, quality: int) -> str:
    """An image as a "data:" link."""
    content = io.BytesIO()
    image.save(content, kind, quality=quality)
    encoded = base64.b64encode(content.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


def _plain(text: str) -> str:
    """HTML that shows the text as it is, with control characters escaped."""
    return escape(printable(text))
