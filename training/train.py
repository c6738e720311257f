"""Train the demo checkpoint.

Run `python training/train.py --config cpu --out runs/demo`; the same command again takes an
interrupted run on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

import torch
from recipe.config import CONFIGS
from recipe.loop import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=sorted(CONFIGS), default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="end of the schedule, in minutes of training")
    parser.add_argument("--samples", type=int, help="end of the schedule, in scenes")
    parser.add_argument("--checkpoint-minutes", type=float, help="minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    config = CONFIGS[options.config]
    given = {name: getattr(options, name) for name in ("minutes", "samples", "checkpoint_minutes")}
    config = dataclasses.replace(config, **{name: v for name, v in given.items() if v is not None})
    train(config, options.out)


if __name__ == "__main__":
    main()
