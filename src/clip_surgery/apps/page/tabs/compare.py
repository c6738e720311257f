"""The tab "Compare": the maps of two methods or models, with a border that the visitor moves."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL.Image import Image

from clip_surgery.apps.page.html_cards import (
    LAYER_SIDE,
    Card,
    cards_view,
    colour_scale,
    heat_layer,
    plain,
)
from clip_surgery.apps.page.map_values import describe_peak, encode_map
from clip_surgery.apps.page.requests import read_upload
from clip_surgery.apps.page.results import maps, record
from clip_surgery.apps.page.sessions import (
    Results,
    Session,
    at_size,
    reduced,
    require_session,
    require_shown,
)
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.maps import SCALES
from clip_surgery.apps.page.tabs.tab import (
    DRAWN_SIDE,
    PageParts,
    Tab,
    explain_lines,
    result_element,
)
from clip_surgery.figures.comparison import comparison
from clip_surgery.tasks.heatmaps import heatmaps

SLIDER = (
    '<label class="cs-split"><span>{left}</span>'
    '<input type="range" min="0" max="100" value="50" aria-label="Border: left of it {left}, '
    'right of it {right}"><span>{right}</span></label>'
)


class CompareTab(Tab):
    """A card per text with two maps: of the results on the left, of another method on the right."""

    name, title = "compare", "Compare"
    hint = "Press Explain, then choose another method or model and press Compare."
    missing = "Press Compare first."

    def build(self) -> None:
        """Create the other model and method, the button and the result."""
        models = self.actions.models
        with gr.Row(elem_classes="cs-line"):
            self.model = gr.Dropdown(
                list(models.names), value=models.names[0], label="Other model", min_width=140
            )
            self.method = gr.Dropdown(
                list(models.first.methods), value="similarity", label="Other method",
                min_width=140, elem_id="other-method",
            )  # fmt: skip
            self.compare = gr.Button("Compare", min_width=110, elem_id="compare-button")
        self.result = result_element("compare", self.hint)

    def connect(self, parts: PageParts) -> None:
        """Compare when the button is pressed, and list the methods of the chosen model."""
        chosen = [self.model, self.method]
        parts.run(
            self.compare.click, self.explain_again, [parts.shown, parts.image, *chosen],
            [parts.shown, self.result],
        )  # fmt: skip
        parts.draw(self.model.change, self.choose_model, chosen, self.method)

    def choose_model(self, model: Any, method: Any) -> Any:
        """Return the methods that work with a model."""
        methods = self.actions.models[model].methods
        return gr.update(choices=list(methods), value=method if method in methods else methods[0])

    def explain_again(self, shown: Any, image: Any, model: Any, method: Any) -> tuple[Any, str]:
        """Return what is shown, and the results next to those of another method or model."""
        kept = require_shown(shown)
        before = kept.results
        session = require_session(before)
        checked_image = read_upload(self.actions, image)
        other = self.actions.explain(checked_image, session.explanation.texts, model, method)
        kept.keep(before, self.name, other)
        return kept, compare_view(session, other)

    def has_result(self, results: Results) -> bool:
        """Whether two results were compared."""
        return self.name in results.by_tab

    def draw(self, results: Results, settings: Settings) -> str:
        """Return a card per text with two maps."""
        return compare_view(require_session(results), results.by_tab[self.name])

    def figure(self, results: Results, settings: Settings) -> Image:
        """Return the maps of both in two rows."""
        sessions = (self.require(results), results.by_tab[self.name])
        image = reduced(sessions[0].image, DRAWN_SIDE)
        rows = {
            _name(session, sessions): heatmaps(at_size(session.explanation, image.size))[0]
            for session in sessions
        }
        texts = sessions[0].explanation.texts
        return comparison(image, rows, texts, opacity=settings.opacity).image()

    def record(self, results: Results, settings: Settings) -> dict[str, Any]:
        """Return scores, presence and peaks of the other method or model."""
        other = results.by_tab.get(self.name)
        return {"comparison": record(other.explanation)} if isinstance(other, Session) else {}

    def python(self, results: Results, settings: Settings) -> list[str]:
        """Return code that computes both explanations and their maps."""
        session, other = self.require(results), results.by_tab[self.name]
        texts = list(other.explanation.texts)
        return [
            *explain_lines(session),
            f"other = clip_surgery.load({other.model!r}, method={other.method!r})",
            f"other_explanation = other({session.image.name!r}, {texts})",
            "maps = clip_surgery.heatmaps(explanation)[0]",
            "other_maps = clip_surgery.heatmaps(other_explanation)[0]",
        ]

    def command(self, results: Results, settings: Settings) -> list[str]:
        """Return the command `compare`, or `explain` for the other one of two models."""
        session, other = self.require(results), results.by_tab[self.name]
        texts = [f"--text={text}" for text in session.explanation.texts]
        words = [session.image.name, *texts, f"--model={other.model}"]
        if session.model == other.model:
            return ["clip-surgery", "compare", *words, f"--methods={session.method},{other.method}"]
        return ["clip-surgery", "explain", *words, f"--method={other.method}"]


def compare_view(session: Session, other: Session) -> str:
    """Return a slider, and a card per text with the map of a session and of another one."""
    sessions = (session, other)
    names = [_name(each, sessions) for each in sessions]
    left_maps, right_maps = (maps(each, "text", side=LAYER_SIDE) for each in sessions)
    cards = [
        Card(
            title=text,
            layer=heat_layer(left),
            right_layer=heat_layer(right),
            values=encode_map(left),
            right_values=encode_map(right),
            alt=f"Two maps of {text}. {names[0]}: {describe_peak(left, session.image.size)}. "
            f"{names[1]}: {describe_peak(right, session.image.size)}.",
        )
        for text, left, right in zip(session.explanation.texts, left_maps, right_maps, strict=True)
    ]
    slider = SLIDER.format(left=plain(names[0]), right=plain(names[1]))
    cards_html = cards_view(session.image, cards, kind="cs-split-cards")
    return f'<div class="cs-compare">{slider}{cards_html}</div>{colour_scale(SCALES["text"])}'


def _name(session: Session, sessions: tuple[Session, Session]) -> str:
    """The method, and the model if the two are of different models."""
    first, second = sessions
    if first.model == second.model:
        return session.method
    return f"{session.model} {session.method}"
