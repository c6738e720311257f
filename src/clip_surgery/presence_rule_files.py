"""Presence rules on disk: one file per model and vocabulary, beside the cache of text features."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.storage.atomic_file import writing_atomically

_FORMAT = 1


def rule_path(directory: Path, *, model: str, fingerprint: str, vocabulary: Sequence[str]) -> Path:
    """Return the file of the rule for one model and its reference words.

    Args:
        directory: directory of the text cache.
        model: name of the model.
        fingerprint: fingerprint of the weights of the text tower and of its settings.
        vocabulary: the reference words.
    """
    key = json.dumps([_FORMAT, model, fingerprint, list(vocabulary)])
    return directory / f"presence-{sha256(key.encode()).hexdigest()[:32]}.json"


def read_rule(path: Path) -> PresenceRule | None:
    """Return the rule in a file, or None if there is none. A damaged file gives a warning."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _warn_of_damage(path, error)
        return None
    try:
        return PresenceRule(**{name: float(value) for name, value in json.loads(text).items()})
    except (AttributeError, InputError, TypeError, ValueError, RecursionError) as error:
        _warn_of_damage(path, error)
        return None


def write_rule(path: Path, rule: PresenceRule) -> None:
    """Write a rule.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_atomically(path) as file:
            file.write(json.dumps(asdict(rule)).encode())
    except OSError as error:
        raise InputError(
            f"{path}: the presence rule cannot be written ({error.strerror})."
        ) from None


def _warn_of_damage(path: Path, error: Exception) -> None:
    warnings.warn(
        f"{path}: this presence rule is damaged ({error}) and is not used. "
        "Call calibrate_presence again.",
        stacklevel=4,
    )
