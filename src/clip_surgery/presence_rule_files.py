"""Presence rules on disk: one file per model and vocabulary, beside the cache of text features."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from clip_surgery.calibrated_presence import rule_from_values, values_of_rule
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
    return directory / f"presence-{_digest(model, fingerprint, tuple(vocabulary))}.json"


@lru_cache(maxsize=8)
def _digest(model: str, fingerprint: str, vocabulary: tuple[str, ...]) -> str:
    """Hash the words once, because every explanation looks for its rule."""
    key = json.dumps([_FORMAT, model, fingerprint, list(vocabulary)])
    return sha256(key.encode()).hexdigest()[:32]


def read_rule(path: Path) -> PresenceRule | None:
    """Return the rule in a file, or None if there is none. A damaged file gives a warning."""
    try:
        status = path.stat()
        return _read_rule(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except FileNotFoundError:
        return None
    except (AttributeError, OSError, TypeError, ValueError, RecursionError) as error:
        _warn_of_damage(path, error)
        return None


@lru_cache(maxsize=8)
def _read_rule(path: Path, *_: int) -> PresenceRule:
    """Read a rule once for each version of the file, because every explanation needs it."""
    return rule_from_values(json.loads(path.read_text(encoding="utf-8")))


def write_rule(path: Path, rule: PresenceRule) -> None:
    """Write a rule.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_atomically(path) as file:
            file.write(json.dumps(values_of_rule(rule)).encode())
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
