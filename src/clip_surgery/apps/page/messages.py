"""Errors of the library in words of the page.

Most messages say what a visitor can do. Some name arguments of Python functions or parts of a
model; these are worded anew for visitors, who only see the page.
"""

from __future__ import annotations

import re

from clip_surgery.errors import (
    ClipSurgeryError,
    MissingExtraError,
    UnsupportedModelError,
    WeightsError,
)

NO_PIXEL_SCORES = (
    "This method gives no score for single pixels. Choose another one, for example clip_surgery."
)
OPERATOR = "Please tell the person who runs this page."
_NEW_WORDS = (
    (r"Expected a method with a dense similarity.*", NO_PIXEL_SCORES),
    (
        r"Expected a text of at most (\d+) tokens, but got (\d+) tokens.*",
        r"A text is too long for this model: \2 tokens (about as many words), of at most \1. "
        "Shorten it.",
    ),
    (r"(.*): not an image in a format that Pillow reads\.", r"\1: not an image, or not readable."),
    (r"(.*): larger than the limit of .*", r"\1: the file is larger than this page allows."),
    (r"Expected a sentence with words.*", "Type a sentence with at least one word."),
    (
        r"Expected at most (\d+) words, but got (\d+): join words to phrases\.",
        r"A sentence may have at most \1 words, but yours has \2. Shorten it.",
    ),
    (r"Expected a sentence whose words the model reads.*", "The model cannot read this sentence."),
    (r"Expected a text with words, but number (\d+) is (.*)", r"Text \1 has no words: \2"),
    (
        r"Expected texts in valid Unicode, but number (\d+) is (.*)",
        r"Text \1 has characters that are not valid Unicode: \2",
    ),
)


def page_message(error: ClipSurgeryError) -> str:
    """Return an error in words of the page.

    Example:
        >>> from clip_surgery.errors import InputError
        >>> page_message(InputError("Expected a sentence with words, but got '...'."))
        'Type a sentence with at least one word.'
    """
    if isinstance(error, WeightsError):
        return f"This model does not give usable scores. Choose another one. {OPERATOR}"
    if isinstance(error, MissingExtraError):
        return f"A part of this page is not installed. {OPERATOR}"
    message = error.problem if isinstance(error, UnsupportedModelError) else str(error)
    for pattern, words in _NEW_WORDS:
        match = re.fullmatch(pattern, message, re.DOTALL)
        if match:
            message = match.expand(words)
            break
    if isinstance(error, UnsupportedModelError):
        return f"{message.rstrip('.')}. Choose another model or method."
    return message
