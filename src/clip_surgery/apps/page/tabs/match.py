"""The tab "Match": why the image matches a text or another image, and not a rival."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.html_cards import notice
from clip_surgery.apps.page.match_views import WORDS, ShownMatch, match_view
from clip_surgery.apps.page.requests import drop_unusable, read_query, read_upload
from clip_surgery.apps.page.scripts import TOGGLE_WIDTH
from clip_surgery.apps.page.sessions import Results, reduced, require_shown
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.tab import KEPT_SIDE, PageParts, Tab, result_element
from clip_surgery.errors import InputError
from clip_surgery.figures.match import match_figure, title_of
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.matches import match_record


class MatchTab(Tab):
    """What each part of the image and each word adds to a similarity, or to a difference of two."""

    name, title = "match", "Match"
    hint = "Type a text or choose another image, add a rival if you like, and press Show why."
    missing = "Press Show why first."

    def build(self) -> None:
        """Create the two texts, the two images, the button and the result."""
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
        self.settings |= {"why": self.text, "rival": self.rival}
        with gr.Accordion("Compare with images", open=False, elem_id="match-images"):
            gr.HTML("<p>An image here is compared instead of the text above it.</p>")
            with gr.Row():
                self.like = _image_element("Why this image", "match-like")
                self.unlike = _image_element("And not this image (optional)", "match-unlike")
        self.notice = gr.HTML("", elem_id="match-notice")
        self.result = result_element("match", self.hint, TOGGLE_WIDTH)

    def connect(self, parts: PageParts) -> None:
        """Explain the match when the button or Enter is pressed."""
        inputs = [
            parts.shown, parts.image, self.text, self.like, self.rival, self.unlike, parts.model,
        ]  # fmt: skip
        for event in (self.show.click, self.text.submit, self.rival.submit):
            parts.run(event, self.show_why, inputs, [parts.shown, self.result])
        for image in (self.like, self.unlike):
            parts.draw(image.input, self.change_image, [parts.shown, image], [image, self.notice])
        texts = [parts.shown, self.text, self.rival, parts.model]
        for element in (self.text, self.rival, parts.model, self.result):
            parts.draw(element.change, self.note_changes, texts, self.notice)

    def show_why(
        self, shown: Any, image: Any, text: Any, like: Any, rival: Any, unlike: Any, model: Any
    ) -> tuple[Any, str]:
        """Return what is shown, and why the image matches a query, or more than a rival."""
        kept = require_shown(shown)
        before = kept.results
        checked_image = read_upload(self.actions, image)
        query = read_query(self.actions, text, like)
        other = read_query(self.actions, rival, unlike)
        shown_match = ShownMatch(
            match=self.actions.match(checked_image, query, other, model),
            image=reduced(checked_image, KEPT_SIDE),
            model=model,
            query_image=_kept(query),
            rival_image=_kept(other),
            texts=(text, rival),
        )
        kept.keep(before, self.name, shown_match)
        return kept, match_view(shown_match)

    def change_image(self, shown: Any, image: Any) -> tuple[Any, str]:
        """Remove an image that cannot be used, and mark a result that was computed before."""
        results = require_shown(shown).results
        shown_match = results.by_tab.get(self.name)
        if isinstance(shown_match, ShownMatch):
            results.by_tab[self.name] = dataclasses.replace(shown_match, is_outdated=True)
        return drop_unusable(self.actions, image), self._notice(results)

    def note_changes(self, shown: Any, text: Any, rival: Any, model: Any) -> str:
        """Return a notice if the shown match is of other texts than those that are chosen."""
        return self._notice(require_shown(shown).results, text, rival, model)

    def _notice(self, results: Results, *request: Any) -> str:
        shown_match = results.by_tab.get(self.name)
        if not isinstance(shown_match, ShownMatch):
            return ""
        if not shown_match.is_outdated and shown_match.is_of(*request):
            return ""
        rival = shown_match.match.rival
        against = "" if rival is None else f", not {title_of(rival)},"
        return notice(
            f"This result is for {title_of(shown_match.match)}{against} with {shown_match.model}. "
            "Press Show why to renew it."
        )

    def has_result(self, results: Results) -> bool:
        """Whether a match was explained."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return the sums, the words and the maps."""
        return match_view(self._shown_match(results))

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps over the image in grey."""
        shown_match = self._shown_match(results)
        return match_figure(
            shown_match.image,
            shown_match.match,
            query_image=shown_match.query_image,
            top=WORDS,
            opacity=settings.opacity,
        )

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return the similarity as a sum over patches, words and the rest."""
        if not self.has_result(results):
            return {}
        shown_match = self._shown_match(results)
        record = match_record(shown_match.image, shown_match.match, backbone=shown_match.model)
        size = shown_match.match.framing.original
        record["size"] = {"height": size.height, "width": size.width}
        return {"match": dict(record)}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes the match."""
        shown_match = self._shown_match(results)
        compared = [
            (shown_match.match, shown_match.query_image),
            (shown_match.match.rival, shown_match.rival_image),
        ]
        query, rival = (
            "" if match is None else repr(match.query) if image is None else f"Path({image.name!r})"
            for match, image in compared
        )
        against = f", rival={rival}" if rival else ""
        arguments = f"explainer, {query}, {shown_match.image.name!r}{against}"
        has_image = shown_match.query_image is not None or shown_match.rival_image is not None
        return [
            *(["from pathlib import Path", ""] if has_image else []),
            "import clip_surgery",
            "",
            f"explainer = clip_surgery.load({shown_match.model!r})",
            f"match = clip_surgery.explain_match({arguments})",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `match`."""
        shown_match = self._shown_match(results)
        query, rival = shown_match.match.query, shown_match.match.rival
        option = "--text" if shown_match.query_image is None else "--like"
        words = ["clip-surgery", "match", shown_match.image.name, f"{option}={query}"]
        if rival is not None:
            option = "--rival" if shown_match.rival_image is None else "--rival-image"
            words.append(f"{option}={rival.query}")
        return [*words, f"--model={shown_match.model}"]

    def _shown_match(self, results: Results) -> ShownMatch:
        shown_match = results.by_tab.get(self.name)
        if not isinstance(shown_match, ShownMatch):
            raise InputError(f"{self.missing} This tab has no result yet.")
        return shown_match


def _kept(query: object) -> InputImage | None:
    return reduced(query, KEPT_SIDE) if isinstance(query, InputImage) else None


def _image_element(label: str, element_id: str) -> Any:
    return gr.Image(
        label=label, type="filepath", format="png", sources=["upload", "clipboard"], height=200,
        min_width=130, buttons=[], elem_id=element_id,
    )  # fmt: skip
