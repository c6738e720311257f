"""The training task of photographs: everything bound together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from open_clip.model import CLIP

from recipe.config import Config
from recipe.localisation import localisation
from recipe.loop import Task
from recipe.photographs.concepts import Concepts, read_concepts
from recipe.photographs.measure import photograph_figures
from recipe.photographs.source import PhotographSource
from recipe.photographs.store import load
from recipe.vocabulary import Vocabulary

OFTEN, SELDOM = 1000, 4000
"""Held-out photographs measured."""


def photographs_task(config: Config, folder: Path, decoded: Path) -> tuple[Config, Task]:
    """The configuration with its label set, and the task, from decoded photographs.

    folder holds classes.json, decoded the .npz files.
    """
    concepts = read_concepts(folder)
    config = dataclasses.replace(config, nouns=concepts.words)
    vocabulary = Vocabulary(concepts.words)
    source = PhotographSource(config, vocabulary, concepts, load(decoded, "train", config.device))
    return config, Task(
        vocabulary=vocabulary,
        source=source,
        often=lambda model: figures(model, config, vocabulary, concepts, decoded, OFTEN),
        seldom=lambda model: {
            **figures(model, config, vocabulary, concepts, decoded, SELDOM),
            **localisation(model, config, vocabulary),
        },
    )


def figures(
    model: CLIP,
    config: Config,
    vocabulary: Vocabulary,
    concepts: Concepts,
    decoded: Path,
    count: int,
) -> dict[str, float]:
    """Figures on held-out photographs."""
    held_out = load(decoded, "val", config.device)
    return photograph_figures(model, config, vocabulary, concepts, held_out, count)
