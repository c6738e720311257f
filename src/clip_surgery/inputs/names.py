"""Names of files and texts in a form that is safe to print and to write.

A file name on Linux is any sequence of bytes. Python keeps bytes that are not UTF-8 as lone
surrogates ("surrogateescape"), which no UTF-8 file or terminal accepts. Names and texts may also
contain control characters, which a terminal would execute.
"""

from __future__ import annotations

import os
import unicodedata

_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Characters that change the direction of the text around them; others of category Cf, such as
# the joiners of emoji and of Persian, are harmless.
_DIRECTION_CHANGES = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def printable(name: str | bytes | os.PathLike[str]) -> str:
    r"""Return the name with control characters, direction marks and invalid bytes escaped.

    Args:
        name: a file name, path or text. Bytes are decoded as the file system does it.

    Returns:
        Text that can be encoded as UTF-8 and printed to a terminal. Undecodable bytes and
        control characters below U+0100 become `\xNN`, other unsafe characters `\uNNNN`.

    Example:
        >>> print(printable("caf\udce9.png"), printable("red\x1b[31m.png"))
        caf\xe9.png red\x1b[31m.png
    """
    text = os.fsdecode(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character in _DIRECTION_CHANGES or unicodedata.category(character) in _UNSAFE_CATEGORIES:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that was kept by surrogateescape
            return f"\\x{code - 0xDC00:02x}"
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character
