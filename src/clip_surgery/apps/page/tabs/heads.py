"""The tab "Heads": what each head of the model adds to the score of a text, and through where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import torch
from PIL.Image import Image
from torch import Tensor

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    heat_layer,
    text_buttons,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.requests import read_number, read_upload
from clip_surgery.apps.page.scripts import CHOOSE_PART
from clip_surgery.apps.page.sessions import (
    Results,
    Session,
    reduced,
    require_session,
    require_shown,
    within,
)
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import DRAWN_SIDE, PageParts, Tab, load_lines, result_element
from clip_surgery.errors import InputError
from clip_surgery.figures.maps import figure
from clip_surgery.figures.overlay import colour_table
from clip_surgery.framing import Framing, Size
from clip_surgery.records.explanations import DIGITS
from clip_surgery.surgery.decomposed_feature import DecomposedFeature, PartScores
from clip_surgery.surgery.min_max import min_max

MAPS_SAVED = 6
MEANING = "from the lowest to the highest contribution of a patch through this head"
COLOURS = "RdBu_r"
"""Colour map of the table: blue is negative, white is zero, red is positive."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """The contributions of the heads of a model to the scores of C texts.

    Attributes:
        scores: what each part adds to the cosine with each text.
        maps: what each patch adds through each head (C, L, h, rows, columns), float16, because
            the values of all tokens would be large.
        framing: how the image was framed for the model.
        text: index of the text that is shown.
        chosen: block and head whose map is shown.
    """

    scores: PartScores
    maps: Tensor
    framing: Framing
    text: int
    chosen: tuple[int, int]

    @classmethod
    def of(cls, parts: DecomposedFeature, texts: Tensor, framing: Framing) -> Heads:
        """Return the contributions to the scores of texts, whose features are (C, D)."""
        scores = parts.scores(texts)
        blocks, heads = scores.heads.shape[1:]
        maps = [
            torch.stack([parts.head_maps(texts, block=b, head=h) for h in range(heads)], dim=1)
            for b in range(blocks)
        ]
        stacked = torch.stack(maps, dim=1).half()
        return cls(scores=scores, maps=stacked, framing=framing, text=0, chosen=_best(scores, 0))

    def heatmap(self, block: int, head: int, size: Size) -> Tensor:
        """Return the map of a head in [0, 1] at a size (H, W), for the text that is shown."""
        framing = replace(self.framing, original=size)
        patches = self.maps[self.text, block, head].float()
        return min_max(framing.restore_map(patches)[None])[0]


class HeadsTab(Tab):
    """A table of blocks and heads, and the map of the chosen head."""

    name, title = "heads", "Heads"
    hint = "Press Explain, then Show heads."
    missing = "Press Show heads first."

    def build(self) -> None:
        """Create the button and the result."""
        self.show = gr.Button("Show heads", size="sm", elem_id="show-heads")
        self.result = result_element("heads", self.hint, CHOOSE_PART)

    def connect(self, parts: PageParts) -> None:
        """Decompose the image when the button is pressed, and show the chosen head."""
        outputs = [parts.shown, self.result]
        parts.run(self.show.click, self.decompose, [parts.shown, parts.image], outputs)
        parts.draw(self.result.click, self.choose, parts.shown, outputs)

    def decompose(self, shown: Any, image: Any) -> tuple[Any, str]:
        """Return what is shown, and the contributions of the heads."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        parts, features, framing = self.actions.decompose(
            read_upload(self.actions, image), session.explanation.texts, session.model
        )
        heads = Heads.of(parts, features, framing)
        kept.keep(before, self.name, heads)
        return kept, heads_view(session, heads)

    def choose(self, shown: Any, event: gr.EventData) -> tuple[Any, str]:
        """Return what is shown, with another text or the map of another head."""
        kept = require_shown(shown)
        before = kept.results
        session, heads = require_session(before), self._heads(before)
        texts, blocks, heads_per_block = heads.scores.heads.shape
        text, block, head = (getattr(event, name, None) for name in ("text", "block", "head"))
        if text is not None:
            number = int(read_number(text, "a text", low=0, high=texts - 1))
            heads = replace(heads, text=number, chosen=_best(heads.scores, number))
        else:
            block_number = read_number(block, "a block", low=0, high=blocks - 1)
            head_number = read_number(head, "a head", low=0, high=heads_per_block - 1)
            heads = replace(heads, chosen=(int(block_number), int(head_number)))
        kept.keep(before, self.name, heads)
        return kept, heads_view(session, heads)

    def has_result(self, results: Results) -> bool:
        """Whether the image was decomposed."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the table and the map of the chosen head."""
        return heads_view(require_session(results), self._heads(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps of the heads that add most."""
        session, heads = self.require(results), self._heads(results)
        image = reduced(session.image, DRAWN_SIDE)
        scores = heads.scores.heads[heads.text]
        best = scores.flatten().argsort(descending=True)[:MAPS_SAVED].tolist()
        positions = [divmod(index, scores.shape[1]) for index in best]
        return figure(
            image,
            torch.stack([heads.heatmap(block, head, image.size) for block, head in positions]),
            [f"block {block}, head {head}" for block, head in positions],
            notes=[f"adds {float(scores[position]):+.3f}" for position in positions],
            heading=f"{image.name} · {session.explanation.texts[heads.text]} · {session.model}",
            opacity=settings.opacity,
        ).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the contribution of each head to the score of each text."""
        if results.session is None or not self.has_result(results):
            return {}
        heads = self._heads(results)
        scores = heads.scores
        by_text = {
            text: {
                "cosine": round(float(total), DIGITS),
                "heads": each.double().numpy().round(DIGITS).tolist(),
            }
            for text, total, each in zip(
                results.session.explanation.texts, scores.total(), scores.heads, strict=True
            )
        }
        return {"heads": by_text}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the contributions."""
        session = self.require(results)
        return [
            *load_lines(session),
            f"parts = clip_surgery.decompose(explainer, {session.image.name!r})",
            f"labels = explainer.encode({list(session.explanation.texts)}).labels",
            "heads = parts.scores(labels).heads",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Refuse, because there is no such command."""
        self.require(results)
        raise InputError("There is no command for this tab. Use Copy Python.")

    def _heads(self, results: Results) -> Heads:
        heads = results.by_tab.get(self.name)
        if not isinstance(heads, Heads):
            raise InputError(self.missing)
        return heads


def _best(scores: PartScores, text: int) -> tuple[int, int]:
    """Block and head that add most to the score of a text."""
    block, head = divmod(int(scores.heads[text].argmax()), scores.heads.shape[2])
    return block, head


def heads_view(session: Session, heads: Heads) -> str:
    """Return buttons for the texts, a table of blocks and heads, and the map of one head."""
    text = session.explanation.texts[heads.text]
    block, head = heads.chosen
    scores = heads.scores.heads[heads.text]
    heatmap = heads.heatmap(block, head, within(session.image.size, LAYER_SIDE))
    title = f"block {block}, head {head}"
    note = f"adds {float(scores[block, head]):+.3f}"
    card = Card(
        title=title,
        note=note,
        layer=heat_layer(heatmap),
        values=encode_map(heatmap),
        alt=f"{title} for {text}: {note}, {describe_peak(heatmap, session.image.size)}",
    )
    total = float(heads.scores.total()[heads.text])
    return (
        text_buttons(session.explanation.texts, heads.text)
        + '<p class="cs-note">What each head adds to the similarity '
        f"({total:.3f}); choose a head to see through which parts of the image.</p>"
        + f'<div class="cs-heads">{_table(scores, heads.chosen)}'
        + f"{cards_view(session.image, [card])}</div>"
        + colour_scale(MEANING)
    )


def _table(scores: Tensor, chosen: tuple[int, int]) -> str:
    """HTML of the scores (L, h), one button per head."""
    limit = float(scores.abs().max()) or 1.0
    colours = colour_table(COLOURS)
    levels = torch.round(255 * (0.5 + 0.25 * scores / limit)).int().tolist()
    names = "".join(f'<th scope="col">{head}</th>' for head in range(scores.shape[1]))
    rows = []
    for block, (row, level_row) in enumerate(zip(scores.tolist(), levels, strict=True)):
        cells = []
        for head, (score, level) in enumerate(zip(row, level_row, strict=True)):
            colour = ",".join(map(str, colours[level].tolist()))
            pressed = str((block, head) == chosen).lower()
            cells.append(
                f'<td><button type="button" data-block="{block}" data-head="{head}" '
                f'aria-pressed="{pressed}" aria-label="block {block}, head {head}: '
                f'{score:+.3f}" style="background:rgb({colour})">{100 * score:+.1f}</button></td>'
            )
        rows.append(f'<tr><th scope="row">block {block}</th>{"".join(cells)}</tr>')
    return (
        '<div class="cs-scroll" tabindex="0" role="region" aria-label="Heads by block">'
        "<table><caption>in hundredths; columns are heads</caption>"
        f"<thead><tr><td></td>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
