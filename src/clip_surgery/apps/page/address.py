"""The state of the page in its address, so that it can be shared and survives a reload.

A script writes the parameters (`scripts.write_address`), and the server reads them when the page is
opened. Everybody can write a link, so each value is checked; wrong ones are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.api import METHOD
from clip_surgery.apps.page.examples import Example
from clip_surgery.apps.page.model_choices import ModelChoice
from clip_surgery.apps.page.requests import read_choice, read_number
from clip_surgery.apps.page.settings import DEFAULTS, NAMES, SENTENCES, read_settings
from clip_surgery.apps.page.typed_texts import read_sentence, read_texts
from clip_surgery.errors import ClipSurgeryError, InputError

T = TypeVar("T")
QUERY_CHARACTERS = 20_000
FIELDS = 100
"""Maximum number of parameters; an address with more is not read."""
NUMBERS = ("opacity", "min_presence")


@dataclass(frozen=True, kw_only=True)
class AddressState:
    """What an address says. What it does not say is None, and stays as it is on the page.

    Attributes:
        texts: texts to look for.
        model: name of a model of the page.
        method: name of a method that works with the model.
        sentences: sentences of tabs by their name in `settings.SENTENCES`.
        tab: name of the tab that is open.
        settings: values of settings by their name in `settings.NAMES`.
        example: index of the example image. Images of visitors are not in the address.
    """

    texts: tuple[str, ...] | None = None
    model: str | None = None
    method: str | None = None
    sentences: Mapping[str, str] = field(default_factory=dict)
    tab: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    example: int | None = None


def start_method(choice: ModelChoice) -> str:
    """Return the method that is chosen at the start."""
    return METHOD if METHOD in choice.methods else choice.methods[0]


def read_address(
    query: object, actions: Actions, examples: Sequence[Example], tabs: Sequence[str]
) -> tuple[AddressState, list[ClipSurgeryError]]:
    """Return what a query string says, and an error for each value that cannot be used.

    Args:
        query: the part of the address from "?", as the browser sent it.
        actions: the computations of the page.
        examples: the examples of the page.
        tabs: names of the tabs.
    """
    fields, errors = _fields(query)

    def read(name: str, reader: Callable[[list[str]], T]) -> T | None:
        if name not in fields:
            return None
        try:
            return reader(fields[name])
        except ClipSurgeryError as error:
            errors.append(error)
            return None

    choice = read("model", lambda values: actions.models[values[0]])
    chosen = choice or actions.models.first
    sentences = {
        name: read(name, lambda values: read_sentence(values[0], actions.limits))
        for name in SENTENCES
    }
    settings = {name: read(name, _setting_reader(name)) for name in NAMES}
    state = AddressState(
        texts=read("text", lambda values: read_texts(values, actions.limits)),
        model=None if choice is None else choice.name,
        method=read("method", lambda values: _method(chosen, values[0])),
        sentences={name: text for name, text in sentences.items() if text is not None},
        tab=read("tab", lambda values: read_choice(values[0], "the tab", tuple(tabs))),
        settings={name: value for name, value in settings.items() if value is not None},
        example=read("example", lambda values: _example(values[0], len(examples))),
    )
    return state, errors


def _fields(query: object) -> tuple[dict[str, list[str]], list[ClipSurgeryError]]:
    """The parameters of a query string."""
    if not isinstance(query, str) or len(query) > QUERY_CHARACTERS:
        return {}, [InputError("The link is too long and was not read.")] if query else []
    try:
        # Bytes that are not UTF-8 become replacement characters.
        return parse_qs(query.removeprefix("?"), max_num_fields=FIELDS), []
    except ValueError:
        return {}, [InputError("The link has too many parts and was not read.")]


def _method(choice: ModelChoice, name: str) -> str:
    choice.with_method(name)
    return name


def _setting_reader(name: str) -> Callable[[list[str]], Any]:
    """A function that reads one setting."""

    def read(values: list[str]) -> Any:
        settings: dict[str, Any] = {each: getattr(DEFAULTS, each) or 0 for each in NAMES}
        settings[name] = _number(values[0]) if name in NUMBERS else values[0]
        read_settings(**settings)
        return settings[name]

    return read


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _example(text: str, count: int) -> int:
    return int(read_number(_number(text), "the number of an example", low=0, high=count - 1))
