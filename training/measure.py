"""Measure a run's last checkpoint on held-out scenes and append the figures to its log.

Run `python training/measure.py --run runs/demo`, also while the run goes on.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from recipe import checkpoint
from recipe.blocks import contrast_by_block
from recipe.checkpoint import Progress
from recipe.config import Config, Model
from recipe.localisation import localisation
from recipe.loop import Log
from recipe.measure import retrieval
from recipe.model import build
from recipe.understanding import understanding
from recipe.vocabulary import Vocabulary
from recipe.words import MORE_WORDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--blocks", action="store_true", help="also the contrast after each block")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    parts = checkpoint.read(options.run / checkpoint.FILE)
    settings = parts["config"]
    nouns = tuple(settings["nouns"])
    config = Config(model=Model(**settings["model"]), nouns=nouns, scene_nouns=nouns)
    described = settings["described_every"]
    vocabulary = Vocabulary(config.nouns, MORE_WORDS if described else ())
    model = build(config, len(vocabulary))
    model.load_state_dict(parts["average"])
    progress = Progress(**parts["progress"])
    log = Log(options.run / "log.jsonl")
    log.write(progress, **retrieval(model, config, vocabulary))
    log.write(progress, **localisation(model, config, vocabulary))
    if described:
        log.write(progress, **understanding(model, config, vocabulary))
    for row in contrast_by_block(model, config, vocabulary) if options.blocks else ():
        log.write(progress, **row)


if __name__ == "__main__":
    main()
