"""The figures of all runs of a folder, measured by many processes, and a table of them."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from recipe import checkpoint
from recipe.config import Config, Model
from recipe.localisation import localisation
from recipe.measure import retrieval
from recipe.model import build
from recipe.stacked.store import vocabulary_of
from recipe.study import LAST, table
from recipe.understanding import understanding

logger = logging.getLogger(__name__)


def measure_all(out: Path, workers: int) -> list[dict[str, float | str]]:
    """Write figures.json of each run of the folder, and study.json and study.md of all of them."""
    runs = sorted(path.parent for path in out.glob(f"*/{checkpoint.FILE}"))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        rows = list(pool.map(measure_run, runs))
    (out / "study.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (out / "study.md").write_text(table(rows), encoding="utf-8")
    return rows


def measure_run(run: Path) -> dict[str, float | str]:
    """The figures of one run, from its averaged weights on held-out scenes."""
    torch.set_num_threads(1)
    parts = checkpoint.read(run / checkpoint.FILE)
    settings = parts["config"]
    nouns = tuple(settings["nouns"])
    config = Config(model=Model(**settings["model"]), nouns=nouns, scene_nouns=nouns)
    vocabulary = vocabulary_of(nouns)
    model = build(config, len(vocabulary))
    model.load_state_dict(parts["average"])
    variant, seed = run.name.rsplit(".", 1)
    figures: dict[str, float | str] = {"list": run.parent.name, "variant": variant, "seed": seed}
    figures |= retrieval(model, config, vocabulary)
    figures |= localisation(model, config, vocabulary)
    figures |= understanding(model, config, vocabulary)
    (run / LAST).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    return figures
