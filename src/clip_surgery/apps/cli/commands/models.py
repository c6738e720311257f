"""`clip-surgery models`: the models that --model accepts."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.tables import show_table
from clip_surgery.errors import InputError, WeightsError


def models(
    search: Annotated[
        str,
        typer.Argument(
            metavar="[WORD]",
            help="Show names that contain this word; 'demo' describes the demo model.",
        ),
    ] = "",
) -> None:
    """List the models that can be loaded by name, or describe the demo model."""
    if search == "demo":
        _show_demo()
        return
    from clip_surgery.backbones.model_names import list_backbones

    rows = list(list_backbones())
    matches = [row for row in rows if search.lower() in row.name.lower()]
    if not matches:
        raise InputError(f"No model has {search!r} in its name; 'clip-surgery models' lists all.")
    show_table(["model", "source", "note"], matches)


def _show_demo() -> None:
    """Print facts about the demo model, and every noun that it knows."""
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
    if other_words := config.get("other_words"):
        facts[f"{len(other_words)} other words"] = ", ".join(other_words)
    screen = console.results()
    for name, fact in facts.items():
        screen.print(Text.assemble((f"{name}: ", "bold"), fact))
