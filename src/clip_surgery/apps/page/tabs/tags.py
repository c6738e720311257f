"""The tab "Tags": texts by how well they match the image."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.html_cards import plain
from clip_surgery.apps.page.requests import read_upload
from clip_surgery.apps.page.results import tags_with_presence
from clip_surgery.apps.page.sessions import Results, reduced, require_shown
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import (
    DRAWN_SIDE,
    PageParts,
    Tab,
    explain_lines,
    heading,
    load_lines,
    result_element,
)
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.figures.tags import tags_figure
from clip_surgery.records.texts import tags_record
from clip_surgery.tasks.tags import tags

SHOWN_TAGS = 12


class TagsTab(Tab):
    """The texts of the visitor, or all texts that the page suggests, best first."""

    name, title = "tags", "Tags"

    def build(self) -> None:
        """Create the result and the button for all suggested texts."""
        self.result = result_element("tags", self.hint)
        self.find = gr.Button("Look for all texts of the list", size="sm", elem_id="find-tags")

    def connect(self, parts: PageParts) -> None:
        """Look for all suggested texts when the button is pressed."""
        inputs = [parts.shown, parts.image, parts.model]
        parts.run(self.find.click, self.find_tags, inputs, [parts.shown, self.result])

    def find_tags(self, shown: Any, image: Any, model: Any) -> tuple[Any, str]:
        """Return what is shown, and all texts that the page suggests, best first."""
        kept = require_shown(shown)
        before = kept.results
        explanation = self.actions.find_tags(read_upload(self.actions, image), model)
        kept.keep(before, self.name, explanation)
        return kept, tags_view(explanation)

    def has_result(self, results: Results) -> bool:
        """Whether there are tags of the list or of an explanation."""
        return _tagged(results) is not None

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a table of texts."""
        return tags_view(_require_tagged(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the image with bars of its best texts."""
        session = self.require(results)
        best = [tag for tag, _ in tags_with_presence(_require_tagged(results), top=SHOWN_TAGS)]
        return tags_figure(
            reduced(session.image, DRAWN_SIDE), best, heading=heading(session)
        ).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return all texts with their scores, best first."""
        tagged = _tagged(results)
        return {} if tagged is None else {"tags": tags_record(tagged, tags(tagged)[0])["tags"]}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the tags."""
        session = self.require(results)
        lines = explain_lines(session)
        if self.name in results.by_tab:
            lines = [
                *load_lines(session, "similarity"),
                f"explanation = explainer({session.image.name!r}, explainer.vocabulary)",
            ]
        return [*lines, "tags = clip_surgery.tags(explanation)[0]"]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `tag`."""
        session = self.require(results)
        texts = () if self.name in results.by_tab else session.explanation.texts
        options = [*[f"--text={text}" for text in texts], f"--model={session.model}"]
        return ["clip-surgery", "tag", session.image.name, *options]


def _tagged(results: Results) -> Explanation | None:
    """The explanation that is ranked: of all texts of the list, or of the texts of the visitor."""
    of_list = results.by_tab.get(TagsTab.name)
    if isinstance(of_list, Explanation):
        return of_list
    return None if results.session is None else results.session.explanation


def _require_tagged(results: Results) -> Explanation:
    tagged = _tagged(results)
    if tagged is None:
        raise InputError(TagsTab.missing)
    return tagged


def tags_view(explanation: Explanation, *, top: int = SHOWN_TAGS) -> str:
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


def _bar(share: float, kind: str) -> str:
    """A bar that fills this share of its width."""
    width = 100 * min(1.0, max(0.0, share))
    return f'<span class="cs-bar {kind}"><i style="width:{width:.1f}%"></i></span>'
