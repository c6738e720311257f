"""Draw why an image matches a text or another image: what each patch adds, word by word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.layout import stack, tile_rows, with_margins
from clip_surgery.figures.page_format import SCREEN, PageFormat
from clip_surgery.figures.patch_frames import with_patch_frames
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.signed_overlay import OPACITY, signed_tile
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.framing import Framing
from clip_surgery.inputs.function_words import is_function_word
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.tasks.match import Match


def match_figure(
    image: ImageSource | InputImage,
    match: Match,
    *,
    query_image: ImageSource | InputImage | None = None,
    top: int = 3,
    tile: int = 300,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw what each patch adds to a similarity, for words, pairs of patches, or against a rival.

    Red patches add to the similarity (or speak for the query), blue ones take away from it (or
    speak for the rival). The maps of query and rival have one scale, all others their own.

    Args:
        image: the matched image.
        match: the match, from `explain_match`.
        query_image: the image that is the query, whose map and best pairs are drawn too.
        top: number of words whose maps are drawn, or of pairs of patches, at least 1.
        tile: typical side of a tile in pixels.
        opacity: opacity of the strongest colours in [0, 1].

    Raises:
        InputError: if `top` is below 1, or an image cannot be used.
    """
    return match_sheet(
        image, match, query_image=query_image, top=top, tile=tile, opacity=opacity
    ).image()


def match_sheet(
    image: ImageSource | InputImage,
    match: Match,
    *,
    query_image: ImageSource | InputImage | None = None,
    top: int = 3,
    tile: int = 300,
    opacity: float = OPACITY,
    is_plain: bool = False,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Return the sheet of `match_figure`, for any page.

    Args:
        image: as for `match_figure`.
        match: as for `match_figure`.
        query_image: as for `match_figure`.
        top: as for `match_figure`.
        tile: as for `match_figure`.
        opacity: as for `match_figure`.
        is_plain: whether the numbers and the line that explains the colours are left out.
        page: the format of the page.

    Raises:
        InputError: as for `match_figure`.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1, but got {top}.")
    shown = read_image(image)
    count = 2 if query_image is not None and match.query_grid is not None else 2 + top
    style = Style.for_gallery(shown, count, tile=tile, page=page, opacity=opacity)
    if match.query_grid is not None and query_image is not None and match.rival is None:
        query = read_image(query_image)
        query_style = Style.for_gallery(query, count, tile=tile, page=page, opacity=opacity)
        rows = _image_rows(shown, match, query, (query_style, style), top=top)
    elif match.rival is not None:
        rows = [_rival_row(shown, match, match.rival, style)]
    else:
        rows = [_text_row(shown, match, style, top=top)]
    colours = "Red patches add to the similarity, blue patches take away from it."
    if match.rival is not None:
        colours += " In the last map, red speaks for the first and blue for the second."
    if is_plain:
        rows = [[replace(tile, note="") for tile in row] for row in rows]
    columns = page.columns(count)
    body = stack([tile_rows(row, columns, page) for row in rows], gap=page.row_gap)
    if is_plain:
        return with_margins(body, page=page)
    return with_margins(body, heading=sums(match), notes=[colours], page=page)


def sums(match: Match) -> str:
    """Return the sentence with which patches and rest add up to the similarity, and the margin.

    Example:
        >>> from clip_surgery.loading import load
        >>> from clip_surgery.tasks.match import explain_match
        >>> match = explain_match(load("demo"), "dog", Image.radial_gradient("L"))
        >>> sums(match).startswith("dog: ")
        True
    """
    parts = [_sum(title_of(match), match.similarity, match.rest)]
    if match.rival is not None:
        parts.append(_sum(title_of(match.rival), match.rival.similarity, match.rival.rest))
        parts.append(_sum("difference", match.margin(), match.margin_rest()))
    return "; ".join(parts)


def title_of(match: Match) -> str:
    """Return the sentence of a match, or the file name of the image that is the query."""
    return match.query if match.words is not None else Path(match.query).name


def _sum(name: str, total: float, rest: float) -> str:
    return f"{name}: {total:.3f} = {total - rest:+.3f} by patches {rest:+.3f} by the rest"


def _limit(*maps: Tensor) -> float:
    """Return the largest absolute score of maps (rows, columns)."""
    return max(float(scores.abs().max()) for scores in maps)


def _at(framing: Framing, image: InputImage) -> Framing:
    """Return the framing for an image that may have been made smaller since."""
    return replace(framing, original=image.size)


def _text_row(image: InputImage, match: Match, style: Style, *, top: int) -> list[Tile]:
    """Return the image, the map of the whole similarity, and maps of the words that add most."""
    framing, scores = _at(match.framing, image), match.patch_scores()
    mapped = signed_tile(image, scores, framing, style, limit=_limit(scores))
    tiles = [
        Tile(style.plain(image), "image"),
        Tile(mapped, title_of(match), f"similarity {match.similarity:.3f}"),
    ]
    for word, score, word_map in best_words(match, top=top):
        drawn = signed_tile(image, word_map, framing, style, limit=_limit(word_map))
        tiles.append(Tile(drawn, word, f"adds {score:+.3f}"))
    return tiles


def best_words(match: Match, *, top: int) -> list[tuple[str, float, Tensor]]:
    """Return the words that add most, with what they add and their maps (rows, columns).

    Function words are left out, unless there are no others, and so is a sentence of one word,
    which has the map of the whole similarity.
    """
    if match.words is None:
        return []
    scores = match.word_scores()
    words = [word for word in scores if not is_function_word(word)] or list(scores)
    maps = match.word_maps()
    by_word = {
        word: maps[[index for index, other in enumerate(match.words) if other == word]].sum(dim=0)
        for word in sorted(words, key=lambda word: -scores[word])[:top]
    }
    return [(word, scores[word], word_map) for word, word_map in by_word.items()]


def _rival_row(image: InputImage, match: Match, rival: Match, style: Style) -> list[Tile]:
    """Return the image, the maps of query and rival, and the map of their difference."""
    framing = _at(match.framing, image)
    query_scores, rival_scores = match.patch_scores(), rival.patch_scores()
    margin = match.margin_scores()
    limit = _limit(query_scores, rival_scores)
    titles = (title_of(match), title_of(rival))
    return [
        Tile(style.plain(image), "image"),
        Tile(
            signed_tile(image, query_scores, framing, style, limit=limit),
            titles[0],
            f"similarity {match.similarity:.3f}",
        ),
        Tile(
            signed_tile(image, rival_scores, framing, style, limit=limit),
            titles[1],
            f"similarity {rival.similarity:.3f}",
        ),
        Tile(
            signed_tile(image, margin, framing, style, limit=_limit(margin)),
            f"why {titles[0]}, not {titles[1]}",
            f"difference {match.margin():+.3f}",
        ),
    ]


def _image_rows(
    image: InputImage, match: Match, query: InputImage, styles: tuple[Style, Style], *, top: int
) -> list[list[Tile]]:
    """Return both images with their maps, and the pairs of patches that add most as frames."""
    query_scores, scores = match.query_patch_scores(), match.patch_scores()
    if query_scores is None or match.query_framing is None or match.query_grid is None:
        raise InputError("Expected a match of two images, but the query is a sentence.")
    pairs = match.best_pairs(top)
    notes = "  ".join(f"{number}: {pair.score:+.4f}" for number, pair in enumerate(pairs, start=1))
    sides = (
        (query, query_scores, match.query_framing, match.query_grid, styles[0], "query"),
        (image, scores, match.framing, match.grid, styles[1], "image"),
    )
    rows = []
    for index, (shown, side_scores, framing, grid, side_style, title) in enumerate(sides):
        patches = [(pair.query_patch, pair.patch)[index] for pair in pairs]
        at = _at(framing, shown)
        mapped = signed_tile(shown, side_scores, at, side_style, limit=_limit(side_scores))
        framed = with_patch_frames(side_style.plain(shown), patches, at, grid)
        name = Path(shown.name).name
        rows.append(
            [
                Tile(framed, f"{title}: {name}", f"best pairs {notes}" if not index else ""),
                Tile(mapped, "what each patch adds", f"similarity {match.similarity:.3f}"),
            ]
        )
    return rows
