"""Export a run's checkpoint to the files that the package carries.

Run `python training/export.py --run runs/demo --out src/clip_surgery/backbones/demo`.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from recipe.package import export

logger = logging.getLogger(__name__)
HOME = Path(__file__).parents[1] / "src/clip_surgery/backbones/demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=HOME)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    facts = export(options.run, options.out)
    logger.info("%s", json.dumps({key: facts[key] for key in ("sha256", "training")}))


if __name__ == "__main__":
    main()
