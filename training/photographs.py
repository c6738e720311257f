"""Prepare photographs for training, and measure a model on those it has not seen.

`pack` cuts the parquet files into pieces that travel, `decode` turns pieces into arrays, `measure`
prints what the checkpoint of a run makes of the held-out ones. Training itself is
`python training/train.py --config photographs --photographs DIR --decoded DIR --out RUN`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path

from recipe import checkpoint
from recipe.config import CONFIGS, Config
from recipe.model import build
from recipe.photographs.concepts import read_concepts
from recipe.photographs.store import decode, load, pack
from recipe.photographs.task import SELDOM, figures
from recipe.vocabulary import Vocabulary

logger = logging.getLogger(__name__)
MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("pack", "decode", "measure"))
    parser.add_argument("--photographs", type=Path, required=True, help="folder of parquet files")
    parser.add_argument("--out", type=Path, help="pack: folder of the pieces")
    parser.add_argument("--mebibytes", type=int, default=30, help="pack: largest piece")
    parser.add_argument("--quality", type=int, help="pack: encode again as WebP of this quality")
    parser.add_argument("--held-out", type=int, help="pack: only so many photographs of val")
    parser.add_argument("--decoded", type=Path, help="decode, measure: folder of the arrays")
    parser.add_argument("--limit", type=int, help="decode: only so many of each file")
    parser.add_argument("--workers", type=int, default=0, help="decode: processes")
    parser.add_argument("--run", type=Path, help="measure: the run")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="photographs")
    parser.add_argument("--device", help="measure: another device than the configuration's")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.action == "pack":
        for path in pack(
            options.photographs,
            options.out,
            options.mebibytes * MEBIBYTE,
            quality=options.quality,
            held_out=options.held_out,
        ):
            logger.info("%s %.1f MiB", path, path.stat().st_size / MEBIBYTE)
    elif options.action == "decode":
        concepts = read_concepts(options.photographs)
        for file in sorted(options.photographs.glob("*.parquet")):
            path = decode(file, options.decoded, concepts, options.limit, options.workers)
            logger.info("%s", path)
    else:
        logger.info("%s", json.dumps(measured(options)))


def measured(options: argparse.Namespace) -> dict[str, float]:
    """The figures of a run's checkpoint."""
    concepts = read_concepts(options.photographs)
    parts = checkpoint.read(options.run / checkpoint.FILE)
    config: Config = dataclasses.replace(CONFIGS[options.config], nouns=concepts.words)
    if options.device:
        config = dataclasses.replace(config, device=options.device)
    vocabulary = Vocabulary(concepts.words)
    model = build(config, len(vocabulary))
    model.load_state_dict(parts["average"])
    held_out = load(options.decoded, "val", config.device)
    count = min(SELDOM, len(held_out))
    return figures(model, config, vocabulary, concepts, options.decoded, count)


if __name__ == "__main__":
    main()
