"""Views: results as HTML for the tabs of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    box,
    cards_view,
    cross,
    data_link,
    disc,
    heat_layer,
    hint,
    plain,
)
from clip_surgery.apps.page.results import (
    maps,
    points_and_boxes,
    segmentation,
    tags_with_presence,
)
from clip_surgery.apps.page.sessions import Session, at_size, reduced, within
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
"""Texts with a lower probability of presence are drawn paler."""
TAGS = 12
DRAWN_SIDE = 768
"""Longer side in pixels of the image in the attention view."""
ATTENTION_TITLES = {"q-k": "CLIP's own attention (q-k)", "v-v": "CLIP Surgery's attention (v-v)"}


def maps_view(session: Session, contrast: Contrast) -> str:
    """Return a card per text with its map and its probability of presence."""
    heatmaps_by_text = maps(session, contrast, side=LAYER_SIDE)
    probabilities = presence(session.explanation)[0].tolist()
    cards = [
        Card(
            title=text,
            note=f"presence {probability:.0%}",
            layer=heat_layer(heatmap),
            faint=probability < UNLIKELY,
        )
        for text, probability, heatmap in zip(
            session.explanation.texts, probabilities, heatmaps_by_text, strict=True
        )
    ]
    return cards_view(session.image, cards, kind="cs-zoom")


def points_view(session: Session, min_presence: float | None) -> str:
    """Return a card per text with points on and off the object, and its best box."""
    unit = max(session.image.size) / 60
    cards = []
    by_text = points_and_boxes(session.kept_explanation, min_presence)
    for text, (points, boxes) in by_text.items():
        marks = [box(best_box.xyxy) for best_box in boxes[:1]]
        marks += [cross(x, y, unit * 0.8) for x, y in points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in points.positives[::-1].tolist()]
        counts = f"{len(points.positives)} on, {len(points.negatives)} off"
        note = counts if marks else "no points"
        cards.append(Card(title=text, note=note, marks="".join(marks), faint=not marks))
    return cards_view(session.image, cards, kind="cs-zoom")


def tags_view(explanation: Explanation, *, top: int = TAGS) -> str:
    """Return a table of texts, best first, with score and probability of presence."""
    rows = tags_with_presence(explanation, top=top)
    best_score = max((tag.score for tag, _ in rows), default=0.0)
    rows_html = "".join(
        f'<tr><th scope="row">{plain(tag.text)}</th>'
        f"<td>{_bar(tag.score / best_score if best_score > 0 else 0.0, 'cs-score')}</td>"
        f"<td>{tag.score:.3f}</td>"
        f"<td>{_bar(probability, 'cs-presence')}</td><td>{probability:.0%}</td></tr>"
        for tag, probability in rows
    )
    return (
        '<table class="cs-tags"><thead><tr><th>text</th>'
        '<th colspan="2">score, compared with the other texts</th>'
        '<th colspan="2">probability that it is in the image</th></tr></thead>'
        f"<tbody>{rows_html}</tbody></table>"
    )


def words_view(image: InputImage, explanation: WordExplanation, *, top: int = 6) -> str:
    """Return the sentence with words coloured by score, and maps of the best words.

    Args:
        image: the image.
        explanation: explanation of the words of the sentence.
        top: maximum number of maps.
    """
    table, levels = colour_table(COLOUR_MAP), word_levels(explanation)
    chips = []
    for text, kind, level in zip(explanation.words, explanation.kinds, levels, strict=True):
        red, green, blue = table[round(255 * level)].tolist()
        colour = f"rgba({red},{green},{blue},{0.25 + 0.4 * level:.2f})"
        style = "cs-word" if kind == "word" else "cs-word cs-end"
        chips.append(f'<span class="{style}" style="background:{colour}">{plain(text)}</span>')
    size = within(image.size, LAYER_SIDE)
    word_maps = heatmaps(at_size(explanation.explanation, size))[0]
    cards = [
        Card(title=word.text, note=f"{word.score:.3f}", layer=heat_layer(word_maps[word.position]))
        for word in _best_words(explanation)[:top]
    ]
    sentence = f'<p class="cs-sentence">{"".join(chips)}</p>'
    return sentence + cards_view(reduced(image, 1024), cards, kind="cs-zoom")


def _best_words(explanation: WordExplanation) -> list[RankedWord]:
    """The ranked words with a letter or digit, each at its best position only."""
    best: dict[str, RankedWord] = {}
    for word in explanation.ranking():
        if any(map(str.isalnum, word.text)):
            best.setdefault(word.text, word)
    return list(best.values())


def image_view(image: InputImage) -> str:
    """Return the image by itself, to be clicked."""
    return cards_view(image, [Card(title="Click anywhere in the image")], kind="cs-click")


def attention_view(image: InputImage, attention_maps: Sequence[AttentionMap]) -> str:
    """Return the clicked point, and a card per kind of attention of its patch."""
    x, y = attention_maps[0].point
    mark = disc(x, y, max(image.size) / 60)
    cards = [Card(title="The point", note=f"{x:.0f}, {y:.0f}", marks=mark)]
    cards += [
        Card(
            title=ATTENTION_TITLES.get(attention_map.kind, attention_map.kind),
            layer=heat_layer(attention_map.heatmap()),
            marks=mark,
        )
        for attention_map in attention_maps
    ]
    return cards_view(image, cards, kind="cs-click")


def segments_view(session: Session, background: Background) -> str:
    """Return each pixel in the colour of its best text, and the area of each text."""
    if session.explanation.similarity is None:
        return hint(
            "This method gives no score for single pixels. Choose another one, for example "
            "clip_surgery."
        )
    classes = segmentation(session, background).cpu().numpy()
    palette = palette_image(classes).getpalette() or []
    texts = session.explanation.texts
    counts = np.bincount(classes.ravel() + 1, minlength=1 + len(texts))
    shares = counts[1:] / classes.size
    colours = palette_image(classes).convert("RGB")
    colours.putalpha(Image.fromarray(np.where(classes < 0, 0, 255).astype(np.uint8)))
    legend = "".join(
        f'<li><i style="background:rgb({",".join(map(str, palette[3 * n + 3 : 3 * n + 6]))})"></i>'
        f"{plain(texts[n])}<span>{shares[n]:.1%}</span></li>"
        for n in np.argsort(-shares).tolist()
    )
    card = Card(title="Best text of each pixel", layer=data_link(colours))
    return (
        f'<div class="cs-segments">{cards_view(session.image, [card])}'
        f'<ul class="cs-legend">{legend}</ul></div>'
    )


def masks_view(session: Session, masks: Sequence[Mask | None]) -> str:
    """Return a card per text with the segmented object and the points of its prompt."""
    unit = max(session.image.size) / 60
    cards = []
    for text, mask in zip(session.explanation.texts, masks, strict=True):
        if mask is None:
            cards.append(Card(title=text, note="no object found", faint=True))
            continue
        marks = [cross(x, y, unit * 0.8) for x, y in mask.points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in mask.points.positives.tolist()]
        layer = _dark_outside(mask.mask)
        note = f"score {mask.score:.2f}"
        cards.append(Card(title=text, note=note, layer=layer, marks="".join(marks)))
    return cards_view(session.image, cards, kind="cs-zoom cs-solid")


def _dark_outside(mask: Tensor) -> str:
    """Link of a layer that darkens everything outside of a mask (H, W)."""
    covered = np.zeros((*mask.shape, 4), np.uint8)
    covered[..., 3] = np.where(mask.numpy(), 0, 205)
    return data_link(Image.fromarray(covered))


def _bar(share: float, kind: str) -> str:
    """A bar that fills this share of its width."""
    width = 100 * min(1.0, max(0.0, share))
    return f'<span class="cs-bar {kind}"><i style="width:{width:.1f}%"></i></span>'
