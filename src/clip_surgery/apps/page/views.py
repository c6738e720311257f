"""Views: what was found, as HTML for the tabs of the page, from plain values."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.answers import clicks, likely_tags, maps, segmentation
from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    box,
    cross,
    data_link,
    disc,
    heat_layer,
    hint,
    sheet,
)
from clip_surgery.apps.page.sessions import Session, at_size, shrunk
from clip_surgery.explanation import Explanation
from clip_surgery.figures.overlay import COLOUR_MAP, colour_table
from clip_surgery.figures.words import word_levels
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.mask_files import palette_image
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.inspection import AttentionMap
from clip_surgery.tasks.masks import Mask
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import Background
from clip_surgery.word_explanation import RankedWord, WordExplanation

UNLIKELY = 0.1
TAGS = 12
DRAWN_SIDE = 768
"""Longer side of a picture under attention, in pixels."""


def maps_view(visit: Session, contrast: Contrast) -> str:
    """A card a word: where it is, and how likely it is there at all."""
    drawn = maps(visit, contrast, side=LAYER_SIDE)
    shares = presence(visit.explanation)[0].tolist()
    cards = [
        Card(
            title=text,
            note=likely(share),
            layer=heat_layer(heatmap),
            faint=share < UNLIKELY,
        )
        for text, share, heatmap in zip(visit.explanation.texts, shares, drawn, strict=True)
    ]
    return sheet(visit.picture, cards, kind="cs-zoom")


def points_view(visit: Session, min_presence: float | None) -> str:
    """A card a word: clicks on it and off it, and its best box."""
    unit = max(visit.picture.size) / 60
    cards = []
    for text, (found, cut) in clicks(visit.shown, min_presence).items():
        marks = [box(one.xyxy) for one in cut[:1]]
        marks += [cross(x, y, unit * 0.8) for x, y in found.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in found.positives[::-1].tolist()]
        note = f"{len(found.positives)} on, {len(found.negatives)} off" if marks else "not there"
        cards.append(Card(title=text, note=note, marks="".join(marks), faint=not marks))
    return sheet(visit.picture, cards, kind="cs-zoom")


def tags_view(explanation: Explanation, *, top: int = TAGS) -> str:
    """Rows of words, best first: the score, and how likely each is in the picture at all."""
    rows = likely_tags(explanation, top=top)
    best = max((tag.score for tag, _ in rows), default=0.0)
    drawn = "".join(
        f'<tr><th scope="row">{escape(tag.text)}</th>'
        f"<td>{_bar(tag.score / best if best > 0 else 0.0, 'cs-score')}</td>"
        f"<td>{tag.score:.3f}</td>"
        f"<td>{_bar(share, 'cs-presence')}</td><td>{share:.0%}</td></tr>"
        for tag, share in rows
    )
    return (
        '<table class="cs-tags"><thead><tr><th>word</th><th colspan="2">compared with the others'
        '</th><th colspan="2">in the picture at all</th></tr></thead>'
        f"<tbody>{drawn}</tbody></table>"
    )


def words_view(picture: InputImage, found: WordExplanation, *, top: int = 6) -> str:
    """The sentence in coloured words, and the maps of the best of them."""
    table, levels = colour_table(COLOUR_MAP), word_levels(found)
    chips = []
    for text, kind, level in zip(found.words, found.kinds, levels, strict=True):
        red, green, blue = table[round(255 * level)].tolist()
        colour = f"rgba({red},{green},{blue},{0.25 + 0.4 * level:.2f})"
        style = "cs-word" if kind == "word" else "cs-word cs-end"
        chips.append(f'<span class="{style}" style="background:{colour}">{escape(text)}</span>')
    small = shrunk(picture, LAYER_SIDE).size
    drawn = heatmaps(at_size(found.explanation, small))[0]
    best: dict[str, RankedWord] = {}
    for one in found.ranking():
        if any(map(str.isalnum, one.text)):
            best.setdefault(one.text, one)
    cards = [
        Card(title=one.text, note=f"{one.score:.3f}", layer=heat_layer(drawn[one.place]))
        for one in list(best.values())[:top]
    ]
    sentence = f'<p class="cs-sentence">{"".join(chips)}</p>'
    return sentence + sheet(shrunk(picture, 1024), cards, kind="cs-zoom")


def image_view(picture: InputImage) -> str:
    """The picture alone, to be clicked."""
    return sheet(picture, [Card(title="Click anywhere in the picture")], kind="cs-click")


def attention_view(picture: InputImage, found: Sequence[AttentionMap]) -> str:
    """The clicked point, and what it looks at in each way."""
    x, y = found[0].point
    mark = disc(x, y, max(picture.size) / 60)
    titles = {"q-k": "CLIP's own attention (q-k)", "v-v": "CLIP Surgery's (v-v)"}
    cards = [Card(title="The point", note=f"{x:.0f}, {y:.0f}", marks=mark)]
    cards += [
        Card(title=titles.get(one.kind, one.kind), layer=heat_layer(one.heatmap()), marks=mark)
        for one in found
    ]
    return sheet(picture, cards, kind="cs-click")


def segments_view(visit: Session, background: Background) -> str:
    """Every pixel in the colour of the word it matches best, and the share of each word."""
    if visit.explanation.similarity is None:
        return hint("This method says nothing of single pixels; choose clip_surgery, for example.")
    classes = segmentation(visit, background).cpu().numpy()
    palette = palette_image(classes).getpalette() or []
    counts = np.bincount(classes.ravel() + 1, minlength=1 + len(visit.explanation.texts))
    shares = counts[1:] / classes.size
    colours = palette_image(classes).convert("RGB")
    colours.putalpha(Image.fromarray(np.where(classes < 0, 0, 255).astype(np.uint8)))
    layer = data_link(colours)
    names = "".join(
        f'<li><i style="background:rgb({",".join(map(str, palette[3 * n + 3 : 3 * n + 6]))})"></i>'
        f"{escape(visit.explanation.texts[n])}<span>{shares[n]:.1%}</span></li>"
        for n in np.argsort(-shares).tolist()
    )
    drawn = sheet(visit.picture, [Card(title="Best word of every pixel", layer=layer)])
    return f'<div class="cs-segments">{drawn}<ul class="cs-legend">{names}</ul></div>'


def masks_view(visit: Session, found: Sequence[Mask | None]) -> str:
    """A card a word: the object cut out, with the clicks that the segmenter was shown."""
    unit = max(visit.picture.size) / 60
    cards = []
    for text, mask in zip(visit.explanation.texts, found, strict=True):
        if mask is None:
            cards.append(Card(title=text, note="no clue where", faint=True))
            continue
        marks = [cross(x, y, unit * 0.8) for x, y in mask.points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in mask.points.positives.tolist()]
        note = f"score {mask.score:.2f}"
        cards.append(Card(title=text, note=note, layer=_outside(mask.mask), marks="".join(marks)))
    return sheet(visit.picture, cards, kind="cs-zoom cs-solid")


def likely(share: float) -> str:
    """A presence in words."""
    return f"{share:.0%} likely there"


def _outside(mask: Tensor) -> str:
    """A dark layer over all that is not in the mask (H, W)."""
    covered = np.zeros((*mask.shape, 4), np.uint8)
    covered[..., 3] = np.where(mask.numpy(), 0, 205)
    return data_link(Image.fromarray(covered))


def _bar(share: float, kind: str) -> str:
    width = 100 * min(1.0, max(0.0, share))
    return f'<span class="cs-bar {kind}"><i style="width:{width:.1f}%"></i></span>'
