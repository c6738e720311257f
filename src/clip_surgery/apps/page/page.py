"""The page: which element calls which control, and how many at once.

What a visitor sees of a picture is written into the page itself (see `sheets`), so that opacity is
the browser's own affair: moving its slider sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.api import publish
from clip_surgery.apps.page.controls import Controls
from clip_surgery.apps.page.examples import examples, examples_view
from clip_surgery.apps.page.layout import Answers, Asked, answers, asked, start_method
from clip_surgery.apps.page.requests import told
from clip_surgery.apps.page.scripts import SAVE, SET_OPACITY

TITLE = "CLIP Surgery"
ABOUT = "See what CLIP sees: where each word is in a picture, without training."
AT_ONCE = 4  # requests that are read and drawn beside each other; the model takes one at a time


def build(actions: Actions) -> gr.Blocks:
    """The page, ready to be launched."""
    seconds = 60 * actions.limits.minutes
    controls = Controls(actions=actions, examples=examples())
    first = actions.offers.first
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, seconds)) as page:
        gr.HTML(f"<h1>{TITLE}</h1><p>{ABOUT}</p>", elem_classes="cs-title")
        visit = gr.State(None, time_to_live=seconds)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=320):
                left = asked(
                    actions,
                    examples_view(controls.examples),
                    controls.remark(first.name, start_method(first)),
                )
            with gr.Column(scale=4, min_width=320):
                right = answers(actions)
        # first, so that the names of the API are its own: Gradio numbers a name used twice
        publish(actions, concurrency_id="work", concurrency_limit=AT_ONCE)
        _wire(controls, visit, left, right)
    page.queue(max_size=actions.limits.waiting, api_open=False)
    return page


def _wire(controls: Controls, visit: Any, left: Asked, right: Answers) -> None:
    """Connect every element with its control."""

    def on(event: Callable[..., Any], control: Callable[..., Any], *given: Any, **more: Any) -> Any:
        return event(
            told(control),
            *given,
            preprocess=False,
            api_visibility="private",
            concurrency_id="work",
            concurrency_limit=AT_ONCE,
            **more,
        )

    explain: dict[str, Any] = {
        "inputs": [
            left.picture, left.words, left.model, left.method, right.contrast, right.least,
            right.background,
        ],
        "outputs": [
            visit, right.maps, right.points, right.tags, right.attention, right.segments
        ],
        "show_progress_on": right.maps,
    }  # fmt: skip
    on(left.picture.upload, controls.check, left.picture, left.picture, show_progress="hidden")
    on(left.explain.click, controls.explain, **explain)
    chosen = on(
        left.gallery.click, controls.choose_example, None,
        [left.picture, left.words, right.sentence],
    )  # fmt: skip
    on(chosen.success, controls.explain, **explain)
    on(
        left.model.change, controls.choose_model, [left.model, left.method],
        [left.method, left.words, left.remark],
    )  # fmt: skip
    on(left.method.change, controls.remark, [left.model, left.method], left.remark)

    drawn: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
    on(right.contrast.input, controls.redraw, [visit, right.contrast], right.maps, **drawn)
    on(right.least.release, controls.repoint, [visit, right.least], right.points, **drawn)
    on(
        right.background.input, controls.recolour, [visit, right.background], right.segments,
        **drawn,
    )  # fmt: skip
    on(right.tag.click, controls.tag, [left.picture, left.model], right.tags)
    said = [left.picture, right.sentence, left.model, left.method]
    on(right.read.click, controls.sentence, said, right.words)
    on(right.sentence.submit, controls.sentence, said, right.words)
    on(right.attention.click, controls.attention, visit, right.attention)
    if right.cut is not None:
        on(right.cut.click, controls.masks, visit, right.masks)
    right.opacity.change(None, right.opacity, None, js=SET_OPACITY)
    saved = [
        on(
            right.save_picture.click, controls.save_picture,
            [visit, right.contrast, right.opacity], right.file,
        ),
        on(right.save_json.click, controls.save_json, visit, right.file),
    ]  # fmt: skip
    for event in saved:
        event.success(None, right.file, None, js=SAVE)
