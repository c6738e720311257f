"""The registry of methods: a name to a class, and a name with settings to a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.method import Method
from clip_surgery.methods.similarity import Reversed, Similarity

# A name used twice would silently hide a method: `_by_name` refuses it.
_CLASSES: tuple[type[Method], ...] = (Similarity, Reversed, MaskClip, ClipSurgery)


def _by_name(classes: tuple[type[Method], ...]) -> dict[str, type[Method]]:
    names = [cls.name for cls in classes]
    if len(set(names)) != len(names):
        raise InputError(f"Expected method names to be unique, but got {', '.join(names)}.")
    return {cls.name: cls for cls in classes}


METHODS: Mapping[str, type[Method]] = _by_name(_CLASSES)


def method_named(name: str, **settings: Any) -> Method:
    """Build the method of this name with these settings, the rest at their defaults.

    Raises:
        UnknownNameError: for an unknown method, or a setting it does not have.

    Example:
        >>> method_named("clip_surgery", depth=4).depth
        4
    """
    if name not in METHODS:
        raise UnknownNameError.among("method", name, METHODS)
    cls = METHODS[name]
    known = setting_names(cls)
    for setting in settings:
        if setting not in known:
            raise UnknownNameError.among(f"setting of {name}", setting, known)
    return cls(**settings)


def setting_names(method: type[Method]) -> tuple[str, ...]:
    """Names of a method's settings."""
    return tuple(field.name for field in fields(method)) if is_dataclass(method) else ()


def as_method(method: str | Method) -> Method:
    """A method's name or a configured method to the method.

    Raises:
        UnknownNameError: for an unknown name.
        InputError: for anything that is neither a name nor a method.
    """
    if isinstance(method, str):
        return method_named(method)
    if isinstance(method, type) or not isinstance(method, Method):
        raise InputError(f"Expected a method or its name, but got {method!r}.")
    return method
