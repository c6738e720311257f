"""`clip-surgery models`: what can be named after --model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli import console
from clip_surgery.errors import UnknownNameError

if TYPE_CHECKING:
    from clip_surgery.backbones.loading import BackboneRow


def models(
    search: Annotated[
        str, typer.Argument(metavar="[WORD]", help="Show names with this word; 'demo' for facts.")
    ] = "",
) -> None:
    """List the models that can be named, or tell about the demo model."""
    if search == "demo":
        _show_demo()
        return
    from clip_surgery.backbones.loading import list_backbones

    rows = list(list_backbones())
    found = [row for row in rows if search.lower() in row.name.lower()]
    if not found:
        raise UnknownNameError.among("model", search, ["demo", "open_clip:ViT-B-16/openai"])
    _show(found)


def _show(rows: list[BackboneRow]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    table.add_column("source")
    table.add_column("note")
    for row in rows:
        table.add_row(*map(escape, row))
    console.results().print(table)


def _show_demo() -> None:
    """The demo's card: what it is, and every noun it knows."""
    from clip_surgery.apps.cli.demo_card import read_demo_card

    screen = console.results()
    card = read_demo_card()
    for name, value in card.facts.items():
        screen.print(f"[bold]{name}[/bold]: {value}")
    screen.print(f"[bold]nouns[/bold] ({len(card.nouns)}): {', '.join(card.nouns)}")
