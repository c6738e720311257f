"""The methods that are registered under a name, in this package or outside of it.

This module imports no method, so that methods can name the alternatives to themselves. The methods
of this package are registered by `methods.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from clip_surgery.errors import InputError
from clip_surgery.methods.method import Method
from clip_surgery.plugins import same_definition

MethodClass = TypeVar("MethodClass", bound=type[Method])

_classes: dict[str, type[Method]] = {}
REGISTERED: Mapping[str, type[Method]] = MappingProxyType(_classes)
"""All registered classes by name, in the order of registration."""


def register_method(cls: MethodClass) -> MethodClass:
    """Register a method class under its `name` and return it; usable as a decorator.

    A registered method can be used by name wherever this library takes the name of a method: in
    `load`, on the command line, on the page and in evaluations of this process.

    Args:
        cls: a frozen, keyword-only dataclass that follows `Method`.

    Raises:
        InputError: if the class is not a method, or another class has its name.
    """
    name = getattr(cls, "name", None)
    if not isinstance(cls, type) or not isinstance(name, str) or not callable(cls):
        raise InputError(f"Expected a method class with a name, but got {cls!r}.")
    if not name.isidentifier():
        raise InputError(f"Expected the name of a method to be an identifier, but got {name!r}.")
    if not same_definition(_classes.get(name, cls), cls):
        raise InputError(f"Expected a new name of a method, but {name!r} is registered already.")
    _classes[name] = cls
    return cls
