"""Python code and commands that reproduce what a tab of the page shows."""

from __future__ import annotations

import shlex

from clip_surgery.apps.page.saved_results import Settings
from clip_surgery.apps.page.sessions import Session, Shown, require_session
from clip_surgery.errors import InputError

SEGMENTER = "facebook/sam-vit-base"
"""The segmenter in the code; the page may use another one."""
COMMANDS = {
    "maps": "explain",
    "points": "points",
    "tags": "tag",
    "words": "words",
    "attention": "inspect",
    "segments": "segment",
    "masks": "masks",
}
"""For each tab the command of the command line."""


def python_code(shown: Shown, tab: str, settings: Settings) -> str:
    """Return Python code that computes the results of a tab, for the image in the working folder.

    Args:
        shown: the results of the visitor.
        tab: a key of `COMMANDS`.
        settings: how the results are shown.

    Raises:
        InputError: if the page shows no explanation, or the tab shows no result.
    """
    session = require_session(shown)
    image = session.image.name
    method = "similarity" if tab == "tags" and shown.tags else session.method
    texts = "explainer.vocabulary" if tab == "tags" and shown.tags else repr(_texts(session))
    lines = [
        "import clip_surgery",
        "",
        f"explainer = clip_surgery.load({session.model!r}, method={method!r})",
    ]
    if tab == "words":
        return "\n".join(
            [*lines, f"words = clip_surgery.words(explainer, {image!r}, {_sentence(shown)!r})"]
        )
    if tab == "attention":
        x, y = _point(shown, session)
        lines.append(f"maps = clip_surgery.attention(explainer, {image!r}, ({x}, {y}))")
        return "\n".join(lines)
    lines.append(f"explanation = explainer({image!r}, {texts})")
    return "\n".join([*lines, *_tasks(tab, image, settings)])


def _tasks(tab: str, image: str, settings: Settings) -> list[str]:
    """The lines that compute a tab from `explanation`."""
    if tab == "points":
        presence = f"min_presence={settings.min_presence}"
        return [
            f"points = clip_surgery.points(explanation, {presence})[0]",
            f"boxes = clip_surgery.boxes(explanation, {presence})[0]",
        ]
    if tab == "tags":
        return ["tags = clip_surgery.tags(explanation)[0]"]
    if tab == "segments":
        return [
            f"classes = clip_surgery.segment(explanation, background={settings.background!r})[0]"
        ]
    if tab == "masks":
        return [
            f"segmenter = clip_surgery.load_segmenter({SEGMENTER!r})",
            f"masks = clip_surgery.masks(explanation, [{image!r}], segmenter)[0]",
        ]
    return [
        f"maps = clip_surgery.heatmaps(explanation, contrast={settings.contrast!r})[0]",
        "for text, heatmap in zip(explanation.texts, maps):",
        f"    figure = clip_surgery.overlay({image!r}, heatmap, opacity={settings.opacity})",
        '    figure.save(f"{text}.png")',
    ]


def command(shown: Shown, tab: str, settings: Settings) -> str:
    """Return the command that computes the results of a tab, for the image in the working folder.

    Args:
        shown: the results of the visitor.
        tab: a key of `COMMANDS`.
        settings: how the results are shown.

    Raises:
        InputError: if the page shows no explanation, or the tab shows no result.
    """
    session = require_session(shown)
    words = ["clip-surgery", COMMANDS[tab], session.image.name]
    if tab == "words":
        words.append(_sentence(shown))
    elif not (tab == "tags" and shown.tags):
        words += [f"--text={text}" for text in _texts(session)]
    words += [f"--model={session.model}"]
    if tab != "tags":
        words.append(f"--method={session.method}")
    if tab == "maps":
        words += [f"--contrast={settings.contrast}", f"--opacity={settings.opacity}"]
    elif tab == "points":
        words.append("--boxes")
        if settings.min_presence is not None:
            words.append(f"--min-presence={settings.min_presence}")
    elif tab == "segments":
        words.append(f"--background={settings.background}")
    elif tab == "attention":
        x, y = _point(shown, session)
        words.append(f"--point={x},{y}")
    return shlex.join(words)


def _texts(session: Session) -> list[str]:
    return list(session.explanation.texts)


def _sentence(shown: Shown) -> str:
    if shown.words is None:
        raise InputError("Press Read first; there are no words to reproduce.")
    return shown.words.sentence


def _point(shown: Shown, session: Session) -> tuple[float, float]:
    """The chosen point in pixels of the explained image, which may be larger than the kept one."""
    if not shown.attention or shown.attention_image is None:
        raise InputError("Choose a point first; there is no attention to reproduce.")
    original = session.explanation.framings[0].original
    scale = original.width / shown.attention_image.size.width
    x, y = shown.attention[0].point
    return (round(x * scale, 1), round(y * scale, 1))
