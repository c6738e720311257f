"""Importing methods, data sets and segmenters of other packages by "package.module:Name"."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from clip_surgery.errors import InputError


def import_plugin(path: str, *, kind: str) -> Any:
    """Import the object of a path such as "package.module:Class".

    Args:
        path: name of the module and name of the object in it, separated by a colon.
        kind: what the object should be, for the message, for example "method".

    Raises:
        InputError: if the module cannot be imported or does not contain the object.

    Example:
        >>> import_plugin("clip_surgery.methods.gem:Gem", kind="method").name
        'gem'
    """
    module_name, _, object_name = path.partition(":")
    try:
        return getattr(import_module(module_name), object_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be imported as a {kind} ({error}).") from error


def same_definition(first: object, second: object) -> bool:
    """Return whether two classes or functions are the same, or come from the same definition.

    A module or a notebook cell that runs twice creates a new class each time. Registering it
    again is not a conflict of names.

    Example:
        >>> from clip_surgery.methods.gem import Gem
        >>> same_definition(Gem, Gem), same_definition(Gem, "module:Gem")
        (True, False)
    """
    if first == second:
        return True
    names = [
        (getattr(item, "__module__", None), getattr(item, "__qualname__", None))
        for item in (first, second)
    ]
    return names[0] == names[1] and None not in names[0] and "<lambda>" not in str(names[0])
