"""Draw which words of a sentence go with which regions of an image."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.page_format import SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.signed_overlay import OPACITY, signed_tile
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.tasks.interactions import Interactions


def interactions_figure(
    image: ImageSource | InputImage,
    interactions: Interactions,
    *,
    top: int = 4,
    tile: int = 300,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the regions with which each word goes: red regions add to the word, blue take away.

    All maps have one scale, so that words can be compared.

    Args:
        image: the image.
        interactions: the interactions of the image and a sentence, from `interactions`.
        top: maximum number of words, those that add most; function words are left out, unless the
            sentence consists of nothing else.
        tile: typical side of a tile in pixels.
        opacity: opacity of the strongest colours in [0, 1].

    Raises:
        InputError: if `top` or `tile` is below 1, or the image cannot be used.
    """
    return interactions_sheet(image, interactions, top=top, tile=tile, opacity=opacity).image()


def interactions_sheet(
    image: ImageSource | InputImage,
    interactions: Interactions,
    *,
    top: int = 4,
    tile: int = 300,
    opacity: float = OPACITY,
    is_plain: bool = False,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Return the sheet of `interactions_figure`, for any page.

    Args:
        image: as for `interactions_figure`.
        interactions: as for `interactions_figure`.
        top: as for `interactions_figure`.
        tile: as for `interactions_figure`.
        opacity: as for `interactions_figure`.
        is_plain: whether the numbers and explanations are left out.
        page: the format of the page.

    Raises:
        InputError: as for `interactions_figure`.
    """
    shown = read_image(image)
    positions = drawn_words(interactions, top=top)
    style = Style.for_gallery(shown, 1 + len(positions), tile=tile, page=page, opacity=opacity)
    framing = replace(interactions.framing, original=shown.size)
    patches = interactions.patch_scores()
    limit = float(interactions.pair_scores[positions].abs().max())
    tiles = [Tile(style.plain(shown), "image")]
    for position in positions:
        drawn = signed_tile(shown, patches[position], framing, style, limit=limit)
        note = "" if is_plain else f"adds {float(interactions.word_scores[position]):+.3f}"
        tiles.append(Tile(drawn, interactions.words[position], note))
    if is_plain:
        return gallery(tiles, page=page)
    return gallery(
        tiles,
        heading=fit_text(interactions),
        notes=["Red: the word adds more if the region is visible. Blue: it adds less."],
        page=page,
    )


def fit_text(interactions: Interactions) -> str:
    """Return the sentences that say what is shown and how well the fit explains similarities."""
    return (
        "Words and regions that count together. The fit explains "
        f"{interactions.fit:.0%} of the similarities of images and sentences with hidden parts, "
        f"{interactions.fit_without_pairs:.0%} without pairs of a word and a region."
    )


def drawn_words(interactions: Interactions, *, top: int) -> list[int]:
    """Return the positions of the words that are drawn, the one that adds most first.

    Raises:
        InputError: if `top` is below 1.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 word, but got {top}.")
    order = interactions.word_scores.argsort(descending=True).tolist()
    content = [position for position in order if not is_function_word(interactions.words[position])]
    return (content or order)[:top]
