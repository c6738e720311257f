"""The files and table rows of a match of an image with a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared.drawing import shrunk
from clip_surgery.apps.cli.shared.html_report import image_card
from clip_surgery.apps.cli.shared.output_formats import ImageResult
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.figures.match import best_words, match_sheet, title_of
from clip_surgery.records.matches import match_record
from clip_surgery.surgery.min_max import min_max
from clip_surgery.tasks.match import Match

if TYPE_CHECKING:
    from clip_surgery.explainer import Explainer
    from clip_surgery.inputs.images import InputImage

MATCH_COLUMNS = ("query", "similarity", "by patches", "by the rest", "words that add most")


def match_result(
    image: InputImage,
    match: Match,
    explainer: Explainer,
    *,
    query_image: InputImage | None = None,
    top: int = 3,
    opacity: float = 0.7,
    rank: int | None = None,
    sheet: SheetOptions | None = None,
) -> ImageResult:
    """Return what is written for a match.

    Args:
        image: the matched image.
        match: the match.
        explainer: the model.
        query_image: the image that is the query, or None.
        top: number of words or pairs of patches in the figure.
        opacity: opacity of the strongest colours in [0, 1].
        rank: the position of the image among the hits of a search, from 1; None without a search.
        sheet: size and heading of the figure; None for a figure for the screen.
    """
    record = match_record(image, match, backbone=explainer.backbone.name, top=top)
    if rank is not None:
        record["rank"] = rank
    small = shrunk(image)
    options = sheet or SheetOptions()

    return ImageResult(
        record=dict(record),
        files=options.files(
            lambda page: match_sheet(
                small,
                match,
                query_image=None if query_image is None else shrunk(query_image),
                top=top,
                opacity=opacity,
                is_plain=options.plain,
                page=page,
            )
        ),
        rows=match_rows(match, top=top),
        html_card=lambda: _card(small, match),
    )


def match_rows(match: Match, *, top: int = 3) -> list[tuple[str, ...]]:
    """Return one row for the query, and with a rival one for it and one for the difference."""
    words = ", ".join(f"{word} {score:+.3f}" for word, score, _ in best_words(match, top=top))
    rows = [_row(title_of(match), match.similarity, match.rest, words)]
    if match.rival is not None:
        rival = match.rival
        words = ", ".join(f"{word} {score:+.3f}" for word, score, _ in best_words(rival, top=top))
        rows.append(_row(title_of(rival), rival.similarity, rival.rest, words))
        rows.append(_row("difference", match.margin(), match.margin_rest(), ""))
    return rows


def _row(name: str, total: float, rest: float, words: str) -> tuple[str, ...]:
    return name, f"{total:.3f}", f"{total - rest:+.3f}", f"{rest:+.3f}", words


def _card(image: InputImage, match: Match) -> str:
    """Return the HTML of a hit: what patches add to the similarity, then word by word."""
    import torch

    words = best_words(replace(match, rival=None), top=len(match.words or ()))
    words = sorted(words, key=lambda entry: (match.words or ()).index(entry[0]))
    maps = torch.stack([match.patch_scores(), *(word_map for _, _, word_map in words)])
    framing = replace(match.framing, original=image.size)
    restored = torch.stack([framing.restore_map(scores.clamp(min=0)) for scores in maps])
    return image_card(
        image,
        min_max(restored),
        [title_of(match), *(word for word, _, _ in words)],
        [match.similarity, *(score for _, score, _ in words)],
        None,
    )
