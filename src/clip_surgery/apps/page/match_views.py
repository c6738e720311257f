"""HTML of a match: similarities as sums, words by what they add, maps, and pairs of patches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from clip_surgery.apps.page.html_cards import numbered_box, plain
from clip_surgery.apps.page.signed_cards import SignedMap, chip_style, signed_cards, signed_scale
from clip_surgery.figures.match import best_words, title_of
from clip_surgery.figures.patch_frames import PAIR_COLOURS, patch_corners
from clip_surgery.inputs.images import InputImage
from clip_surgery.tasks.match import Match, MatchedPair

WORDS = 4
"""Maximum number of words whose maps are shown."""
PAIRS = 4
"""Maximum number of pairs of patches of two images that are shown."""
SUM_NOTE = (
    "The parts of the image and the rest add up to the similarity. The rest has no place in the "
    "image: it is what the model adds after it has looked at all parts, and what words add only "
    "together."
)
REST_NOTE = (
    "Most of the difference comes from the rest, which the map of the difference cannot show."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMatch:
    """A match and its images, reduced.

    Attributes:
        match: the match.
        image: the matched image.
        model: name of the model.
        query_image: the image that is the query, or None.
        rival_image: the image that is the rival, or None.
        texts: the texts of query and rival as the browser sent them.
        is_outdated: whether the visitor changed one of the compared images since.
    """

    match: Match
    image: InputImage
    model: str
    query_image: InputImage | None = None
    rival_image: InputImage | None = None
    texts: tuple[object, object] = ("", "")
    is_outdated: bool = False

    def is_of(self, text: object, rival: object, model: object) -> bool:
        """Whether these texts and this model would give the same match again."""
        images = (self.query_image, self.rival_image)
        return model == self.model and all(
            image is not None or _stripped(now) == _stripped(before)
            for image, now, before in zip(images, (text, rival), self.texts, strict=True)
        )


def _stripped(text: object) -> str:
    return text.strip() if isinstance(text, str) else ""


def match_view(shown_match: ShownMatch) -> str:
    """Return the similarities as sums, the words coloured by what they add, and the maps."""
    match = shown_match.match
    if match.rival is not None:
        maps = _rival_maps(match, match.rival)
        shown = signed_cards(shown_match.image, maps, match.framing)
        shown += _side_maps(shown_match, match.rival)
    elif shown_match.query_image is not None:
        maps, shown = [], _pairs(shown_match, shown_match.query_image)
    else:
        maps = _text_maps(match)
        shown = signed_cards(shown_match.image, maps, match.framing)
    return _sums(match) + _words(match, maps) + shown + signed_scale()


def _text_maps(match: Match) -> list[SignedMap]:
    """The map of the whole similarity, and maps of the words that add most."""
    words = [] if len(match.words or ()) < 2 else best_words(match, top=WORDS)
    whole = _map(match, match.patch_scores(), title="all words" if words else match.query)
    return [
        whole,
        *(
            SignedMap(
                title=word,
                note=f"adds {score:+.3f}",
                alt=f"What the word {word} adds ({score:+.3f}) through each part of the image",
                scores=word_map,
                limit=_limit(word_map),
            )
            for word, score, word_map in words
        ),
    ]


def _rival_maps(match: Match, rival: Match) -> list[SignedMap]:
    """The maps of query and rival on one scale, and the map of their difference."""
    margin = match.margin_scores()
    limit = max(_limit(match.patch_scores()), _limit(rival.patch_scores()))
    name, other = title_of(match), title_of(rival)
    alt = (
        f"What each part of the image adds to the difference {match.margin():+.3f} between "
        f"{name} and {other}"
    )
    return [
        SignedMap(
            title=f"why {name}, not {other}", note=f"difference {match.margin():+.3f}",
            alt=alt, scores=margin, limit=_limit(margin),
        ),
        _map(match, match.patch_scores(), title=name, limit=limit),
        _map(rival, rival.patch_scores(), title=other, limit=limit),
    ]  # fmt: skip


def _pairs(shown_match: ShownMatch, query_image: InputImage) -> str:
    """HTML of both images with their maps and the numbered pairs that add most, and a table."""
    match = shown_match.match
    pairs = match.best_pairs(PAIRS)
    query_marks = _frames(match, query_image, [pair.query_patch for pair in pairs], of_query=True)
    marks = _frames(match, shown_match.image, [pair.patch for pair in pairs], of_query=False)
    shown = _map(match, match.patch_scores(), title=f"this image: {shown_match.image.name}")
    sides = _query_map(match, query_image, marks=query_marks) + signed_cards(
        shown_match.image, [replace(shown, marks=marks)], match.framing
    )
    return f'<div class="cs-pair">{sides}</div>{_pair_scores(pairs)}'


def _side_maps(shown_match: ShownMatch, rival: Match) -> str:
    """HTML of the maps of query and rival if they are images."""
    sides = [(shown_match.match, shown_match.query_image), (rival, shown_match.rival_image)]
    maps = "".join(_query_map(match, image) for match, image in sides if image is not None)
    return f'<div class="cs-pair">{maps}</div>' if maps else ""


def _query_map(match: Match, image: InputImage, *, marks: str = "") -> str:
    """HTML of what each part of an image that is the query adds."""
    scores, framing = match.query_patch_scores(), match.query_framing
    if scores is None or framing is None:
        return ""
    signed = SignedMap(
        title=f"compared with: {title_of(match)}",
        note=f"similarity {match.similarity:.3f}",
        alt=f"What each part of {title_of(match)} adds to its similarity with the image "
        f"({match.similarity:.3f})",
        scores=scores,
        limit=_limit(scores),
        marks=marks,
    )
    return signed_cards(image, [signed], framing)


def _frames(
    match: Match, image: InputImage, patches: list[tuple[int, int]], *, of_query: bool
) -> str:
    """SVG frames around patches, numbered from 1."""
    framing, grid = match.framing, match.grid
    if of_query and match.query_framing is not None and match.query_grid is not None:
        framing, grid = match.query_framing, match.query_grid
    framing, marks = replace(framing, original=image.size), []
    for number, patch in enumerate(patches, start=1):
        corners = patch_corners(patch, framing, grid)
        colour = PAIR_COLOURS[(number - 1) % len(PAIR_COLOURS)]
        side = max(image.size) / 28
        marks.append(numbered_box(corners.flatten().tolist(), str(number), colour, side=side))
    return "".join(marks)


def _pair_scores(pairs: list[MatchedPair]) -> str:
    scores = ", ".join(
        f"<b>{number}</b> {pair.score:+.4f}" for number, pair in enumerate(pairs, start=1)
    )
    return f'<p class="cs-note">What the numbered pairs of patches add: {scores or "nothing"}</p>'


def _map(match: Match, scores: Tensor, *, title: str, limit: float | None = None) -> SignedMap:
    return SignedMap(
        title=title,
        note=f"similarity {match.similarity:.3f}",
        alt="What each part of the image adds to its similarity "
        f"({match.similarity:.3f}) with {title_of(match)}",
        scores=scores,
        limit=_limit(scores) if limit is None else limit,
    )


def _limit(scores: Tensor) -> float:
    return float(scores.abs().max())


def _words(match: Match, maps: list[SignedMap]) -> str:
    """HTML of the words of each text, coloured by what they add; those with a map are buttons."""
    matches = [match] if match.rival is None else [match, match.rival]
    cards = {} if match.rival is not None else {
        signed.title: number for number, signed in enumerate(maps) if number
    }  # fmt: skip
    limit = max((abs(s) for each in matches for s in each.word_scores().values()), default=0)
    lines = []
    for each in matches:
        scores, chips = each.word_scores(), []
        for word in each.words or ():
            score, number = scores[word], cards.get(word)
            element, data = ("span", "") if number is None else (
                "button", f' type="button" data-card="{number}"',
            )  # fmt: skip
            chips.append(
                f'<{element} class="cs-word"{data} style="{chip_style(score / (limit or 1))}">'
                f"{plain(word)} <small>{score:+.3f}</small></{element}>"
            )
        if chips:
            lines.append(f'<p class="cs-sentence">{"".join(chips)}</p>')
    return "".join(lines)


def _sums(match: Match) -> str:
    """HTML of a table: each similarity and its sum, with a rival also the difference."""
    rows = [(title_of(match), match.similarity, match.rest)]
    if match.rival is not None:
        rows.append((title_of(match.rival), match.rival.similarity, match.rival.rest))
        rows.append(("difference", match.margin(), match.margin_rest()))
    body = "".join(
        f'<tr><th scope="row">{plain(name)}</th><td>{total:+.3f}</td><td>{total - rest:+.3f}</td>'
        f"<td>{rest:+.3f}</td></tr>"
        for name, total, rest in rows
    )
    _, total, rest = rows[-1]
    is_rest = match.rival is not None and abs(rest) > abs(total - rest)
    note = f"{REST_NOTE} {SUM_NOTE}" if is_rest else SUM_NOTE
    return (
        f'<table class="cs-tags cs-sums"><caption>{plain(note)}</caption><thead><tr>'
        '<th scope="col">compared with</th><th scope="col">similarity</th>'
        '<th scope="col">by image parts</th><th scope="col">by the rest</th>'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )
