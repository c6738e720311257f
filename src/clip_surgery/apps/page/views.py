"""Views: results as HTML for the tabs of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    box,
    cards_view,
    colour_scale,
    cross,
    data_link,
    disc,
    heat_layer,
    hint,
    plain,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_classes, encode_map
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
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable
from clip_surgery.records.mask_files import palette_image
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.inspection import AttentionMap
from clip_surgery.tasks.masks import Mask
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import Background
from clip_surgery.word_explanation import RankedWord, WordExplanation

UNLIKELY = 0.1
"""Texts with a lower probability of presence are drawn paler."""
SCALES = {
    "text": "each map from its own lowest to its own highest value",
    "image": "all maps from their common lowest to their common highest value",
    "presence": "each map from its own lowest value, times the presence of its text",
}
TAGS = 12
DRAWN_SIDE = 768
"""Longer side in pixels of the image in the attention view."""
KEYS_NOTE = "or use the arrow keys and Enter"
KEYS_ALT = (
    "The image. Arrow keys move the point, Enter shows what the patch at this point attends to."
)
ATTENTION_TITLES = {"q-k": "CLIP's own attention (q-k)", "v-v": "CLIP Surgery's attention (v-v)"}


def maps_view(session: Session, contrast: Contrast) -> str:
    """Return a card per text with its map and its probability of presence."""
    heatmaps_by_text = maps(session, contrast, side=LAYER_SIDE)
    probabilities = presence(session.explanation)[0].tolist()
    cards = [
        _map_card(text, probability, heatmap, session.image)
        for text, probability, heatmap in zip(
            session.explanation.texts, probabilities, heatmaps_by_text, strict=True
        )
    ]
    return cards_view(session.image, cards, kind="cs-zoom") + colour_scale(SCALES[contrast])


def _map_card(text: str, probability: float, heatmap: Tensor, image: InputImage) -> Card:
    """The map of a text; the title says if the text is probably not in the image."""
    absent = probability < UNLIKELY
    note = f"presence {probability:.0%}" + (", probably absent" if absent else "")
    return Card(
        title=text,
        note=note,
        layer=heat_layer(heatmap),
        faint=absent,
        alt=f"Map of {text}: {note}, {describe_peak(heatmap, image.size)}",
        values=encode_map(heatmap),
    )


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
        cards.append(
            Card(title=text, note=note, marks="".join(marks), alt=f"Points of {text}: {note}")
        )
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
    best_words = _best_words(explanation)[:top]
    cards_of_words = {word.text: number for number, word in enumerate(best_words)}
    chips = []
    for text, kind, level in zip(explanation.words, explanation.kinds, levels, strict=True):
        red, green, blue = table[round(255 * level)].tolist()
        colour = f"rgba({red},{green},{blue},{0.1 + 0.25 * level:.2f})"
        number = cards_of_words.get(text)
        if kind == "word" and number is not None:
            chip = f'button type="button" class="cs-word" data-card="{number}"'
        else:
            chip = f'span class="cs-word{"" if kind == "word" else " cs-end"}"'
        element = chip.split(" ", maxsplit=1)[0]
        chips.append(f'<{chip} style="background:{colour}">{plain(text)}</{element}>')
    size = within(image.size, LAYER_SIDE)
    word_maps = heatmaps(at_size(explanation.explanation, size))[0]
    cards = [_word_card(word, word_maps[word.position], image) for word in best_words]
    sentence = f'<p class="cs-sentence">{"".join(chips)}</p>'
    scale = f'<p class="cs-hint">{plain(explanation.scale)}</p>'
    return (
        sentence
        + scale
        + cards_view(reduced(image, 1024), cards, kind="cs-zoom")
        + colour_scale(SCALES["text"])
    )


def _word_card(word: RankedWord, heatmap: Tensor, image: InputImage) -> Card:
    return Card(
        title=word.text,
        note=f"score {word.score:.3f}",
        layer=heat_layer(heatmap),
        alt=f"Map of the word {word.text}: score {word.score:.3f}, "
        f"{describe_peak(heatmap, image.size)}",
        values=encode_map(heatmap),
    )


def _best_words(explanation: WordExplanation) -> list[RankedWord]:
    """Return the ranked words that an image can show, each at its best position only.

    A sentence of function words and punctuation has all of them.
    """
    ranking = explanation.ranking()
    content_words = [word for word in ranking if not is_function_word(word.text)]
    best: dict[str, RankedWord] = {}
    for word in content_words or ranking:
        best.setdefault(word.text, word)
    return list(best.values())


def image_view(image: InputImage) -> str:
    """Return the image by itself, to be clicked."""
    card = Card(title="Click anywhere in the image", note=KEYS_NOTE, alt=KEYS_ALT)
    return cards_view(image, [card], kind="cs-click")


def attention_view(image: InputImage, attention_maps: Sequence[AttentionMap]) -> str:
    """Return the clicked point, and a card per kind of attention of its patch."""
    x, y = attention_maps[0].point
    mark = disc(x, y, max(image.size) / 60)
    position = f"x {x:.0f}, y {y:.0f} px"
    cards = [Card(title="The point", note=position, marks=mark, alt=f"{KEYS_ALT} Now {position}.")]
    for attention_map in attention_maps:
        heatmap = attention_map.heatmap()
        title = ATTENTION_TITLES.get(attention_map.kind, attention_map.kind)
        alt = f"{title} of the point: {describe_peak(heatmap, image.size)}"
        cards.append(
            Card(
                title=title,
                layer=heat_layer(heatmap),
                marks=mark,
                alt=alt,
                values=encode_map(heatmap),
            )
        )
    meaning = "share of the attention, divided by the largest share of each map"
    return cards_view(image, cards, kind="cs-click") + colour_scale(meaning)


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
    order = np.argsort(-shares).tolist()
    legend = "".join(
        f'<li><i style="background:rgb({",".join(map(str, palette[3 * n + 3 : 3 * n + 6]))})"></i>'
        f"{plain(texts[n])}<span>{shares[n]:.1%}</span></li>"
        for n in order
    )
    alt = "Best text of each pixel: " + ", ".join(f"{texts[n]} {shares[n]:.1%}" for n in order)
    card = Card(
        title="Best text of each pixel",
        layer=data_link(colours),
        alt=alt,
        values=encode_classes(classes),
    )
    names = escape(json.dumps([printable(text) for text in texts]))
    return (
        f'<div class="cs-segments" data-names="{names}">{cards_view(session.image, [card])}'
        f'<ul class="cs-legend">{legend}</ul></div>'
    )


def masks_view(session: Session, masks: Sequence[Mask | None]) -> str:
    """Return a card per text with the segmented object and the points of its prompt."""
    unit = max(session.image.size) / 60
    cards = []
    for text, mask in zip(session.explanation.texts, masks, strict=True):
        if mask is None:
            note = "no object found"
            cards.append(Card(title=text, note=note, faint=True, alt=f"Mask of {text}: {note}"))
            continue
        marks = [cross(x, y, unit * 0.8) for x, y in mask.points.negatives.tolist()]
        marks += [disc(x, y, unit) for x, y in mask.points.positives.tolist()]
        layer = _dark_outside(mask.mask)
        note = f"score {mask.score:.2f}"
        area = float(mask.mask.double().mean())
        alt = f"Mask of {text}: {note}, {area:.0%} of the image"
        cards.append(Card(title=text, note=note, layer=layer, marks="".join(marks), alt=alt))
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
