"""Build the page: connect each element with its handler, and limit the number of parallel calls.

The views of an image are written into the page itself (see `html_cards`), so that the browser
changes the opacity of the maps without a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from clip_surgery.apps.page import scripts
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.address import start_method
from clip_surgery.apps.page.api import publish
from clip_surgery.apps.page.examples import examples, examples_view
from clip_surgery.apps.page.exports import Exports
from clip_surgery.apps.page.input_controls import InputControls
from clip_surgery.apps.page.layout import (
    InputElements,
    ResultElements,
    input_elements,
    result_elements,
)
from clip_surgery.apps.page.requests import with_messages
from clip_surgery.apps.page.sessions import Shown
from clip_surgery.apps.page.tabs.all_tabs import tabs_of
from clip_surgery.apps.page.tabs.tab import PageParts, Tab

TITLE = "CLIP Surgery"
ABOUT = "See where CLIP finds each text in an image, without training."
MODEL_CALLS = 2
"""Number of calls that need the model and are processed at the same time. One uses the model while
another one reads its image or draws; all others have a position in the queue."""
DRAWING_CALLS = 8
"""Number of calls that do not need the model and are processed at the same time."""


class Page(gr.Blocks):  # type: ignore[misc]  # Gradio is checked without its types.
    """Gradio's page, which passes on the values of a request as they were sent.

    Gradio would open, copy or download files that a request names, and fail on values of
    unexpected types. The handlers of this page check all values themselves.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Return the values of a request, and the session for the element that holds it."""
        if len(inputs) != len(block_fn.inputs):
            raise gr.Error(
                f"Expected {len(block_fn.inputs)} values, but got {len(inputs)}.",
                print_exception=False,
            )
        return [
            state[block._id] if block.stateful and state is not None else value
            for block, value in zip(block_fn.inputs, inputs, strict=True)
        ]


@dataclass(eq=False)
class Events:
    """Connects events with handlers, in one queue for calls of the model and one for the others.

    Attributes:
        status: the element that shows the position in the queue.
        model_calls: the connected calls of the model, which the visitor can stop.
    """

    status: Any
    model_calls: list[Any] = field(default_factory=list)

    def draw(
        self, event: Callable[..., Any], handler: Callable[..., Any], *elements: Any, **more: Any
    ) -> Any:
        """Call a handler that does not run the model."""
        return event(
            with_messages(handler), *elements, preprocess=False, api_visibility="private",
            concurrency_id="drawing", concurrency_limit=DRAWING_CALLS,
            **{"show_progress": "hidden", "trigger_mode": "always_last", **more},
        )  # fmt: skip

    def run(
        self, event: Callable[..., Any], handler: Callable[..., Any], inputs: Any, outputs: Any,
        **more: Any,
    ) -> Any:  # fmt: skip
        """Call a handler that runs the model."""
        number = len(self.model_calls)
        shown_on = more.pop("show_progress_on", outputs[-1])
        event(None, None, None, js=scripts.set_running(number, running=True))
        call = event(
            with_messages(handler), inputs, outputs, preprocess=False, api_visibility="private",
            concurrency_id="model", concurrency_limit=MODEL_CALLS,
            show_progress_on=[shown_on, self.status], **more,
        )  # fmt: skip
        for ended in (call.success, call.failure):
            ended(None, None, None, js=scripts.set_running(number, running=False))
        self.model_calls.append(call)
        return call


def build(actions: Actions) -> gr.Blocks:
    """Return the page, ready to be launched."""
    seconds = 60 * actions.limits.minutes
    tabs = tabs_of(actions)
    controls = InputControls(actions=actions, examples=examples(), tabs=tabs)
    first = actions.models.first
    with Page(title=TITLE, analytics_enabled=False, delete_cache=(60, seconds)) as page:
        gr.HTML(f"<h1>{TITLE}</h1><p>{ABOUT}</p>", elem_classes="cs-title")
        shown = gr.State(Shown(), time_to_live=seconds)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=320):
                left = input_elements(
                    actions,
                    examples_view(controls.examples),
                    controls.remark(first.name, start_method(first)),
                )
            with gr.Column(scale=4, min_width=320):
                right = result_elements(tabs)
        # The API comes first, because Gradio adds a number to a name that is used twice.
        publish(actions, concurrency_id="model", concurrency_limit=MODEL_CALLS)
        events = Events(left.status)
        _connect_inputs(events, controls, shown, left, right)
        parts = PageParts(
            shown=shown, image=left.image, texts=left.texts, model=left.model, method=left.method,
            settings=right.settings, draw=events.draw, run=events.run,
        )  # fmt: skip
        for tab in tabs.values():
            tab.connect(parts)
        _connect_results(events, Exports(tabs=tabs), shown, right)
        left.stop.click(None, None, None, cancels=events.model_calls, js=scripts.STOPPED)
        _connect_address(events, page, controls, tabs, left, right)
    page.queue(max_size=actions.limits.waiting, api_open=False)
    return page


def _connect_inputs(
    events: Events, controls: InputControls, shown: Any, left: InputElements, right: ResultElements
) -> None:
    explain: dict[str, Any] = {
        "inputs": [
            shown, left.image, left.texts, left.model, left.method, *right.setting_elements,
        ],
        "outputs": [shown, right.notice, left.history, *right.results],
        "show_progress_on": right.results[0],
    }  # fmt: skip
    left.image.input(None, None, None, js=scripts.FORGET_EXAMPLE)
    events.draw(
        left.image.input, controls.change_image, [shown, left.image],
        [left.image, shown, right.notice, *right.results],
    )  # fmt: skip
    pressed = events.run(left.explain.click, controls.explain, **explain)
    example = events.draw(
        left.gallery.click, controls.choose_example, None,
        [left.image, left.texts, right.settings["sentence"]],
    )  # fmt: skip
    explained = events.run(example.success, controls.explain, **explain)
    for event in (pressed, explained):
        event.success(None, None, None, js=scripts.SHOW_RESULTS)
    events.draw(
        left.model.change, controls.choose_model, [left.model, left.method],
        [left.method, left.texts, left.remark],
    )  # fmt: skip
    events.draw(left.method.change, controls.remark, [left.model, left.method], left.remark)
    for element in (left.texts, left.model, left.method):
        events.draw(
            element.change, controls.note_changes, [shown, left.texts, left.model, left.method],
            right.notice,
        )  # fmt: skip
    events.draw(
        left.history.click, controls.go_back, [shown, *right.setting_elements],
        [left.image, left.texts, left.model, left.method, *explain["outputs"]],
    )  # fmt: skip


def _connect_results(events: Events, exports: Exports, shown: Any, right: ResultElements) -> None:
    opacity = right.settings["opacity"]
    opacity.change(None, opacity, None, js=scripts.SET_OPACITY)
    inputs = [shown, right.tab, *right.setting_elements]
    for button, save in (
        (right.save_image, exports.save_image),
        (right.save_json, exports.save_json),
    ):
        saved = events.draw(
            button.click, save, inputs, right.file, js=scripts.WITH_TAB, show_progress="full"
        )
        saved.success(None, right.file, None, js=scripts.SAVE)
    for button, write in (
        (right.copy_python, exports.copy_python),
        (right.copy_command, exports.copy_command),
    ):
        copied = events.draw(
            button.click, write, inputs, [right.file, right.code], js=scripts.WITH_TAB
        )
        copied.success(None, right.file, None, js=scripts.COPY)
    right.copy_link.click(None, None, right.code, js=scripts.COPY_LINK)


def _connect_address(
    events: Events, page: Any, controls: InputControls, tabs: Mapping[str, Tab],
    left: InputElements, right: ResultElements,
) -> None:  # fmt: skip
    opened = events.draw(
        page.load, controls.open_address, left.address,
        [
            left.image, left.texts, left.model, left.method, *right.sentence_elements, right.tabs,
            *right.setting_elements, left.link,
        ],
        js=scripts.READ_ADDRESS,
    )  # fmt: skip
    opened.then(None, left.link, None, js=scripts.OPENED)
    first = controls.actions.models.first
    defaults = {"model": first.name, "method": start_method(first), "tab": next(iter(tabs))}
    elements = [
        left.texts, left.model, left.method, *right.sentence_elements, *right.setting_elements,
    ]  # fmt: skip
    gr.on(
        [element.change for element in elements]
        + [head.select for head in right.tab_heads.values()]
        + [left.gallery.click, left.image.input],
        None, elements, None, js=scripts.write_address(defaults), api_visibility="private",
    )  # fmt: skip
