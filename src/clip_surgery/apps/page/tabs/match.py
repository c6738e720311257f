"""The tab "Match": why the image matches a text, and why this text and not a rival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL.Image import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import plain
from clip_surgery.apps.page.requests import read_upload
from clip_surgery.apps.page.scripts import TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import Results, reduced, require_shown
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.signed_cards import SignedMap, chip_style, signed_view
from clip_surgery.apps.page.tabs.tab import KEPT_SIDE, PageParts, Tab, result_element
from clip_surgery.errors import InputError
from clip_surgery.figures.match import best_words, match_figure
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.matches import match_record
from clip_surgery.tasks.match import Match

WORDS = 4
"""Maximum number of words whose maps are shown."""
SUM_NOTE = (
    "The parts of the image and the rest add up to the similarity. The rest has no place in the "
    "image: it is what the model adds after it has looked at all parts, and what words add only "
    "together."
)
REST_NOTE = (
    "Most of the difference comes from the rest, which the map of the difference cannot show."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundMatch:
    """A match and its image, reduced."""

    match: Match
    image: InputImage
    model: str


class MatchTab(Tab):
    """What each part of the image and each word adds to a similarity, or to a difference of two."""

    name, title = "match", "Match"
    hint = "Type a text, and another one if you like, and press Show why."
    missing = "Press Show why first."

    def build(self) -> None:
        """Create the two texts, the button and the result."""
        longest = self.actions.limits.characters
        with gr.Row(elem_classes="cs-line"):
            self.text = gr.Textbox(
                label="Why this text", placeholder="a photo of a dog", lines=1, scale=3,
                max_length=longest, min_width=170, elem_id="match-text",
            )  # fmt: skip
            self.rival = gr.Textbox(
                label="And not this one (optional)", placeholder="a photo of a boat", lines=1,
                scale=3, max_length=longest, min_width=170, elem_id="match-rival",
            )  # fmt: skip
            self.show = gr.Button("Show why", min_width=110, scale=1, elem_id="show-why")
        self.result = result_element("match", self.hint, TOGGLE_WIDTH)

    def connect(self, parts: PageParts) -> None:
        """Explain the match when the button or Enter is pressed."""
        inputs = [parts.shown, parts.image, self.text, self.rival, parts.model]
        for event in (self.show.click, self.text.submit, self.rival.submit):
            parts.run(event, self.show_why, inputs, [parts.shown, self.result])

    def show_why(
        self, shown: Any, image: Any, text: Any, rival: Any, model: Any
    ) -> tuple[Any, str]:
        """Return what is shown, and why the image matches a text, or one more than the other."""
        kept = require_shown(shown)
        before = kept.results
        checked_image = read_upload(self.actions, image)
        match = self.actions.match(checked_image, text, rival, model)
        found = FoundMatch(match=match, image=reduced(checked_image, KEPT_SIDE), model=model)
        kept.keep(before, self.name, found)
        return kept, match_view(found)

    def has_result(self, results: Results) -> bool:
        """Whether a match was explained."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the sums, the words and the maps."""
        return match_view(self._found(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps over the image in grey."""
        found = self._found(results)
        return match_figure(found.image, found.match, top=WORDS, opacity=settings.opacity)

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the similarity as a sum over patches, words and the rest."""
        if not self.has_result(results):
            return {}
        found = self._found(results)
        record = match_record(found.image, found.match, backbone=found.model)
        size = found.match.framing.original
        record["size"] = {"height": size.height, "width": size.width}
        return {"match": dict(record)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the match."""
        found = self._found(results)
        rival = "" if found.match.rival is None else f", rival={found.match.rival.query!r}"
        arguments = f"explainer, {found.match.query!r}, {found.image.name!r}{rival}"
        return [
            "import clip_surgery",
            "",
            f"explainer = clip_surgery.load({found.model!r})",
            f"match = clip_surgery.explain_match({arguments})",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `match`."""
        found = self._found(results)
        words = ["clip-surgery", "match", found.image.name, f"--text={found.match.query}"]
        if found.match.rival is not None:
            words.append(f"--rival={found.match.rival.query}")
        return [*words, f"--model={found.model}"]

    def _found(self, results: Results) -> FoundMatch:
        found = results.by_tab.get(self.name)
        if not isinstance(found, FoundMatch):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return found


def match_view(found: FoundMatch) -> str:
    """Return the similarities as sums, the words coloured by what they add, and the maps."""
    match = found.match
    maps = _text_maps(match) if match.rival is None else _rival_maps(match, match.rival)
    return _sums(match) + _words(match, maps) + signed_view(found.image, maps, match.framing)


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
    """The maps of both texts on one scale, and the map of their difference."""
    margin = match.margin_scores()
    limit = max(_limit(match.patch_scores()), _limit(rival.patch_scores()))
    alt = (
        f"What each part of the image adds to the difference {match.margin():+.3f} between "
        f"{match.query} and {rival.query}"
    )
    return [
        SignedMap(
            title=f"why {match.query}, not {rival.query}", note=f"difference {match.margin():+.3f}",
            alt=alt, scores=margin, limit=_limit(margin),
        ),
        _map(match, match.patch_scores(), title=match.query, limit=limit),
        _map(rival, rival.patch_scores(), title=rival.query, limit=limit),
    ]  # fmt: skip


def _map(match: Match, scores: Tensor, *, title: str, limit: float | None = None) -> SignedMap:
    return SignedMap(
        title=title,
        note=f"similarity {match.similarity:.3f}",
        alt="What each part of the image adds to its similarity "
        f"({match.similarity:.3f}) with {match.query}",
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
        lines.append(f'<p class="cs-sentence">{"".join(chips)}</p>')
    return "".join(lines)


def _sums(match: Match) -> str:
    """HTML of a table: each similarity and its sum, with a rival also the difference."""
    rows = [(match.query, match.similarity, match.rest)]
    if match.rival is not None:
        rows.append((match.rival.query, match.rival.similarity, match.rival.rest))
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
        '<th scope="col">text</th><th scope="col">similarity</th>'
        '<th scope="col">by image parts</th><th scope="col">by the rest</th>'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )
