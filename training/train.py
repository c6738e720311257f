"""Train the demo checkpoint.

Run `python training/train.py --config cpu --out runs/demo`; the same command again takes an
interrupted run on from its last checkpoint. `torchrun --nproc-per-node 2 training/train.py ...`
trains the same model with two processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
from pathlib import Path

import torch
from recipe.config import CONFIGS
from recipe.loop import train
from recipe.processes import launched

CHANGEABLE = ("minutes", "samples", "batch", "device", "workers", "checkpoint_minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=sorted(CONFIGS), default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="exported file to start from")
    parser.add_argument("--minutes", type=float, help="end of the schedule, in minutes of training")
    parser.add_argument("--samples", type=int, help="end of the schedule, in scenes")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device")
    parser.add_argument("--workers", type=int, help="processes that compose scenes")
    parser.add_argument("--checkpoint-minutes", type=float, help="minutes between checkpoints")
    parser.add_argument("--call-minutes", type=float, default=math.inf, help="end this call then")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--photographs", type=Path, help="folder with classes.json")
    parser.add_argument("--decoded", type=Path, help="folder of decoded photographs")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    if CONFIGS[options.config].kept_blocks is not None and not options.weights:
        parser.error(f"--config {options.config} needs --weights, an exported file to start from")
    given = {name: value for name in CHANGEABLE if (value := getattr(options, name)) is not None}
    config = dataclasses.replace(CONFIGS[options.config], **given)
    if options.eager:
        config = dataclasses.replace(config, compiled="no")
    task = None
    processes = launched()
    if config.phases:
        if processes.count > 1:
            parser.error(f"--config {options.config} trains in one process")
        if not (options.photographs and options.decoded):
            parser.error(f"--config {options.config} needs --photographs and --decoded")
        from recipe.photographs.task import photographs_task

        config, task = photographs_task(config, options.photographs, options.decoded)
    train(config, options.out, task, options.call_minutes, options.weights, processes)


if __name__ == "__main__":
    main()
