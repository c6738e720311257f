"""Draw a sentence with words coloured by score, and the maps of its best words, as one figure."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, PAPER, font
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_table
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.word_explanation import WordExplanation

SIZE = 24
PAD = 7
MARGIN = 24
"""Font size, space around a word, and margin, in pixels."""


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
        notes=[
            f"{explanation.evidence} {float(explanation.scores[index]):.3f}" for index in indices
        ],
        heading=explanation.scale,
        tile=tile,
        colour_map=colour_map,
        opacity=opacity,
    )
    sentence = sentence_image(explanation, width=body.width, colour_map=colour_map)
    canvas = Image.new("RGB", (body.width, sentence.height + body.height), PAPER)
    canvas.paste(sentence, (0, 0))
    canvas.paste(body, (0, sentence.height))
    return canvas


def sentence_image(
    explanation: WordExplanation, *, width: int = 900, colour_map: str = COLOUR_MAP
) -> Image.Image:
    """Draw a sentence with a background colour for each word that shows its score.

    The colours range from the lowest to the highest score of a word; for contributions, from 0 to
    the highest. Start and end tokens are smaller, and their scores are limited to this range.

    Args:
        explanation: the explanation of the sentence.
        width: width of the image in pixels.
        colour_map: name of a colour map of matplotlib.
    """
    levels = word_levels(explanation)
    table = colour_table(colour_map)
    text_font = font(SIZE, *explanation.words, bold=True)
    small = font(SIZE * 2 // 3, *explanation.words)
    lines: list[list[tuple[int, int]]] = [[]]  # (index of the word, left edge)
    left = MARGIN
    for index, (text, kind) in enumerate(zip(explanation.words, explanation.kinds, strict=True)):
        word_font = text_font if kind == "word" else small
        length = round(word_font.getlength(text)) + 2 * PAD
        if left + length > width - MARGIN and lines[-1]:
            lines.append([])
            left = MARGIN
        lines[-1].append((index, left))
        left += length + PAD
    step = round(SIZE * 2)
    canvas = Image.new("RGB", (width, MARGIN + step * len(lines)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        middle = MARGIN + step * number + step // 2
        for index, x in line:
            is_word = explanation.kinds[index] == "word"
            word_font = text_font if is_word else small
            text = explanation.words[index]
            level = levels[index]
            colour = _background(table[round(255 * level)].tolist(), level)
            half = SIZE * 3 // 4 if is_word else SIZE // 2
            box = (x, middle - half, x + round(word_font.getlength(text)) + 2 * PAD, middle + half)
            draw.rounded_rectangle(box, radius=6, fill=colour)
            draw.text((x + PAD, middle), text, INK, word_font, anchor="lm")
    return canvas


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
