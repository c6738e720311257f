"""Read configuration files of models, with errors that name the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip_surgery.backbones.hub import not_usable
from clip_surgery.errors import ClipSurgeryError


def read_json_object(file: Path) -> dict[str, Any]:
    """Read a JSON file that contains one object.

    Raises:
        WeightsError: if the file cannot be read, is not JSON, is nested too deeply, or contains
            something else than an object. The message names the file.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise not_usable(file, "the JSON is nested too deeply") from error
    except (OSError, ValueError) as error:
        raise not_usable(file, error) from error
    if not isinstance(content, dict):
        raise not_usable(file, f"expected a JSON object, but got {_type_name(content)}")
    return content


def object_field(settings: dict[str, Any], field: str, *, file: Path) -> dict[str, Any]:
    """Return the JSON object in a field of the settings.

    Args:
        settings: the settings read from `file`.
        field: name of the field. Only the part after the last dot is the key; the whole name, such
            as "model_cfg.text_cfg", appears in the message.
        file: the file, for the message.

    Raises:
        WeightsError: if the field is missing or is not an object.
    """
    key = field.rpartition(".")[2]
    if key not in settings:
        raise not_usable(file, f"{field} is missing")
    if not isinstance(settings[key], dict):
        raise not_usable(file, f"expected {field} to be an object, but got {_shown(settings[key])}")
    content: dict[str, Any] = settings[key]
    return content


def positive_integer(value: object, field: str, *, source: Path | str) -> int:
    """Return the value of a field that must be an integer of at least 1.

    Raises:
        WeightsError: if it is not; the message names source and field.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise not_usable(
            source, f"expected {field} to be an integer above 0, but got {_shown(value)}"
        )
    return value


def three_numbers(value: object, field: str, *, source: Path | str) -> tuple[float, float, float]:
    """Return the mean or standard deviation of the three channels of an image.

    A single number is used for all three channels.

    Raises:
        WeightsError: if the value is neither one nor three finite numbers; the message names source
            and field.
    """
    numbers = [value] * 3 if _is_number(value) else value
    if (
        not isinstance(numbers, Sequence)
        or isinstance(numbers, str)
        or len(numbers) != 3
        or not all(_is_number(number) for number in numbers)
    ):
        raise not_usable(
            source, f"expected {field} to be three finite numbers, but got {_shown(value)}"
        )
    red, green, blue = (float(number) for number in numbers)
    return red, green, blue


@contextmanager
def converting_errors(source: Path | str) -> Iterator[None]:
    """Convert all exceptions of a block that reads `source` to a WeightsError that names it.

    A library that builds a model from wrong settings may raise anything (TypeError, KeyError,
    AssertionError, ...), so that no list of exceptions is complete.

    Raises:
        WeightsError: if the block raises an error that is not a ClipSurgeryError.
    """
    try:
        yield
    except ClipSurgeryError:
        raise
    except RecursionError as error:
        raise not_usable(source, "it is nested too deeply") from error
    except Exception as error:
        raise not_usable(source, error) from error


def is_folder(path: str | Path) -> bool:
    """Return whether the path is a folder; False for paths that the file system does not accept."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # longer than the system allows, or with a NUL character
        return False


def is_file(path: str | Path) -> bool:
    """Return whether the path is a file; False for paths that the file system does not accept."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of float
        return False


def _type_name(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _shown(value: object) -> str:
    """The value as JSON, shortened."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = _type_name(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
