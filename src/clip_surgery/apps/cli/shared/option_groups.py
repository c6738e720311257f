"""Grouping: a dataclass of options as one parameter of a command.

Typer reads options off a function's parameters. Here a parameter may be a dataclass, and Typer is
shown its fields in its place, so that commands share options without writing them again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer: each parameter that is a dataclass stands there as its fields.

    Example:
        >>> from clip_surgery.apps.cli.shared.options import ColourOptions
        >>> def greet(colours: ColourOptions, name: str = "you") -> None: ...
        >>> list(inspect.signature(with_options(greet)).parameters)
        ['name', 'opacity', 'colour_map']
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    own = inspect.signature(command).parameters
    shown = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.items()
        if name not in groups
    ]
    for name in own:
        if name in groups:
            shown.extend(_parameters(groups[name]))

    @wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    flat.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return flat


def _parameters(group: Any) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass as parameters."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=hints[field.name],
        )
