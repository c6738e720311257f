"""Train many variants of the recipe at once on a GPU, on the same scenes.

Run `python training/stacked.py train --list study --out runs/study`. Each variant becomes a run of
its own, OUT/NAME.SEED/checkpoint.pt, which `measure.py` and `export.py` read.
`python training/stacked.py continue --out runs/more --runs runs/study/shipped.7 ...` trains chosen
runs further, with all patches. `python training/stacked.py effects` prints the tables of README.md
from stacked.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path

import torch
from recipe import checkpoint
from recipe.config import Config, Schedule
from recipe.model import build
from recipe.stacked.effects import tables
from recipe.stacked.lists import BASE, EVERY, LISTS
from recipe.stacked.measure import measure_all
from recipe.stacked.run import train_stacked
from recipe.stacked.store import SceneStore, compose_store, load_store, vocabulary_of

RUNS = Path(__file__).parent / "stacked.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("train", "continue", "effects"))
    parser.add_argument("--out", type=Path, default=Path("runs/stacked"))
    parser.add_argument("--list", choices=sorted(LISTS), default="study", help="train: what")
    parser.add_argument("--runs", type=Path, nargs="+", help="continue: folders of runs")
    parser.add_argument("--samples", type=int, help="scenes of each run")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--rate", type=float, default=5e-4, help="continue: peak learning rate")
    parser.add_argument("--store", type=Path, help="file of composed scenes, written if missing")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=15, help="processes that compose scenes")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--no-measure", action="store_true", help="train only")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.action == "effects":
        print(tables(json.loads(RUNS.read_text(encoding="utf-8"))), end="")  # noqa: T201
        return
    torch.set_float32_matmul_precision("high")
    on_gpu = options.device.startswith("cuda")
    changes = {
        "device": options.device,
        "half": on_gpu,
        "compiled": "blocks" if on_gpu and not options.eager else "no",
        **({"samples": options.samples} if options.samples else {}),
    }
    if options.action == "continue":
        chosen = {run.name: continued(run, options.rate) for run in options.runs}
    else:
        chosen = LISTS[options.list]
    variants = {name: dataclasses.replace(config, **changes) for name, config in chosen.items()}
    weights = None
    if options.action == "continue":
        weights = {}
        for run in options.runs:
            model = build(variants[run.name], len(vocabulary_of(BASE.nouns)))
            model.load_state_dict(checkpoint.read(run / checkpoint.FILE)["average"])
            weights[run.name] = model
    store = scenes(next(iter(variants.values())), options)
    train_stacked(variants, options.out, store, first=options.first, weights=weights)
    if not options.no_measure:
        measure_all(options.out, options.workers)


def continued(run: Path, rate: float) -> Config:
    """The settings of a run, for a further training with all patches."""
    settings = checkpoint.read(run / checkpoint.FILE)["config"]
    names = ("label_weight", "labels_compete", "labels_both_ways", "label_templates")
    names += ("true_captions_are_negatives", "empty_captions", "described_every", "seed")
    schedule = Schedule(peak_rate=rate, keep=((1.0, 1.0),), few_objects_until=0.0)
    return dataclasses.replace(BASE, schedule=schedule, **{name: settings[name] for name in names})


def scenes(config: Config, options: argparse.Namespace) -> SceneStore:
    """The scenes of the file, or new ones."""
    if options.store and options.store.exists():
        return load_store(options.store, options.device)
    store = compose_store(config, EVERY, options.workers)
    if options.store:
        store.save(options.store)
    return store


if __name__ == "__main__":
    main()
