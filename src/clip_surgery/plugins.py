"""Imports by name: the public names of a package, and objects of other packages.

Methods, data sets and segmenters of other packages are named "package.module:Name".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from clip_surgery.errors import InputError

PLUGIN_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How the name of an object of another package is written: "package.module:Name"."""


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are imported when they are used.

    Args:
        package: name of the package.
        modules: for each public name its module, relative to the package.
    """

    def lazy_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return lazy_name, lambda: sorted(modules)


def check_registration(
    kind: str, name: object, loader: object, known: Mapping[str, object]
) -> None:
    """Check the name and the loader of a data set or segmenter that is registered.

    Args:
        kind: what the loader returns, for the message, for example "data set".
        name: the name: letters, digits, `_` and `-`.
        loader: class or function, or its name "package.module:Class".
        known: the loaders that are registered already, by name.

    Raises:
        InputError: if name or loader is not valid, or another loader has this name.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InputError(f"Expected a name of letters, digits, _ and -, but got {name!r}.")
    if not callable(loader) and not (isinstance(loader, str) and PLUGIN_PATH.fullmatch(loader)):
        raise InputError(
            f'Expected a class, a function or "package.module:Class", but got {loader!r}.'
        )
    if not same_definition(known.get(name, loader), loader):
        raise InputError(f"Expected a new name, but {kind} {name!r} is registered already.")


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
