"""Words as a figure: the sentence in coloured words, and the maps of the words it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, PAPER, font
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY, colour_table
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.word_explanation import WordExplanation

SIZE = 24
PAD = 7
MARGIN = 24


def words_figure(
    image: ImageSource,
    explanation: WordExplanation,
    *,
    top: int = 3,
    tile: int = 300,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the sentence with each word in the colour of its score, over the best words' maps.

    `top` is how many words have their map drawn; a word that stands twice is drawn once.

    Raises:
        InputError: when the image is not the one explained, or top is below 1.
        UnknownNameError: for a colour map that matplotlib does not have.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 word, but got {top}.")
    picture = read_image(image)
    drawn: dict[str, int] = {}
    for word in explanation.ranking():
        if any(letter.isalnum() for letter in word.text):
            drawn.setdefault(word.text, word.place)
    places = list(drawn.values())[:top] or [word.place for word in explanation.ranking()[:top]]
    maps = heatmaps(explanation.explanation)[0][places]
    body = figure(
        picture,
        maps,
        [explanation.words[place] for place in places],
        notes=[
            f"{explanation.evidence} {float(explanation.scores[place]):.3f}" for place in places
        ],
        tile=tile,
        colour_map=colour_map,
        opacity=opacity,
    )
    head = sentence_image(explanation, width=body.width, colour_map=colour_map)
    sheet = Image.new("RGB", (body.width, head.height + body.height), PAPER)
    sheet.paste(head, (0, 0))
    sheet.paste(body, (0, head.height))
    return sheet


def sentence_image(
    explanation: WordExplanation, *, width: int = 900, colour_map: str = COLOUR_MAP
) -> Image.Image:
    """The sentence on lines of `width` pixels, each word on the colour of its rank in score.

    Colours run from the lowest word's score to the highest; start and end tokens are written
    smaller, with the same colours, cut off at the words' range.
    """
    levels = word_levels(explanation)
    table = colour_table(colour_map)
    letters = font(SIZE, *explanation.words, bold=True)
    small = font(SIZE * 2 // 3, *explanation.words)
    lines: list[list[tuple[int, int]]] = [[]]  # (place, left edge)
    left = MARGIN
    for place, (text, kind) in enumerate(zip(explanation.words, explanation.kinds, strict=True)):
        used = letters if kind == "word" else small
        length = round(used.getlength(text)) + 2 * PAD
        if left + length > width - MARGIN and lines[-1]:
            lines.append([])
            left = MARGIN
        lines[-1].append((place, left))
        left += length + PAD
    step = round(SIZE * 2)
    sheet = Image.new("RGB", (width, MARGIN + step * len(lines)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        middle = MARGIN + step * number + step // 2
        for place, x in line:
            is_word = explanation.kinds[place] == "word"
            used = letters if is_word else small
            text = explanation.words[place]
            level = levels[place]
            colour = _on_paper(table[round(255 * level)].tolist(), level)
            half = SIZE * 3 // 4 if is_word else SIZE // 2
            box = (x, middle - half, x + round(used.getlength(text)) + 2 * PAD, middle + half)
            draw.rounded_rectangle(box, radius=6, fill=colour)
            draw.text((x + PAD, middle), text, INK, used, anchor="lm")
    return sheet


def word_levels(explanation: WordExplanation) -> list[float]:
    """Each word's score on the range of the sentence's words, in [0, 1]; 0 where all are alike."""
    own = [word.score for word in explanation.ranking()]
    if not own or own[0] - own[-1] <= 1e-12:
        return [0.0] * len(explanation.words)
    low, high = own[-1], own[0]
    return [
        min(1.0, max(0.0, (score - low) / (high - low))) for score in explanation.scores.tolist()
    ]


def _on_paper(colour: Sequence[int], level: float) -> tuple[int, int, int]:
    """The colour over white, fainter for a low level: dark letters can be read on all of them."""
    share = 0.2 + 0.4 * level
    red, green, blue = (round(share * value + (1 - share) * 255) for value in colour)
    return red, green, blue
