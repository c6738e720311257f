"""Cards whose maps have two signs: red parts add, blue parts take away, over the image in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import LAYER_SIDE, Card, cards_view, data_link, plain
from clip_surgery.apps.page.map_values import describe_signs, encode_map
from clip_surgery.apps.page.sessions import within
from clip_surgery.figures.signed_overlay import signed_colours
from clip_surgery.framing import Framing
from clip_surgery.inputs.images import InputImage

_CHIP_OPACITY = 0.4
"""Opacity of the strongest colour behind a word, at which the word has enough contrast."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SignedMap:
    """What each patch adds.

    Attributes:
        title: plain text.
        note: plain text at the end of the title line.
        alt: what the map is of, in words.
        scores: scores of the patches (rows, columns).
        limit: absolute score that has the strongest colour; 0 leaves the image as it is.
        marks: SVG elements in pixels of the image.
    """

    title: str
    note: str
    alt: str
    scores: Tensor
    limit: float
    marks: str = ""


def signed_cards(image: InputImage, maps: Sequence[SignedMap], framing: Framing) -> str:
    """Return HTML of a card per map.

    Args:
        image: the image.
        maps: the maps.
        framing: how the image was framed for the model; its size may be another one.
    """
    small = replace(framing, original=within(image.size, LAYER_SIDE))
    cards = []
    for signed in maps:
        levels = small.restore_map(signed.scores.float() / max(signed.limit, 1e-12)).clamp(-1, 1)
        colours, alpha = signed_colours(levels.numpy())
        where = describe_signs(levels, image.size)
        cards.append(
            Card(
                title=signed.title,
                note=signed.note,
                layer=data_link(Image.fromarray(np.dstack([colours, alpha])), quality=85),
                values=encode_map((levels + 1) / 2),
                marks=signed.marks,
                alt=f"{signed.alt}: {where}",
            )
        )
    return cards_view(image, cards, kind="cs-zoom cs-signed")


def chip_style(level: float) -> str:
    """Return the CSS of the colour behind a word.

    Args:
        level: what the word adds, relative to the largest, in [-1, 1].
    """
    (red, green, blue), _ = _colour(level)
    return f"background:rgba({red},{green},{blue},{_CHIP_OPACITY * min(1.0, abs(level)):.2f})"


def _colour(level: float) -> tuple[list[int], int]:
    colours, alpha = signed_colours(torch.tensor([[level]]).clamp(-1, 1).numpy())
    return colours[0, 0].tolist(), int(alpha[0, 0])


def signed_scale() -> str:
    """Return HTML of a bar of the colours from -1 to +1."""
    colours = [_colour(level)[0] for level in np.linspace(-1, 1, 17)]
    stops = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in colours)
    meaning = plain("takes away (blue) or adds (red), relative to the strongest part")
    return (
        f'<p class="cs-scale"><span>&minus;1</span>'
        f'<i style="background:linear-gradient(90deg,{stops})"></i><span>+1</span>'
        f"<span>{meaning}</span></p>"
    )
