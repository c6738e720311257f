"""The elements of the page and their arrangement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.api import METHOD
from clip_surgery.apps.page.controls import MASKS_HINT, START_HINT, WORDS_HINT
from clip_surgery.apps.page.html_cards import hint
from clip_surgery.apps.page.model_choices import ModelChoice
from clip_surgery.apps.page.scripts import CLICK_POINT, PRESS_EXAMPLE, TOGGLE_WIDTH
from clip_surgery.figures.overlay import OPACITY

CONTRASTS = [
    ("each text by itself", "text"),
    ("all texts on one scale", "image"),
    ("by presence", "presence"),
]
BACKGROUNDS = [("only where a text scores high", "threshold"), ("every pixel", "none")]


@dataclass(frozen=True, kw_only=True, eq=False)
class InputElements:
    """The left side: what a visitor enters."""

    image: Any
    texts: Any
    explain: Any
    model: Any
    method: Any
    remark: Any
    gallery: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultElements:
    """The right side: the results. Without a segmenter, `segment` and `masks` are None."""

    notice: Any
    tab: Any
    opacity: Any
    save_image: Any
    save_json: Any
    copy_python: Any
    copy_command: Any
    code: Any
    file: Any
    contrast: Any
    maps: Any
    min_presence: Any
    points: Any
    find_tags: Any
    tags: Any
    sentence: Any
    read: Any
    words: Any
    attention: Any
    background: Any
    segments: Any
    segment: Any
    masks: Any

    @property
    def tabs(self) -> list[Any]:
        """The notice and the results of all tabs, in the order of `Controls.cleared`."""
        results = [
            self.notice, self.maps, self.points, self.tags, self.words, self.attention,
            self.segments,
        ]  # fmt: skip
        return results if self.masks is None else [*results, self.masks]


def input_elements(actions: Actions, examples: str, remark: str) -> InputElements:
    """Create the elements for image, texts, model and method, and the button.

    Args:
        actions: the actions of the page.
        examples: HTML of the example images.
        remark: text about the model and method at the start.
    """
    first = actions.models.first
    image = gr.Image(
        label="Image",
        type="filepath",
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=330,
        buttons=["fullscreen"],
        elem_id="image",
    )
    texts = gr.Dropdown(
        choices=list(first.suggested_texts),
        value=[],
        multiselect=True,
        allow_custom_value=True,
        max_choices=actions.limits.texts,
        label="Texts to look for",
        info="Type a text and press Enter, or choose from the list.",
        elem_id="texts",
    )
    explain = gr.Button("Explain", variant="primary", size="lg", elem_id="explain")
    gallery = gr.HTML(examples, js_on_load=PRESS_EXAMPLE, elem_id="examples")
    with gr.Accordion("Model and method", open=False):
        model = gr.Dropdown(
            list(actions.models.names), value=actions.models.names[0], label="Model"
        )
        method = gr.Dropdown(list(first.methods), value=start_method(first), label="Method")
        note = gr.Markdown(remark, elem_classes="cs-small")
    return InputElements(
        image=image,
        texts=texts,
        explain=explain,
        model=model,
        method=method,
        remark=note,
        gallery=gallery,
    )


def result_elements(actions: Actions) -> ResultElements:
    """Create the tabs, and below them the elements that apply to all tabs."""
    elements: dict[str, Any] = {"segment": None, "masks": None}
    with gr.Column(elem_id="results"):
        elements["notice"] = gr.HTML("", elem_id="notice")
        with gr.Tabs(elem_id="tabs"):
            elements |= _map_tabs()
            elements |= _text_tabs(actions.limits.characters)
            elements |= _region_tabs(with_masks=actions.segmenter is not None)
        with gr.Row(elem_classes="cs-line"):
            elements["opacity"] = gr.Slider(
                0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity", scale=3, min_width=280
            )
            elements["save_image"] = gr.Button(
                "Save image", size="sm", elem_id="save-image", min_width=110
            )
            elements["save_json"] = gr.Button(
                "Save JSON", size="sm", elem_id="save-json", min_width=110
            )
            elements["copy_python"] = gr.Button(
                "Copy Python", size="sm", elem_id="copy-python", min_width=110
            )
            elements["copy_command"] = gr.Button(
                "Copy command", size="sm", elem_id="copy-command", min_width=110
            )
            elements["file"] = gr.JSON(visible="hidden")
            elements["tab"] = gr.Textbox(visible="hidden")  # filled by a script on saving
        elements["code"] = gr.HTML("", elem_id="code")
    return ResultElements(**elements)


def _tab(title: str) -> Any:
    return gr.Tab(title, id=title.lower(), elem_id=f"tab-{title.lower()}")


def _map_tabs() -> dict[str, Any]:
    elements: dict[str, Any] = {}
    with _tab("Maps"):
        elements["maps"] = _result("maps", START_HINT, TOGGLE_WIDTH)
        elements["contrast"] = gr.Radio(
            CONTRASTS, value="text", label="Contrast", elem_id="contrast"
        )
    with _tab("Points"):
        elements["points"] = _result("points", START_HINT, TOGGLE_WIDTH)
        elements["min_presence"] = gr.Slider(
            0, 1, 0, step=0.05, label="Leave out texts less likely than", elem_id="min-presence"
        )
    return elements


def _text_tabs(max_characters: int) -> dict[str, Any]:
    elements: dict[str, Any] = {}
    with _tab("Tags"):
        elements["tags"] = _result("tags", START_HINT)
        elements["find_tags"] = gr.Button(
            "Look for all texts of the list", size="sm", elem_id="find-tags"
        )
    with _tab("Words"):
        with gr.Row(elem_classes="cs-line"):
            elements["sentence"] = gr.Textbox(
                label="Sentence", placeholder="a dog beside a boat", lines=1, scale=4,
                max_length=max_characters, elem_id="sentence",
            )  # fmt: skip
            elements["read"] = gr.Button("Read", min_width=90, scale=1, elem_id="read")
        elements["words"] = _result("read-words", WORDS_HINT, TOGGLE_WIDTH)
    return elements


def _region_tabs(*, with_masks: bool) -> dict[str, Any]:
    elements: dict[str, Any] = {}
    with _tab("Attention"):
        elements["attention"] = _result("attention", START_HINT, CLICK_POINT)
    with _tab("Segments"):
        elements["segments"] = _result("segments", START_HINT)
        elements["background"] = gr.Radio(
            BACKGROUNDS, value="threshold", label="Pixels", elem_id="background"
        )
    if with_masks:
        with _tab("Masks"):
            elements["segment"] = gr.Button("Segment objects", size="sm", elem_id="segment")
            elements["masks"] = _result("masks", MASKS_HINT, TOGGLE_WIDTH)
    return elements


def start_method(choice: ModelChoice) -> str:
    """Return the method that is chosen at the start."""
    return METHOD if METHOD in choice.methods else choice.methods[0]


def _result(name: str, text: str, script: str | None = None) -> Any:
    """An element for a result, with a hint until there is one."""
    return gr.HTML(
        hint(text), elem_id=name, js_on_load=script, apply_default_css=False, min_height=260
    )
