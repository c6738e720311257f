"""Explain an image by all methods of a model, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.messages import page_message
from clip_surgery.apps.page.stopping import check_running
from clip_surgery.errors import ClipSurgeryError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage


def explain_by_all_methods(
    actions: Actions,
    image: InputImage,
    texts: Iterable[str],
    model: str,
    *,
    on_method: Callable[[int, int, str], object] = lambda number, count, name: None,
) -> tuple[dict[str, Explanation], dict[str, str]]:
    """Explain an image by all methods that work with a model.

    Others can use the model between two methods. Once the time of a request is used up, no further
    method is begun.

    Args:
        actions: the computations of the page.
        image: the image of the visitor.
        texts: texts to look for.
        model: name of a model of the page.
        on_method: called before each method with its number, the number of methods and its name.

    Returns:
        The explanations by method, and for each method without one the reason.

    Raises:
        UnknownNameError: for an unknown model.
        RequestStoppedError: if the visitor leaves or stops the request.
    """
    explanations, refused = {}, {}
    seconds = 0.0
    methods = actions.models[model].methods
    for number, name in enumerate(methods):
        if seconds > actions.limits.seconds:
            refused[name] = f"not begun after {actions.limits.seconds} s"
            continue
        on_method(number, len(methods), name)
        begin = time.monotonic()
        try:
            explanations[name] = actions.explain(image, texts, model, name).explanation
        except ClipSurgeryError as error:
            check_running()  # A visitor that left gets no further methods.
            refused[name] = page_message(error)
        seconds += time.monotonic() - begin
    return explanations, refused
