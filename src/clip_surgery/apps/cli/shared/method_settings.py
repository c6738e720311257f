"""Methods as the command line names them, and their settings."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.methods.method import Method


def read_method(text: str, *, depth: int | None = None) -> Method:
    """Return the method that a text such as "clip_surgery(redundancy=none)" names.

    Args:
        text: name of a method, with or without settings, or "package.module:Class".
        depth: value of the setting "depth"; None to leave it as it is.

    Raises:
        UnknownNameError: for an unknown method or setting.
        InputError: for several methods, a value of the wrong type, or a depth for a method without
            this setting.

    Example:
        >>> read_method("clip_surgery", depth=4).depth
        4
    """
    from clip_surgery.methods.registry import METHODS, parse_methods

    methods = list(parse_methods(text).values())
    if len(methods) != 1:
        raise InputError(f"Expected one method, but got {text!r}.")
    [method] = methods
    if depth is None:
        return method
    if "depth" not in default_settings(type(method)):
        names = sorted(name for name, cls in METHODS.items() if "depth" in default_settings(cls))
        raise InputError(f"--depth is no setting of {method.name}, but of {', '.join(names)}.")
    return replace(method, depth=depth)  # type: ignore[type-var]  # a dataclass with this field


def read_methods(text: str, *, segmenter: str | None) -> dict[str, Method]:
    """Return the methods that a text such as "gem, clip_surgery(depth=8)" names.

    Args:
        text: methods separated by commas, or "all".
        segmenter: value of --segmenter, for methods that need one and have none.

    Raises:
        UnknownNameError: for an unknown method or setting.
        InputError: for a value of the wrong type.
    """
    from clip_surgery.methods.registry import parse_methods
    from clip_surgery.methods.segmenter_method import with_segmenter

    return {name: with_segmenter(each, segmenter) for name, each in parse_methods(text).items()}


def default_settings(method: type[Method]) -> dict[str, Any]:
    """Return the settings of a method with their defaults."""
    return {field.name: field.default for field in fields(method)} if is_dataclass(method) else {}
