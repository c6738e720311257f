"""What the characters of a text need to be drawn: emoji, joined letters, writing direction."""

from __future__ import annotations

import re
import unicodedata

_PICTOGRAPH = "[\U0001f300-\U0001f64f\U0001f680-\U0001f6ff\U0001f780-\U0001faff]"
_SYMBOL = "[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001f2ff]\ufe0f"  # a sign drawn in colour
_SKIN, _JOINER = "[\U0001f3fb-\U0001f3ff]?\ufe0f?", "\u200d"
_ONE = f"(?:{_PICTOGRAPH}|{_SYMBOL}){_SKIN}"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEY = "[0-9#*]\ufe0f?\u20e3"
_EMOJI = re.compile(f"(?:{_FLAG}|{_KEY}|{_ONE}(?:{_JOINER}(?:{_ONE}|[\u2640\u2642]\ufe0f?))*)+")

_SHAPED = re.compile(
    "[\u0590-\u109f\u1780-\u17ff\u1a20-\u1aff\ua800-\uabff"  # Hebrew to Myanmar, Khmer, others
    "\u0300-\u036f\u1dc0-\u1dff\u20d0-\u20ff\ufb1d-\ufdff\ufe20-\ufe2f\ufe70-\ufefc]"  # marks
)
"""Letters that join, stack or run from right to left, and marks that are set on letters."""


def split_emoji(text: str) -> list[tuple[str, bool]]:
    """Return the parts of a text, each with whether it consists of emoji.

    Example:
        >>> split_emoji("a dog 🐕‍🦺!")
        [('a dog ', False), ('🐕\u200d🦺', True), ('!', False)]
    """
    parts, end = [], 0
    for match in _EMOJI.finditer(text):
        parts += [(text[end : match.start()], False), (match[0], True)]
        end = match.end()
    return [(part, is_emoji) for part, is_emoji in (*parts, (text[end:], False)) if part]


def needs_shaping(text: str) -> bool:
    """Return whether letters of a text join, stack, or run from right to left.

    Example:
        >>> needs_shaping("كلب"), needs_shaping("कुत्ता"), needs_shaping("chien 狗")
        (True, True, False)
    """
    return _SHAPED.search(text) is not None


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter of a text belongs to a right-to-left alphabet.

    Example:
        >>> is_right_to_left("🐕 كلب"), is_right_to_left("dog كلب")
        (True, False)
    """
    directions = map(unicodedata.bidirectional, text)
    return next((kind in ("R", "AL") for kind in directions if kind in ("L", "R", "AL")), False)


def shortened(text: str) -> str:
    """Return a text without its last character as a reader sees it.

    Marks, joiners and variation selectors are removed together with the letter they belong to.

    Example:
        >>> shortened("nai\u0308"), shortened("🐕‍🦺")
        ('na', '')
    """
    end = len(text) - 1
    while end > 0 and (_is_attached(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    return text[: max(0, end)]


def _is_attached(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    return bool(
        character == _JOINER
        or unicodedata.category(character) in ("Mn", "Mc", "Me")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
