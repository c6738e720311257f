"""Checks of the texts that a user provides, and reading of files of labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clip_surgery.errors import InputError

MAX_CHARACTERS = 2_000
"""Largest length of a text; the context of CLIP models is 77 tokens."""
MAX_LABEL_BYTES = 64 * 2**20
"""Largest size of a file of labels."""
_SHOWN = 80


def check_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as a tuple, with leading and trailing spaces removed.

    Raises:
        InputError: if `texts` is a single string or empty, or if a text is not a string, is empty,
            has more than 2,000 characters, is not valid Unicode, or is given twice (upper and
            lower case differ).

    Example:
        >>> check_texts(["bench", " person "])
        ('bench', 'person')
    """
    if isinstance(texts, str):
        raise InputError(
            f"Expected a list of texts, but got one string: {_show(texts)}. "
            f"For a single label, write [{_show(texts)}]."
        )
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise InputError(f"Expected a list of texts, but got {type(texts).__name__}: {texts!r}.")
    checked: dict[str, int] = {}
    for number, text in enumerate(texts):
        label = _check_text(text, number)
        if label in checked:
            raise InputError(
                f"Expected each text once, but {_show(label)} is number "
                f"{checked[label] + 1} and number {number + 1}."
            )
        checked[label] = number
    if not checked:
        raise InputError("Expected at least one text, but got an empty list.")
    return tuple(checked)


def read_labels(path: str | Path) -> tuple[str, ...]:
    r"""Return the labels of a UTF-8 text file with one label per line.

    Blank lines and lines that begin with "#" are skipped. Spaces around labels and a byte order
    mark are removed.

    Raises:
        InputError: if the file is missing, cannot be read, is not UTF-8 text, has more than 64 MiB,
            no label or the same label twice. The message names the file.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        ...     _ = file.write("# street\nbench\n\nperson\n")
        ...     file.flush()
        ...     read_labels(file.name)
        ('bench', 'person')
    """
    try:
        file = Path(path)
        if file.exists() and not file.is_file():
            raise InputError(f"{path}: the file of labels cannot be read: not a regular file.")
        if file.exists() and file.stat().st_size > MAX_LABEL_BYTES:
            raise InputError(
                f"{path}: the file of labels is larger than {MAX_LABEL_BYTES // 2**20} MiB."
            )
        content = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file of labels, but there is no such file.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: the file of labels cannot be read: {reason}.") from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected labels as UTF-8 text, but byte {error.start} is not UTF-8."
        ) from error
    if b"\0" in content:
        raise InputError(f"{path}: expected labels as UTF-8 text, but got a binary file.")
    labels = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if not labels:
        raise InputError(f"{path}: expected one label per line, but found none.")
    try:
        return check_texts(labels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_text(text: object, number: int) -> str:
    if not isinstance(text, str):
        raise InputError(
            f"Expected texts, but number {number + 1} is {type(text).__name__}: {text!r}."
        )
    label = text.strip()
    if len(label) > MAX_CHARACTERS:
        raise InputError(
            f"Expected texts of at most {MAX_CHARACTERS:,} characters, but number {number + 1} has "
            f"{len(label):,}: {_show(label)}."
        )
    if not label:
        raise InputError(f"Expected a text with words, but number {number + 1} is {_show(text)}.")
    if any(0xD800 <= ord(character) < 0xE000 for character in label):
        raise InputError(
            f"Expected texts in valid Unicode, but number {number + 1} is {_show(label)}."
        )
    return label


def _show(text: str) -> str:
    """Return the text in quotes, cut if it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
