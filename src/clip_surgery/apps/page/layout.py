"""Layout: the elements of the page and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.api import METHOD
from clip_surgery.apps.page.html_cards import hint
from clip_surgery.apps.page.model_choices import ModelChoice
from clip_surgery.apps.page.scripts import CLICK_POINT, PRESS_EXAMPLE, WIDEN
from clip_surgery.figures.overlay import OPACITY

CONTRASTS = [("each word alone", "text"), ("all words alike", "image"), ("by presence", "presence")]
BACKGROUNDS = [("only where a word is strong", "threshold"), ("every pixel", "none")]
FIRST = "Choose a picture, type the words to look for, and press Explain."


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The left side: what the visitor gives."""

    picture: Any
    words: Any
    explain: Any
    model: Any
    method: Any
    remark: Any
    gallery: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The right side: what the page says; an element of a missing segmenter is None."""

    opacity: Any
    save_picture: Any
    save_json: Any
    file: Any
    contrast: Any
    maps: Any
    least: Any
    points: Any
    tag: Any
    tags: Any
    sentence: Any
    read: Any
    words: Any
    attention: Any
    background: Any
    segments: Any
    cut: Any
    masks: Any


def asked(actions: Actions, examples: str, remark: str) -> Asked:
    """Picture, words, button, and how it is done."""
    first = actions.offers.first
    picture = gr.Image(
        label="InputImage",
        type="filepath",
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=330,
        buttons=["fullscreen"],
        elem_id="picture",
    )
    words = gr.Dropdown(
        choices=list(first.words),
        value=[],
        multiselect=True,
        allow_custom_value=True,
        max_choices=actions.limits.words,
        label="Words",
        info="Type a word and press Enter, or choose from the list.",
        elem_id="words",
    )
    explain = gr.Button("Explain", variant="primary", size="lg", elem_id="explain")
    gallery = gr.HTML(examples, js_on_load=PRESS_EXAMPLE, elem_id="examples")
    with gr.Accordion("Model and method", open=False):
        model = gr.Dropdown(
            list(actions.offers.names), value=actions.offers.names[0], label="Model"
        )
        method = gr.Dropdown(
            list(first.methods),
            value=start_method(first),
            label="Method",
        )
        note = gr.Markdown(remark, elem_classes="cs-small")
    return Asked(
        picture=picture,
        words=words,
        explain=explain,
        model=model,
        method=method,
        remark=note,
        gallery=gallery,
    )


def answers(actions: Actions) -> Answers:
    """The tabs, and what holds for all of them above."""
    with gr.Row(elem_classes="cs-line"):
        opacity = gr.Slider(
            0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity", scale=3, min_width=280
        )
        save_picture = gr.Button("Save picture", size="sm", elem_id="save-picture", min_width=110)
        save_json = gr.Button("Save JSON", size="sm", elem_id="save-json", min_width=110)
        file = gr.JSON(visible="hidden")
    found: dict[str, Any] = {}
    with gr.Tabs():
        with gr.Tab("Maps"):
            contrast = gr.Radio(CONTRASTS, value="text", label="Contrast", elem_id="contrast")
            found["maps"] = _answer("maps", FIRST, WIDEN)
        with gr.Tab("Points"):
            least = gr.Slider(
                0, 1, 0, step=0.05, label="Leave out words less likely than", elem_id="least"
            )
            found["points"] = _answer("points", FIRST, WIDEN)
        with gr.Tab("Tags"):
            tag = gr.Button("Look for all words of the list", size="sm", elem_id="tag")
            found["tags"] = _answer("tags", FIRST)
        with gr.Tab("Words"):
            with gr.Row(elem_classes="cs-line"):
                sentence = gr.Textbox(
                    label="Sentence", placeholder="a dog beside a boat", lines=1, scale=4,
                    max_length=actions.limits.letters, elem_id="sentence",
                )  # fmt: skip
                read = gr.Button("Read", min_width=90, scale=1, elem_id="read")
            found["words"] = _answer("read-words", "Type a sentence and press Read.", WIDEN)
        with gr.Tab("Attention"):
            found["attention"] = _answer("attention", FIRST, CLICK_POINT)
        with gr.Tab("Segments"):
            background = gr.Radio(
                BACKGROUNDS, value="threshold", label="Pixels", elem_id="background"
            )
            found["segments"] = _answer("segments", FIRST)
        cut = None
        if actions.segmenter is not None:
            with gr.Tab("Masks"):
                cut = gr.Button("Cut out", size="sm", elem_id="cut")
                found["masks"] = _answer("masks", "Press Explain, then Cut out.", WIDEN)
    return Answers(
        opacity=opacity, save_picture=save_picture, save_json=save_json, file=file,
        contrast=contrast, least=least, background=background, tag=tag,
        sentence=sentence, read=read, cut=cut,
        **{"masks": None, **found},
    )  # fmt: skip


def start_method(offer: ModelChoice) -> str:
    """The method that is chosen at the start."""
    return METHOD if METHOD in offer.methods else offer.methods[0]


def _answer(name: str, text: str, script: str | None = None) -> Any:
    return gr.HTML(
        hint(text), elem_id=name, js_on_load=script, apply_default_css=False, min_height=260
    )
