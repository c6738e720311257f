"""Dataclasses of options as parameters of commands.

Typer derives options from the parameters of a function. Here a parameter may also be a dataclass,
whose fields become options, so that several commands can share them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer in which dataclass parameters are replaced by their fields.

    Args:
        command: a function whose parameters are options or dataclasses of options.

    Returns:
        A function with one parameter per option, which builds the dataclasses and calls `command`.

    Example:
        >>> from clip_surgery.apps.cli.shared.drawing_options import ColourOptions
        >>> def greet(colours: ColourOptions, name: str = "you") -> None: ...
        >>> list(inspect.signature(with_options(greet)).parameters)
        ['name', 'opacity', 'colour_map']
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = inspect.signature(command).parameters
    options = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in parameters.items()
        if name not in groups
    ]
    for name in parameters:
        if name in groups:
            options.extend(_fields_as_parameters(groups[name]))

    @wraps(command)
    def flat(**values: Any) -> None:
        built = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**built, **values)

    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in options}
    return flat


def _fields_as_parameters(group: Any) -> Iterator[inspect.Parameter]:
    """Yield the fields of a dataclass as parameters of a function."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=hints[field.name],
        )
