"""Compare variants of the training recipe in short runs, one change at a time.

Run `python training/study.py --out runs/study --list scratch`. The same command again skips the
runs that are finished and takes an interrupted one on. Results are in `study.json` and `study.md`
of the folder.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from recipe.study import LISTS, run_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--list", choices=sorted(LISTS), default="scratch")
    parser.add_argument("--only", nargs="*", help="names of variants; all of the list if not given")
    parser.add_argument("--seeds", type=int, nargs="*", default=[7])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    run_study(options.out, options.list, options.only, options.seeds)


if __name__ == "__main__":
    main()
