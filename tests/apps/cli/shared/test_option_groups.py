import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from clip_surgery.apps.cli.shared.option_groups import with_options


@dataclass(frozen=True, kw_only=True)
class Colours:
    colour: Annotated[str, typer.Option("--colour", "-c", help="Which.")] = "red"
    bright: bool = False


@dataclass(frozen=True, kw_only=True)
class DarkColours(Colours):
    needed: str
    colour: Annotated[str, typer.Option("--colour")] = "black"


def paint(colours: Colours, name: str = "wall") -> None:
    raise ValueError(colours, name)


def cover(colours: DarkColours) -> None:
    """Cover it."""


def test_a_dataclass_is_replaced_by_its_fields():
    parameters = inspect.signature(with_options(paint)).parameters
    assert list(parameters) == ["name", "colour", "bright"]
    assert parameters["colour"].default == "red"
    assert parameters["bright"].annotation is bool


def test_a_subclass_has_its_own_defaults():
    flat = with_options(cover)
    parameters = inspect.signature(flat).parameters
    assert parameters["colour"].default == "black"
    assert parameters["needed"].default is inspect.Parameter.empty
    assert flat.__doc__ == "Cover it."


def test_the_command_gets_the_dataclass():
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # what it carries is looked at
        with_options(paint)(colour="blue", bright=True, name="door")
    assert caught.value.args == (Colours(colour="blue", bright=True), "door")
