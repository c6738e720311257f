"""Draw a sentence with words coloured by score, and the maps of its best words, as one figure."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, font
from clip_surgery.figures.layout import stack
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_table
from clip_surgery.figures.page_format import MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.word_explanation import WordExplanation

SIZE = 24
PAD = 7
"""Font size and space around a word, in pixels."""


def words_figure(
    image: ImageSource,
    explanation: WordExplanation,
    *,
    top: int = 3,
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the sentence with words coloured by score, and below it the maps of the best words.

    Args:
        image: the explained image.
        explanation: the explanation of one sentence from `words`.
        top: maximum number of words whose maps are drawn. A word that occurs twice is drawn once.
            Function words (see `inputs.function_words`) and the start and end tokens have no map,
            unless the sentence consists of nothing else.
        tile: typical side of a map in pixels.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the maps in [0, 1], where they are 1.

    Raises:
        InputError: if the image is not the explained one, or if top is below 1.
        UnknownNameError: if matplotlib does not have the colour map.
    """
    return words_sheet(
        image, explanation, top=top, tile=tile, colour_map=colour_map, opacity=opacity
    ).image()


def words_sheet(
    image: ImageSource,
    explanation: WordExplanation,
    *,
    top: int = 3,
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    is_plain: bool = False,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Return the sheet of `words_figure`, for any page.

    Args:
        image: as for `words_figure`.
        explanation: as for `words_figure`.
        top: as for `words_figure`.
        tile: as for `words_figure`.
        colour_map: as for `words_figure`.
        opacity: as for `words_figure`.
        is_plain: whether the scores and the line that explains them are left out.
        page: the format of the page.

    Raises:
        InputError: as for `words_figure`.
        UnknownNameError: as for `words_figure`.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 word, but got {top}.")
    input_image = read_image(image)
    best_positions: dict[str, int] = {}
    for word in explanation.ranking():
        if not is_function_word(word.text):
            best_positions.setdefault(word.text, word.position)
    indices = list(best_positions.values())[:top]
    if not indices:  # a sentence of function words and punctuation only
        indices = [word.position for word in explanation.ranking()[:top]]
    maps = heatmaps(explanation.explanation)[0][indices]
    body = figure(
        input_image,
        maps,
        [explanation.words[index] for index in indices],
        notes=None
        if is_plain
        else [
            f"{explanation.evidence} {float(explanation.scores[index]):.3f}" for index in indices
        ],
        heading="" if is_plain else explanation.scale,
        tile=tile,
        colour_map=colour_map,
        opacity=opacity,
        page=page,
    )
    sentence = sentence_sheet(
        explanation, width=body.width, colour_map=colour_map, margin=page.margin
    )
    return stack([sentence, body], gap=0)


def sentence_sheet(
    explanation: WordExplanation,
    *,
    width: float = 900,
    colour_map: str = COLOUR_MAP,
    margin: int = MARGIN,
) -> Sheet:
    """Draw a sentence with a background colour for each word that shows its score.

    The colours range from the lowest to the highest score of a word; for contributions, from 0 to
    the highest. Start and end tokens are smaller, and their scores are limited to this range.

    Args:
        explanation: the explanation of the sentence.
        width: width in pixels.
        colour_map: name of a colour map of matplotlib.
        margin: margin in pixels at the left, at the right and above.
    """
    levels = word_levels(explanation)
    table = colour_table(colour_map)
    text_font = font(SIZE, bold=True)
    small = font(SIZE * 2 // 3)
    lines: list[list[tuple[int, int]]] = [[]]  # (index of the word, left edge)
    left = margin
    for index, (text, kind) in enumerate(zip(explanation.words, explanation.kinds, strict=True)):
        word_font = text_font if kind == "word" else small
        length = round(word_font.getlength(text)) + 2 * PAD
        if left + length > width - margin and lines[-1]:
            lines.append([])
            left = margin
        lines[-1].append((index, left))
        left += length + PAD
    step = round(SIZE * 2)
    sheet = Sheet(width, margin + step * len(lines))
    for number, line in enumerate(lines):
        middle = margin + step * number + step // 2
        for index, x in line:
            is_word = explanation.kinds[index] == "word"
            word_font = text_font if is_word else small
            text = explanation.words[index]
            level = levels[index]
            colour = _background(table[round(255 * level)].tolist(), level)
            half = SIZE * 3 // 4 if is_word else SIZE // 2
            size = (round(word_font.getlength(text)) + 2 * PAD, 2 * half)
            sheet.box((x, middle - half), size, colour, radius=6)
            sheet.text((x + PAD, middle), text, INK, word_font, anchor="lm")
    return sheet


def word_levels(explanation: WordExplanation) -> list[float]:
    """Return the score of each word, scaled to [0, 1] over the sentence; 0 if all are equal.

    The lowest score is 0 and the highest 1. Contributions have a zero of their own, which remains
    0, as do negative ones.
    """
    word_scores = [word.score for word in explanation.ranking()]
    high = max(word_scores, default=0.0)
    low = 0.0 if explanation.evidence == "contribution" else min(word_scores, default=0.0)
    if high - low <= 1e-12:
        return [0.0] * len(explanation.words)
    return [
        min(1.0, max(0.0, (score - low) / (high - low))) for score in explanation.scores.tolist()
    ]


def _background(colour: Sequence[int], level: float) -> tuple[int, int, int]:
    """A colour mixed with white, more for a low level, so that dark letters are readable on it."""
    share = 0.2 + 0.4 * level
    red, green, blue = (round(share * value + (1 - share) * 255) for value in colour)
    return red, green, blue
