"""Build the page: connect each element with its handler, and limit the number of parallel calls.

The views of an image are written into the page itself (see `html_cards`), so that the browser
changes the opacity of the maps without a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.api import publish
from clip_surgery.apps.page.controls import Controls
from clip_surgery.apps.page.examples import examples, examples_view
from clip_surgery.apps.page.layout import (
    InputElements,
    ResultElements,
    input_elements,
    result_elements,
    start_method,
)
from clip_surgery.apps.page.requests import with_messages
from clip_surgery.apps.page.scripts import COPY, SAVE, SET_OPACITY, SHOW_RESULTS, WITH_TAB
from clip_surgery.apps.page.sessions import Shown

TITLE = "CLIP Surgery"
ABOUT = "See where CLIP finds each text in an image, without training."
PARALLEL_CALLS = 4
"""Number of calls that are processed at the same time; one at a time uses the model."""


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


def build(actions: Actions) -> gr.Blocks:
    """Return the page, ready to be launched."""
    seconds = 60 * actions.limits.minutes
    controls = Controls(actions=actions, examples=examples())
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
                right = result_elements(actions)
        # The API comes first, because Gradio adds a number to a name that is used twice.
        publish(actions, concurrency_id="work", concurrency_limit=PARALLEL_CALLS)
        _connect_inputs(controls, shown, left, right)
        _connect_results(controls, shown, left, right)
        _connect_downloads(controls, shown, right)
    page.queue(max_size=actions.limits.waiting, api_open=False)
    return page


def _on(
    event: Callable[..., Any], handler: Callable[..., Any], *elements: Any, **settings: Any
) -> Any:
    """Call a handler on an event, in the common queue."""
    return event(
        with_messages(handler),
        *elements,
        preprocess=False,
        api_visibility="private",
        concurrency_id="work",
        concurrency_limit=PARALLEL_CALLS,
        **settings,
    )


def _connect_inputs(
    controls: Controls, shown: Any, left: InputElements, right: ResultElements
) -> None:
    explain: dict[str, Any] = {
        "inputs": [
            shown, left.image, left.texts, left.model, left.method, right.contrast,
            right.min_presence, right.background,
        ],
        "outputs": [shown, *right.tabs],
        "show_progress_on": right.maps,
    }  # fmt: skip
    _on(
        left.image.input, controls.change_image, [shown, left.image],
        [left.image, shown, *right.tabs], show_progress="hidden",
    )  # fmt: skip
    pressed = _on(left.explain.click, controls.explain, **explain)
    example = _on(
        left.gallery.click, controls.choose_example, None,
        [left.image, left.texts, right.sentence],
    )  # fmt: skip
    explained = _on(example.success, controls.explain, **explain)
    for event in (pressed, explained):
        event.success(None, None, None, js=SHOW_RESULTS)
    _on(
        left.model.change, controls.choose_model, [left.model, left.method],
        [left.method, left.texts, left.remark],
    )  # fmt: skip
    _on(left.method.change, controls.remark, [left.model, left.method], left.remark)
    for element in (left.texts, left.model, left.method):
        _on(
            element.change, controls.note_changes, [shown, left.texts, left.model, left.method],
            right.notice, show_progress="hidden", trigger_mode="always_last",
        )  # fmt: skip


def _connect_results(
    controls: Controls, shown: Any, left: InputElements, right: ResultElements
) -> None:
    redraw: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
    _on(right.contrast.input, controls.redraw_maps, [shown, right.contrast], right.maps, **redraw)
    _on(
        right.min_presence.release, controls.redraw_points, [shown, right.min_presence],
        right.points, **redraw,
    )  # fmt: skip
    _on(
        right.background.input, controls.redraw_segments, [shown, right.background],
        right.segments, **redraw,
    )  # fmt: skip
    _on(
        right.find_tags.click,
        controls.find_tags,
        [shown, left.image, left.model],
        [shown, right.tags],
    )
    sentence = [shown, left.image, right.sentence, left.model, left.method]
    _on(right.read.click, controls.sentence, sentence, [shown, right.words])
    _on(right.sentence.submit, controls.sentence, sentence, [shown, right.words])
    _on(right.attention.click, controls.attention, shown, [shown, right.attention])
    if right.segment is not None:
        _on(right.segment.click, controls.masks, shown, [shown, right.masks])
    right.opacity.change(None, right.opacity, None, js=SET_OPACITY)


def _connect_downloads(controls: Controls, shown: Any, right: ResultElements) -> None:
    inputs = [
        shown, right.tab, right.contrast, right.opacity, right.min_presence, right.background,
    ]  # fmt: skip
    for button, handler in (
        (right.save_image, controls.save_image),
        (right.save_json, controls.save_json),
    ):
        download = _on(button.click, handler, inputs, right.file, js=WITH_TAB)
        download.success(None, right.file, None, js=SAVE)
    for button, write in (
        (right.copy_python, controls.copy_python),
        (right.copy_command, controls.copy_command),
    ):
        copied = _on(button.click, write, inputs, [right.file, right.code], js=WITH_TAB)
        copied.success(None, right.file, None, js=COPY)
