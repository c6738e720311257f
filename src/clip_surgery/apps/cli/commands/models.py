"""`clip-surgery models`: what can be named after --model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clip_surgery.apps.cli.shared import console
from clip_surgery.errors import InputError, WeightsError

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
        raise InputError(f"No model has {search!r} in its name; 'clip-surgery models' lists all.")
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
    from clip_surgery.backbones.demo.loading import FOLDER

    path = FOLDER / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        vision, nouns = config["model_cfg"]["vision_cfg"], config["nouns"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: the embedded demo model is not usable ({error!r}).") from error
    training = config.get("training", {})
    facts = {
        "demo": "a small CLIP trained on generated scenes, embedded: works offline",
        "image tower": f"{vision['layers']} blocks of width {vision['width']}, "
        f"{vision['image_size']} px in patches of {vision['patch_size']}",
        "training": ", ".join(f"{name} {value}" for name, value in training.items()),
        f"{len(nouns)} nouns": ", ".join(nouns),
    }
    screen = console.results()
    for name, fact in facts.items():
        screen.print(Text.assemble((f"{name}: ", "bold"), fact))
