"""Settings: a method as the command line writes it, and its settings to show."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.methods.method import Method


def one_method(text: str, *, depth: int | None = None) -> Method:
    """Read one method such as "clip_surgery(redundancy=none)", with `depth` as given beside it.

    Raises:
        UnknownNameError: for an unknown method or setting.
        InputError: for several methods, a value that does not fit, or a depth for a method that
            has none.

    Example:
        >>> one_method("clip_surgery", depth=4).depth
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
        having = [name for name, cls in METHODS.items() if "depth" in default_settings(cls)]
        raise InputError(
            f"--depth is no setting of {method.name}, but of {', '.join(sorted(having))}."
        )
    return replace(method, depth=depth)  # type: ignore[type-var]  # a dataclass with this field


def default_settings(method: type[Method]) -> dict[str, Any]:
    """The settings of a method with their defaults."""
    return {field.name: field.default for field in fields(method)} if is_dataclass(method) else {}
