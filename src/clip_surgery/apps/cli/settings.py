"""Settings: words of the command line as settings of a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.methods.method import Method


def configured_method(
    name: str, *, depth: int | None = None, settings: Sequence[str] = ()
) -> Method:
    """Build a method from its name, `--depth` and any number of NAME=VALUE.

    Raises:
        UnknownNameError: for an unknown method, or a setting that it does not have.
        InputError: for a setting that is no NAME=VALUE, is given twice, or whose value does not
            fit.

    Example:
        >>> configured_method("clip_surgery", settings=["depth=4"]).depth
        4
    """
    from clip_surgery.methods.registry import METHODS, method_named

    values: dict[str, Any] = {} if depth is None else {"depth": depth}
    method_named(name)  # an unknown method is told before its settings
    defaults = default_settings(METHODS[name])
    if depth is not None and "depth" not in defaults:
        having = sorted(other for other, cls in METHODS.items() if "depth" in default_settings(cls))
        raise InputError(f"--depth is no setting of {name}; it is one of {', '.join(having)}.")
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise InputError(f"Expected --set NAME=VALUE, but got {setting!r}.")
        if key in values:
            raise InputError(f"Expected the setting {key} once, but got it twice.")
        values[key] = _value(key, value.strip(), defaults.get(key))
    return method_named(name, **values)


def default_settings(method: type[Method]) -> dict[str, Any]:
    """The settings of a method with their defaults."""
    return {field.name: field.default for field in fields(method)} if is_dataclass(method) else {}


def _value(name: str, text: str, default: Any) -> Any:
    """A value of the default's type."""
    try:
        if isinstance(default, bool):
            return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
        if isinstance(default, int | float):
            return type(default)(text)
    except (KeyError, ValueError):
        kind = "true or false" if isinstance(default, bool) else f"a {type(default).__name__}"
        raise InputError(f"Expected {name} to be {kind}, but got {text!r}.") from None
    return text
