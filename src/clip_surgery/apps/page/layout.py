"""The elements of the page and their arrangement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.address import start_method
from clip_surgery.apps.page.scripts import GO_BACK, PRESS_EXAMPLE
from clip_surgery.apps.page.settings import NAMES, SENTENCES
from clip_surgery.apps.page.tabs.tab import Tab
from clip_surgery.figures.overlay import OPACITY


@dataclass(frozen=True, kw_only=True, eq=False)
class InputElements:
    """The left side: what a visitor enters."""

    image: Any
    texts: Any
    explain: Any
    stop: Any
    status: Any
    gallery: Any
    history: Any
    model: Any
    method: Any
    remark: Any
    address: Any
    link: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultElements:
    """The right side: the tabs, and below them what applies to all tabs."""

    notice: Any
    tabs: Any
    tab_heads: Mapping[str, Any]
    results: list[Any]
    settings: dict[str, Any]
    tab: Any
    save_image: Any
    save_json: Any
    copy_python: Any
    copy_command: Any
    copy_link: Any
    code: Any
    file: Any

    @property
    def setting_elements(self) -> list[Any]:
        """The settings in the order of `settings.NAMES`."""
        return [self.settings[name] for name in NAMES]

    @property
    def sentence_elements(self) -> list[Any]:
        """The sentences in the order of `settings.SENTENCES`."""
        return [self.settings[name] for name in SENTENCES]


def input_elements(actions: Actions, examples: str, remark: str) -> InputElements:
    """Create the elements for image, texts, model and method, and the buttons.

    Args:
        actions: the actions of the page.
        examples: HTML of the example images.
        remark: text about the model and method at the start.
    """
    elements = _image_and_texts(actions)
    elements["gallery"] = gr.HTML(examples, js_on_load=PRESS_EXAMPLE, elem_id="examples")
    elements["history"] = gr.HTML("", js_on_load=GO_BACK, elem_id="history")
    first = actions.models.first
    with gr.Accordion("Model and method", open=False):
        elements["model"] = gr.Dropdown(
            list(actions.models.names), value=actions.models.names[0], label="Model"
        )
        elements["method"] = gr.Dropdown(
            list(first.methods), value=start_method(first), label="Method"
        )
        elements["remark"] = gr.Markdown(remark, elem_classes="cs-small")
    elements["address"] = gr.Textbox(visible="hidden")  # filled by a script when the page opens
    elements["link"] = gr.JSON(visible="hidden")
    return InputElements(**elements)


def _image_and_texts(actions: Actions) -> dict[str, Any]:
    elements: dict[str, Any] = {
        "image": gr.Image(
            label="Image",
            type="filepath",
            format="png",
            sources=["upload", "clipboard", "webcam"],
            height=330,
            buttons=["fullscreen"],
            elem_id="image",
        ),
        "texts": gr.Dropdown(
            choices=list(actions.models.first.suggested_texts),
            value=[],
            multiselect=True,
            allow_custom_value=True,
            max_choices=actions.limits.texts,
            label="Texts to look for",
            info="Type a text and press Enter, or choose from the list.",
            elem_id="texts",
        ),
    }
    with gr.Row(elem_classes="cs-buttons"):
        elements["explain"] = gr.Button(
            "Explain", variant="primary", size="lg", elem_id="explain", scale=4, min_width=150
        )
        elements["stop"] = gr.Button("Stop", size="lg", elem_id="stop", scale=1, min_width=80)
    # Shows the position in the queue and the time while a request runs.
    elements["status"] = gr.HTML('<span role="status"></span>', elem_id="run-status")
    return elements


def result_elements(tabs: Mapping[str, Tab]) -> ResultElements:
    """Create the tabs, and below them the elements that apply to all tabs."""
    elements: dict[str, Any] = {"tab_heads": {}, "settings": {}}
    with gr.Column(elem_id="results"):
        elements["notice"] = gr.HTML("", elem_id="notice")
        with gr.Tabs(elem_id="tabs") as elements["tabs"]:
            for name, tab in tabs.items():
                with gr.Tab(tab.title, id=name, elem_id=f"tab-{name}") as head:
                    tab.build()
                elements["tab_heads"][name] = head
                elements["settings"] |= tab.settings
        elements["results"] = [tab.result for tab in tabs.values()]
        elements["settings"]["opacity"] = gr.Slider(
            0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity"
        )
        with gr.Row(elem_classes="cs-line"):
            for name, label in (
                ("save_image", "Save image"),
                ("save_json", "Save JSON"),
                ("copy_python", "Copy Python"),
                ("copy_command", "Copy command"),
                ("copy_link", "Copy link"),
            ):
                button_id = name.replace("_", "-")
                elements[name] = gr.Button(label, size="sm", elem_id=button_id, min_width=110)
            elements["file"] = gr.JSON(visible="hidden")
            elements["tab"] = gr.Textbox(visible="hidden")  # filled by a script on saving
        elements["code"] = gr.HTML("", elem_id="code")
    return ResultElements(**{field.name: elements[field.name] for field in fields(ResultElements)})
